"""The alignment round one structure, or round several that lie together: local rigid, then deformable, then judged."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samprompt.contract.errors import StructureError
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import AlignParameters
from samprompt.propagation.align.deformable import Features, enlarge, folding, refine, search, warp
from samprompt.propagation.align.matching import gauss_newton
from samprompt.propagation.align.quality import RING, Verdict, judge
from samprompt.propagation.align.region import Distance, Patch, interior, patch, region_grid
from samprompt.propagation.align.rigid import RigidAlignment, scene
from samprompt.propagation.align.sampling import apply, crop_to_box, grid_points, inverse
from samprompt.propagation.align.transform import Alignment, Stage
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume

_LOCAL_LIMIT = (30.0, np.deg2rad(15.0))  # a local step that moves further than this from the whole scan's is refused


def align_structure(
    baseline: Volume,
    followup: Volume,
    structure: Structure,
    rigid: RigidAlignment,
    parameters: AlignParameters | None = None,
    progress: Progress | None = None,
) -> Alignment:
    """Local rigid and deformable alignment round one structure of the baseline, with its quality.

    Never worse than the rigid step by its own measure: a stage that does not raise the agreement is left out.

    Raises:
        StructureError: the structure is empty.
        Cancelled: through ``progress``.
    """
    return align_structures(baseline, followup, [structure], rigid, parameters, progress)[0]


def align_structures(
    baseline: Volume,
    followup: Volume,
    structures: Sequence[Structure],
    rigid: RigidAlignment,
    parameters: AlignParameters | None = None,
    progress: Progress | None = None,
) -> list[Alignment]:
    """``align_structure`` for several structures, in their order; those that lie together share one region's work.

    Raises:
        StructureError: a structure is empty.
        Cancelled: through ``progress``.
    """
    parameters = parameters or AlignParameters()
    progress = progress or Progress()
    for structure in structures:
        if structure.is_empty:
            raise StructureError(
                f"The structure {structure.name!r} is empty on the baseline.", "Leave it out or contour it first."
            )
    if 1 in (min(baseline.grid.shape), min(followup.grid.shape)):
        return [_flat(rigid, parameters) for _ in structures]
    found: dict[int, Alignment] = {}
    for group in _groups(structures, parameters):
        members = [structures[n] for n in group]
        found.update(zip(group, _align_group(baseline, followup, members, rigid, parameters, progress), strict=True))
    return [found[n] for n in range(len(structures))]


def _groups(structures: Sequence[Structure], parameters: AlignParameters) -> list[list[int]]:
    """Indices of structures to align together: their boxes with margin fill most of the box round them all."""
    boxes = []
    for structure in structures:
        ras = structure.grid.to_ras(np.argwhere(structure.mask))
        margin = parameters.deformable_margin
        boxes.append((ras.min(axis=0) - margin, ras.max(axis=0) + margin))
    groups: list[tuple[list[int], NDArray[np.float64], NDArray[np.float64]]] = []
    for number, (low, high) in enumerate(boxes):
        for place, (members, group_low, group_high) in enumerate(groups):
            both_low, both_high = np.minimum(low, group_low), np.maximum(high, group_high)
            apart = float(np.prod(high - low) + np.prod(group_high - group_low))
            together = float(np.prod(both_high - both_low))
            # One region for both must cost less than one for each, and keep the fine spacing.
            if together <= 0.8 * apart and together <= parameters.maximum_voxels * parameters.deformable_spacing**3:
                groups[place] = ([*members, number], both_low, both_high)
                break
        else:
            groups.append(([number], low, high))
    return [members for members, _, _ in groups]


def _align_group(
    baseline: Volume,
    followup: Volume,
    structures: Sequence[Structure],
    rigid: RigidAlignment,
    parameters: AlignParameters,
    progress: Progress,
) -> list[Alignment]:
    """One region, one local rigid and one deformable step for all; quality and decision for each."""
    seconds = dict(rigid.seconds)
    distance = Distance(structures, RING + 10.0)
    surface = distance.surface()
    grid = region_grid(apply(inverse(rigid.matrix), surface), followup.grid, parameters)
    if grid is None:
        reason = "The structure lies outside the follow-up's field of view."
        return [_fallback(rigid, (reason, *rigid.reasons), seconds, parameters.local_margin) for _ in structures]
    spacing = float(grid.spacing[0])
    progress.step("local rigid", 0, 3)
    began = time.perf_counter()
    points = grid_points(grid)
    local = _local_rigid(baseline, followup, distance, rigid, points, parameters, spacing)
    seconds["local"] = time.perf_counter() - began
    progress.step("deformable", 1, 3)
    began = time.perf_counter()
    fixed = patch(followup, rigid.followup_body, points, spacing)
    by_rigid = patch(baseline, rigid.baseline_body, apply(rigid.matrix, points), spacing)
    by_local = patch(baseline, rigid.baseline_body, apply(local, points), spacing)
    depth = distance(apply(local, points))
    field, inconsistency = _deform(fixed, by_local, depth, spacing, parameters, progress)
    seconds["deformable"] = time.perf_counter() - began
    progress.step("quality", 2, 3)
    began = time.perf_counter()
    images = {"rigid": by_rigid, "local": by_local, "deformable": _warped(by_local, field, spacing)}
    displacement = field.flip(0).numpy()
    places = {
        "rigid": apply(rigid.matrix, points),
        "local": apply(local, points),
        "deformable": apply(local, points + np.moveaxis(displacement, 0, -1)),
    }
    results = []
    for structure in structures:
        own = distance if len(structures) == 1 else Distance([structure], RING + 10.0)
        judged = judge(fixed, images, {k: own(v) for k, v in places.items()}, field, inconsistency, spacing, parameters)
        results.append(_decide(rigid, local, displacement, grid, judged, parameters, seconds))
    seconds["quality"] = time.perf_counter() - began
    return results


def _warped(image: Patch, field: Tensor, spacing: float) -> Patch:
    """The local rigid patch through the displacement."""
    both = Features(torch.stack([image.values, image.body]), image.weight)
    values, seen = warp(both, field, spacing)
    return Patch(values[0], seen, values[1], image.noise, image.modality)


def _local_rigid(
    baseline: Volume,
    followup: Volume,
    distance: Distance,
    rigid: RigidAlignment,
    points: NDArray[np.float64],
    parameters: AlignParameters,
    spacing: float,
) -> NDArray[np.float64]:
    """Rigid matrix that fits the surroundings of the structure; the whole scan's where none is found."""
    reach = points.reshape(-1, 3)
    fixed_block = crop_to_box(followup.array, followup.grid, reach, 10.0)
    moving_block = crop_to_box(baseline.array, baseline.grid, apply(rigid.matrix, reach), 25.0)
    if fixed_block is None or moving_block is None:
        return rigid.matrix
    fixed = scene(Volume(*fixed_block, followup.modality), rigid.followup_body, rigid.followup_range, spacing)
    moving = scene(Volume(*moving_block, baseline.modality), rigid.baseline_body, rigid.baseline_range, spacing)
    depth = distance(apply(rigid.matrix, reach))
    near = depth > -parameters.local_margin
    chosen, depth = reach[near], depth[near]
    if len(chosen) > 30000:
        pick = np.sort(np.random.default_rng(0).choice(len(chosen), 30000, replace=False))
        chosen, depth = chosen[pick], depth[pick]
    weights = interior(depth, parameters.interior_weight).astype(np.float64)
    matrix = gauss_newton(fixed.smoothed(5.0), moving.smoothed(5.0), chosen, rigid.matrix, 15, weights)
    matrix = gauss_newton(fixed.smoothed(2.0), moving.smoothed(2.0), chosen, matrix, 15, weights)
    change = matrix @ inverse(rigid.matrix)
    centre = apply(rigid.matrix, chosen).mean(axis=0) if len(chosen) else np.zeros(3)
    shift = float(np.linalg.norm(apply(change, centre) - centre))
    angle = float(np.arccos(np.clip((np.trace(change[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)))
    if shift > _LOCAL_LIMIT[0] or angle > _LOCAL_LIMIT[1] or not np.isfinite(matrix).all():
        return rigid.matrix
    return matrix


def _deform(
    fixed: Patch,
    moving: Patch,
    depth: NDArray[np.float32],
    spacing: float,
    parameters: AlignParameters,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """Displacement (3, k, j, i) in mm along (k, j, i) of the region, and its inverse inconsistency in mm (k, j, i).

    The inconsistency comes from matching the other way round, independently, on the coarse grid: where there and back
    does not return to the start, at least one of the two is wrong.
    """
    importance = torch.from_numpy(interior(depth, parameters.interior_weight))
    shape = (depth.shape[0], depth.shape[1], depth.shape[2])
    with torch.no_grad():
        here, there = fixed.features(), moving.features()
        here, there = (Features(f.values, f.weight * importance) for f in (here, there))
        here_coarse, there_coarse = here.halved(), there.halved()
        coarse = []
        for number, (a, b) in enumerate(((here_coarse, there_coarse), (there_coarse, here_coarse))):
            progress.step("deformable", number, 3)
            start = search(a, b, 2.0 * spacing, parameters.search_reach)
            coarse.append(refine(a, b, start, 2.0 * spacing, parameters.smoothness, parameters.iterations))
        back, _ = warp(Features(coarse[1], here_coarse.weight), coarse[0], 2.0 * spacing)
        inconsistency = (coarse[0] + back).square().sum(dim=0).sqrt()
        progress.step("deformable", 2, 3)
        field = enlarge(coarse[0], shape)
        smoothness = parameters.smoothness
        field = refine(here, there, field, spacing, smoothness, parameters.iterations)
        for _ in range(3):
            if folding(field, spacing)[0] <= 0.1 * parameters.maximum_folding:
                break
            smoothness *= 4.0
            field = refine(here, there, field, spacing, smoothness, parameters.iterations)
        return field, enlarge(inconsistency[None], shape)[0]


def _decide(
    rigid: RigidAlignment,
    local: NDArray[np.float64],
    displacement: NDArray[np.float32],
    grid: Grid,
    judged: Verdict,
    parameters: AlignParameters,
    seconds: dict[str, float],
) -> Alignment:
    """The best stage by the agreement of the images, and whether it can be trusted."""
    reasons = list(rigid.reasons)
    stage: Stage = "rigid"
    if judged.agreement["local"] >= judged.agreement["rigid"]:
        stage = "local"
    if judged.agreement["deformable"] > judged.agreement[stage] and judged.folding <= parameters.maximum_folding:
        stage = "deformable"
    quality = judged.quality(stage)
    if quality < parameters.trusted_quality:
        reasons.extend(judged.reasons(stage))
    bent = stage == "deformable"
    return Alignment(
        rigid=rigid.matrix,
        # The displacement was worked out on top of the local matrix, so with it the local one stays.
        local_rigid=local if stage != "rigid" else rigid.matrix,
        displacement=displacement if bent else None,
        displacement_grid=grid if bent else None,
        stage=stage,
        quality=quality,
        rigid_quality=rigid.quality,
        body_overlap=rigid.body_overlap,
        folding=judged.folding if bent else 0.0,
        trusted=not reasons,
        error_mm=min(judged.error_mm(stage), parameters.local_margin),
        reasons=tuple(reasons),
        seconds=seconds,
        stage_quality=dict(judged.agreement),
    )


def _flat(rigid: RigidAlignment, parameters: AlignParameters) -> Alignment:
    """The whole scan's rigid alignment for a single slice: a deformation out of its plane could not be seen."""
    return Alignment(
        rigid.matrix, rigid.matrix, None, None, "rigid", rigid.quality, rigid.quality, rigid.body_overlap, 0.0,
        rigid.trusted, parameters.deformable_spacing, rigid.reasons, dict(rigid.seconds),
    )  # fmt: skip


def _fallback(rigid: RigidAlignment, reasons: tuple[str, ...], seconds: dict[str, float], error_mm: float) -> Alignment:
    """The whole scan's rigid alignment, not trusted."""
    return Alignment(
        rigid.matrix, rigid.matrix, None, None, "rigid", 0.0, rigid.quality, rigid.body_overlap, 0.0, False,
        error_mm, reasons, seconds,
    )  # fmt: skip
