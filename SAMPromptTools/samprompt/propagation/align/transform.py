"""The transform from a follow-up to its baseline, and what is carried through it: points, contours, images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.propagation.align.sampling import apply, grid_points, inside, inverse, sample
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume

Stage = Literal["deformable", "local", "rigid", "copied"]

# Beyond the region of interest the displacement decays with this length (mm): slow enough never to fold.
_DECAY = 40.0


@dataclass(frozen=True, eq=False)
class Alignment:
    """Maps follow-up RAS mm to baseline RAS mm (the backward map that resamples the baseline onto the follow-up).

    The stages are ``x`` (copied), ``rigid @ x``, ``local_rigid @ x`` and ``local_rigid @ (x + displacement(x))``.
    ``displacement`` is (3, k, j, i) in RAS mm on ``displacement_grid``, a region round the structure in follow-up
    space, or None when the deformable stage was not run or not better than the local rigid one.

    ``stage`` is the best stage, the one "deformable" ends at. ``quality`` in [0, 1] tells how well the two images agree
    round the structure through that stage, measured against what their noise allows; ``rigid_quality`` the same for the
    whole scan after the rigid stage. ``body_overlap`` is the Dice of the two bodies where both scans look. ``folding``
    is the share of voxels with a non-positive Jacobian, ``error_mm`` the estimated error of the map round the
    structure. ``trusted`` with its ``reasons`` says whether to rely on it; ``seconds`` per stage.
    """

    rigid: NDArray[np.float64]
    local_rigid: NDArray[np.float64]
    displacement: NDArray[np.float32] | None
    displacement_grid: Grid | None
    stage: Stage
    quality: float
    rigid_quality: float
    body_overlap: float
    folding: float
    trusted: bool
    error_mm: float
    reasons: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    stage_quality: dict[str, float] = field(default_factory=dict)

    def displacement_at(self, ras_followup: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacement in mm at follow-up points (..., 3); it decays smoothly outside the region of interest."""
        points = np.asarray(ras_followup, dtype=np.float64)
        if self.displacement is None or self.displacement_grid is None:
            return np.zeros_like(points)
        grid = self.displacement_grid
        kji = grid.to_kji(points)
        nearest = np.clip(kji, 0.0, np.array(grid.shape) - 1.0)
        outside = np.linalg.norm((kji - nearest) * grid.spacing_kji, axis=-1)
        values = np.moveaxis(sample(self.displacement, nearest), 0, -1)
        return np.asarray(values * np.exp(-outside / _DECAY)[..., None], dtype=np.float64)

    def map_to_baseline(self, ras_followup: NDArray[np.float64], stage: Stage = "deformable") -> NDArray[np.float64]:
        """Baseline RAS mm of follow-up RAS mm, both (..., 3), through the transform up to ``stage``."""
        points = np.asarray(ras_followup, dtype=np.float64)
        if stage == "copied":
            return points
        if stage == "rigid":
            return apply(self.rigid, points)
        if stage == "local":
            return apply(self.local_rigid, points)
        return apply(self.local_rigid, points + self.displacement_at(points))

    def map_to_followup(self, ras_baseline: NDArray[np.float64], stage: Stage = "deformable") -> NDArray[np.float64]:
        """Inverse of ``map_to_baseline``, by fixed-point iteration (within 0.01 mm where nothing folds)."""
        points = np.asarray(ras_baseline, dtype=np.float64)
        if stage == "copied":
            return points
        if stage == "rigid":
            return apply(inverse(self.rigid), points)
        start = apply(inverse(self.local_rigid), points)
        if stage == "local" or self.displacement is None:
            return start
        found = start - self.displacement_at(start)
        for _ in range(20):
            # Damped, because the displacement's gradient may locally come close to 1.
            found = found + 0.7 * (start - self.displacement_at(found) - found)
        return found


def signed_distance(mask: NDArray[np.bool_], spacing_kji: NDArray[np.float64]) -> NDArray[np.float32]:
    """Distance to the boundary in mm, positive inside; zero half-way between a voxel inside and one outside."""
    if not mask.any():
        return np.full(mask.shape, -1e3, dtype=np.float32)
    if mask.all():
        return np.full(mask.shape, 1e3, dtype=np.float32)
    within = ndimage.distance_transform_edt(mask, sampling=spacing_kji)
    without = ndimage.distance_transform_edt(~mask, sampling=spacing_kji)
    return np.asarray(within - without, dtype=np.float32)


def padded_distance(structure: Structure, margin: float) -> tuple[NDArray[np.float32], Grid]:
    """Signed distance (mm) on the structure's own grid, cropped to its box with ``margin`` mm round it.

    The box may reach beyond the scan, where nothing is contoured, so a structure cut by the border ends there.
    """
    found = np.argwhere(structure.mask)
    pad = np.maximum(np.ceil(margin / structure.grid.spacing_kji).astype(int), 2)
    start = found.min(axis=0) - pad
    stop = found.max(axis=0) + 1 + pad
    low, high = np.maximum(start, 0), np.minimum(stop, structure.grid.shape)
    block = np.zeros(stop - start, dtype=bool)
    target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    block[target] = structure.mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    grid = structure.grid.crop(start, (block.shape[0], block.shape[1], block.shape[2]))
    return signed_distance(block, structure.grid.spacing_kji), grid


def warp_mask(structure: Structure, alignment: Alignment, grid: Grid, stage: Stage = "deformable") -> NDArray[np.bool_]:
    """The baseline's structure through the transform onto ``grid`` (the follow-up's own, usually); bool, (k, j, i).

    The signed distance is interpolated, not the mask: contours drawn 3 mm apart come out smooth between their slices
    (shape-based interpolation, Raya and Udupa 1990). On its own grid with nothing moved the mask comes back unchanged.
    """
    result = np.zeros(grid.shape, dtype=bool)
    if structure.is_empty:
        return result
    distance, own = padded_distance(structure, 6.0)
    surface = own.to_ras(np.argwhere(distance > -float(np.linalg.norm(own.spacing)) * 1.01))
    kji = grid.to_kji(alignment.map_to_followup(surface, stage))
    start = np.maximum(np.floor(kji.min(axis=0)).astype(int) - 2, 0)
    stop = np.minimum(np.ceil(kji.max(axis=0)).astype(int) + 3, grid.shape)
    if (stop <= start).any():
        return result
    shape = tuple(int(n) for n in stop - start)
    points = grid_points(grid.crop(start, (shape[0], shape[1], shape[2])))
    for k in range(shape[0]):
        value = sample(distance, own.to_kji(alignment.map_to_baseline(points[k], stage)))
        # A tie (half a voxel moved) counts as inside: a one-voxel structure must not vanish.
        result[start[0] + k, start[1] : stop[1], start[2] : stop[2]] = value >= -1e-4
    if not result.any():
        # Smaller than a voxel and between voxel centres: the voxel that holds its deepest point stands for it.
        deepest = own.to_ras(np.array(np.unravel_index(int(np.argmax(distance)), distance.shape)))
        place = grid.to_kji(alignment.map_to_followup(deepest[None], stage))[0]
        if inside(grid.shape, place):
            result[tuple(np.clip(np.round(place).astype(int), 0, np.array(grid.shape) - 1))] = True
    return result


def copied_mask(structure: Structure, grid: Grid) -> NDArray[np.bool_]:
    """The structure at the same RAS place on another grid, no alignment; bool, (k, j, i)."""
    return warp_mask(structure, identity_alignment(), grid, "copied")


def warp_volume(
    volume: Volume, alignment: Alignment, grid: Grid, stage: Stage = "deformable", fill: float = -1000.0
) -> NDArray[np.float32]:
    """The baseline's image through the transform onto ``grid``, float32 (k, j, i), ``fill`` where it has no voxels.

    Where ``grid`` is coarser than the image (thicker slices), the image is averaged over the coarser voxel first, so
    that both show the same partial volume.
    """
    # Extent of a target voxel along each axis of the source.
    extent = np.abs(volume.grid.directions.T @ grid.directions) @ grid.spacing
    size = np.maximum(np.round(extent / volume.grid.spacing), 1).astype(int)[::-1]
    source = volume.array
    if (size > 1).any():
        source = ndimage.uniform_filter(source, size=[int(n) for n in size], mode="nearest")
    result = np.full(grid.shape, fill, dtype=np.float32)
    for k in range(grid.shape[0]):
        plane = grid_points(grid.crop((k, 0, 0), (1, grid.shape[1], grid.shape[2])))
        kji = volume.grid.to_kji(alignment.map_to_baseline(plane[0], stage))
        within = inside(volume.grid.shape, kji)
        if within.any():
            result[k][within] = sample(source, kji[within])
    return result


def identity_alignment() -> Alignment:
    """The alignment that moves nothing (two visits that are known to share their coordinates); not trusted."""
    return Alignment(
        np.eye(4), np.eye(4), None, None, "copied", 0.0, 0.0, 0.0, 0.0, False, 40.0, ("No alignment was made.",)
    )
