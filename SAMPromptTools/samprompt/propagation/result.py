"""What a propagation gives back: per visit and structure a mask, figures and a word on how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass, field

from samprompt.space.structure import Structure
from samprompt.space.visit import Visit


@dataclass(frozen=True)
class Trust:
    """``score`` in [0, 1]; ``reasons`` in words, the weightiest first; ``check_slices`` are array indices k of the

    follow-up to look at first, the least certain first; ``flagged`` when the score is below the limit; ``parts`` holds
    the raw measurement behind each reason.
    """

    score: float
    reasons: tuple[str, ...] = ()
    check_slices: tuple[int, ...] = ()
    flagged: bool = False
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StructureOutcome:
    """One structure on one follow-up.

    ``structure`` is the result and ``prior`` the aligned baseline contour, both on the follow-up's own grid. ``route``
    says how it was carried ("model", "prior only: thin", "geometry only: PTV", "copied", ...). ``change_percent`` is
    the volume change or None where it means nothing (truncated, empty baseline). ``shift_mm`` is the length of the
    centroid's movement relative to the patient (after rigid alignment), NaN when empty.
    """

    structure: Structure
    prior: Structure
    baseline: Structure
    trust: Trust
    route: str
    change_percent: float | None
    shift_mm: float
    contrast_to_noise: float
    truncated: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class VisitResult:
    """One follow-up: ``visit`` carries the results as its structures; ``seconds`` per stage; ``notes`` in words."""

    visit: Visit
    outcomes: tuple[StructureOutcome, ...]
    seconds: dict[str, float]
    alignment_quality: float
    notes: tuple[str, ...] = ()
