"""The square cut from each slice round a structure, and the way between its pixels and the scan's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.propagation import RegionParameters
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume


@dataclass(frozen=True, eq=False)
class Region:
    """Slices ``first`` to ``first + grid.shape[0] - 1`` of ``scan``, seen through a square of ``grid``'s pixels.

    ``rows`` (P, nj) and ``columns`` (P, ni) average the scan's pixels over each region pixel (tent kernel, no
    aliasing); ``inside`` (P, P) is False where the square leaves the scan.
    """

    scan: Grid
    grid: Grid
    first: int
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    inside: NDArray[np.bool_]

    @property
    def pixel(self) -> float:
        """Side of a region pixel in mm."""
        return float(self.grid.spacing[0])

    @property
    def pixel_area(self) -> float:
        """Area of a region pixel in mm2."""
        return self.pixel**2

    def sample(self, array: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
        """The scan's slices on the region's pixels, (slices, P, P); ``fill`` outside the scan."""
        block = array[self.first : self.first + self.grid.shape[0]].astype(np.float32) - np.float32(fill)
        result = np.matmul(np.matmul(self.rows, block), self.columns.T)
        return np.asarray(result + np.float32(fill), dtype=np.float32)

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of the scan on the region's pixels; a section smaller than a pixel keeps its best-covered one."""
        soft = self.sample(mask.astype(np.float32), 0.0)
        result = soft >= 0.5
        for index in np.flatnonzero(~result.any(axis=(1, 2)) & (soft.max(axis=(1, 2)) > 0.05)):
            result[index] = soft[index] >= soft[index].max()
        return np.asarray(result)

    def back(self, field: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[slice, slice, slice]]:
        """A field (slices, P, P) linearly interpolated at the scan's own pixels, and the block of the scan it fills."""
        rows, j0, j1 = _interpolation(self.scan, self.grid, axis=1)
        columns, i0, i1 = _interpolation(self.scan, self.grid, axis=2)
        values = np.matmul(np.matmul(rows, field.astype(np.float32)), columns.T)
        block = (slice(self.first, self.first + self.grid.shape[0]), slice(j0, j1), slice(i0, i1))
        return np.asarray(values, dtype=np.float32), block


def side_of(boxes_mm: NDArray[np.float64], parameters: RegionParameters) -> float:
    """Side (mm) of the square for an in-plane box ``boxes_mm`` (2 lengths in mm)."""
    longest = float(np.max(boxes_mm))
    return max(longest * parameters.enlargement, longest + 2 * parameters.margin, parameters.minimum_side)


def make_region(scan: Grid, centre_ras: NDArray[np.float64], side: float, pixels: int, first: int, last: int) -> Region:
    """Square of ``side`` mm and ``pixels`` pixels round ``centre_ras`` on slices ``first`` to ``last`` of ``scan``."""
    first, last = max(0, first), min(scan.shape[0] - 1, last)
    pixel = side / pixels
    centre = scan.to_kji(centre_ras)
    centre[0] = first
    middle = scan.to_ras(centre)
    matrix = np.eye(4)
    matrix[:3, :3] = scan.directions @ np.diag([pixel, pixel, scan.spacing[2]])
    matrix[:3, 3] = middle - matrix[:3, :3] @ np.array([(pixels - 1) / 2, (pixels - 1) / 2, 0.0])
    grid = Grid((last - first + 1, pixels, pixels), matrix)
    rows, inside_j = _averaging(scan, grid, axis=1)
    columns, inside_i = _averaging(scan, grid, axis=2)
    return Region(scan, grid, first, rows, columns, inside_j[:, None] & inside_i[None, :])


def _places(of: Grid, on: Grid, axis: int) -> NDArray[np.float64]:
    """Index along ``axis`` of ``on`` of every index along the same axis of ``of`` (the axes are parallel)."""
    kji = np.zeros((of.shape[axis], 3))
    kji[:, axis] = np.arange(of.shape[axis])
    return np.asarray(on.to_kji(of.to_ras(kji))[:, axis])


def _averaging(scan: Grid, grid: Grid, axis: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    places = _places(grid, scan, axis)
    reach = max(1.0, float(grid.spacing_kji[axis] / scan.spacing_kji[axis]))
    distance = np.abs(places[:, None] - np.arange(scan.shape[axis])[None])
    weights = np.clip(1.0 - distance / reach, 0.0, None)
    inside = (places >= -0.5) & (places <= scan.shape[axis] - 0.5)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0, weights / np.maximum(total, 1e-9), 0.0) * inside[:, None]
    return weights.astype(np.float32), inside


def _interpolation(scan: Grid, grid: Grid, axis: int) -> tuple[NDArray[np.float32], int, int]:
    places = _places(scan, grid, axis)
    within = np.flatnonzero((places >= -0.5) & (places <= grid.shape[axis] - 0.5))
    if within.size == 0:
        return np.zeros((0, grid.shape[axis]), np.float32), 0, 0
    low, high = int(within[0]), int(within[-1]) + 1
    places = np.clip(places[low:high], 0, grid.shape[axis] - 1)
    weights = np.clip(1.0 - np.abs(places[:, None] - np.arange(grid.shape[axis])[None]), 0.0, None)
    return weights.astype(np.float32), low, high


def in_plane_box(structure: Structure) -> tuple[NDArray[np.float64], NDArray[np.float64], int, int]:
    """Centre (RAS), in-plane lengths (mm, 2), first and last slice of a structure that is not empty."""
    found = np.argwhere(structure.mask)
    low, high = found.min(axis=0), found.max(axis=0)
    centre = structure.grid.to_ras((low + high) / 2.0)
    lengths = (high - low + 1)[1:] * structure.grid.spacing_kji[1:]
    return centre, lengths, int(low[0]), int(high[0])


def fill_value(volume: Volume) -> float:
    """What a square shows outside the scan: air on CT, the darkest value elsewhere."""
    return -1000.0 if volume.modality == "CT" else float(volume.array.min())
