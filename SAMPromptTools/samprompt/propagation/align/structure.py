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
from samprompt.propagation.align.quality import agreement, compressed, eroded
from samprompt.propagation.align.region import Distance, Patch, interior, patch, region_grid, ring
from samprompt.propagation.align.rigid import RigidAlignment, scene
from samprompt.propagation.align.sampling import apply, crop_to_box, grid_points
from samprompt.propagation.align.transform import Alignment, Stage
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume

_RING = 25.0  # mm round the structure over which the agreement is measured
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
    distance = Distance(structures, _RING + 10.0)
    surface = distance.surface()
    grid = region_grid(apply(np.linalg.inv(rigid.matrix), surface), followup.grid, parameters)
    if grid is None:
        reason = "The structure lies outside the follow-up's field of view."
        return [_fallback(rigid, (reason, *rigid.reasons), seconds) for _ in structures]
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
    field = _deform(fixed, by_local, depth, spacing, parameters, progress)
    folds, _ = folding(field, spacing)
    seconds["deformable"] = time.perf_counter() - began
    progress.step("quality", 2, 3)
    began = time.perf_counter()
    moved = Features(by_local.values[None], by_local.weight)
    warped, seen = warp(moved, field, spacing)
    body_warped = warp(Features(by_local.body[None], by_local.weight), field, spacing)[0][0]
    by_field = Patch(warped[0], seen, body_warped, by_local.noise, by_local.modality)
    displacement = field.flip(0).numpy()
    results = []
    for structure in structures:
        own = Distance([structure], _RING + 10.0)
        stages: dict[Stage, tuple[Patch, NDArray[np.float64]]] = {
            "rigid": (by_rigid, rigid.matrix),
            "local": (by_local, local),
        }
        quality = {}
        for stage, (image, matrix) in stages.items():
            quality[stage] = _quality(fixed, image, own(apply(matrix, points)), parameters)
        through = points + np.moveaxis(displacement, 0, -1)
        quality["deformable"] = _quality(fixed, by_field, own(apply(local, through)), parameters)
        results.append(_decide(rigid, local, displacement, grid, quality, folds, parameters, seconds))
    seconds["quality"] = time.perf_counter() - began
    return results


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
    change = matrix @ np.linalg.inv(rigid.matrix)
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
) -> Tensor:
    """Displacement (3, k, j, i) in mm along (k, j, i) of the region."""
    importance = torch.from_numpy(interior(depth, parameters.interior_weight))
    with torch.no_grad():
        fine_fixed, fine_moving = fixed.features(), moving.features()
        fine_fixed = Features(fine_fixed.values, fine_fixed.weight * importance)
        coarse_fixed, coarse_moving = fine_fixed.halved(), fine_moving.halved()
        field = search(coarse_fixed, coarse_moving, 2.0 * spacing, parameters.search_reach)
        progress.step("deformable", 2, 3)
        field = refine(coarse_fixed, coarse_moving, field, 2.0 * spacing, parameters.smoothness, parameters.iterations)
        field = enlarge(field, (fixed.values.shape[0], fixed.values.shape[1], fixed.values.shape[2]))
        field = refine(fine_fixed, fine_moving, field, spacing, parameters.smoothness, parameters.iterations)
    return field


def _quality(fixed: Patch, moved: Patch, depth: NDArray[np.float32], parameters: AlignParameters) -> float:
    """Agreement in the ring of the structure, inside the follow-up's body."""
    # Two voxels under the skin: its steep edge would outweigh everything that tells one anatomy from another.
    within = (eroded(fixed.body, 2) * moved.weight > 0.99).float()
    weight = torch.from_numpy(ring(depth, _RING, parameters.interior_weight)) * within
    return agreement(
        compressed(fixed.values, fixed.modality),
        compressed(moved.values, moved.modality),
        weight,
        fixed.noise,
        moved.noise,
    )[0]


def _decide(
    rigid: RigidAlignment,
    local: NDArray[np.float64],
    displacement: NDArray[np.float32],
    grid: Grid,
    quality: dict[Stage, float],
    folds: float,
    parameters: AlignParameters,
    seconds: dict[str, float],
) -> Alignment:
    """The best stage by its own measure, and whether it can be trusted."""
    reasons = list(rigid.reasons)
    stage: Stage = "rigid"
    if quality["local"] >= quality["rigid"]:
        stage = "local"
    else:
        local = rigid.matrix
    if quality["deformable"] > quality[stage] and np.isfinite(displacement).all():
        stage = "deformable"
    value = quality[stage]
    if value < parameters.trusted_quality:
        reasons.append(f"The images agree by only {value:.2f} round the structure.")
    return Alignment(
        rigid.matrix, local, displacement if stage == "deformable" else None,
        grid if stage == "deformable" else None, stage, value, rigid.quality, rigid.body_overlap,
        folds if stage == "deformable" else 0.0, not reasons, 0.0, tuple(reasons), seconds,
        {str(k): v for k, v in quality.items()},
    )  # fmt: skip


def _fallback(rigid: RigidAlignment, reasons: tuple[str, ...], seconds: dict[str, float]) -> Alignment:
    """The whole scan's rigid alignment, not trusted."""
    return Alignment(
        rigid.matrix, rigid.matrix, None, None, "rigid", 0.0, rigid.quality, rigid.body_overlap, 0.0, False,
        float("inf"), reasons, seconds,
    )  # fmt: skip
