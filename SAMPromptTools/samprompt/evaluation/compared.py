"""Methods against each other on the same structures and visits, and against the best prior that costs nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from samprompt.evaluation.rows import Row
from samprompt.evaluation.statistics import Interval, mean_interval
from samprompt.synthesis.visits import is_tumour

FREE_PRIORS = ("copied", "rigid", "deformable")
LOW_CONTRAST = 0.5  # contrast-to-noise; below it the right answer is the prior with little trust
FAR_BELOW = 0.05  # Dice


@dataclass(frozen=True)
class Stratum:
    """A part of all rows that is reported by itself."""

    name: str
    holds: Callable[[Row], bool]


def strata(rows: Sequence[Row]) -> list[Stratum]:
    """All, by contrast-to-noise, tumours and organs where there are both, and by structure where there are several."""
    found = [
        Stratum("all", lambda _row: True),
        Stratum(f"CNR >= {LOW_CONTRAST}", lambda row: row.cnr >= LOW_CONTRAST),
        Stratum(f"CNR < {LOW_CONTRAST}", lambda row: row.cnr < LOW_CONTRAST),
    ]
    if any(row.ok and math.isnan(row.cnr) for row in rows):
        found.append(Stratum("CNR unknown", lambda row: math.isnan(row.cnr)))
    names = list(dict.fromkeys(row.structure for row in rows if row.ok))
    if len({is_tumour(name) for name in names}) > 1:
        found.append(Stratum("tumours", lambda row: is_tumour(row.structure)))
        found.append(Stratum("organs", lambda row: not is_tumour(row.structure)))
    if len(names) > 1:
        found += [Stratum(name, _called(name)) for name in names]
    return [s for s in found if s.name == "all" or any(row.ok and s.holds(row) for row in rows)]


def methods_of(rows: Sequence[Row]) -> list[str]:
    """Methods in the order they appear."""
    return list(dict.fromkeys(row.method for row in rows))


def best_prior(rows: Sequence[Row]) -> str | None:
    """The free prior with the best mean Dice over all structure-visits; None where no prior was run.

    Priors are compared where all of them were computed and the truth is not empty: where it is, a true negative has no
    Dice, and the mean would be taken over other structure-visits for each.
    """
    present = [m for m in FREE_PRIORS if any(r.ok and r.method == m for r in rows)]
    tables = {m: {r.place: r.dice for r in rows if r.ok and r.method == m and _has_truth(r)} for m in present}
    shared = set.intersection(*(set(t) for t in tables.values())) if tables else set()
    if not shared:
        return present[0] if present else None
    return max(present, key=lambda m: sum(tables[m][place] for place in shared))


@dataclass(frozen=True)
class Shortfall:
    """A structure-visit more than 5 Dice points below the prior: ``flagged`` says whether trust warned of it."""

    patient: str
    visit: str
    structure: str
    cnr: float
    dice: float
    prior_dice: float
    trust: float
    flagged: bool


@dataclass(frozen=True)
class Comparison:
    """A method against a prior, paired by patient, visit and structure.

    ``difference`` is in Dice (the method's minus the prior's). ``shortfalls`` are more than 0.05 below; ``within`` is
    the share that is not. Pairs in which one of the two is a true negative have no difference and are counted:
    ``absent_right`` where only the method rightly found nothing, ``absent_wrong`` where only the prior did.
    """

    method: str
    prior: str
    stratum: str
    difference: Interval
    within: float
    shortfalls: tuple[Shortfall, ...]
    absent_right: int
    absent_wrong: int

    @property
    def silent(self) -> int:
        """Shortfalls that trust did not flag."""
        return sum(not e.flagged for e in self.shortfalls)


def compare_with_prior(rows: Sequence[Row], method: str, prior: str, stratum: Stratum) -> Comparison:
    """Pair ``method`` with ``prior`` inside ``stratum``."""
    priors = {r.place: r for r in rows if r.ok and r.method == prior}
    pairs = [
        (r, priors[r.place]) for r in rows if r.ok and r.method == method and r.place in priors and stratum.holds(r)
    ]
    valid = [(r, p) for r, p in pairs if not math.isnan(r.dice) and not math.isnan(p.dice)]
    below = [(r, p) for r, p in valid if r.dice - p.dice < -FAR_BELOW]
    return Comparison(
        method=method,
        prior=prior,
        stratum=stratum.name,
        difference=mean_interval([r.dice - p.dice for r, p in valid], [r.patient for r, _ in valid]),
        within=1.0 - len(below) / len(valid) if valid else float("nan"),
        shortfalls=tuple(
            Shortfall(r.patient, r.visit, r.structure, r.cnr, r.dice, p.dice, r.trust, r.flagged) for r, p in below
        ),
        absent_right=sum(math.isnan(r.dice) and not math.isnan(p.dice) for r, p in pairs),
        absent_wrong=sum(not math.isnan(r.dice) and math.isnan(p.dice) for r, p in pairs),
    )


def _called(name: str) -> Callable[[Row], bool]:
    return lambda row: row.structure == name


def _has_truth(row: Row) -> bool:
    return row.state not in ("invented", "true negative") and not math.isnan(row.dice)
