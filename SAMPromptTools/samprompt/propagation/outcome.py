"""From a mask to what is reported: trust, volume, change, shift, notes; back in the follow-up's own axes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.propagation import PropagationParameters
from samprompt.propagation.align import Alignment
from samprompt.propagation.carry import Carried
from samprompt.propagation.result import PromptPoint, StructureOutcome, Trust
from samprompt.propagation.routing import Route, cut_by_border
from samprompt.propagation.trust import dice, score_trust, slices_to_check
from samprompt.space.contrast import contrast_to_noise
from samprompt.space.orientation import Orientation
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit

Mask = NDArray[np.bool_]

_ROUTE_WORDS = {
    "model": "model",
    "thin": "prior only: thin",
    "thin refined": "prior refined: thin",
    "refined": "prior refined",
    "not refined": "prior only: not aligned",
    "small": "prior only: very small",
    "geometric": "geometry only: planning construct",
}


def judge(
    base: Visit,
    target: Visit,
    structure: Structure,
    mask: Mask,
    prior: Mask,
    alignment: Alignment,
    route: Route,
    carried: Carried | None,
    parameters: PropagationParameters,
    saturated: float = 0.0,
) -> Trust:
    """Trust of one result; everything in the common axes. ``saturated`` as in ``RefinedPrior``."""
    grid = target.volume.grid
    parts: dict[str, float] = {"absent": float(not mask.any())}
    parts["without_model"] = float(carried is None)
    if carried is not None:
        parts |= carried.parts
    elif mask.any() or prior.any():
        # copied, rigidly moved or found slice by slice: the aligned contour is the best second opinion there is
        parts["disagreement"] = 1.0 - dice(mask, prior)
    parts["saturated"] = saturated
    parts["alignment"] = 1.0 - alignment.quality
    shown = mask if mask.any() else prior
    cnr = contrast_to_noise(target.volume, shown) if shown.any() else math.nan
    if not shown.any():
        cnr = contrast_to_noise(base.volume, structure.mask)
    parts["cnr"] = cnr
    parts["contrast"] = max(0.0, 1.0 - cnr) if math.isfinite(cnr) else 1.0
    before, after = structure.volume_ml, float(mask.sum()) * grid.voxel_volume / 1000.0
    cut = cut_by_border(structure) or cut_by_border(Structure(structure.name, mask, grid))
    if before > 0 and after > 0 and not cut:
        parts["percent"] = 100.0 * (after / before - 1.0)
        parts["change"] = max(0.0, abs(math.log(after / before)) - math.log(2.0))
    parts["border"] = _border_share(mask)
    extra: list[str] = []
    if route.kind == "geometric":
        extra.append("a planning construct, moved with the patient only: check it against the new target")
    count = int(structure.mask.sum())
    if count < 8:
        extra.append(f"only {count} voxel{'s' if count > 1 else ''} on the baseline: too small to be recognised")
    if not alignment.trusted:
        extra.append("the alignment is not trusted: " + " ".join(alignment.reasons))
    if not mask.any():
        extra.append("nothing was found on this visit: if the structure is there, contour it by hand")
    doubt = carried.doubt if carried is not None else _rim(mask, prior, grid.spacing_kji)
    return score_trust(parts, parameters.trust, slices_to_check(doubt), extra)


def _border_share(mask: Mask) -> float:
    """Share of the mask's slices that touch the scan's border in plane, or 1 per end slice of the scan it reaches."""
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if planes.size == 0:
        return 0.0
    part = mask[planes]
    touching = part[:, 0].any(1) | part[:, -1].any(1) | part[:, :, 0].any(1) | part[:, :, -1].any(1)
    if mask.shape[0] > 1:
        touching |= (planes == 0) | (planes == mask.shape[0] - 1)
    return float(touching.mean())


def _rim(mask: Mask, prior: Mask, spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area in mm2 where result and prior differ, per slice; where they never do, the ends and the largest section."""
    area = float(spacing[1] * spacing[2])
    differs = (mask != prior).sum(axis=(1, 2)) * area
    if differs.any() or not mask.any():
        return np.asarray(differs, dtype=np.float64)
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    doubt = np.zeros(mask.shape[0])
    doubt[[planes[0], planes[-1]]] = 1.0
    doubt[int(mask.sum(axis=(1, 2)).argmax())] = 0.5
    return doubt


def summarise(
    original: Structure,
    structure: Structure,
    mask: Mask,
    prior: Mask,
    alignment: Alignment,
    route: Route,
    trust: Trust,
    base: Visit,
    target: Visit,
    orientation: Orientation,
    followup: Visit,
    prompts: tuple[PromptPoint, ...] = (),
) -> StructureOutcome:
    """The outcome on the follow-up's own axes; ``structure`` is ``original`` in the common axes."""
    grid, own = target.volume.grid, followup.volume.grid
    result = Structure(structure.name, mask, grid)
    cut_before, cut_after = cut_by_border(structure), cut_by_border(result)
    truncated = cut_before or cut_after
    notes: list[str] = [route.note] if route.note else []
    if truncated:
        where = "baseline" if cut_before else "follow-up"
        notes.append(f"cut by the border of the {where} scan: no volume change is given")
    if base.volume.modality != target.volume.modality:
        notes.append(f"baseline is {base.volume.modality}, follow-up is {target.volume.modality}: not validated")
    before, after = structure.volume_ml, result.volume_ml
    change = None if truncated or before <= 0 else 100.0 * (after / before - 1.0)
    shift = math.nan
    if not result.is_empty:
        moved = alignment.map_to_baseline(result.centroid_ras()[None], "rigid")[0]
        shift = float(np.linalg.norm(moved - structure.centroid_ras()))
    if route.kind == "model" and change is not None and change < -10.0:
        notes.append("smaller visible mass; whether the target may shrink is a clinical decision")
    shown = Trust(
        trust.score,
        trust.reasons,
        tuple(orientation.slice_index(k, own.shape) for k in trust.check_slices),
        trust.flagged,
        trust.parts,
    )
    return StructureOutcome(
        original.with_mask(np.ascontiguousarray(orientation.undo(mask)), own),
        original.with_mask(np.ascontiguousarray(orientation.undo(prior)), own),
        original, shown, _ROUTE_WORDS.get(route.kind, route.kind), change, shift,
        float(trust.parts.get("cnr", math.nan)), truncated, tuple(notes), prompts,
    )  # fmt: skip
