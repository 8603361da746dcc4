"""From one visit's contours to all later visits: the road of a whole propagation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import EnvironmentProblem, StructureError
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import METHODS_WITHOUT_MODEL, PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.models.refiner import Refiner, load_refiner
from samprompt.propagation.align import Alignment, align_rigid, align_structures, warp_mask
from samprompt.propagation.align.transform import copied_mask
from samprompt.propagation.carry import Carried, carry
from samprompt.propagation.encoding import Encoded, encode_region
from samprompt.propagation.flat import carry_flat
from samprompt.propagation.knowledge import (
    Group,
    Knowledge,
    encode_structures,
    learn,
    make_groups,
    on_region,
    token_width,
)
from samprompt.propagation.outcome import judge, summarise
from samprompt.propagation.refining import refine_prior, refined_fields
from samprompt.propagation.region import make_region
from samprompt.propagation.reliability import baseline_separation, measure_reliability
from samprompt.propagation.result import PromptPoint, StructureOutcome, VisitResult
from samprompt.propagation.routing import Route, route_of, route_without_model
from samprompt.space.orientation import Orientation, slice_normal, towards
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Framed:
    """A visit with its axes in the common order, and the way back."""

    visit: Visit
    orientation: Orientation
    original: Visit


def _framed(visit: Visit, normal: int) -> _Framed:
    orientation = towards(visit.volume.grid, normal)
    structures = tuple(orientation.structure(s) for s in visit.structures)
    return _Framed(Visit(visit.name, orientation.volume(visit.volume), structures), orientation, visit)


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
) -> Iterator[VisitResult]:
    """Carry the baseline's structures to every follow-up; one result per follow-up, as soon as it is there.

    ``baseline.structures`` are the contours, on the baseline's grid; empty ones are refused. ``references`` are later
    visits with corrected structures (same names): their tokens and grey levels join the baseline's. ``backbone`` may be
    None for the methods that only move contours. ``cache`` (any dictionary that lives as long as the visits do) keeps
    alignments, so that several methods can be compared without aligning again; of volumes and structures that have a
    ``key`` also what the model saw in them, and then it may outlive them.

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
    patient = _Patient(baseline, backbone, parameters, progress, references, cache if cache is not None else {})
    for followup in followups:
        yield patient.carry_to(followup)


class _Patient:
    """What all follow-ups of one patient share: the baseline's groups, encoded regions and knowledge."""

    def __init__(
        self,
        baseline: Visit,
        backbone: Backbone | None,
        parameters: PropagationParameters,
        progress: Progress,
        references: Sequence[Visit],
        cache: MutableMapping[object, object],
    ) -> None:
        self.original, self.backbone, self.parameters = baseline, backbone, parameters
        self.progress, self.references, self.cache = progress, references, cache
        self.refiner: Refiner | None = None
        if parameters.uses_refiner:
            self.refiner = load_refiner(device="cpu" if backbone is None else backbone.device)
        self.framed: dict[int, _Framed] = {}
        self.contoured: dict[int, list[_Framed]] = {}
        self.groups: dict[int, list[Group]] = {}
        self.knowledge: dict[tuple[int, int, float], Knowledge] = {}
        self.encoded: dict[tuple[int, tuple[int, ...], float, int], Encoded] = {}

    def carry_to(self, followup: Visit) -> VisitResult:
        """All structures on one follow-up."""
        seconds: dict[str, float] = {}
        normal = slice_normal(followup.volume.grid)
        if normal not in self.framed:
            self.framed[normal] = _framed(self.original, normal)
        base, target = self.framed[normal].visit, _framed(followup, normal)
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
        elif self.parameters.method == "p2sam3d" and self.backbone is not None:
            for group in self._groups(normal, base):
                self._carry_group(normal, group, base, target, alignments, priors, routes, carried, seconds)
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

    def _align(self, base: Visit, target: _Framed) -> list[Alignment]:
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

    def _kept(self, named: Sequence[Volume | Structure], key: tuple[object, ...], make: Callable[[], T]) -> T:
        """What ``make`` gives for this model, from the cache where everything it was made of has a key."""
        assert self.backbone is not None
        if not all(one.key for one in named):
            return make()
        model = self.backbone.name, self.backbone.fingerprint, str(self.backbone.device)
        key = (*key, tuple(one.key for one in named), model)
        found = self.cache.get(key)
        if found is None:
            found = make()
            self.cache[key] = found
        return found  # type: ignore[return-value]

    def _groups(self, normal: int, base: Visit) -> list[Group]:
        if normal not in self.groups:
            assert self.backbone is not None
            self.groups[normal] = make_groups(base, base.structures, self.backbone, self.parameters)
        return self.groups[normal]

    def _carry_group(
        self,
        normal: int,
        group: Group,
        base: Visit,
        followup: _Framed,
        alignments: list[Alignment],
        priors: dict[int, NDArray[np.bool_]],
        routes: dict[int, Route],
        carried: dict[int, Carried],
        seconds: dict[str, float],
    ) -> None:
        """All structures of one group on one follow-up: one encoding, then each structure's own path."""
        backbone, parameters, target = self.backbone, self.parameters, followup.visit
        assert backbone is not None
        grid = target.volume.grid
        for n in group.members:
            thin_refined = self.refiner is not None and alignments[n].trusted
            routes[n] = route_of(base.structures[n], token_width(group, backbone), thin_refined)
        wanted = [n for n in group.members if routes[n].kind == "model"]
        lost = [n for n in wanted if not alignments[n].trusted or not priors[n].any()]
        for trusted in (True, False):
            members = [n for n in wanted if (n not in lost) == trusted]
            if not members:
                continue
            side, first, last, centre = group.side, 0, grid.shape[0] - 1, grid.to_ras((np.array(grid.shape) - 1) / 2)
            if trusted:
                found = np.concatenate([np.argwhere(priors[n]) for n in members])
                low, high = found.min(axis=0), found.max(axis=0)
                extra = int(np.ceil(parameters.region.extra_slices / grid.spacing[2])) + 1
                first, last, centre = int(low[0]) - extra, int(high[0]) + extra, grid.to_ras((low + high) / 2)
            else:
                side = float(max(n * s for n, s in zip(grid.shape[1:], grid.spacing_kji[1:], strict=True)))
                side = max(side, group.side)
            here = replace(group, members=tuple(members), side=side)
            began = time.perf_counter()
            region = make_region(grid, centre, side, here.pixels, first, last)
            place = (normal, tuple(centre.tolist()), side, here.pixels, first, last)
            encoded = self._kept(
                (followup.original.volume,),
                ("follow-up", place, group.window, parameters.encode_batch),
                partial(
                    encode_region, target.volume, region, group.window, backbone, parameters.encode_batch,
                    self.progress, f"encoding {target.name}",
                ),
            )  # fmt: skip
            seconds["encoding"] = seconds.get("encoding", 0.0) + time.perf_counter() - began
            for n in members:
                began = time.perf_counter()
                knowledge = self._know(normal, here, group, n, base)
                seconds["baseline"] = seconds.get("baseline", 0.0) + time.perf_counter() - began
                refined = None
                if trusted and self.refiner is not None:
                    began = time.perf_counter()
                    self.progress.step(f"refining {base.structures[n].name}")
                    refined, _ = refined_fields(
                        self.refiner, encoded.grey, on_region(priors[n], encoded), region, group.window, base.volume,
                        alignments[n], parameters.path.refiner_dead_zone,
                    )  # fmt: skip
                    seconds["refining"] = seconds.get("refining", 0.0) + time.perf_counter() - began
                began = time.perf_counter()
                carried[n] = carry(
                    knowledge, encoded, priors[n] if trusted else None, alignments[n].error_mm, backbone, parameters,
                    self.progress, base.structures[n].name, refined,
                )  # fmt: skip
                seconds["prompting"] = seconds.get("prompting", 0.0) + time.perf_counter() - began

    def _know(self, normal: int, here: Group, group: Group, n: int, base: Visit) -> Knowledge:
        """Knowledge of structure ``n`` at the scale of ``here``; encoded once per patient."""
        key = (normal, n, here.side)
        if key in self.knowledge:
            return self.knowledge[key]
        assert self.backbone is not None
        pieces: list[tuple[Encoded, NDArray[np.bool_]]] = []
        named: list[Volume | Structure] = []
        names = {base.structures[m].name for m in group.members}
        if normal not in self.contoured:
            self.contoured[normal] = [self.framed[normal], *(_framed(r, normal) for r in self.references)]
        for index, framed in enumerate(self.contoured[normal]):
            visit = framed.original
            shown = [s for s in framed.visit.structures if s.name in names and not s.is_empty]
            mine = [s for s in shown if s.name == base.structures[n].name]
            if not mine:
                continue
            seen: list[Volume | Structure] = [visit.volume]
            seen += [s for s in visit.structures if s.name in names and not s.is_empty]
            place = (normal, group.members, here.side, index)
            if place not in self.encoded:
                what = ("contoured", normal, here.side, here.pixels, here.window, self.parameters.encode_batch)
                self.encoded[place] = self._kept(
                    seen,
                    what,
                    partial(
                        encode_structures, framed.visit, shown, here, self.backbone, self.parameters, self.progress
                    ),
                )
            named += [*seen, *(s for s in visit.structures if s.name == base.structures[n].name)]
            pieces.append((self.encoded[place], on_region(mine[0].mask, self.encoded[place])))
        use_grey = base.volume.modality == "CT" and self.parameters.window != "MR/other"
        what_for = ("knowledge", normal, here.side, here.pixels, here.window, use_grey, self.parameters)
        self.knowledge[key] = self._kept(
            named, what_for, partial(self._learn, pieces, use_grey, base.structures[n].name)
        )
        return self.knowledge[key]

    def _learn(self, pieces: Sequence[tuple[Encoded, NDArray[np.bool_]]], use_grey: bool, name: str) -> Knowledge:
        assert self.backbone is not None
        self.progress.step(f"learning {name}", 0, 3)
        known = learn(pieces, self.backbone, self.parameters, use_grey)
        self.progress.step(f"learning {name}", 1, 3)
        reliability, bias = measure_reliability(known, self.backbone, self.parameters)
        self.progress.step(f"learning {name}", 2, 3)
        own = baseline_separation(known, self.backbone, self.parameters)
        return replace(known, reliability=reliability, bias=bias, separation=own)
