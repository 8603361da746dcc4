"""Values of an array between its voxels, and arrays brought to a coarser grid without aliasing."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from samprompt.space.grid import Grid


def sample(array: NDArray[np.float32], kji: NDArray[np.float64]) -> NDArray[np.float32]:
    """Trilinear values of ``array`` at fractional indices; beyond the outer voxel centres the nearest value holds.

    ``array`` is (k, j, i) or (channels, k, j, i), ``kji`` is (..., 3); the answer is (...) or (channels, ...).
    """
    channels = array[None] if array.ndim == 3 else array
    size = np.maximum(np.array(channels.shape[1:], dtype=np.float64) - 1.0, 1.0)
    points = np.asarray(kji, dtype=np.float64).reshape(-1, 3)
    # align_corners=True puts the outer voxel centres at -1 and 1; the last axis is x = i.
    normal = torch.from_numpy((points / size * 2.0 - 1.0)[:, ::-1].astype(np.float32))
    source = torch.from_numpy(np.ascontiguousarray(channels, dtype=np.float32))
    values = functional.grid_sample(
        source[None], normal[None, None, None], mode="bilinear", padding_mode="border", align_corners=True
    )
    out = values[0, :, 0, 0].numpy().reshape(channels.shape[0], *kji.shape[:-1])
    return np.asarray(out[0] if array.ndim == 3 else out)


def inside(shape: tuple[int, int, int], kji: NDArray[np.float64], beyond: float = 0.5) -> NDArray[np.bool_]:
    """Whether fractional indices lie in the array: at most ``beyond`` voxels past the outer voxel centres."""
    last = np.array(shape, dtype=np.float64) - 1.0
    return np.asarray(((kji >= -beyond) & (kji <= last + beyond)).all(axis=-1))


def grid_points(grid: Grid) -> NDArray[np.float64]:
    """RAS mm of every voxel centre of ``grid``, (k, j, i, 3)."""
    axes = [np.arange(n, dtype=np.float64) for n in grid.shape]
    step = grid.ijk_to_ras[:3, :3]
    along_k = axes[0][:, None] * step[:, 2]
    along_j = axes[1][:, None] * step[:, 1]
    along_i = axes[2][:, None] * step[:, 0] + grid.ijk_to_ras[:3, 3]
    return np.asarray(along_k[:, None, None] + along_j[None, :, None] + along_i[None, None])


def apply(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., 3) through a 4x4 matrix."""
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of a 4x4 matrix."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def block_mean(array: NDArray[np.float32], grid: Grid, spacing: float) -> tuple[NDArray[np.float32], Grid]:
    """Mean over blocks of whole voxels so that no axis is finer than about ``spacing`` mm; and the blocks' grid.

    Trailing voxels that fill no block are left out, so every value keeps its exact place.
    """
    factors = tuple(
        max(1, min(int(n), int(spacing / step + 0.25))) for n, step in zip(grid.shape, grid.spacing_kji, strict=True)
    )
    if factors == (1, 1, 1):
        return array, grid
    pooled = functional.avg_pool3d(torch.from_numpy(np.ascontiguousarray(array))[None, None], factors)[0, 0].numpy()
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] = grid.to_ras([(f - 1) / 2.0 for f in factors])
    matrix[:3, :3] = matrix[:3, :3] * np.array(factors[::-1], dtype=np.float64)
    return pooled, Grid((pooled.shape[0], pooled.shape[1], pooled.shape[2]), matrix)


def crop_to_box(
    array: NDArray[np.float32], grid: Grid, ras_points: NDArray[np.float64], margin: float
) -> tuple[NDArray[np.float32], Grid] | None:
    """The block of an array that holds ``ras_points`` (n, 3) with ``margin`` mm round them; None without overlap."""
    kji = grid.to_kji(ras_points)
    pad = margin / grid.spacing_kji
    start = np.maximum(np.floor(kji.min(axis=0) - pad).astype(int), 0)
    stop = np.minimum(np.ceil(kji.max(axis=0) + pad).astype(int) + 1, grid.shape)
    if (stop <= start).any():
        return None
    block = array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    return block, grid.crop(start, (block.shape[0], block.shape[1], block.shape[2]))


def box_grid(low: NDArray[np.float64], high: NDArray[np.float64], spacing: float) -> Grid:
    """Grid along the RAS axes whose voxel centres cover the box from ``low`` to ``high`` (mm)."""
    count = np.maximum(np.ceil((high - low) / spacing).astype(int) + 1, 1)
    origin = (low + high) / 2.0 - (count - 1) / 2.0 * spacing
    return Grid.from_spacing((int(count[2]), int(count[1]), int(count[0])), [spacing] * 3, origin)
