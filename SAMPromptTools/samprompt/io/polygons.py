"""Closed contours filled on a raster of voxel centres."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# Contours often run exactly through voxel centres (made from a mask). Points are rounded to this part of a voxel, so
# that the noise of coordinate transforms does not decide to which side such a centre falls.
_ROUND_DECIMALS = 4


def fill_even_odd(polygons: Iterable[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels inside an odd number of the ``polygons``; bool, ``shape`` = (rows, columns).

    A polygon is (n, 2), (row, column) in voxel indices, closed by itself. **Voxel-centre rule:** a pixel belongs when
    its centre lies inside. A centre exactly on the boundary belongs when the inside is towards higher columns, or on a
    boundary along a row towards higher rows; so two areas that share a boundary share no pixel and leave none out.
    Inner contours cut holes (even-odd rule), and the two sides of a keyhole's channel cancel.
    """
    toggles = np.zeros((shape[0], shape[1] + 1), dtype=np.uint8)
    for polygon in polygons:
        points = np.asarray(np.round(polygon, _ROUND_DECIMALS), dtype=np.float64)
        _toggle(toggles, points, np.roll(points, -1, axis=0))
    return np.asarray(np.cumsum(toggles[:, :-1], axis=1, dtype=np.uint32) % 2 == 1)


def _toggle(toggles: NDArray[np.uint8], start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    """Flip, in every row an edge crosses, the first pixel whose centre is not left of the edge."""
    upwards = start[:, 0] > end[:, 0]
    low, high = np.where(upwards[:, None], end, start), np.where(upwards[:, None], start, end)
    first = np.clip(np.ceil(low[:, 0]), 0, len(toggles)).astype(int)  # rows r with low <= r < high
    last = np.clip(np.ceil(high[:, 0]), 0, len(toggles)).astype(int)
    count = np.maximum(last - first, 0)
    edge = np.repeat(np.arange(len(start)), count)
    if len(edge) == 0:
        return
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    share = (row - low[edge, 0]) / (high[edge, 0] - low[edge, 0])
    column = np.round(low[edge, 1] + share * (high[edge, 1] - low[edge, 1]), _ROUND_DECIMALS + 2)
    at = np.clip(np.ceil(column), 0, toggles.shape[1] - 1).astype(int)
    np.bitwise_xor.at(toggles, (row, at), np.uint8(1))


def signed_area(polygon: NDArray[np.float64]) -> float:
    """Area by the shoelace formula, in the unit of the points squared; negative when clockwise."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    return float((a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]).sum() / 2.0)
