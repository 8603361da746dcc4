"""What is patient and what is not in a CT: the body, the air round it, the table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.space.grid import Grid
from samprompt.synthesis.fields import Bool, Float

AIR_HU = -1000.0
_DENSE_HU = -400.0
_OPENING_MM = 4.5  # a table's shell is thinner, a limb is not
_PURE_AIR_HU = -960.0
_PURE_AIR_SHARE = 0.25  # of a region that touches the border: more is the room, less is lung cut by a crop


def _near(mask: Bool, distance_mm: float, spacing: NDArray[np.float64]) -> Bool:
    """Voxels at most ``distance_mm`` from ``mask``."""
    if not mask.any():
        return np.zeros_like(mask)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) <= distance_mm)


def body_mask(array: Float, grid: Grid) -> Bool:
    """The patient with everything inside (lungs, gas), without table and clothes; (k, j, i).

    Dense voxels after an opening of 4.5 mm; components of at least a tenth of the largest; then every enclosed region
    and every region of air at the border that is lung cut by the crop (less than a quarter of it is pure air). Computed
    on a grid of about 3 mm and brought back, so the surface is right to about 1.5 mm.
    """
    step = tuple(max(1, round(3.0 / float(s))) for s in grid.spacing_kji)
    padded = np.pad(array, [(0, -n % s) for n, s in zip(array.shape, step, strict=True)], mode="edge")
    k, j, i = (n // s for n, s in zip(padded.shape, step, strict=True))
    coarse = padded.reshape(k, step[0], j, step[1], i, step[2]).mean(axis=(1, 3, 5))
    spacing = grid.spacing_kji * np.array(step)
    dense = coarse > _DENSE_HU
    core = ~_near(~dense, _OPENING_MM, spacing)
    labels, count = ndimage.label(core)
    if count == 0:
        core = dense
    else:
        sizes = ndimage.sum_labels(core, labels, np.arange(1, count + 1))
        core = np.isin(labels, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max()))
    body = _near(core, _OPENING_MM + 0.5, spacing) & dense
    labels, count = ndimage.label(~body)
    border = np.zeros_like(body)
    for axis in range(3):
        if body.shape[axis] > 1:
            edge: list[slice | int] = [slice(None)] * 3
            for end in (0, -1):
                edge[axis] = end
                border[tuple(edge)] = True
    for index in range(1, count + 1):
        region = labels == index
        pure = float((coarse[region] < _PURE_AIR_HU).mean())
        if not (region & border).any() or pure < _PURE_AIR_SHARE:
            body |= region
    ratio = 1.0 / np.array(step)
    offset = (1.0 - np.array(step)) / (2.0 * np.array(step))
    fine = ndimage.affine_transform(
        body.astype(np.float32), ratio, offset, output_shape=array.shape, order=1, mode="nearest"
    )
    return np.asarray(fine > 0.5)


def depth_under_skin(body: Bool, spacing_kji: NDArray[np.float64]) -> Float:
    """Distance to the nearest voxel outside the body in mm (0 outside), 1 m where the whole array is body."""
    if body.all():
        return np.full(body.shape, 1000.0, dtype=np.float32)
    return np.asarray(ndimage.distance_transform_edt(body, sampling=spacing_kji), dtype=np.float32)


def posterior_axis(grid: Grid) -> tuple[int, int]:
    """Array axis (0 = k, 1 = j, 2 = i) that runs closest to anterior-posterior, and +1 if its index grows backwards."""
    column = int(np.argmax(np.abs(grid.directions[1])))
    return 2 - column, -1 if grid.directions[1, column] > 0 else 1


def add_table(array: Float, body: Bool, grid: Grid, rng: np.random.Generator, gap_mm: float) -> bool:
    """Draw a couch under the patient into ``array``; returns False where there is no room for it under the body.

    A curved or flat shell (3 mm, about -100 HU) filled with foam (about -900 HU), level along the table, ``gap_mm``
    below the lowest skin; never inside ``body``.
    """
    axis, sign = posterior_axis(grid)
    column = body.any(axis=tuple(a for a in range(3) if a != axis))
    hit = np.flatnonzero(column)
    lateral = 2 if axis != 2 else 1
    if hit.size == 0:
        return False
    step = float(grid.spacing_kji[axis])
    lowest = float(hit[-1] if sign > 0 else -hit[0]) * step
    position = sign * np.arange(array.shape[axis]) * step - lowest - gap_mm  # mm below the couch top's lowest point
    if position.max() < 4.0:
        return False
    across = np.arange(array.shape[lateral]) * float(grid.spacing_kji[lateral])
    inside = np.flatnonzero(body.any(axis=tuple(a for a in range(3) if a != lateral)))
    middle = float(across[inside].mean()) + rng.uniform(-20.0, 20.0)
    radius = rng.choice([rng.uniform(350.0, 600.0), 1e6])
    sag = (across - middle) ** 2 / (2.0 * radius)
    thickness = rng.uniform(25.0, 60.0)
    half_width = rng.uniform(200.0, 260.0)
    shape = [1, 1, 1]
    shape[axis] = -1
    p = position.reshape(shape)
    shape = [1, 1, 1]
    shape[lateral] = -1
    s, a = sag.reshape(shape), (np.abs(across - middle)).reshape(shape)
    below = p + s
    inner = np.minimum(np.minimum(below, thickness - p), half_width - a)
    shell_hu, foam_hu = rng.uniform(-250.0, 50.0), rng.uniform(-930.0, -860.0)
    cover = np.clip(inner / step + 0.5, 0.0, 1.0)
    foam = np.clip((inner - 3.0) / step + 0.5, 0.0, 1.0)
    value = AIR_HU + cover * (shell_hu - AIR_HU) + foam * (foam_hu - shell_hu)
    table = np.broadcast_to(value, array.shape)
    drawn = ~body & (np.broadcast_to(cover, array.shape) > 0)
    array[drawn] = np.maximum(array[drawn], table[drawn])
    return bool(drawn.any())
