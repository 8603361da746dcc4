"""From one visit's contours to all later visits: the road of a whole propagation."""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from samprompt.contract.errors import EnvironmentProblem, StructureError
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import METHODS_WITHOUT_MODEL, PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.models.refiner import load_refiner
from samprompt.propagation.align import Alignment, align_rigid, align_structures, warp_mask
from samprompt.propagation.align.transform import copied_mask
from samprompt.propagation.carry import Carried
from samprompt.propagation.contoured import Contoured, Framed, framed
from samprompt.propagation.flat import carry_flat
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
        seconds: dict[str, float] = {}
        normal = slice_normal(followup.volume.grid)
        if normal not in self.framed:
            self.framed[normal] = framed(self.original, normal)
        base, target = self.framed[normal].visit, framed(followup, normal)
        began = time.perf_counter()
        alignments = self._align(base, target)
        seconds["alignment"] = time.perf_counter() - began
        routes: dict[int, Route] = {}
        masks: dict[int, NDArray[np.bool_]] = {}
        carried: dict[int, Carried] = {}
        prompts: dict[int, tuple[PromptPoint, ...]] = {}
        began = time.perf_counter()
        grid = target.visit.volume.grid
        priors: dict[int, NDArray[np.bool_]] = {}
        for n, structure in enumerate(base.structures):
            self.progress.step(f"warping {structure.name}", n, len(base.structures))
            priors[n] = warp_mask(structure, alignments[n], grid)
            if self.parameters.method == "copied":
                masks[n] = copied_mask(structure, grid)
            elif self.parameters.method == "rigid":
                masks[n] = warp_mask(structure, alignments[n], grid, "rigid")
        seconds["warping"] = time.perf_counter() - began
        if self.parameters.method in ("p2sam", "persam") and self.backbone is not None:
            began = time.perf_counter()
            for n, structure in enumerate(base.structures):
                prompted = carry_flat(
                    base, structure, target.visit, alignments[n], self.backbone, self.parameters, self.progress
                )
                masks[n], prompts[n] = prompted.mask, prompted.prompts
                routes[n] = Route("model")
            seconds["prompting"] = time.perf_counter() - began
        elif self.parameters.method == "refiner":
            for n, structure in enumerate(base.structures):
                routes[n] = route_without_model(structure, alignments[n].trusted)
        elif self.parameters.method == "p2sam3d" and self.road is not None:
            carried = self.road.carry(normal, self.framed[normal], target, alignments, priors, routes, seconds)
        saturated = self._refine(base, target.visit, alignments, priors, routes, masks, seconds)
        began = time.perf_counter()
        outcomes: list[StructureOutcome] = []
        for n, structure in enumerate(base.structures):
            self.progress.step(f"judging {structure.name}", n, len(base.structures))
            found = carried.get(n)
            mask = found.mask if found is not None else masks.get(n, priors[n])
            route = routes.get(n, Route(self.parameters.method))
            trust = judge(
                base, target.visit, structure, mask, priors[n], alignments[n], route, found, self.parameters,
                saturated.get(n, 0.0),
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
        seconds["trust"] = time.perf_counter() - began
        quality = float(min(a.quality for a in alignments))
        reasons = dict.fromkeys(reason for a in alignments for reason in a.reasons)
        visit = replace(followup, structures=tuple(o.structure for o in outcomes))
        return VisitResult(visit, tuple(outcomes), seconds, quality, tuple(reasons))

    def _refine(
        self,
        base: Visit,
        target: Visit,
        alignments: list[Alignment],
        priors: dict[int, NDArray[np.bool_]],
        routes: dict[int, Route],
        masks: dict[int, NDArray[np.bool_]],
        seconds: dict[str, float],
    ) -> dict[int, float]:
        """Masks of the structures whose road is the refined prior alone; how far each was moved to the limit."""
        if self.refiner is None:
            return {}
        began, saturated = time.perf_counter(), {}
        for n, structure in enumerate(base.structures):
            if routes[n].kind in ("refined", "thin refined") and alignments[n].trusted and priors[n].any():
                self.progress.step(f"refining {structure.name}", n, len(base.structures))
                found = refine_prior(self.refiner, base, structure, target, priors[n], alignments[n], self.parameters)
                masks[n], saturated[n] = found.mask, found.saturated
        seconds["refining"] = seconds.get("refining", 0.0) + time.perf_counter() - began
        return saturated

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
