"""How far a result may be trusted, with reasons in words and the slices to look at first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.propagation import TrustParameters
from samprompt.propagation.result import Trust

# (name of the weight, from which value on it is worth saying, words)
_WORDS: tuple[tuple[str, float, str], ...] = (
    ("alignment", 0.35, "the scans could not be aligned well round the structure (quality {good:.2f} of 1)"),
    ("contrast", 0.4, "the structure hardly differs from its surroundings (contrast-to-noise {cnr:.2f})"),
    ("cycle", 0.35, "carried back to the baseline the result finds the known contour poorly (Dice {good:.2f})"),
    ("disagreement", 0.2, "the leading candidates disagree with the result (mean Dice {good:.2f})"),
    ("retrieval", 1.5, "inside the result the image looks unlike the baseline's structure ({value:.1f} SD)"),
    ("unreliable", 0.7, "on the baseline itself the model finds this structure's edge poorly"),
    ("separation", 0.5, "inside and outside of the result look alike to the model"),
    ("without_model", 2.0, ""),  # said by the route
    ("saturated", 0.1, "the refiner moved {share:.0f} % of the contour as far as it may (a larger change?)"),
    ("change", 0.2, "the volume changed by more than a factor of two ({percent:+.0f} %)"),
    ("border", 0.05, "the result reaches the border of the scan"),
    ("departure", 0.3, "the result differs much from the aligned contour (Dice {good:.2f}); a true change can do that"),
    ("absent", 2.0, ""),  # said first, in words of its own
)

# Measured on a result; of an empty one they say nothing that a reader could look at. They count all the same.
_OF_A_RESULT = ("cycle", "retrieval", "separation")

# No single doubt counts for more than this, in its own unit.
_LARGEST = 3.0


def score_trust(
    parts: dict[str, float], parameters: TrustParameters, check_slices: Sequence[int], extra: Sequence[str] = ()
) -> Trust:
    """Logistic of the weighted ``parts``; what is missing (or NaN) counts 0.

    ``parts`` has the names of ``TrustParameters``'s weights; each is 0 at its best and grows with doubt. ``cnr`` and
    ``percent`` are carried along for the words only. ``extra`` reasons (in words) come first.
    """
    total = parameters.bias
    loads: list[tuple[float, str]] = []
    gone = parts.get("absent", 0.0) >= 1.0
    for name, worth, words in _WORDS:
        value = parts.get(name, 0.0)
        if not math.isfinite(value):
            continue
        load = getattr(parameters, name) * min(value, _LARGEST)
        total += load
        if value >= worth and load < 0 and not (gone and name in _OF_A_RESULT):
            text = words.format(
                value=value, good=max(0.0, 1.0 - value), cnr=parts.get("cnr", math.nan),
                percent=parts.get("percent", math.nan), share=100.0 * value,
            )  # fmt: skip
            loads.append((load, text))
    score = 1.0 / (1.0 + math.exp(-total))
    flagged = score < parameters.low or bool(extra)
    if extra:
        score = min(score, parameters.low * 0.9)
    reasons = (*extra, *[text for _, text in sorted(loads)])
    if not reasons and flagged:
        reasons = ("several small doubts add up",)
    return Trust(float(score), reasons, tuple(int(k) for k in check_slices), flagged, dict(parts))


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice of two masks of the same shape; 1 when both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 1.0 if total == 0 else 2.0 * int((one & other).sum()) / total


def slices_to_check(doubt: NDArray[np.float64], limit: int = 5, apart: int = 2) -> list[int]:
    """Indices of the largest doubts (mm2 or any unit; NaN never), at least ``apart`` slices from one another."""
    order = np.argsort(-np.nan_to_num(doubt, nan=-np.inf), kind="stable")
    chosen: list[int] = []
    for index in order:
        if not np.isfinite(doubt[index]) or doubt[index] <= 0:
            break
        if all(abs(int(index) - other) >= apart for other in chosen):
            chosen.append(int(index))
        if len(chosen) == limit:
            break
    return chosen
