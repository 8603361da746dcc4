"""From one visit's contours to all later visits: the road of a whole propagation."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch

from samprompt.contract.errors import EnvironmentProblem, StructureError
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import METHODS_WITHOUT_MODEL, PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.models.refiner import Refiner, load_refiner
from samprompt.propagation.align import Alignment, align_rigid, align_structures, warp_mask
from samprompt.propagation.align.transform import copied_mask
from samprompt.propagation.contoured import Contoured, Framed, framed
from samprompt.propagation.flat import carry_flat
from samprompt.propagation.journey import Journey
from samprompt.propagation.model_road import ModelRoad
from samprompt.propagation.outcome import judge, summarise
from samprompt.propagation.refining import refine_prior
from samprompt.propagation.result import PromptPoint, StructureOutcome, VisitResult
from samprompt.propagation.routing import Route, route_without_model
from samprompt.space.orientation import slice_normal
from samprompt.space.visit import Visit


class PropagateVisits(Protocol):
    """What carries the contours: ``propagate_visits``, or another in its place."""

    def __call__(
        self,
        baseline: Visit,
        followups: Sequence[Visit],
        backbone: Backbone | None,
        parameters: PropagationParameters,
        progress: Progress,
        references: Sequence[Visit] = (),
        cache: MutableMapping[object, object] | None = None,
        device: torch.device | None = None,
    ) -> Iterator[VisitResult]:
        """Yield one result per follow-up, in order."""
        ...


def propagate_visits(
    baseline: Visit,
    followups: Sequence[Visit],
    backbone: Backbone | None,
    parameters: PropagationParameters | None = None,
    progress: Progress | None = None,
    references: Sequence[Visit] = (),
    cache: MutableMapping[object, object] | None = None,
    device: torch.device | None = None,
) -> Iterator[VisitResult]:
    """Carry the baseline's structures to every follow-up; one result per follow-up, as soon as it is there.

    ``baseline.structures`` are the contours, on the baseline's grid; empty ones are refused. ``references`` are later
    visits with corrected structures (same names): their tokens and grey levels join the baseline's. ``backbone`` may be
    None for the methods that only move contours. ``cache`` (any dictionary that lives as long as the visits do) keeps
    alignments, so that several methods can be compared without aligning again; of volumes and structures that have a
    ``key`` also what the model saw in them, and then it may outlive them. ``device`` is where the prior refiner
    computes: by default where ``backbone`` does, and on the CPU without one.

    Raises:
        StructureError: no structure, or an empty one.
        EnvironmentProblem: the method needs a model and none was given.
        WeightsError: the method needs the prior refiner, and its weights are missing or unfit.
        Cancelled: through ``progress``.
    """
    parameters = parameters or PropagationParameters()
    progress = progress or Progress()
    if not baseline.structures:
        raise StructureError("The baseline has no structures.", "Give a segmentation with at least one structure.")
    for structure in baseline.structures:
        if structure.is_empty:
            raise StructureError(
                f"Structure {structure.name!r} is empty on the baseline.", "Leave it out or contour it."
            )
    if backbone is None and parameters.method not in METHODS_WITHOUT_MODEL:
        raise EnvironmentProblem(f"Method {parameters.method} needs a model.", "Name one with --model.")
    if device is None:
        device = torch.device("cpu") if backbone is None else backbone.device
    patient = _Patient(baseline, backbone, parameters, progress, references, cache if cache is not None else {}, device)
    for followup in followups:
        yield patient.carry_to(followup)


class _Patient:
    """What all follow-ups of one patient share: the baseline in their frame, the refiner, and what the model knows."""

    def __init__(
        self,
        baseline: Visit,
        backbone: Backbone | None,
        parameters: PropagationParameters,
        progress: Progress,
        references: Sequence[Visit],
        cache: MutableMapping[object, object],
        device: torch.device,
    ) -> None:
        self.original, self.backbone, self.parameters = baseline, backbone, parameters
        self.progress, self.cache = progress, cache
        self.refiner = load_refiner(device=device) if parameters.uses_refiner else None
        self.framed: dict[int, Framed] = {}
        self.road: ModelRoad | None = None
        if backbone is not None:
            contoured = Contoured(references, backbone, parameters, progress, cache)
            self.road = ModelRoad(contoured, self.refiner, backbone, parameters, progress)

    def carry_to(self, followup: Visit) -> VisitResult:
        """All structures on one follow-up."""
        normal = slice_normal(followup.volume.grid)
        if normal not in self.framed:
            self.framed[normal] = framed(self.original, normal)
        journey = Journey(normal, self.framed[normal], framed(followup, normal))
        base, target = journey.base.visit, journey.followup
        with journey.timed("alignment"):
            journey.alignments = self._align(base, target)
        with journey.timed("warping"):
            self._warp(journey)
        prompts: dict[int, tuple[PromptPoint, ...]] = {}
        if self.parameters.method in ("p2sam", "persam") and self.backbone is not None:
            with journey.timed("prompting"):
                for n, structure in enumerate(base.structures):
                    prompted = carry_flat(
                        base, structure, target.visit, journey.alignments[n], self.backbone, self.parameters,
                        self.progress,
                    )  # fmt: skip
                    journey.masks[n], prompts[n] = prompted.mask, prompted.prompts
                    journey.routes[n] = Route("model")
        elif self.parameters.method == "refiner":
            for n, structure in enumerate(base.structures):
                journey.routes[n] = route_without_model(structure, journey.alignments[n].trusted)
        elif self.parameters.method == "p2sam3d" and self.road is not None:
            self.road.carry(journey)
        if self.refiner is not None:
            with journey.timed("refining"):
                self._refine(self.refiner, journey)
        with journey.timed("trust"):
            outcomes = self._judged(journey, followup, prompts)
        quality = float(min(a.quality for a in journey.alignments))
        reasons = dict.fromkeys(reason for a in journey.alignments for reason in a.reasons)
        visit = replace(followup, structures=tuple(o.structure for o in outcomes))
        return VisitResult(visit, tuple(outcomes), journey.seconds, quality, tuple(reasons))

    def _warp(self, journey: Journey) -> None:
        """Every structure's prior, and the masks of the methods that stop there."""
        grid, structures = journey.followup.visit.volume.grid, journey.base.visit.structures
        for n, structure in enumerate(structures):
            self.progress.step(f"warping {structure.name}", n, len(structures))
            journey.priors[n] = warp_mask(structure, journey.alignments[n], grid)
            if self.parameters.method == "copied":
                journey.masks[n] = copied_mask(structure, grid)
            elif self.parameters.method == "rigid":
                journey.masks[n] = warp_mask(structure, journey.alignments[n], grid, "rigid")

    def _judged(
        self, journey: Journey, followup: Visit, prompts: dict[int, tuple[PromptPoint, ...]]
    ) -> list[StructureOutcome]:
        """Every structure with its trust."""
        base, target, priors, alignments = journey.base.visit, journey.followup, journey.priors, journey.alignments
        outcomes: list[StructureOutcome] = []
        for n, structure in enumerate(base.structures):
            self.progress.step(f"judging {structure.name}", n, len(base.structures))
            found = journey.carried.get(n)
            mask = found.mask if found is not None else journey.masks.get(n, priors[n])
            route = journey.routes.get(n, Route(self.parameters.method))
            trust = judge(
                base, target.visit, structure, mask, priors[n], alignments[n], route, found, self.parameters,
                journey.saturated.get(n, 0.0),
            )  # fmt: skip
            outcomes.append(
                summarise(
                    self.original.structures[n],
                    structure,
                    mask,
                    priors[n],
                    alignments[n],
                    route,
                    trust,
                    base,
                    target.visit,
                    target.orientation,
                    followup,
                    found.prompts if found is not None else prompts.get(n, ()),
                )
            )
        return outcomes

    def _refine(self, refiner: Refiner, journey: Journey) -> None:
        """Masks of the structures whose road is the refined prior alone, and how far each was moved to the limit."""
        base, target, priors = journey.base.visit, journey.followup.visit, journey.priors
        for n, structure in enumerate(base.structures):
            alignment = journey.alignments[n]
            if journey.routes[n].kind in ("refined", "thin refined") and alignment.trusted and priors[n].any():
                self.progress.step(f"refining {structure.name}", n, len(base.structures))
                found = refine_prior(refiner, base, structure, target, priors[n], alignment, self.parameters)
                journey.masks[n], journey.saturated[n] = found.mask, found.saturated

    def _align(self, base: Visit, target: Framed) -> list[Alignment]:
        """Alignment of every structure; kept in the cache by the volumes' identity."""
        structures = tuple((s.name, s.key) for s in self.original.structures)
        volumes = tuple(v.key or id(v) for v in (self.original.volume, target.original.volume))
        key = ("alignment", volumes, structures, self.parameters.align)
        found = self.cache.get(key)
        if found is None:
            volume = target.visit.volume
            rigid = align_rigid(base.volume, volume, self.parameters.align, self.progress)
            found = align_structures(
                base.volume, volume, list(base.structures), rigid, self.parameters.align, self.progress
            )
            self.cache[key] = found
        assert isinstance(found, list)
        return found
