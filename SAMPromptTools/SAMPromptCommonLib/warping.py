"""A volume resampled onto a regular grid of the world, in small steps, where its voxels cannot be handed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import ndimage

from SAMPromptCommonLib.grids import Frame
from SAMPromptCommonLib.index_maps import IndexMap

# Planes per slab and voxels per tile side: 18 000 voxels take about 3 ms to interpolate.
_PLANES = 8
_TILE = 48


def warped(voxels: np.ndarray, frame: Frame, fill: float) -> Iterator[np.ndarray | None]:
    """Slabs (k, j, i) of the volume on ``frame.grid``, from the first plane to the last; None between: a step is over.

    Linear interpolation, the type of ``voxels``; ``fill`` beyond the outer faces of the volume's voxels and where a
    value is not a number.
    """
    inverse = frame.toWorld.GetInverse()
    toOwn = IndexMap(frame.ijkToWorld, np.linalg.inv(frame.ownIjkToRas), inverse)
    planes, rows, columns = frame.grid.shape
    for k in range(0, planes, _PLANES):
        slab = np.empty((min(_PLANES, planes - k), rows, columns), dtype=voxels.dtype)
        for j in range(0, rows, _TILE):
            for i in range(0, columns, _TILE):
                part = slab[:, j : j + _TILE, i : i + _TILE]
                part[...] = _values(voxels, toOwn.block((k, j, i), part.shape), fill)
                yield None
        yield slab


def _values(voxels: np.ndarray, at: np.ndarray, fill: float) -> Any:
    """Values at source indices ``at`` (3, ...), rounded for whole-number types."""
    values = ndimage.map_coordinates(voxels, at, output=np.float64, order=1, mode="nearest", prefilter=False)
    high = np.array(voxels.shape).reshape(3, *[1] * (at.ndim - 1)) - 0.5 + 1e-6
    outside = ((at < -0.5 - 1e-6) | (at > high)).any(axis=0)
    values[outside | ~np.isfinite(values)] = fill
    return np.rint(values) if voxels.dtype.kind in "iu" else values
