"""Boxes of voxels: round a mask, grown in millimetres, cut out of an array (padded where they leave it), put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samprompt.contract.errors import StructureError
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Box:
    """A block of voxels: first index ``start`` and ``shape``, both (k, j, i). It may reach beyond the array."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]

    @classmethod
    def between(cls, start: ArrayLike, stop: ArrayLike) -> Box:
        """Box from index ``start`` up to, not including, ``stop`` (k, j, i); no extent where stop lies before start."""
        first = np.asarray(start, dtype=int)
        size = np.maximum(np.asarray(stop, dtype=int) - first, 0)
        return cls(
            (int(first[0]), int(first[1]), int(first[2])),
            (int(size[0]), int(size[1]), int(size[2])),
        )

    @classmethod
    def around(cls, mask: NDArray[np.bool_]) -> Box:
        """Smallest box that holds every voxel of ``mask`` (k, j, i).

        Raises:
            StructureError: the mask is empty.
        """
        start, stop = [], []
        for axis in range(3):
            hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            if hit.size == 0:
                raise StructureError("An empty mask has no bounding box.", "Choose a structure that has voxels.")
            start.append(int(hit[0]))
            stop.append(int(hit[-1]) + 1)
        return cls.between(start, stop)

    @property
    def stop(self) -> tuple[int, int, int]:
        """First index beyond the box, (k, j, i)."""
        return (self.start[0] + self.shape[0], self.start[1] + self.shape[1], self.start[2] + self.shape[2])

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Slices (k, j, i); only for a box inside its array (a negative start would count from the end)."""
        first, last = self.start, self.stop
        return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])

    @property
    def is_empty(self) -> bool:
        """Whether it holds no voxel."""
        return min(self.shape) == 0

    def grown(self, margin_mm: float, spacing_kji: ArrayLike) -> Box:
        """The box with at least ``margin_mm`` more on every side, in whole voxels of ``spacing_kji`` (mm)."""
        extra = np.ceil(margin_mm / np.asarray(spacing_kji, dtype=float) - 1e-9).astype(int)
        return Box.between(np.array(self.start) - extra, np.array(self.stop) + extra)

    def clipped(self, shape: tuple[int, int, int]) -> Box:
        """The part of the box inside an array of ``shape``; empty where there is none."""
        limit = np.array(shape)
        return Box.between(np.clip(self.start, 0, limit), np.clip(self.stop, 0, limit))

    def grid(self, grid: Grid) -> Grid:
        """The grid of the box's voxels, ``grid`` being that of the array."""
        return grid.crop(self.start, self.shape)


def crop_array(array: NDArray[Scalar], box: Box, fill: float = 0) -> NDArray[Scalar]:
    """A copy of the voxels in ``box``, of the box's shape, ``fill`` where it lies outside the array."""
    inside = box.clipped((array.shape[0], array.shape[1], array.shape[2]))
    if inside == box:
        return array[box.slices].copy()
    block = np.full(box.shape, fill, dtype=array.dtype)
    if not inside.is_empty:
        block[_within(inside, box)] = array[inside.slices]
    return block


def crop_volume(volume: Volume, box: Box, fill: float = -1000.0) -> Volume:
    """The part of a volume in ``box`` with its own grid, padded with ``fill`` (-1000 HU is air).

    Raises:
        GridError: the box has no voxels.
    """
    return Volume(crop_array(volume.array, box, fill), box.grid(volume.grid), volume.modality, volume.source)


def paste(target: NDArray[Scalar], block: NDArray[Scalar], box: Box) -> None:
    """Write ``block`` (of the box's shape) into ``target`` at ``box``; what lies outside the target is left out."""
    inside = box.clipped((target.shape[0], target.shape[1], target.shape[2]))
    if not inside.is_empty:
        target[inside.slices] = block[_within(inside, box)]


def _within(inside: Box, box: Box) -> tuple[slice, slice, slice]:
    """Slices of ``inside`` counted from the start of ``box``."""
    shifted = Box.between(np.subtract(inside.start, box.start), np.subtract(inside.stop, box.start))
    return shifted.slices
