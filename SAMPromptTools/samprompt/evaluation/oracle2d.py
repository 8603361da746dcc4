"""The oracle protocol of the P2SAM paper: only slices that carry truth, 2D Dice (methods page, 1.2).

It knows where the structure is, sees no false positive elsewhere and has no third dimension: it is here to compare with
published numbers, not to say how well a visit is contoured.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import EnvironmentProblem, ParameterError
from samprompt.contract.progress import Progress
from samprompt.contract.prompting import PERSAM_MEDICAL, PUBLISHED_MEDICAL, P2SamParameters
from samprompt.evaluation.metrics import volumetric_dice
from samprompt.evaluation.plan import TrueVisit
from samprompt.evaluation.rows import Row
from samprompt.evaluation.runner import Measure
from samprompt.models.backbone import Backbone
from samprompt.prompting.registry import METHODS, prompting_method
from samprompt.propagation.encoding import Encoded
from samprompt.propagation.flat import prompt_slices, whole_slices
from samprompt.propagation.knowledge import on_region, structure_window
from samprompt.space.orientation import slice_normal, towards
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit

ORACLE_METHODS = (*METHODS, "copied")
_ENCODE_BATCH = 8
_PRESETS = {"persam": PERSAM_MEDICAL}


class SliceMethod(Protocol):
    """Segments follow-up slices, each with the help of one baseline slice."""

    def __call__(
        self, baseline: Visit, structure: Structure, followup: Visit, pairs: dict[int, int], progress: Progress
    ) -> NDArray[np.bool_]:
        """The mask on the follow-up's grid; only slices that are keys of ``pairs`` (values: baseline slices) count."""
        ...


class OracleSlices:
    """The oracle protocol; ``methods`` by name (by default those of ``prompting.registry`` and the copied contour)."""

    name = "oracle2d"

    def __init__(self, backbone: Backbone | None, methods: dict[str, SliceMethod] | None = None) -> None:
        self._backbone = backbone
        self._methods = methods

    def patient(self, baseline: Visit, progress: Progress) -> Measure:
        """Measure methods on one patient; the slices encoded last are kept for the next method."""
        kept: dict[str, tuple[tuple[object, ...], Encoded]] = {}

        def measure(method: str, visits: Sequence[TrueVisit]) -> Iterator[list[Row]]:
            segment = self._segment(method, kept)
            for visit in visits:
                rows = []
                for name, truth in visit.truth.items():
                    before = next(s for s in baseline.structures if s.name == name)
                    rows.append(self._row(baseline, before, visit, truth, method, segment, progress))
                yield rows

        return measure

    def _segment(self, method: str, kept: dict[str, tuple[tuple[object, ...], Encoded]]) -> SliceMethod:
        known = self._methods
        if known is not None:
            if method not in known:
                raise ParameterError(f"There is no method {method!r}.", f"Choose among {', '.join(known)}.")
            return known[method]
        if method not in ORACLE_METHODS:
            raise ParameterError(
                f"The oracle protocol has no method {method!r}.", f"Choose among {', '.join(ORACLE_METHODS)}."
            )
        if method == "copied":
            return copied_slices
        if self._backbone is None:
            raise EnvironmentProblem(f"Method {method} needs a model.", "Name one with --model.")
        return PromptedSlices(method, self._backbone, kept)

    def _row(
        self,
        baseline: Visit,
        before: Structure,
        visit: TrueVisit,
        truth: Structure,
        method: str,
        segment: SliceMethod,
        progress: Progress,
    ) -> Row:
        began = time.perf_counter()
        grid = visit.bare.volume.grid
        normal = slice_normal(grid)
        here, there = towards(baseline.volume.grid, normal), towards(grid, normal)
        reference, target = here.structure(before), there.structure(truth)
        pairs = pair_by_middle(reference, target)
        dice = float("nan")
        if pairs:
            first = Visit(baseline.name, here.volume(baseline.volume))
            later = Visit(visit.bare.name, there.volume(visit.bare.volume))
            found = segment(first, reference, later, pairs, progress)
            dice = float(np.mean([volumetric_dice(target.mask[k], found[k]) for k in pairs]))
        cnr, cnr_of = visit.contrast[truth.name]
        row = Row(self.name, baseline.name, visit.plan.label, visit.plan.kind, visit.plan.seed, truth.name, method)
        return replace(
            row,
            state="both" if pairs else "nothing to segment",
            cnr=cnr,
            cnr_of=cnr_of,
            dice=dice,
            slices=len(pairs),
            truth_ml=truth.volume_ml,
            seconds=time.perf_counter() - began,
        )


def pair_by_middle(reference: Structure, target: Structure) -> dict[int, int]:
    """Slice of ``reference`` for every slice of ``target`` that carries it, the middles of both ranges on each other.

    Distances from the middle are in mm (equal to the published slice numbers where both have one thickness); beyond the
    end of the reference's range its last labelled slice is taken. Empty where one of the two is.
    """
    have, want = (np.flatnonzero(s.mask.any(axis=(1, 2))) for s in (reference, target))
    if have.size == 0 or want.size == 0:
        return {}
    scale = float(target.grid.spacing_kji[0] / reference.grid.spacing_kji[0])
    middle, other = (have[0] + have[-1]) / 2.0, (want[0] + want[-1]) / 2.0
    places = middle + (want - other) * scale
    return {int(k): int(have[np.argmin(np.abs(have - place))]) for k, place in zip(want, places, strict=True)}


def copied_slices(
    baseline: Visit, structure: Structure, followup: Visit, pairs: dict[int, int], progress: Progress
) -> NDArray[np.bool_]:
    """The free answer: the paired baseline slice's contour at the same place in the scanner's plane."""
    grid = followup.volume.grid
    result = np.zeros(grid.shape, dtype=bool)
    rows, columns = np.meshgrid(np.arange(grid.shape[1]), np.arange(grid.shape[2]), indexing="ij")
    for done, (k, plane) in enumerate(pairs.items()):
        progress.step(f"copying {structure.name}", done, len(pairs))
        index = np.stack([np.full(rows.shape, k), rows, columns], axis=-1)
        place = np.rint(structure.grid.to_kji(grid.to_ras(index))[..., 1:]).astype(int)
        inside = ((place >= 0) & (place < structure.grid.shape[1:])).all(axis=-1)
        place[~inside] = 0
        result[k] = structure.mask[plane][place[..., 0], place[..., 1]] & inside
    return result


class PromptedSlices:
    """A prompting method as published: whole slices, no prior, its published parameters for medical images.

    ``kept`` holds by visit what was encoded last and of which slices, since the methods of a comparison share it.
    """

    def __init__(
        self, method: str, backbone: Backbone, kept: dict[str, tuple[tuple[object, ...], Encoded]] | None = None
    ) -> None:
        self._prompt = prompting_method(method)
        self._parameters: P2SamParameters = _PRESETS.get(method, PUBLISHED_MEDICAL)
        self._backbone = backbone
        self._kept = kept if kept is not None else {}

    def __call__(
        self, baseline: Visit, structure: Structure, followup: Visit, pairs: dict[int, int], progress: Progress
    ) -> NDArray[np.bool_]:
        """Prompt every slice of ``pairs`` with its baseline slice."""
        planes = np.flatnonzero(structure.mask.any(axis=(1, 2)))
        reference = self._encode(baseline, baseline, structure, int(planes[0]), int(planes[-1]), progress)
        target = self._encode(followup, baseline, structure, min(pairs), max(pairs), progress)
        masks = on_region(structure.mask, reference)
        return prompt_slices(
            reference, target, masks, pairs, self._prompt, self._backbone, self._parameters, progress, structure.name
        ).mask

    def _encode(
        self, visit: Visit, baseline: Visit, structure: Structure, first: int, last: int, progress: Progress
    ) -> Encoded:
        """Whole slices ``first`` to ``last`` of a visit in the structure's window; those of the last call are kept."""
        window = structure_window(baseline, structure)
        wanted = (window, first, last)
        if visit.name not in self._kept or self._kept[visit.name][0] != wanted:
            encoded = whole_slices(visit, window, first, last, self._backbone, _ENCODE_BATCH, progress)
            self._kept[visit.name] = (wanted, encoded)
        return self._kept[visit.name][1]
