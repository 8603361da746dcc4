"""What a propagation gives back: per visit and structure a mask, figures and a word on how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from samprompt.space.grid import Grid
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


@dataclass(frozen=True)
class PromptPoint:
    """A point prompt that the model was given: RAS millimetres; ``positive`` lies inside the structure."""

    ras_mm: tuple[float, float, float]
    positive: bool


def prompt_points(grid: Grid, points: Mapping[int, NDArray[np.float32]]) -> tuple[PromptPoint, ...]:
    """Prompts by slice index of ``grid`` (x, y, label; pixel centres at + 0.5) as points of the world."""
    found = []
    for k, rows in points.items():
        for x, y, label in rows.tolist():
            r, a, s = (round(float(c), 3) for c in grid.to_ras((k, y - 0.5, x - 0.5)))
            found.append(PromptPoint((r, a, s), label > 0.5))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class StructureOutcome:
    """One structure on one follow-up.

    ``structure`` is the result and ``prior`` the aligned baseline contour, both on the follow-up's own grid. ``route``
    says how it was carried ("model", "prior only: thin", "geometry only: PTV", "copied", ...). ``change_percent`` is
    the volume change or None where it means nothing (truncated, empty baseline). ``shift_mm`` is the length of the
    centroid's movement relative to the patient (after rigid alignment), NaN when empty. ``prompts`` are the points
    behind the chosen candidates, slice by slice; none where the model was given no points (or was not asked at all).
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
    prompts: tuple[PromptPoint, ...] = ()

    def place_to_look(self, k: int) -> tuple[float, float, float]:
        """RAS millimetres in slice ``k``: at the result's section, else at the prior's, else in the slice's middle."""
        grid = self.structure.grid
        center = np.array([k, (grid.shape[1] - 1) / 2, (grid.shape[2] - 1) / 2])
        for mask in (self.structure.mask, self.prior.mask):
            if mask[k].any():
                center[1:] = np.argwhere(mask[k]).mean(axis=0)
                break
        r, a, s = (round(float(c), 2) for c in grid.to_ras(center))
        return r, a, s


@dataclass(frozen=True, eq=False)
class VisitResult:
    """One follow-up: ``visit`` carries the results as its structures; ``seconds`` per stage; ``notes`` in words."""

    visit: Visit
    outcomes: tuple[StructureOutcome, ...]
    seconds: dict[str, float]
    alignment_quality: float
    notes: tuple[str, ...] = ()
