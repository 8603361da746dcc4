"""How much nearer to the truth a refined contour is than the warped one, by family of change and by contrast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from samprompt.models.refiner import RefinerNetwork, load_refiner
from scipy import ndimage

from samprompt_training.fields import Random
from samprompt_training.refiner.pairs import FAMILIES, PairParameters, Pairs, make_pairs
from samprompt_training.refiner.recipe import RefinerRecipe

SEED = 10_000_019  # beyond every seed that training reaches
CONTRASTS = ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, np.inf))
CLOSE = 0.9  # Dice of a prior that there is little to gain on and something to lose
_AT_ONCE = 8


@dataclass(frozen=True)
class Scores:
    """Of N pairs, on the middle slice: ``dice`` and ``hd95`` (2, N) of prior and refined contour, NaN where the target

    is gone (HD95 also where the answer is empty); ``area`` (2, N) of the answer in units of the prior's; ``family``,
    ``contrast`` (N,) as in ``Pairs``.
    """

    dice: NDArray[np.float64]
    hd95: NDArray[np.float64]
    area: NDArray[np.float64]
    family: NDArray[np.int64]
    contrast: NDArray[np.float64]


def validation_pairs(scenes: int, parameters: PairParameters) -> list[Pairs]:
    """Fixed pairs that training never draws."""
    random = Random(SEED, torch.device("cpu"))
    return [make_pairs(random, _AT_ONCE, parameters) for _ in range(scenes // _AT_ONCE)]


@torch.no_grad()
def refined(network: RefinerNetwork, pairs: Pairs) -> torch.Tensor:
    """Refined signed distances (N, 1, S, S) in mm, on the CPU."""
    device = next(network.parameters()).device
    here = pairs.to(device)
    correction = network(here.followup, here.baseline, here.prior, here.pixel, here.step)
    return pairs.prior + correction.float().cpu()


def score(network: RefinerNetwork, batches: Sequence[Pairs], distances: bool = True) -> Scores:
    """Scores of all pairs; ``distances`` False leaves HD95 out (NaN), which takes longest."""
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ("dice", "hd95", "area", "family", "contrast")}
    for pairs in batches:
        fields = refined(network, pairs)
        rows = [_one(pairs, fields, n, distances) for n in range(len(pairs))]
        for name in ("dice", "hd95", "area"):
            found[name].append(np.array([row[name] for row in rows]).T)
        found["family"].append(pairs.family.numpy().astype(np.float64))
        found["contrast"].append(pairs.contrast.numpy().astype(np.float64))
    joined = {name: np.concatenate(parts, axis=-1) for name, parts in found.items()}
    return Scores(joined["dice"], joined["hd95"], joined["area"], joined["family"].astype(np.int64), joined["contrast"])


def _one(pairs: Pairs, fields: torch.Tensor, n: int, distances: bool) -> dict[str, tuple[float, float]]:
    target, prior = (getattr(pairs, name)[n, 0].numpy() > 0 for name in ("target", "prior"))
    answer, pixel = fields[n, 0].numpy() > 0, float(pairs.pixel[n])
    before = max(int(prior.sum()), 1)
    nothing = (float("nan"), float("nan"))
    gone = not target.any()
    return {
        "dice": nothing if gone else (_dice(prior, target), _dice(answer, target)),
        "hd95": nothing if gone or not distances else (_hd95(prior, target, pixel), _hd95(answer, target, pixel)),
        "area": (int(prior.sum()) / before, int(answer.sum()) / before),
    }


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2.0 * float((one & other).sum()) / max(1.0, float(one.sum() + other.sum()))


def _hd95(one: NDArray[np.bool_], other: NDArray[np.bool_], pixel: float) -> float:
    """Larger of the two directed 95th percentiles of the distance between the edges, in mm; NaN where one is empty."""
    if not one.any() or not other.any():
        return float("nan")
    edges = [mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (one, other)]
    if not edges[0].any() or not edges[1].any():
        return float("nan")
    far = [ndimage.distance_transform_edt(~edge) * pixel for edge in edges]
    return float(max(np.percentile(far[1][edges[0]], 95), np.percentile(far[0][edges[1]], 95)))


def summary(scores: Scores) -> dict[str, float]:
    """What training is steered by: mean Dice of prior and refined contour, the gain by family, harm, what is left.

    "harm" is the mean loss of Dice (only losses count) on priors with a Dice of at least ``CLOSE``; "left" the mean
    area that is left of vanished ones, in units of the prior's.
    """
    there = np.isfinite(scores.dice[0])
    found = {"prior": float(scores.dice[0, there].mean()), "refined": float(scores.dice[1, there].mean())}
    gain = scores.dice[1] - scores.dice[0]
    for number, family in enumerate(FAMILIES):
        chosen = there & (scores.family == number)
        if chosen.any():
            found[f"gain {family}"] = float(gain[chosen].mean())
    close = there & (np.nan_to_num(scores.dice[0]) >= CLOSE)
    if close.any():
        found["harm"] = float(np.maximum(0.0, -gain[close]).mean())
    gone = (scores.family == FAMILIES.index("vanished")) & ~there & (scores.area[0] > 0)
    if gone.any():
        found["left"] = float(scores.area[1, gone].mean())
    return {name: round(value, 4) for name, value in found.items()}


def table(scores: Scores) -> Iterator[str]:
    """Lines of a Markdown table: prior and refined contour by family, by contrast and by how good the prior is."""
    yield "| pairs | n | Dice prior | Dice refined | HD95 prior (mm) | HD95 refined | worse by > .02 |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    there = np.isfinite(scores.dice[0])
    groups = {"all": there}
    groups |= {family: there & (scores.family == n) for n, family in enumerate(FAMILIES[:4])}
    for low, high in CONTRASTS:
        name = f"contrast-to-noise {low:g} to {high:g}" if np.isfinite(high) else f"contrast-to-noise over {low:g}"
        groups[name] = there & (scores.contrast >= low) & (scores.contrast < high)
    before = np.nan_to_num(scores.dice[0])
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 1.01)):
        groups[f"Dice of the prior {low:g} to {min(high, 1.0):g}"] = there & (before >= low) & (before < high)
    for name, chosen in groups.items():
        if not chosen.any():
            continue
        dice = scores.dice[:, chosen]
        both = chosen & np.isfinite(scores.hd95).all(axis=0)
        hd95 = [f"{v:.2f}" for v in scores.hd95[:, both].mean(axis=1)] if both.any() else ["", ""]
        worse = float((dice[1] < dice[0] - 0.02).mean())
        yield (
            f"| {name} | {int(chosen.sum())} | {dice[0].mean():.3f} | {dice[1].mean():.3f} | {hd95[0]} | {hd95[1]} | "
            f"{100 * worse:.0f} % |"
        )
    gone = (scores.family == FAMILIES.index("vanished")) & ~there & (scores.area[0] > 0)
    if gone.any():
        left = scores.area[1, gone]
        yield f"\nVanished ({int(gone.sum())}): {100 * left.mean():.0f} % of the prior's area is left on average, "
        yield f"less than a tenth in {100 * float((left < 0.1).mean()):.0f} %."


def measured(weights: Path, recipe: RefinerRecipe, scenes: int) -> list[str]:
    """The table of a refiner's weights on validation pairs of so many scenes.

    Raises:
        WeightsMissingError, WeightsError: as ``load_refiner``.
    """
    network = load_refiner(weights).network
    torch.set_num_threads(max(1, recipe.threads))
    return list(table(score(network, validation_pairs(scenes, recipe.pairs()))))
