"""The same anatomical axes for two visits: permute and flip arrays without resampling, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume

# RAS direction of increasing k, j, i for slices across each anatomical axis: as radiologists look at them.
_FRAMES = {
    2: ((0, 0, 1), (0, -1, 0), (-1, 0, 0)),  # axial: k to superior, rows to posterior, columns to left
    1: ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),  # coronal
    0: ((1, 0, 0), (0, 0, -1), (0, -1, 0)),  # sagittal
}


@dataclass(frozen=True)
class Orientation:
    """Permutation and flips of array axes: old axis ``axes[n]`` becomes axis n, reversed where ``flips[n]``."""

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """A view of ``array`` (k, j, i) in the new order."""
        return array.transpose(self.axes)[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]

    def undo(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """The inverse of ``apply``, contiguous."""
        flipped = array[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]
        return np.ascontiguousarray(flipped.transpose(np.argsort(self.axes)))

    def grid(self, grid: Grid) -> Grid:
        """The grid of ``apply``'s result."""
        shape = tuple(grid.shape[a] for a in self.axes)
        first = np.zeros(3)
        columns = []
        for new, old in enumerate(self.axes):
            column = grid.ijk_to_ras[:3, 2 - old]
            if self.flips[new]:
                first[old] = grid.shape[old] - 1
                column = -column
            columns.append(column)
        matrix = np.eye(4)
        matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = columns[2], columns[1], columns[0]
        matrix[:3, 3] = grid.to_ras(first)
        return Grid((shape[0], shape[1], shape[2]), matrix)

    def volume(self, volume: Volume) -> Volume:
        """The volume in the new order."""
        return Volume(
            np.ascontiguousarray(self.apply(volume.array)), self.grid(volume.grid), volume.modality, volume.source
        )

    def structure(self, structure: Structure) -> Structure:
        """The structure in the new order."""
        return structure.with_mask(np.ascontiguousarray(self.apply(structure.mask)), self.grid(structure.grid))

    def slice_index(self, k: int, shape: tuple[int, int, int]) -> int:
        """Index along the old slice axis of slice ``k`` of an array that had ``shape`` before ``apply``."""
        return shape[self.axes[0]] - 1 - k if self.flips[0] else k


def slice_normal(grid: Grid) -> int:
    """Anatomical axis (0 left-right, 1 front-back, 2 up-down) that runs closest to the grid's k."""
    return int(np.argmax(np.abs(grid.directions[:, 2])))


def towards(grid: Grid, normal: int) -> Orientation:
    """Orientation that brings ``grid`` closest to the usual view of slices across the anatomical axis ``normal``."""
    wanted = np.array(_FRAMES[normal], dtype=float)
    have = grid.directions.T[::-1]  # rows: directions of k, j, i
    cosine = wanted @ have.T
    rows, columns = linear_sum_assignment(-np.abs(cosine))
    flips = tuple(bool(cosine[r, c] < 0) for r, c in zip(rows, columns, strict=True))
    axes = tuple(int(c) for c in columns)
    return Orientation((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))
