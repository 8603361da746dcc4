"""What many results say together: means with intervals over patients, and whether trust knows the failures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from samprompt.evaluation.rows import Row

FAILED_DICE = 0.7
FAILED_SURFACE_DICE = 0.8  # at 3 mm
REPEATS = 2000
LEVEL = 0.95
_SEED = 20240305
_NONE = float("nan")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval, from ``count`` measurements on ``patients`` patients.

    ``low`` and ``high`` are NaN with fewer than two patients: one patient says nothing about others.
    """

    value: float
    low: float
    high: float
    count: int
    patients: int


def mean_interval(values: Sequence[float], patients: Sequence[str], repeats: int = REPEATS) -> Interval:
    """Mean of all values that are not NaN, and its bootstrap interval over patients."""
    return bootstrap(np.asarray(values, dtype=float), patients, _weighted_mean, repeats)


def bootstrap(
    values: Floats, patients: Sequence[str], statistic: Callable[[Floats, Floats], Floats], repeats: int = REPEATS
) -> Interval:
    """Percentile interval (95 %) of ``statistic`` when whole patients are drawn with replacement.

    ``values`` is (N,) or (N, columns); rows with a NaN are left out. ``statistic`` gets the values and how often each
    row was drawn in each of R draws, (R, N), and answers (R,), NaN where it has no meaning (such draws are left out).
    The draws are the same at every call, so a table can be repeated. With few patients such intervals are somewhat too
    narrow.
    """
    missing = np.isnan(values)
    valid = ~(missing.any(axis=1) if values.ndim > 1 else missing)
    if not valid.any():
        return Interval(_NONE, _NONE, _NONE, 0, 0)
    kept = values[valid]
    names, owner = np.unique(np.asarray(patients, dtype=str)[valid], return_inverse=True)
    value = float(statistic(kept, np.ones((1, len(kept))))[0])
    if len(names) < 2 or math.isnan(value):
        return Interval(value, _NONE, _NONE, len(kept), len(names))
    rng = np.random.default_rng(_SEED)
    draws = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=repeats)
    found = statistic(kept, draws[:, owner].astype(float))
    found = found[~np.isnan(found)]
    if not len(found):
        return Interval(value, _NONE, _NONE, len(kept), len(names))
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), len(kept), len(names))


def judged(rows: Sequence[Row]) -> list[Row]:
    """Rows by which trust can be judged: computed, with a score and a Dice (true negatives have none)."""
    return [r for r in rows if r.ok and not math.isnan(r.trust) and not math.isnan(r.dice)]


def failed(row: Row) -> bool:
    """Whether a result is one that a person must not take over: Dice < 0.7 or surface Dice at 3 mm < 0.8."""
    return row.dice < FAILED_DICE or row.surface_dice_3mm < FAILED_SURFACE_DICE


@dataclass(frozen=True)
class TrustSummary:
    """How well trust knows the failures among ``count`` results.

    ``auroc``: chance that a failure has less trust than a success (NaN without both). ``false_reassurance``: share of
    failures among the results that were not flagged. ``flagged`` of ``count`` were flagged, ``flagged_failures`` of the
    ``failures``. ``risk_area``: mean, over all coverages, of the failure rate among the most trusted; ``ideal_area`` is
    the least that any ranking could reach.
    """

    count: int
    failures: int
    flagged: int
    flagged_failures: int
    auroc: Interval
    false_reassurance: Interval
    risk_area: float
    ideal_area: float


def trust_summary(rows: Sequence[Row], repeats: int = REPEATS // 4) -> TrustSummary:
    """Summarise the trust scores of the results of one method."""
    used = judged(rows)
    bad = np.array([failed(r) for r in used], dtype=bool)
    score = np.array([r.trust for r in used])
    flags = np.array([r.flagged for r in used], dtype=bool)
    patients = [r.patient for r in used]
    silent = np.where(flags, np.nan, bad.astype(float))
    return TrustSummary(
        count=len(used),
        failures=int(bad.sum()),
        flagged=int(flags.sum()),
        flagged_failures=int((bad & flags).sum()),
        auroc=trust_auroc(score, bad, patients, repeats),
        false_reassurance=bootstrap(silent, patients, _weighted_mean, repeats),
        risk_area=_area(risk_coverage(score, bad)),
        ideal_area=_area(risk_coverage(1.0 - bad, bad)),
    )


def trust_auroc(
    trust: Sequence[float] | Floats,
    failures: Sequence[bool] | NDArray[np.bool_],
    patients: Sequence[str],
    repeats: int = REPEATS // 4,
) -> Interval:
    """Area under the ROC of "little trust" for "failure", with its interval over patients; NaN without both classes."""
    both = np.stack([np.asarray(trust, dtype=float), np.asarray(failures, dtype=float)], axis=-1)
    return bootstrap(both, patients, _auroc, repeats)


def risk_coverage(
    trust: Sequence[float] | Floats, loss: Sequence[float] | Floats | NDArray[np.bool_]
) -> list[tuple[float, float]]:
    """Pairs (coverage, mean loss of what is covered) when results are accepted from the most trusted on.

    Results of equal trust come in together, since trust does not say which is first.
    """
    score, cost = np.asarray(trust, dtype=float), np.asarray(loss, dtype=float)
    found = []
    for limit in np.unique(score)[::-1]:
        covered = score >= limit
        found.append((float(covered.mean()), float(cost[covered].mean())))
    return found


def _area(curve: Sequence[tuple[float, float]]) -> float:
    """Mean risk over all coverages: between two points the risk is that of the larger coverage."""
    area, before = 0.0, 0.0
    for coverage, risk in curve:
        area += (coverage - before) * risk
        before = coverage
    return area if curve else _NONE


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    total = weights.sum(axis=1)
    return np.where(total > 0, weights @ values / np.maximum(total, 1.0), np.nan)


def _auroc(pairs: Floats, weights: Floats) -> Floats:
    return np.array([_one_auroc(pairs, row) for row in weights])


def _one_auroc(pairs: Floats, weights: Floats) -> float:
    drawn = weights > 0
    score, bad = pairs[drawn, 0], pairs[drawn, 1] > 0
    if bad.all() or not bad.any():
        return _NONE
    return float(roc_auc_score(bad, -score, sample_weight=weights[drawn]))
