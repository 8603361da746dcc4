"""A label brought onto another grid in small steps: copied where voxels coincide, averaged and cut at one half else.

The rule is the one by which the backend reads label maps of other grids.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

from SAMPromptCommonLib.index_maps import IndexMap, coinciding
from SAMPromptCommonLib.voxels import pieces

Box = tuple[slice, slice, slice]
Shape = tuple[int, int, int]

_TILE = 32  # voxels per side: 32 768 voxels take about 5 ms to interpolate
_STEP_VOXELS = 1 << 20  # voxels compared or searched in one step, about 2 ms


@dataclass(frozen=True, eq=False)
class PlacedMask:
    """A mask, uint8 (k, j, i) of 0 and 1, cropped; ``offset`` is the index of its first voxel on the grid.

    ``lost`` is the share of the structure, in [0, 1], that lies outside the grid. An empty mask has no voxels.
    """

    array: np.ndarray
    offset: Shape = (0, 0, 0)
    lost: float = 0.0

    @property
    def isEmpty(self) -> bool:
        """Whether there is no voxel in it."""
        return self.array.size == 0


EMPTY = PlacedMask(np.zeros((0, 0, 0), dtype=np.uint8))


def labelBoxes(labels: np.ndarray) -> Generator[None, None, dict[int, Box]]:
    """Steps that find the box of every label value above 0 in an array (k, j, i), all in one pass."""
    boxes: dict[int, Box] = {}
    for part in pieces(len(labels), labels[0].size if len(labels) else 1, _STEP_VOXELS):
        slab = labels[part]
        whole = slab if slab.dtype.kind in "iu" else np.rint(slab).astype(np.int32)
        for value, box in enumerate(ndimage.find_objects(whole), start=1):
            if box is not None:
                k, j, i = box
                here = (slice(k.start + part.start, k.stop + part.start), j, i)
                boxes[value] = _union(boxes[value], here) if value in boxes else here
        yield None
    return boxes


def placed(
    labels: np.ndarray, value: int, box: Box, toSource: IndexMap, shape: Shape
) -> Generator[None, None, PlacedMask]:
    """Steps that bring the voxels of ``labels`` that equal ``value`` onto a grid of ``shape``.

    ``box`` holds all these voxels; ``toSource`` maps indices of that grid to indices of ``labels``.
    """
    part = labels[box]
    start = np.array([b.start for b in box])
    shift = np.eye(4)
    shift[:3, 3] = -start[::-1]
    toPart = IndexMap(toSource.targetToRas, shift @ toSource.rasToSource, toSource.transform)
    same = coinciding(part, toPart.matrix, shape)
    if same is not None:
        return (yield from _copied(same[0], value, same[1], shape))
    return (yield from _resampled(part, value, toPart, shape))


def tight(array: np.ndarray, offset: np.ndarray, lost: float = 0.0) -> PlacedMask:
    """The mask without empty planes round it."""
    first, last = [], []
    for axis in range(3):
        filled = np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
        if filled.size == 0:
            return PlacedMask(EMPTY.array, EMPTY.offset, lost)
        first.append(int(filled[0]))
        last.append(int(filled[-1]) + 1)
        array = array.take(range(first[-1], last[-1]), axis) if last[-1] - first[-1] < array.shape[axis] else array
    return PlacedMask(np.ascontiguousarray(array), tuple(int(o) + f for o, f in zip(offset, first, strict=True)), lost)


def _union(one: Box, other: Box) -> Box:
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def _copied(view: np.ndarray, value: int, start: np.ndarray, shape: Shape) -> Generator[None, None, PlacedMask]:
    """The mask where voxels coincide; ``start`` is the grid's index of the view's first voxel."""
    low, high = np.maximum(start, 0), np.minimum(start + view.shape, shape)
    if (high <= low).any():
        return PlacedMask(EMPTY.array, EMPTY.offset, 1.0)
    inner = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    array = np.empty(tuple(high - low), dtype=np.uint8)
    within, planes = 0, view[inner]
    for part in pieces(len(planes), planes[0].size, _STEP_VOXELS):
        np.equal(planes[part], value, out=array[part], casting="unsafe")
        within += int(np.count_nonzero(array[part]))
        yield None
    if array.shape == view.shape:
        return PlacedMask(array, tuple(int(n) for n in low))
    total = 0
    for part in pieces(len(view), view[0].size, _STEP_VOXELS):
        total += int(np.count_nonzero(view[part] == value))
        yield None
    return tight(array, low, 1.0 - within / max(total, 1))


def _resampled(part: np.ndarray, value: int, toPart: IndexMap, shape: Shape) -> Generator[None, None, PlacedMask]:
    """The mask interpolated: a voxel counts when half of it is covered; a tiny structure does not vanish."""
    inverse = toPart.inverted()
    low, high = inverse.reach(np.zeros(3, dtype=int), np.array(part.shape))
    low, high = np.maximum(low, 0), np.minimum(high, shape)
    lost = 1.0 - _shareInside(part, value, inverse, shape)
    yield None
    if (high <= low).any():
        return PlacedMask(EMPTY.array, EMPTY.offset, 1.0)
    width = toPart.width((low + high - 1) / 2.0)
    array = np.zeros(tuple(high - low), dtype=np.uint8)
    best = 0.0
    for tile, covered in _tiles(part, value, toPart, low, array.shape, width):
        if covered is not None:
            best = max(best, float(covered.max()))
            array[tile] = covered >= 0.5 - 1e-4
        yield None
    if best < 0.5 - 1e-4 and best > 1e-3:
        for tile, covered in _tiles(part, value, toPart, low, array.shape, width):
            if covered is not None:
                array[tile] = covered >= best / 2
            yield None
    return tight(array, low, lost)


def _tiles(
    part: np.ndarray, value: int, toPart: IndexMap, low: np.ndarray, shape: Shape, width: np.ndarray
) -> Iterator[tuple[Box, np.ndarray | None]]:
    """How far every voxel of every tile is covered, in [0, 1]; None for a tile without any."""
    margin = np.ceil(width).astype(int) + 2
    for corner in product(*(range(0, n, _TILE) for n in shape)):
        tile = tuple(slice(c, min(c + _TILE, n)) for c, n in zip(corner, shape, strict=True))
        at = toPart.block(tuple(low + corner), tuple(t.stop - t.start for t in tile))
        flat = at.reshape(3, -1)
        first = np.maximum(np.floor(flat.min(axis=1)).astype(int) - margin, -margin)
        last = np.minimum(np.ceil(flat.max(axis=1)).astype(int) + margin + 1, part.shape + margin)
        if (last <= first).any():
            yield tile, None
            continue
        block = _padded(part, value, first, last)
        if not block.any():
            yield tile, None
            continue
        block = _averaged(block, width)
        local = at - first.reshape(3, 1, 1, 1)
        yield tile, ndimage.map_coordinates(block, local, order=1, mode="constant", cval=0.0, prefilter=False)


def _padded(part: np.ndarray, value: int, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """1 where ``part`` equals ``value`` in the box [first, last), 0 else and beyond the array; float32."""
    block = np.zeros(tuple(last - first), dtype=np.float32)
    a, b = np.maximum(first, 0), np.minimum(last, part.shape)
    if (b > a).all():
        source = tuple(slice(s, e) for s, e in zip(a, b, strict=True))
        target = tuple(slice(s, e) for s, e in zip(a - first, b - first, strict=True))
        block[target] = part[source] == value
    return block


def _averaged(block: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Running mean along axes on which a target voxel spans several source voxels.

    Linear interpolation averages as well (variance 1/6 voxel2), so the box is narrower than the target voxel: its
    width2 - 2 leaves the target voxel's own variance of width2 / 12 in all.
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
        block = ndimage.correlate1d(block, weights / weights.sum(), axis=axis, mode="constant")
    return block


def _shareInside(part: np.ndarray, value: int, toGrid: IndexMap, shape: Shape) -> float:
    """Share of the structure's voxel centres that lie inside the grid, from at most about 30 000 of them."""
    step = max(1, round((part.size / 30000) ** (1 / 3)))
    voxels = np.argwhere(part[::step, ::step, ::step] == value) * step
    if len(voxels) == 0:
        return 1.0
    kji = toGrid.points(voxels.astype(float))
    inside = (kji >= -0.5 - 1e-6) & (kji <= np.array(shape) - 0.5 + 1e-6)
    return float(inside.all(axis=1).mean())
