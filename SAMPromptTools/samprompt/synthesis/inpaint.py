"""Tissue where a tumour was: filled from the surroundings, kind of tissue by kind of tissue, with their texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.space.contrast import box_around
from samprompt.space.grid import Grid
from samprompt.synthesis.fields import Bool, Float

# HU ranges of what may grow into a hole: lung, fat, soft tissue. Bone does not.
_CLASSES: tuple[tuple[float, float], ...] = ((-980.0, -300.0), (-300.0, -20.0), (-20.0, 180.0))
_REACH_MM = 25.0  # from how far tissue is taken
_SCALES_MM = (4.0, 8.0, 16.0, 32.0)
_FADE = 0.03  # weight of a scale against the next finer one: the finest that reaches decides
_COARSE_MM = 2.5
# Detail is clipped at so many robust SDs: what is copied is texture, not somebody else's vessel; lung may have vessels.
_DETAIL = (12.0, 2.5, 2.5)


@dataclass(frozen=True, eq=False)
class Filling:
    """``values`` (HU) and ``donor`` (flat index into the whole array of the voxel whose tissue was continued) in

    ``box`` of the array; meaningful where ``hole`` is set. ``values`` covers the box.
    """

    box: tuple[slice, slice, slice]
    hole: Bool
    values: Float
    donor: NDArray[np.int64]


def fill(array: Float, hole: Bool, forbidden: Bool, grid: Grid, rng: np.random.Generator) -> Filling:
    """Tissue for the voxels of ``hole`` (non-empty) from its surroundings.

    For lung, fat and soft tissue apart: masked normalised convolution (Knutsson and Westin 1993) over four scales gives
    a smooth value and a share; the share decides, sharpened, so that lung and chest wall meet in an edge and not in a
    mixture. Texture: what the nearest tissue of that kind, mirrored at the hole's border, has beyond its own smooth
    value. ``forbidden`` voxels (the tumour that remains, air outside the patient) give nothing.
    """
    spacing = grid.spacing_kji
    box = box_around(hole, _REACH_MM, spacing)
    part, inside, closed = array[box], hole[box], forbidden[box]
    usable = ~ndimage.binary_dilation(inside) & ~closed
    sources = [usable & (part >= low) & (part < high) for low, high in _CLASSES]
    if not any(s.any() for s in sources):
        sources = [usable if usable.any() else ~inside]
    smooth, share = _smooth_values(part, sources, spacing)
    sharpened = share**4 + 1e-9
    chosen = np.argmax(sharpened, axis=0)
    weight = sharpened / sharpened.sum(axis=0)
    values = (weight * smooth).sum(axis=0)
    donor = np.zeros(part.shape, dtype=np.int64)
    texture = np.zeros(part.shape, dtype=np.float32)
    whole = np.ravel_multi_index(
        np.ix_(*(np.arange(s.start, s.stop) for s in box)), array.shape
    )  # flat index into the array of each voxel of the box
    for index, source in enumerate(sources):
        wanted = inside & (chosen == index)
        if not wanted.any() or not source.any():
            continue
        detail = np.where(source, part - smooth[index], 0.0)
        limit = _DETAIL[index] * _spread(detail[source]) + 1.0
        detail = np.clip(detail, -limit, limit)
        nearest = _nearest_source(source, wanted, spacing)
        donor[wanted] = whole[tuple(nearest)]
        texture[wanted] = _mirrored(detail, source, wanted, nearest, rng)
    return Filling(box, inside, np.asarray(values + texture, dtype=np.float32), donor)


def _spread(values: Float) -> float:
    """Robust SD (from the median absolute deviation), same unit."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _smooth_values(part: Float, sources: list[Bool], spacing: NDArray[np.float64]) -> tuple[Float, Float]:
    """Smooth value and share of every class, (classes, k, j, i), computed on a grid of about 2.5 mm."""
    step = [max(1, round(_COARSE_MM / float(s))) for s in spacing]
    coarse_shape = [-(-n // s) for n, s in zip(part.shape, step, strict=True)]
    sigma_unit = 1.0 / (spacing * np.array(step))

    def reduce(values: Float) -> Float:
        padded = np.pad(values, [(0, c * s - n) for n, s, c in zip(part.shape, step, coarse_shape, strict=True)])
        blocks = padded.reshape(coarse_shape[0], step[0], coarse_shape[1], step[1], coarse_shape[2], step[2])
        return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)

    def enlarge(values: Float) -> Float:
        ratio = 1.0 / np.array(step)
        offset = (1.0 - np.array(step)) / (2.0 * np.array(step))
        return np.asarray(
            ndimage.affine_transform(values, ratio, offset, output_shape=part.shape, order=1, mode="nearest"),
            dtype=np.float32,
        )

    smooth, amount = [], []
    for source in sources:
        weight = reduce(source.astype(np.float32))
        value = reduce(np.where(source, part, 0.0).astype(np.float32))
        total = np.full(weight.shape, 1e-20, dtype=np.float64)
        summed = np.zeros(weight.shape, dtype=np.float64)
        for level, scale in enumerate(_SCALES_MM):
            factor = _FADE**level
            total += factor * ndimage.gaussian_filter(weight, scale * sigma_unit, mode="constant")
            summed += factor * ndimage.gaussian_filter(value, scale * sigma_unit, mode="constant")
        smooth.append(enlarge((summed / total).astype(np.float32)))
        amount.append(enlarge(total.astype(np.float32)))
    stacked = np.stack(amount)
    return np.stack(smooth), np.asarray(stacked / np.maximum(stacked.sum(axis=0), 1e-20), dtype=np.float32)


def _nearest_source(source: Bool, wanted: Bool, spacing: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices (3, N) of the nearest source voxel of every wanted voxel."""
    indices = ndimage.distance_transform_edt(~source, sampling=spacing, return_distances=False, return_indices=True)
    return np.stack([axis[wanted] for axis in indices]).astype(np.int64)


def _mirrored(detail: Float, source: Bool, wanted: Bool, nearest: NDArray[np.int64], rng: np.random.Generator) -> Float:
    """Texture at the wanted voxels: the detail at their mirror image behind the nearest source voxel.

    Where the mirror image is no source either, a random source voxel's neighbourhood is too far to be alike, so the
    detail of a shorter reflection is tried, then none.
    """
    here = np.argwhere(wanted).T
    step = nearest - here
    last = np.array(source.shape)[:, None] - 1
    result = np.zeros(here.shape[1], dtype=np.float32)
    open_ = np.ones(here.shape[1], dtype=bool)
    jitter = rng.integers(-1, 2, size=(3, 1))
    for stretch in (1.0, 0.6, 0.3, 0.0):
        where = np.clip(nearest + np.rint(stretch * step).astype(np.int64) + jitter * (stretch > 0), 0, last)
        fits = open_ & source[tuple(where)]
        result[fits] = detail[tuple(where[:, fits])]
        open_ &= ~fits
    return result
