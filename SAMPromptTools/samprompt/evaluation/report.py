"""From all rows to what is printed and kept: the tables, and the same figures for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from samprompt.evaluation.compared import (
    FAR_BELOW,
    FREE_PRIORS,
    LOW_CONTRAST,
    Comparison,
    Stratum,
    best_prior,
    compare_with_prior,
    methods_of,
    strata,
)
from samprompt.evaluation.rows import Row
from samprompt.evaluation.statistics import (
    FAILED_DICE,
    FAILED_SURFACE_DICE,
    TrustSummary,
    judged,
    mean_interval,
    risk_coverage,
    trust_summary,
)
from samprompt.evaluation.statistics import failed as is_failure
from samprompt.evaluation.table import Table, number, with_interval

_INTERVALS = "In brackets: 95 % interval from a bootstrap over patients; with one patient there is none."


def _slices(row: Row, count: int) -> float:
    return float(count) if row.protocol != "oracle2d" else float("nan")


# name with unit, digits, value of a row
_MEASURES: tuple[tuple[str, int, Callable[[Row], float]], ...] = (
    ("Dice", 3, lambda r: r.dice),
    ("surface Dice 1 mm", 3, lambda r: r.surface_dice_1mm),
    ("surface Dice 2 mm", 3, lambda r: r.surface_dice_2mm),
    ("surface Dice 3 mm", 3, lambda r: r.surface_dice_3mm),
    ("HD95 (mm)", 2, lambda r: r.hd95_mm),
    ("mean surface distance (mm)", 2, lambda r: r.mean_surface_distance_mm),
    ("added path, tau 0 (mm)", 0, lambda r: r.added_path_exact_mm),
    ("added path, tau 0 (of the truth's)", 3, lambda r: r.added_path_exact_relative),
    ("added path, tau max(1 mm, 1 pixel) (mm)", 0, lambda r: r.added_path_mm),
    ("added path, tau max(1 mm, 1 pixel) (of the truth's)", 3, lambda r: r.added_path_relative),
    ("slices to delete", 2, lambda r: _slices(r, r.slices_to_delete)),
    ("slices to draw", 2, lambda r: _slices(r, r.slices_to_draw)),
    ("|volume difference| (%)", 1, lambda r: abs(r.volume_difference_percent)),
    ("centroid distance (mm)", 2, lambda r: r.centroid_distance_mm),
    ("seconds a visit, without alignment", 2, lambda r: r.seconds),
    ("seconds of alignment", 2, lambda r: r.alignment_seconds),
)


def tables(rows: Sequence[Row]) -> list[Table]:
    """All tables: Dice and surface Dice by stratum, every measure, counts, against the best prior, trust, errors."""
    methods = methods_of(rows)
    oracle = any(r.protocol == "oracle2d" for r in rows)
    found = [
        _by_stratum("Mean 2D Dice over labelled slices" if oracle else "Dice", rows, methods, lambda r: r.dice),
    ]
    if not oracle:
        found.append(_by_stratum("Surface Dice at 3 mm", rows, methods, lambda r: r.surface_dice_3mm))
    found += [_measures(rows, methods), _counts(rows, methods)]
    if comparisons := _comparisons(rows):
        found.append(_prior_table(comparisons))
        if shortfalls := _shortfall_table(comparisons):
            found.append(shortfalls)
    if judged(rows):
        found.append(_trust_table(rows, methods))
    if errors := _error_table(rows):
        found.append(errors)
    return found


def summary(rows: Sequence[Row], settings: dict[str, Any]) -> dict[str, Any]:
    """The same figures for programs; what does not exist is None (JSON knows neither NaN nor infinity)."""
    methods = methods_of(rows)
    by_stratum: dict[str, Any] = {}
    for stratum in strata(rows):
        by_stratum[stratum.name] = {
            method: {
                name: asdict(_interval(rows, method, stratum, value))
                for name, _, value in _MEASURES
                if any(not math.isnan(value(r)) for r in rows if r.ok)
            }
            for method in methods
        }
    trust = {}
    for method in methods:
        used = judged([r for r in rows if r.method == method])
        if used:
            curve = risk_coverage([r.trust for r in used], [float(is_failure(r)) for r in used])
            trust[method] = {**asdict(_trust(rows, method)), "risk_coverage": curve}
    result = {
        "use": "research use only",
        "settings": settings,
        "patients": sorted({r.patient for r in rows}),
        "structure_visits": len({r.place for r in rows if r.ok}),
        "measures": by_stratum,
        "counts": {method: dict(_count(rows, method)) for method in methods},
        "best_prior": best_prior(rows),
        "against_best_prior": [{**asdict(c), "silent": c.silent} for c in _comparisons(rows)],
        "trust": trust,
        "errors": [{"key": list(r.key), "message": r.message} for r in rows if not r.ok],
    }
    cleaned = _for_json(result)
    assert isinstance(cleaned, dict)
    return cleaned


def _interval(rows: Sequence[Row], method: str, stratum: Stratum, value: Callable[[Row], float]) -> Any:
    # A true negative has no measure, slices to delete and seconds neither: it is kept out of every mean.
    used = [r for r in rows if r.ok and r.method == method and r.state != "true negative" and stratum.holds(r)]
    return mean_interval([value(r) for r in used], [r.patient for r in used])


def _by_stratum(title: str, rows: Sequence[Row], methods: Sequence[str], value: Callable[[Row], float]) -> Table:
    body = []
    for stratum in strata(rows):
        inside = [r for r in rows if r.ok and stratum.holds(r)]
        places, patients = len({r.place for r in inside}), len({r.patient for r in inside})
        cells = [with_interval(_interval(rows, m, stratum, value)) for m in methods]
        body.append((stratum.name, str(places), str(patients), *cells))
    return Table(title, ("structure-visits", "n", "patients", *methods), tuple(body), (_INTERVALS,))


def _measures(rows: Sequence[Row], methods: Sequence[str]) -> Table:
    everything = strata(rows)[0]
    body = []
    for name, digits, value in _MEASURES:
        found = [_interval(rows, m, everything, value) for m in methods]
        if any(not math.isnan(interval.value) for interval in found):
            body.append((name, *(with_interval(interval, digits) for interval in found)))
    return Table(
        "All measures, mean over structure-visits", ("measure", *methods), tuple(body),
        ("Distances are means over the structure-visits that have voxels in both; where one is empty they failed.",),
    )  # fmt: skip


def _count(rows: Sequence[Row], method: str) -> list[tuple[str, int]]:
    mine = [r for r in rows if r.method == method]
    states = [r.state for r in mine if r.ok]
    return [
        ("computed", len(states)),
        ("true negatives (both empty, in no mean)", states.count("true negative")),
        ("missed (result empty, Dice 0)", states.count("missed")),
        ("invented (truth empty, Dice 0)", states.count("invented")),
        ("distances failed", states.count("missed") + states.count("invented")),
        ("errors", sum(not r.ok for r in mine)),
    ]


def _counts(rows: Sequence[Row], methods: Sequence[str]) -> Table:
    counts = [_count(rows, method) for method in methods]
    body = tuple((counts[0][n][0], *(str(c[n][1]) for c in counts)) for n in range(len(counts[0]))) if counts else ()
    return Table("Counts", ("structure-visits", *methods), body)


def _comparisons(rows: Sequence[Row]) -> list[Comparison]:
    prior = best_prior(rows)
    if prior is None:
        return []
    parts = [s for s in strata(rows) if s.name == "all" or s.name.startswith("CNR")]
    return [compare_with_prior(rows, m, prior, s) for m in methods_of(rows) if m != prior for s in parts]


def _prior_table(comparisons: Sequence[Comparison]) -> Table:
    prior = comparisons[0].prior
    body = []
    for c in comparisons:
        judged_by_trust = any(not math.isnan(s.trust) for s in c.shortfalls)
        wrong = f"{c.silent} of {len(c.shortfalls)}" if judged_by_trust else "-"
        share = "-" if math.isnan(c.within) else f"{100 * (1 - c.within):.1f} %"
        absent = f"{c.absent_right} / {c.absent_wrong}"
        difference = with_interval(c.difference, 1, True, 100.0)
        body.append((f"{c.method}, {c.stratum}", str(c.difference.count), difference, share, wrong, absent))
    return Table(
        f"Against the best free prior: {prior}",
        ("method", "pairs", "Dice points", f"> {100 * FAR_BELOW:.0f} below", "silent", "absent: right / wrong"),
        tuple(body),
        (
            f"The best free prior is the one of {', '.join(FREE_PRIORS)} with the best mean Dice over all. "
            "Differences are paired by patient, visit and structure. "
            '"Silent": more than 5 points below, and not flagged by trust. "Absent": the structure is gone, and only '
            "the method / only the prior rightly came out empty; such pairs have no difference.",
            _INTERVALS,
        ),
    )  # fmt: skip


def _shortfall_table(comparisons: Sequence[Comparison]) -> Table | None:
    body = [
        (
            f"{c.method}: {s.patient} {s.visit} {s.structure}",
            number(s.cnr, 2),
            number(s.dice),
            number(s.prior_dice),
            number(s.trust, 2),
            "yes" if s.flagged else "no",
        )
        for c in comparisons
        if c.stratum == "all" and c.method not in FREE_PRIORS
        for s in c.shortfalls
    ]
    if not body:
        return None
    head = ("method: patient, visit, structure", "CNR", "Dice", "prior's Dice", "trust", "flagged")
    return Table("More than 5 Dice points below the best free prior", head, tuple(body))


def _trust(rows: Sequence[Row], method: str) -> TrustSummary:
    return trust_summary([r for r in rows if r.method == method])


def _trust_table(rows: Sequence[Row], methods: Sequence[str]) -> Table:
    body = []
    for method in methods:
        found = _trust(rows, method)
        if not found.count:
            continue
        body.append(
            (
                method,
                str(found.count),
                str(found.failures),
                with_interval(found.auroc, 2),
                f"{found.flagged} ({found.flagged_failures} failures)",
                with_interval(found.false_reassurance, 3),
                f"{number(found.risk_area)} ({number(found.ideal_area)})",
            )
        )
    head = ("method", "n", "failures", "AUROC", "flagged", "false reassurance", "risk over coverage (ideal)")
    return Table(
        "Trust", head, tuple(body),
        (
            f"A failure has Dice < {FAILED_DICE} or surface Dice at 3 mm < {FAILED_SURFACE_DICE}; true negatives are "
            "left out. False reassurance: failures among what was not flagged. Risk over coverage: mean failure rate "
            "among the most trusted, over all coverages.",
            f"CNR >= {LOW_CONTRAST} and below are told apart in the tables of Dice; trust is judged over all.",
            _INTERVALS,
        ),
    )  # fmt: skip


def _error_table(rows: Sequence[Row]) -> Table | None:
    body = tuple((f"{r.patient} {r.visit} {r.structure} {r.method}", r.message) for r in rows if not r.ok)
    return Table("Errors", ("patient, visit, structure, method", "cause"), body) if body else None


def _for_json(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _for_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_for_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
