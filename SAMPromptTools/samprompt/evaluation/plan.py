"""Which later visits are simulated for which patient: decided by the seed and the patient's name alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from samprompt.contract.errors import ParameterError
from samprompt.space.contrast import contrast_to_noise
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.synthesis.parameters import KINDS, ORGAN_KINDS, TUMOUR_KINDS
from samprompt.synthesis.visits import SimulatedVisit, is_tumour, simulate_visit


@dataclass(frozen=True)
class PlannedVisit:
    """A visit to be simulated: kind of change and seed."""

    kind: str
    seed: int

    @property
    def label(self) -> str:
        """Its name in tables."""
        return f"{self.kind}-{self.seed}"


@dataclass(frozen=True)
class VisitPlan:
    """``visits`` per patient, from ``seed`` on; ``kinds`` empty: tumour changes for patients with a tumour, else organ.

    Raises:
        ParameterError: no visit, or an unknown kind.
    """

    visits: int = 3
    seed: int = 1
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.visits < 1:
            raise ParameterError(f"{self.visits} visits are none.", "Give 1 or more with --visits.")
        for kind in self.kinds:
            if kind not in KINDS:
                raise ParameterError(f"There is no kind of change {kind!r}.", f"Choose among {', '.join(KINDS)}.")

    def of(self, baseline: Visit) -> list[PlannedVisit]:
        """The visits of a patient: kinds in an order drawn from seed and name, each used once before one comes again.

        Which other patients are evaluated, and in which order, changes nothing.
        """
        kinds = self.kinds
        if not kinds:
            kinds = TUMOUR_KINDS if any(is_tumour(s.name) for s in baseline.structures) else ORGAN_KINDS
        rng = np.random.default_rng([self.seed, zlib.crc32(baseline.name.encode())])
        order = [str(kind) for kind in rng.permutation(kinds)]
        return [PlannedVisit(order[n % len(order)], self.seed + n) for n in range(self.visits)]


@dataclass(frozen=True, eq=False)
class TrueVisit:
    """A simulated follow-up as a method sees it (``bare``), and what it is measured with."""

    plan: PlannedVisit
    bare: Visit
    truth: dict[str, Structure]
    contrast: dict[str, tuple[float, str]]


Simulate = Callable[[Visit, int, str], SimulatedVisit]


def simulated(
    baseline: Visit, plan: PlannedVisit, names: Sequence[str], simulate: Simulate = simulate_visit
) -> TrueVisit:
    """Simulate one visit; truth and contrast of the structures ``names``.

    Contrast-to-noise is that of the truth on the follow-up; where the structure is gone, that of the baseline.

    Raises:
        SamPromptError: see ``simulate_visit``.
    """
    found = simulate(baseline, plan.seed, plan.kind)
    visit = found.visit
    truth = {s.name: s for s in visit.structures if s.name in names}
    contrast = {}
    for name, structure in truth.items():
        if structure.is_empty:
            before = next(s for s in baseline.structures if s.name == name)
            contrast[name] = (contrast_to_noise(baseline.volume, before.mask), "baseline")
        else:
            contrast[name] = (contrast_to_noise(visit.volume, structure.mask), "follow-up")
    return TrueVisit(plan, Visit(visit.name, visit.volume), truth, contrast)
