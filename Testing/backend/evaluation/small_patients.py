"""Small patients, and methods whose results are known beforehand: the truth, moved by a known number of voxels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.evaluation.cases import Case
from samprompt.propagation.result import StructureOutcome, Trust, VisitResult
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume

GRID = Grid.from_spacing((10, 24, 24), (1.0, 1.0, 2.0))


def cube(shift: int = 0, grid: Grid = GRID) -> np.ndarray:
    """Ten voxels along each row, moved along it by ``shift``: Dice with the unmoved one is 1 - |shift| / 10."""
    mask = np.zeros(grid.shape, bool)
    mask[3:7, 6:16, 6 + shift : 16 + shift] = True
    return mask


def patient(name: str, names: Sequence[str] = ("gtv",), contrast: float = 100.0) -> Visit:
    """A patient whose structures are all the same cube, ``contrast`` HU above noise of SD 10."""
    noise = np.random.default_rng(len(name)).normal(0.0, 10.0, GRID.shape)
    volume = Volume((noise + contrast * cube()).astype(np.float32), GRID, "CT", name)
    return Visit(name, volume, tuple(Structure(n, cube(), GRID) for n in names))


def case(name: str, names: Sequence[str] = ("gtv",), contrast: float = 100.0) -> Case:
    return Case(name, lambda: patient(name, names, contrast))


@dataclass
class Simulated:
    """What the comparison reads of a simulated visit."""

    visit: Visit


def same_again(baseline: Visit, seed: int, kind: str) -> Any:
    """A simulated visit that is the baseline again, or, with "disappearance", without its first structure."""
    structures = list(baseline.structures)
    if kind == "disappearance":
        structures[0] = structures[0].with_mask(np.zeros(GRID.shape, bool), GRID)
    return Simulated(Visit(f"{baseline.name}-{kind}-{seed}", baseline.volume, tuple(structures)))


@dataclass
class FakePropagation:
    """In place of ``propagate_visits``: the truth moved by ``shifts[method]`` voxels (None: empty).

    ``trust`` by method; ``broken`` are pairs (method, word in the visit's name) that raise; ``calls`` is what was
    asked.
    """

    shifts: dict[str, int | None]
    trust: dict[str, float] = field(default_factory=dict)
    broken: dict[tuple[str, str], Exception] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __call__(
        self,
        baseline: Visit,
        followups: Sequence[Visit],
        backbone: object,
        parameters: PropagationParameters,
        progress: Progress,
        references: Sequence[Visit] = (),
        cache: dict[object, object] | None = None,
        device: object = None,
    ) -> Iterator[VisitResult]:
        assert cache is not None
        for followup in followups:
            assert not followup.structures, "a method must not see the truth"
            self.calls.append((parameters.method, followup.name))
            for (method, word), error in self.broken.items():
                if method == parameters.method and word in followup.name:
                    raise error
            shift = self.shifts[parameters.method]
            mask = np.zeros(GRID.shape, bool) if shift is None else cube(shift)
            score = self.trust.get(parameters.method, 0.9)
            outcomes = tuple(
                StructureOutcome(
                    s.with_mask(mask, GRID), s, s, Trust(score, flagged=score < 0.5), "model", None, 0.0, 1.0
                )
                for s in baseline.structures
            )
            seconds = {"alignment": 0.0 if "aligned" in cache else 7.0, "prompting": 2.0, "trust": 1.0}
            cache["aligned"] = True
            yield VisitResult(followup, outcomes, seconds, 1.0)
