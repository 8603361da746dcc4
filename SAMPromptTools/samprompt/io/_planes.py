"""Planes of contours onto slices: which slice a plane belongs to, filling, and slices in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.io.polygons import fill_even_odd
from samprompt.space.grid import Grid

# A contour is in the plane of a slice when its points spread less than this across it, in slices.
_FLAT = 0.5
# Contours whose mean positions differ by less than this (slices) are of one plane.
_ONE_PLANE = 0.05

Polygon = NDArray[np.float64]


@dataclass
class Report:
    """How many contours or planes were left out and why, and how many slices were skipped between contours."""

    repeated: int = 0
    oblique: int = 0
    outside: int = 0
    crowded: int = 0
    skipped: int = 0
    filled: bool = False


def plane_axis(polygons: Sequence[Polygon]) -> int | None:
    """The array axis across which most polygons are flat (0 = k, 1 = j, 2 = i); None when none is; 0 without any."""
    if not polygons:
        return 0
    spread = np.array([np.ptp(polygon, axis=0) for polygon in polygons])
    flat = (spread <= _FLAT).sum(axis=0)
    # Tiny contours are flat across every axis: among equals the one that is flattest altogether.
    best = max(range(3), key=lambda axis: (flat[axis], -float(spread[:, axis].sum())))
    return best if flat[best] > 0 else None


def fill(polygons: Sequence[Polygon], grid: Grid, axis: int, fill_gaps: bool) -> tuple[NDArray[np.bool_], Report]:
    """Mask (k, j, i) of polygons in voxel indices (n, 3), (k, j, i), that lie in planes across ``axis``."""
    report = Report()
    mask = np.zeros(grid.shape, dtype=bool)
    slices = np.moveaxis(mask, axis, 0)  # a view: filling it fills the mask
    others = [a for a in range(3) if a != axis]
    chosen = _planes_of_slices(polygons, axis, grid.shape[axis], report)
    for number, plane in chosen.items():
        _fill_plane(slices[number], [polygon[:, others] for polygon in _distinct(plane, report)])
    numbers = sorted(chosen)
    report.skipped = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    if report.skipped and fill_gaps:
        spacing = grid.spacing_kji[others]
        for below, above in pairwise(numbers):
            _interpolate(slices, below, above, spacing)
        report.filled = True
    return mask, report


def _planes_of_slices(polygons: Sequence[Polygon], axis: int, count: int, report: Report) -> dict[int, list[Polygon]]:
    """Slice number -> the polygons of the one plane that belongs to it."""
    flat = [polygon for polygon in polygons if np.ptp(polygon[:, axis]) <= _FLAT]
    report.oblique = len(polygons) - len(flat)
    placed = sorted(((float(polygon[:, axis].mean()), n) for n, polygon in enumerate(flat)))
    planes: list[tuple[float, list[Polygon]]] = []
    for position, n in placed:
        if planes and position - planes[-1][0] <= _ONE_PLANE:
            planes[-1][1].append(flat[n])
        else:
            planes.append((position, [flat[n]]))
    chosen: dict[int, tuple[float, list[Polygon]]] = {}
    for position, members in planes:
        # Rounded, so that planes exactly half-way between slices all fall to the same side.
        number = int(np.floor(round(position, 3) + 0.5))
        distance = abs(position - number)
        if not 0 <= number < count:
            report.outside += len(members)
        elif number not in chosen or distance < chosen[number][0]:
            report.crowded += number in chosen
            chosen[number] = (distance, members)
        else:
            report.crowded += 1
    return {number: members for number, (_, members) in chosen.items()}


def _distinct(plane: Sequence[Polygon], report: Report) -> list[Polygon]:
    """The polygons without exact repeats, which would cancel under the even-odd rule."""
    seen: set[bytes] = set()
    kept = []
    for polygon in plane:
        # The same ring may begin at another point or run the other way round.
        key = np.unique(np.round(polygon, 4) + 0.0, axis=0).tobytes()
        if key in seen:
            report.repeated += 1
        else:
            seen.add(key)
            kept.append(polygon)
    return kept


def _fill_plane(plane: NDArray[np.bool_], polygons: Sequence[Polygon]) -> None:
    """Set the pixels inside; only the window that the polygons reach is computed."""
    if not polygons:
        return
    points = np.concatenate(polygons)
    start = np.clip(np.floor(points.min(axis=0)).astype(int), 0, plane.shape)
    stop = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, 0, plane.shape)
    if (stop <= start).any():
        return
    window = plane[start[0] : stop[0], start[1] : stop[1]]
    window |= fill_even_odd([polygon - start for polygon in polygons], (window.shape[0], window.shape[1]))


def _interpolate(slices: NDArray[np.bool_], below: int, above: int, spacing: NDArray[np.float64]) -> None:
    """Fill the slices between two filled ones at the zero level of the interpolated signed distance (mm)."""
    if above - below < 2:
        return
    union = slices[below] | slices[above]
    if not slices[below].any() or not slices[above].any():
        return
    rows, columns = np.flatnonzero(union.any(axis=1)), np.flatnonzero(union.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    first, last = (_signed_distance(slices[n][window], spacing) for n in (below, above))
    for number in range(below + 1, above):
        share = (number - below) / (above - below)
        slices[number][window] = (1 - share) * first + share * last > 0


def _signed_distance(area: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance to the area's border in mm, positive inside; what lies beyond the window counts as outside."""
    padded = np.pad(area, 1)
    inside = ndimage.distance_transform_edt(padded, sampling=spacing)
    outside = ndimage.distance_transform_edt(~padded, sampling=spacing)
    return np.asarray((inside - outside)[1:-1, 1:-1])
