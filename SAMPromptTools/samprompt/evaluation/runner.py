"""Patients x visits x methods: what is computed already is skipped, what fails becomes a row and not the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from samprompt.contract.errors import Cancelled, EnvironmentProblem, OutputError, SamPromptError, StructureError
from samprompt.contract.messages import JobEvent
from samprompt.contract.progress import Progress
from samprompt.evaluation.cases import Case
from samprompt.evaluation.plan import PlannedVisit, Simulate, TrueVisit, VisitPlan, simulated
from samprompt.evaluation.rows import Row
from samprompt.evaluation.store import Store
from samprompt.space.visit import Visit
from samprompt.synthesis.visits import simulate_visit

Measure = Callable[[str, Sequence[TrueVisit]], Iterator[list[Row]]]
# What no other visit would escape: the user's wish, a missing model, a full disk.
_FATAL = (Cancelled, EnvironmentProblem, OutputError)


class EvaluationProtocol(Protocol):
    """How a method is measured on the visits of one patient."""

    name: str

    def patient(self, baseline: Visit, progress: Progress) -> Measure:
        """What yields, for a method and some visits, the rows of each visit in turn."""
        ...


def run(
    cases: Sequence[Case],
    plan: VisitPlan,
    methods: Sequence[str],
    protocol: EvaluationProtocol,
    store: Store,
    structures: Sequence[str] = (),
    progress: Progress | None = None,
    on_event: Callable[[JobEvent], None] | None = None,
    simulate: Simulate = simulate_visit,
) -> None:
    """Measure every method on every planned visit of every case, and put the rows into ``store`` as they come.

    Visits are simulated with all structures of a case, so that ``structures`` (names to measure, empty: all) does not
    change them. A case without any of ``structures`` is left out.

    Raises:
        StructureError: no case has one of ``structures``.
        Cancelled, EnvironmentProblem, OutputError: what stops everything; the rows so far are written.
    """
    job = _Job(plan, methods, protocol, store, progress or Progress(), on_event or (lambda _event: None), simulate)
    job.count = len(cases) * plan.visits * len(methods)
    names: set[str] = set()
    measured = 0
    for case in cases:
        names |= (found := job.run_case(case, structures)) or set()
        measured += found is None or bool(found)
    if structures and not measured:
        raise StructureError(
            f"No patient has a structure called {' or '.join(structures)}.", "Leave --structure out to measure all."
        )


class _Job:
    """Everything the loops share, and how far they are."""

    def __init__(
        self,
        plan: VisitPlan,
        methods: Sequence[str],
        protocol: EvaluationProtocol,
        store: Store,
        progress: Progress,
        tell: Callable[[JobEvent], None],
        simulate: Simulate,
    ) -> None:
        self.plan, self.methods, self.protocol, self.store = plan, methods, protocol, store
        self.progress, self.tell, self.simulate = progress, tell, simulate
        self.count = self.done = 0

    def run_case(self, case: Case, structures: Sequence[str]) -> set[str] | None:
        """Names measured in this case, empty when it has none of them; None when it could not be read."""
        self.progress.step(f"reading {case.patient}")
        try:
            baseline = case.load()
        except _FATAL:
            raise
        except Exception as error:  # any fault of one patient's data is a row, not the end
            blank = PlannedVisit("", 0)
            self.store.add([self._error(case.patient, blank, "*", m, error) for m in self.methods])
            self.done += self.plan.visits * len(self.methods)
            return None
        names = [s.name for s in baseline.structures if not structures or s.name in structures]
        if not names:
            self.count -= self.plan.visits * len(self.methods)
            return set()
        wanted = replace(baseline, structures=tuple(s for s in baseline.structures if s.name in names))
        visits = self._simulate(case.patient, baseline, names)
        measure = self.protocol.patient(wanted, self.progress)
        for method in self.methods:
            left = [v for v in visits if not self._known(case.patient, v.plan, method, names)]
            self.done += self.plan.visits - len(left)
            self._run_method(case.patient, names, method, left, measure)
        return set(names)

    def _known(self, patient: str, visit: PlannedVisit, method: str, names: Sequence[str]) -> bool:
        return self.store.holds(self.protocol.name, patient, visit.label, method, names)

    def _simulate(self, patient: str, baseline: Visit, names: Sequence[str]) -> list[TrueVisit]:
        """The visits that some method still lacks."""
        found = []
        for visit in self.plan.of(baseline):
            missing = [m for m in self.methods if not self._known(patient, visit, m, names)]
            if not missing:
                continue
            self.progress.step(f"simulating {patient} {visit.label}")
            try:
                found.append(simulated(baseline, visit, names, self.simulate))
            except _FATAL:
                raise
            except Exception as error:
                self.store.add([self._error(patient, visit, name, m, error) for m in missing for name in names])
        return found

    def _run_method(
        self, patient: str, names: Sequence[str], method: str, visits: Sequence[TrueVisit], measure: Measure
    ) -> None:
        left = list(visits)
        while left:
            rows = measure(method, tuple(left))
            try:
                while left:
                    self.done += 1
                    title = f"{patient} {left[0].plan.label} {method}"
                    self.tell(JobEvent("visit-started", title, self.done, self.count))
                    began = time.perf_counter()
                    self.store.add(next(rows))
                    seconds = time.perf_counter() - began
                    self.tell(JobEvent("visit-finished", title, self.done, self.count, seconds))
                    left.pop(0)
            except _FATAL:
                raise
            except Exception as error:
                # The visit that failed is recorded; a fresh start with the ones behind it.
                self.store.add([self._error(patient, left[0].plan, name, method, error) for name in names])
                self.tell(JobEvent("visit-finished", title, self.done, self.count))
                left.pop(0)

    def _error(self, patient: str, visit: PlannedVisit, structure: str, method: str, error: Exception) -> Row:
        kind = error.code if isinstance(error, SamPromptError) else type(error).__name__
        text = " ".join(f"{kind}: {error}".split())
        label = visit.label if visit.kind else ""
        return Row(
            self.protocol.name, patient, label, visit.kind, visit.seed, structure, method, "error", text
        )  # fmt: skip
