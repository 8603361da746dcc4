"""The published 2D methods on whole visits: slice by slice, whole image, nothing of ours.

Their own protocol segments only slices known to carry the structure; a whole visit has no such knowledge, so the slices
are those where the rigidly aligned baseline carries it, and each is paired with the baseline slice at its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from samprompt.contract.progress import Progress
from samprompt.contract.prompting import PERSAM_MEDICAL, PUBLISHED_MEDICAL, P2SamParameters
from samprompt.contract.propagation import PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.prompting.reference import Reference
from samprompt.prompting.registry import PromptingMethod, prompting_method
from samprompt.propagation.align import Alignment
from samprompt.propagation.candidates import as_array
from samprompt.propagation.encoding import Encoded, encode_region
from samprompt.propagation.knowledge import on_region, structure_window
from samprompt.propagation.region import make_region
from samprompt.propagation.result import PromptPoint, prompt_points
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.windows import Window


@dataclass(frozen=True, eq=False)
class Prompted:
    """``mask`` on the follow-up's own grid, and the points that were given to the model."""

    mask: NDArray[np.bool_]
    prompts: tuple[PromptPoint, ...]


def whole_slices(
    visit: Visit, window: Window, first: int, last: int, backbone: Backbone, batch: int, progress: Progress
) -> Encoded:
    """Encode whole slices ``first`` to ``last`` of a visit at the model's own resolution."""
    grid = visit.volume.grid
    side = float(max(n * s for n, s in zip(grid.shape[1:], grid.spacing_kji[1:], strict=True)))
    centre = grid.to_ras((np.array(grid.shape) - 1) / 2.0)
    region = make_region(grid, centre, side, min(backbone.input_size, 512), first, last)
    return encode_region(visit.volume, region, window, backbone, batch, progress, f"encoding {visit.name}")


def carry_flat(
    baseline: Visit,
    structure: Structure,
    followup: Visit,
    alignment: Alignment,
    backbone: Backbone,
    parameters: PropagationParameters,
    progress: Progress,
) -> Prompted:
    """The structure on the follow-up's grid by ``parameters.method`` ("p2sam" or "persam") as published."""
    scan = followup.volume.grid
    planes = np.flatnonzero(structure.mask.any(axis=(1, 2)))
    pairs = _pairs(structure, scan, alignment, planes)
    if not pairs:
        return Prompted(np.zeros(scan.shape, dtype=bool), ())
    window = structure_window(baseline, structure, parameters.window)
    batch = parameters.encode_batch
    reference = whole_slices(baseline, window, int(planes[0]), int(planes[-1]), backbone, batch, progress)
    target = whole_slices(followup, window, min(pairs), max(pairs), backbone, batch, progress)
    masks = on_region(structure.mask, reference)
    preset = PERSAM_MEDICAL if parameters.method == "persam" else PUBLISHED_MEDICAL
    method = prompting_method(parameters.method)
    return prompt_slices(reference, target, masks, pairs, method, backbone, preset, progress, structure.name)


def prompt_slices(
    reference: Encoded,
    target: Encoded,
    masks: NDArray[np.bool_],
    pairs: Mapping[int, int],
    method: PromptingMethod,
    backbone: Backbone,
    parameters: P2SamParameters,
    progress: Progress,
    name: str,
) -> Prompted:
    """Prompt each follow-up slice of ``pairs`` with its baseline slice; the mask on the follow-up's own grid.

    ``masks`` (slices, P, P) is the structure on the reference's pixels; keys and values of ``pairs`` are slice indices
    of the scans. ``name`` is for the progress only.
    """
    known: dict[int, Reference] = {}
    field = np.full(target.grey.shape, -1.0, np.float32)
    points: dict[int, NDArray[np.float32]] = {}
    with torch.inference_mode():
        for done, (k, plane) in enumerate(pairs.items()):
            progress.step(f"prompting {name}", done, len(pairs))
            index = plane - reference.region.first
            if index not in known:
                known[index] = Reference.from_mask(
                    torch.from_numpy(masks[index]), reference.embeddings[index], backbone.input_size, parameters
                )
            answer = method(known[index], target.embeddings[k - target.region.first], backbone, parameters)
            points[k - target.region.first] = as_array(answer)
            field[k - target.region.first] = np.where(answer.mask.cpu().numpy(), 1.0, -1.0)
    result = np.zeros(target.region.scan.shape, dtype=bool)
    values, block = target.region.back(field)
    result[block] = values > 0
    return Prompted(result, prompt_points(target.region.grid, points))


def _pairs(structure: Structure, scan: Grid, alignment: Alignment, planes: NDArray[np.intp]) -> dict[int, int]:
    """Follow-up slice to baseline slice, for every follow-up slice whose rigid place carries the structure."""
    centre = scan.to_kji(alignment.map_to_followup(structure.centroid_ras()[None], "rigid"))[0]
    pairs = {}
    for k in range(scan.shape[0]):
        point = scan.to_ras(np.array([k, centre[1], centre[2]]))
        plane = float(structure.grid.to_kji(alignment.map_to_baseline(point[None], "rigid"))[0, 0])
        nearest = int(planes[np.argmin(np.abs(planes - plane))])
        if abs(nearest - plane) <= 0.5:
            pairs[k] = nearest
    return pairs
