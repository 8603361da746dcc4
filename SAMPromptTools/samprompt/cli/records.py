"""From a propagation's result to what is written down: figures for the summary, pictures for the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.io.figures import View, field_of_view, picture
from samprompt.io.report import PicturePair
from samprompt.io.summary import CheckSlice, StructureRecord, TrustRecord, VisitRecord, trust_level
from samprompt.propagation.result import StructureOutcome, VisitResult
from samprompt.space.contrast import box_around
from samprompt.space.orientation import slice_normal
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.space.windows import Window, window_for

_SURROUNDINGS = 12.0  # mm round a structure whose values choose the grey-level window


def baseline_record(visit: Visit, image: str) -> VisitRecord:
    """The record of the baseline: its structures' volumes."""
    structures = tuple(StructureRecord(s.name, s.color, s.volume_ml) for s in visit.structures)
    return VisitRecord(visit.name, image, "", structures)


def visit_record(result: VisitResult, image: str, segmentation: str, seconds: dict[str, float]) -> VisitRecord:
    """The record of a follow-up; ``seconds`` are added to the result's own."""
    return VisitRecord(
        result.visit.name,
        image,
        segmentation,
        tuple(_structure_record(outcome) for outcome in result.outcomes),
        result.alignment_quality,
        {**result.seconds, **seconds},
        result.notes,
    )


def _structure_record(outcome: StructureOutcome) -> StructureRecord:
    trust = outcome.trust
    return StructureRecord(
        outcome.structure.name,
        outcome.structure.color,
        outcome.structure.volume_ml,
        outcome.change_percent,
        outcome.shift_mm,
        TrustRecord(
            trust.score,
            trust_level(trust.score, trust.flagged),
            trust.flagged,
            trust.reasons,
            tuple(CheckSlice(int(k), outcome.place_to_look(k)) for k in trust.check_slices),
            trust.parts,
        ),
        outcome.route,
        outcome.contrast_to_noise,
        outcome.truncated,
        outcome.notes,
    )


@dataclass(frozen=True)
class ChosenSlice:
    """A slice worth showing; ``k`` is the index in the follow-up's file."""

    k: int
    title: str


def slices_to_show(outcome: StructureOutcome) -> list[ChosenSlice]:
    """The slice to check first, the middle one and the least conspicuous one; each only once, empty without a section.

    The first is trust's own first choice, or else where result and prior differ by most. The least conspicuous one
    lies farthest from all slices that trust names.
    """
    result, prior = outcome.structure.mask, outcome.prior.mask
    occupied = np.flatnonzero(result.any(axis=(1, 2)))
    if occupied.size == 0:
        occupied = np.flatnonzero(prior.any(axis=(1, 2)))
    checks = [k for k in outcome.trust.check_slices if 0 <= k < result.shape[0]]
    if occupied.size == 0:
        return [ChosenSlice(checks[0], "Check first")] if checks else []
    if not checks:
        differing = [int((result[k] != prior[k]).sum()) for k in occupied]
        checks = [int(occupied[int(np.argmax(differing))])]
    middle = int(occupied[occupied.size // 2])
    distance = np.abs(occupied[:, None] - np.array(checks)[None]).min(axis=1)
    surest = int(occupied[int(np.argmax(distance))]) if distance.max() > 0 else checks[-1]
    titles: dict[int, list[str]] = {}
    for k, title in ((checks[0], "Check first"), (middle, "Middle"), (surest, "Least conspicuous")):
        titles.setdefault(k, []).append(title)
    return [ChosenSlice(k, " · ".join(words)) for k, words in titles.items()]


def picture_pairs(baseline: Volume, result: VisitResult, outcome: StructureOutcome) -> list[PicturePair]:
    """The chosen slices of one structure, each beside the baseline's slice at the same height within the contour."""
    chosen = slices_to_show(outcome)
    if not chosen:
        return []
    normal = slice_normal(result.visit.volume.grid)
    now, then = View.of(result.visit.volume, normal), View.of(baseline, normal)
    mask, prior = now.turned(outcome.structure.mask), now.turned(outcome.prior.mask)
    drawn = then.turned(outcome.baseline.mask)
    side = field_of_view([(mask | prior, now.grid), (drawn, then.grid)])
    window_then = _window(baseline, outcome.baseline)
    anchor = outcome.structure if not outcome.structure.is_empty else outcome.prior
    window_now = window_then if baseline.modality == "CT" else _window(result.visit.volume, anchor)
    centers = _center(mask | prior), _center(drawn)
    reference = prior if prior.any() else mask
    pairs = []
    for choice in chosen:
        shown = now.index(choice.k)
        matching = _same_height(shown, reference, float(now.grid.spacing[2]), drawn, float(then.grid.spacing[2]))
        pairs.append(
            PicturePair(
                choice.title if mask[shown].any() else f"{choice.title} · no result in this slice",
                picture(
                    now, shown, _sections(shown, [("prior", prior), ("result", mask)]), centers[0], side, window_now
                ),
                None
                if matching is None
                else picture(then, matching, _sections(matching, [("baseline", drawn)]), centers[1], side, window_then),
            )
        )
    return pairs


def _sections(shown: int, masks: list[tuple[str, NDArray[np.bool_]]]) -> list[tuple[str, NDArray[np.bool_]]]:
    """The masks' sections in slice ``shown``; where none has one, the nearest section of the last mask that has any."""
    sections = [(what, mask[shown]) for what, mask in masks]
    if any(section.any() for _, section in sections):
        return sections
    for _, mask in reversed(masks):
        slices = np.flatnonzero(mask.any(axis=(1, 2)))
        if slices.size:
            return [("nearest", mask[slices[int(np.argmin(np.abs(slices - shown)))]])]
    return []


def _same_height(
    shown: int, reference: NDArray[np.bool_], spacing: float, drawn: NDArray[np.bool_], drawn_spacing: float
) -> int | None:
    """Slice of the baseline at the same share of its contour's height; beyond the contour, as many mm beyond."""
    here, there = np.flatnonzero(reference.any(axis=(1, 2))), np.flatnonzero(drawn.any(axis=(1, 2)))
    if here.size == 0 or there.size == 0:
        return None
    low, high = int(here[0]), int(here[-1])
    if shown < low:
        place = there[0] - (low - shown) * spacing / drawn_spacing
    elif shown > high:
        place = there[-1] + (shown - high) * spacing / drawn_spacing
    else:
        place = there[0] + (shown - low + 0.5) / (high - low + 1) * (there[-1] - there[0] + 1) - 0.5
    found = round(float(place))
    return found if 0 <= found < drawn.shape[0] else None


def _center(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Middle (down, right) of the box round all sections; of the slice when there are none."""
    flat = np.asarray(mask.any(axis=0))
    if not flat.any():
        return (mask.shape[1] - 1) / 2, (mask.shape[2] - 1) / 2
    down, right = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    return float(down[0] + down[-1]) / 2, float(right[0] + right[-1]) / 2


def _window(volume: Volume, structure: Structure) -> Window:
    """Grey levels that show the structure against what surrounds it."""
    if structure.is_empty or volume.modality != "CT":
        return window_for(volume.array, np.zeros((1, 1, 1), bool), volume.modality)
    box = box_around(structure.mask, _SURROUNDINGS, volume.grid.spacing_kji)
    near = ndimage.distance_transform_edt(~structure.mask[box], sampling=volume.grid.spacing_kji) <= _SURROUNDINGS
    return window_for(volume.array[box], near, volume.modality)
