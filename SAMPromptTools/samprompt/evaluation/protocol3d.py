"""Whole visits in 3D, nothing known of the target: every method through the very function that users call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from samprompt.contract.errors import ParameterError
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import METHODS, PropagationParameters
from samprompt.evaluation.metrics import compare
from samprompt.evaluation.plan import TrueVisit
from samprompt.evaluation.rows import Row, metric_fields
from samprompt.evaluation.runner import Measure
from samprompt.models.backbone import Backbone
from samprompt.propagation.patient import PropagateVisits, propagate_visits
from samprompt.propagation.result import VisitResult
from samprompt.space.visit import Visit


class WholeVisits:
    """The 3D protocol: truth is what the second observer drew on the simulated visit.

    ``device`` is where the prior refiner computes, by default where ``backbone`` does.
    """

    name = "visits"

    def __init__(
        self,
        backbone: Backbone | None,
        parameters: PropagationParameters | None = None,
        propagate: PropagateVisits = propagate_visits,
        device: torch.device | None = None,
    ) -> None:
        self._backbone, self._device = backbone, device
        self._parameters = parameters or PropagationParameters()
        self._propagate = propagate

    def patient(self, baseline: Visit, progress: Progress) -> Measure:
        """Measure methods on one patient; alignments are computed once for all of them."""
        cache: dict[object, object] = {}
        alignment: dict[str, float] = {}

        def measure(method: str, visits: Sequence[TrueVisit]) -> Iterator[list[Row]]:
            results = self._propagate(
                baseline, [v.bare for v in visits], self._backbone, self._with(method), progress, cache=cache,
                device=self._device,
            )  # fmt: skip
            for visit, result in zip(visits, results, strict=True):
                # Later methods find the alignment in the cache; its true cost is that of the first.
                label = visit.plan.label
                alignment[label] = max(alignment.get(label, 0.0), result.seconds.get("alignment", 0.0))
                yield self._rows(baseline.name, method, visit, result, alignment[label])

        return measure

    def _with(self, method: str) -> PropagationParameters:
        for known in METHODS:
            if method == known:
                return replace(self._parameters, method=known)
        raise ParameterError(f"There is no method {method!r}.", f"Choose among {', '.join(METHODS)}.")

    def _rows(
        self, patient: str, method: str, visit: TrueVisit, result: VisitResult, alignment_seconds: float
    ) -> list[Row]:
        seconds = sum(value for stage, value in result.seconds.items() if stage != "alignment")
        rows = []
        for outcome in result.outcomes:
            name = outcome.structure.name
            cnr, cnr_of = visit.contrast[name]
            rows.append(
                Row(
                    protocol=self.name,
                    patient=patient,
                    visit=visit.plan.label,
                    kind=visit.plan.kind,
                    seed=visit.plan.seed,
                    structure=name,
                    method=method,
                    cnr=cnr,
                    cnr_of=cnr_of,
                    trust=outcome.trust.score,
                    flagged=outcome.trust.flagged,
                    route=outcome.route,
                    seconds=seconds,
                    alignment_seconds=alignment_seconds,
                    **metric_fields(compare(visit.truth[name], outcome.structure)),
                )
            )
        return rows
