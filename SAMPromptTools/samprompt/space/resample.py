"""Images and masks brought to another grid: exact where voxels coincide, averaged where the target is coarser."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.errors import GridError
from samprompt.space.crop import Box, crop_array
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume

Scalar = TypeVar("Scalar", bound=np.generic)

# Voxels of two grids coincide when no centre is farther than this (in voxels) from a centre of the other: text headers
# with six digits and float32 matrices of NIfTI differ by up to 0.002 at the far corner of a 512-voxel row.
_COINCIDE = 0.01


def resample_volume(volume: Volume, grid: Grid, order: int = 1, fill: float = -1000.0) -> Volume:
    """The image on ``grid``; ``fill`` (HU) where it has no voxels (beyond the outer voxels' outer faces).

    Where voxel centres coincide (cropped, padded, flipped or permuted grids) values are copied. Else splines of
    ``order`` (0 nearest, 1 linear, 3 cubic) interpolate; along axes on which ``grid`` is coarser the image is averaged
    over about the coarser voxel first, as a scanner with thicker slices would show it. The memory needed grows with the
    target and the part of the source under it.
    """
    to_source = grid.kji_to_kji(volume.grid)
    exact = _coinciding(volume.array, to_source, grid.shape, fill)
    array = exact if exact is not None else _interpolate(volume.array, to_source, grid.shape, order, fill)
    return Volume(array, grid, volume.modality, volume.source)


def resample_mask(mask: NDArray[np.bool_], from_grid: Grid, to_grid: Grid, order: int = 1) -> NDArray[np.bool_]:
    """A mask (bool, k, j, i) on another grid.

    Where voxel centres coincide it is copied. Else ``order`` 1 keeps a voxel when at least half of it is covered (the
    0.5 level of the linearly interpolated, averaged mask) and ``order`` 0 asks the nearest voxel. A structure smaller
    than a target voxel does not vanish: if no voxel is kept, those covered at least half as well as the best are.

    Raises:
        GridError: mask and ``from_grid`` have different shapes.
    """
    if mask.shape != from_grid.shape:
        raise GridError(f"Mask of shape {mask.shape} on a grid of shape {from_grid.shape}.", "Both are (k, j, i).")
    to_source = to_grid.kji_to_kji(from_grid)
    exact = _coinciding(mask, to_source, to_grid.shape, False)
    if exact is not None:
        return exact
    if not mask.any():
        return np.zeros(to_grid.shape, dtype=bool)
    # Only the mask's own box is interpolated, with a rim of background unless the array ends there.
    reach = int(np.ceil(np.linalg.norm(to_source[:3, :3], axis=1).max())) + 1
    around = Box.around(mask)
    box = Box.between(np.array(around.start) - reach, np.array(around.stop) + reach).clipped(from_grid.shape)
    moved = to_source.copy()
    moved[:3, 3] -= box.start
    covered = _interpolate(mask[box.slices].astype(np.float32), moved, to_grid.shape, order, 0.0)
    kept = covered >= 0.5 - 1e-4
    if not kept.any() and (best := float(covered.max())) > 1e-3:
        kept = covered >= best / 2
    return np.asarray(kept)


def grids_overlap(one: Grid, other: Grid) -> bool:
    """Whether the two blocks of voxels share any space (each block's bounding box in the other's indices is tested)."""
    for first, second in ((one, other), (other, one)):
        corners = first.to_kji(second.corners_ras())
        if (corners.max(axis=0) <= -0.5).any() or (corners.min(axis=0) >= np.array(first.shape) - 0.5).any():
            return False
    return True


def _coinciding(
    source: NDArray[Scalar], to_source: NDArray[np.float64], shape: tuple[int, int, int], fill: float
) -> NDArray[Scalar] | None:
    """Values of ``source`` at a target whose voxel centres coincide with its own, or None where they do not."""
    whole = np.rint(to_source)
    steps = whole[:3, :3].astype(int)
    if not (np.abs(steps).sum(axis=0) == 1).all() or not (np.abs(steps).sum(axis=1) == 1).all():
        return None
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1])).reshape(4, -1)
    if np.abs((to_source - whole) @ corners).max() > _COINCIDE:
        return None
    axes = [int(np.flatnonzero(steps[:, axis])[0]) for axis in range(3)]  # source axis of every target axis
    view = source.transpose(axes)
    start = []
    for axis, source_axis in enumerate(axes):
        offset = int(whole[source_axis, 3])
        if steps[source_axis, axis] < 0:
            view = np.flip(view, axis)
            offset = source.shape[source_axis] - 1 - offset
        start.append(offset)
    return crop_array(view, Box.between(start, np.add(start, shape)), fill)


def _interpolate(
    source: NDArray[np.float32],
    to_source: NDArray[np.float64],
    shape: tuple[int, int, int],
    order: int,
    fill: float,
) -> NDArray[np.float32]:
    """Values of ``source`` at every target index, plane by plane, ``fill`` beyond the source's outer faces."""
    result = np.full(shape, fill, dtype=np.float32)
    under = _reached(np.asarray(np.linalg.inv(to_source), dtype=np.float64), source.shape).clipped(
        shape
    )  # the target's part above the source
    if under.is_empty:
        return result
    moved = to_source.copy()
    moved[:3, 3] = (to_source @ np.array([*under.start, 1.0]))[:3]
    # Extent of a target voxel along each source axis, in source voxels. The norm, not the sum, of the row: a turned
    # grid of equal spacing is no coarser.
    width = np.linalg.norm(to_source[:3, :3], axis=1) if order > 0 else np.ones(3)
    margin = int(np.ceil(width.max())) + (12 if order > 1 else 2)  # 12: the spline's filter has decayed to 1e-7
    needed = _reached(moved, under.shape, margin).clipped((source.shape[0], source.shape[1], source.shape[2]))
    block = _averaged(source[needed.slices], width)
    moved[:3, 3] -= needed.start
    if order > 1:
        block = ndimage.spline_filter(block, order, output=np.float32, mode="mirror")
    edge = "mirror" if order > 1 else "nearest"  # splines are exact for mirrored borders, as in ITK
    plane = np.indices(under.shape[1:], dtype=np.float64).reshape(2, -1)
    within_plane = moved[:3, 1:3] @ plane + moved[:3, 3:]
    low = -0.5 - np.array(needed.start)[:, None] - 1e-6
    high = np.array(source.shape)[:, None] - 0.5 - np.array(needed.start)[:, None] + 1e-6
    for k in range(under.shape[0]):
        at = within_plane + k * moved[:3, :1]
        values = ndimage.map_coordinates(block, at, order=order, mode=edge, prefilter=False)
        values[((at < low) | (at > high)).any(axis=0)] = fill
        target = (under.start[0] + k, *under.slices[1:])
        result[target] = values.reshape(under.shape[1:])
    return result


def _reached(matrix: NDArray[np.float64], shape: tuple[int, ...], margin: int = 1) -> Box:
    """Box of the indices that the outer corners of an array of ``shape`` reach through ``matrix``, plus a margin."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape], [1.0])).reshape(4, -1)
    reached = (matrix @ corners)[:3]
    return Box.between(np.floor(reached.min(axis=1)) - margin, np.ceil(reached.max(axis=1)) + margin + 1)


def _averaged(block: NDArray[np.float32], width: NDArray[np.float64]) -> NDArray[np.float32]:
    """Running mean along the axes on which a target voxel spans more than one source voxel.

    Linear interpolation averages too, with a variance of 1/6 voxel2 over all positions, so the box is narrower than the
    target voxel: width2 - 2, which together has the target voxel's own variance of width2 / 12.
    """
    for axis, voxels in enumerate(width):
        if voxels <= 1.05:
            continue
        half = float(np.sqrt(max(voxels**2 - 2.0, 1.0))) / 2.0
        reach = int(np.ceil(half - 0.5))
        if reach < 1:
            continue
        taps = np.arange(-reach, reach + 1)
        weights = np.clip(np.minimum(taps + 0.5, half) - np.maximum(taps - 0.5, -half), 0.0, 1.0)
        block = ndimage.correlate1d(block, weights / weights.sum(), axis=axis, mode="nearest")
    return np.asarray(block, dtype=np.float32)
