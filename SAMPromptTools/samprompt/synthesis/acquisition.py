"""The scanner of a later visit: another grid, another field of view, noise of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.errors import GridError
from samprompt.space.grid import Grid
from samprompt.synthesis.deformation import VisitTransform
from samprompt.synthesis.fields import Bool, Float, scanner_noise
from samprompt.synthesis.parameters import VisitChange

_SMALLEST = 8  # voxels; a field of view below this on any axis is refused


@dataclass(frozen=True)
class NoiseModel:
    """``sd`` in HU of the noise in soft tissue and its smoothness ``sigma`` in voxels (k, j, i)."""

    sd: float
    sigma: tuple[float, float, float]


def denoise(array: Float) -> tuple[Float, NoiseModel]:
    """Remove the noise of a CT and describe it.

    Guided filter (He et al. 2013, self-guided, radius 2 in plane and 1 across) whose gain is that of a Wiener filter:
    what the local variance has beyond 1.2 times the noise's, against half the noise's. (With the plain gain a third of
    the noise stays in flat tissue, and noise that is copied to the follow-up makes features match falsely.) The noise
    is the median absolute deviation from the local mean where the image is flat soft tissue (-200 to 200 HU); its
    smoothness follows from the correlation of neighbouring residuals.
    """
    size = (3, 5, 5) if array.shape[0] > 3 else (1, 5, 5)
    source = array.astype(np.float32)
    flat = _flat_soft_tissue(ndimage.gaussian_filter(source, (0.7, 2.0, 2.0)))
    mean = ndimage.uniform_filter(source, size)
    sd = max(_mad((source - mean)[flat]), 1.0) if flat.any() else 5.0
    variance = ndimage.uniform_filter((source - mean) ** 2, size)
    signal = np.maximum(variance - 1.2 * sd**2, 0.0)
    gain = signal / (signal + 0.5 * sd**2)
    offset = mean - gain * mean
    smooth = ndimage.uniform_filter(gain, size) * source + ndimage.uniform_filter(offset, size)
    sigma = (0.0, 0.5, 0.5)
    if flat.any():
        residual = source - smooth
        found = [_smoothness(residual, flat, axis, sd) for axis in range(3)]
        sigma = (found[0], found[1], found[2])
    return np.asarray(smooth, dtype=np.float32), NoiseModel(float(sd), sigma)


def _flat_soft_tissue(smooth: Float) -> Bool:
    soft = (smooth > -200.0) & (smooth < 200.0)
    spread = ndimage.maximum_filter(smooth, 3) - ndimage.minimum_filter(smooth, 3)
    return np.asarray(soft & (spread < 60.0))


def _mad(values: Float) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _smoothness(residual: Float, flat: Bool, axis: int, sd: float) -> float:
    """Sigma in voxels of a Gaussian kernel that gives the correlation measured between neighbours along ``axis``."""
    if residual.shape[axis] < 3:
        return 0.0
    both = np.take(flat, range(residual.shape[axis] - 1), axis) & np.take(flat, range(1, residual.shape[axis]), axis)
    a = np.take(residual, range(residual.shape[axis] - 1), axis)[both]
    b = np.take(residual, range(1, residual.shape[axis]), axis)[both]
    limit = 4.0 * sd
    fine = (np.abs(a) < limit) & (np.abs(b) < limit)
    if fine.sum() < 50 or not (a[fine].std() > 0 and b[fine].std() > 0):
        return 0.0
    correlation = float(np.corrcoef(a[fine], b[fine])[0, 1])
    if not correlation > 0.02:
        return 0.0
    return float(min(np.sqrt(-1.0 / (4.0 * np.log(min(correlation, 0.9)))), 2.0))


def add_noise(array: Float, noise: NoiseModel, rng: np.random.Generator, factor: float, body: Bool) -> Float:
    """New noise, independent of any before: ``factor`` times the old SD, half of it outside the patient."""
    drawn = scanner_noise(rng, array.shape, noise.sigma, band=0.5)
    strength = np.where(body, 1.0, 0.5) * (noise.sd * factor)
    return np.asarray(array + drawn * strength.astype(np.float32), dtype=np.float32)


def followup_grid(
    baseline: Grid,
    transform: VisitTransform,
    body: Bool,
    keep_ras: NDArray[np.float64] | None,
    rng: np.random.Generator,
    parameters: VisitChange,
) -> Grid:
    """Grid of the follow-up: other pixels, thickness and phase, and a field of view that lies within the scan.

    Faces are moved inwards until no voxel of the body's neighbourhood would have to come from outside the baseline
    scan (points outside it whose nearest scanned voxel is air outside the patient may stay: air), then by a further
    random length per side, sparing ``keep_mm`` round the points ``keep_ras`` (follow-up RAS of the target, (N, 3)).

    Raises:
        GridError: less than 8 voxels would be left on an axis.
    """
    pixel = rng.uniform(*parameters.pixel_factor)
    factors = np.array([rng.uniform(*parameters.thickness_factor), pixel, pixel])
    spacing = baseline.spacing_kji * factors
    extent = np.array(baseline.shape) * baseline.spacing_kji
    forward = np.linalg.inv(transform.rigid)
    middle = baseline.to_ras((np.array(baseline.shape) - 1) / 2.0)
    matrix = np.eye(4)
    matrix[:3, :3] = baseline.directions * spacing[::-1]
    shape = np.maximum(np.ceil((extent + 30.0) / spacing).astype(int), 1)
    phase = rng.uniform(-0.5, 0.5, 3) * spacing
    start_kji = -(shape - 1) / 2.0 + phase / spacing
    matrix[:3, 3] = forward[:3, :3] @ middle + forward[:3, 3] + matrix[:3, :3] @ start_kji[::-1]
    full = Grid((int(shape[0]), int(shape[1]), int(shape[2])), matrix)
    low, high = _inscribed(full, baseline, transform, body)
    keep = full.to_kji(keep_ras) if keep_ras is not None and len(keep_ras) else None
    for axis in range(3):
        for end in (0, 1):
            cut = rng.uniform(*parameters.trim_mm) / spacing[axis]
            room = (high[axis] - low[axis]) * 0.25
            if keep is not None:
                margin = parameters.keep_mm / spacing[axis]
                edge = keep[:, axis].min() - low[axis] if end == 0 else high[axis] - keep[:, axis].max()
                room = min(room, max(edge - margin, 0.0))
            cut = int(min(cut, room))
            if end == 0:
                low[axis] += cut
            else:
                high[axis] -= cut
    size = high - low + 1
    if size.min() < _SMALLEST:
        raise GridError(
            f"A simulated visit would keep {size[0]} x {size[1]} x {size[2]} voxels of this scan.",
            "The scan is too small for a set-up error of this size; use a larger one.",
        )
    return full.crop(low, (int(size[0]), int(size[1]), int(size[2])))


def _inscribed(
    full: Grid, baseline: Grid, transform: VisitTransform, body: Bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last index per axis of a box of ``full`` whose voxels all come from the baseline scan (greedy)."""
    step = [max(1, n // 40) for n in full.shape]
    ticks = [np.unique(np.append(np.arange(0, n, s), n - 1)) for n, s in zip(full.shape, step, strict=True)]
    points = full.to_ras(np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1))
    source = baseline.to_kji(transform.to_baseline(points.reshape(-1, 3))).reshape(points.shape)
    last = np.array(baseline.shape) - 1
    outside = ((source < -0.5) | (source > last + 0.5)).any(axis=-1)
    nearest = np.clip(np.rint(source), 0, last).astype(int)
    spacing = baseline.spacing_kji
    reach = [max(1, round(9.0 / float(s))) for s in spacing]  # skin and clothes: 9 mm
    near = ndimage.maximum_filter(body.view(np.uint8), [2 * r + 1 for r in reach]) > 0
    invalid = outside & near[nearest[..., 0], nearest[..., 1], nearest[..., 2]]
    low, high = [0, 0, 0], [len(t) - 1 for t in ticks]
    while True:
        block = invalid[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1]
        if not block.any():
            break
        faces = [(block.take(0 if end == 0 else -1, axis).mean(), axis, end) for axis in range(3) for end in (0, 1)]
        share, axis, end = max(faces)
        if share == 0.0:  # invalid points inside only: shrink the axis with the most room
            axis, end = int(np.argmax([h - b for h, b in zip(high, low, strict=True)])), 0
        if end == 0:
            low[axis] += 1
        else:
            high[axis] -= 1
        if high[axis] <= low[axis]:
            break
    return (
        np.array([int(t[b]) for t, b in zip(ticks, low, strict=True)]),
        np.array([int(t[h]) for t, h in zip(ticks, high, strict=True)]),
    )


def source_indices(grid: Grid, target: Grid, transform: VisitTransform, slab: int = 16) -> Float:
    """Fractional baseline indices (3, k, j, i) of every voxel of the follow-up's ``target`` grid.

    Image and masks of one visit are all resampled through this one array, so they move as one.
    """
    out = np.empty((3, *target.shape), dtype=np.float32)
    rows, columns = np.arange(target.shape[1]), np.arange(target.shape[2])
    for first in range(0, target.shape[0], slab):
        slices = np.arange(first, min(first + slab, target.shape[0]))
        points = target.to_ras(np.stack(np.meshgrid(slices, rows, columns, indexing="ij"), axis=-1))
        where = grid.to_kji(transform.to_baseline(points.reshape(-1, 3))).T
        out[:, first : first + len(slices)] = where.reshape(3, *points.shape[:3])
    return out


def render(array: Float, indices: Float) -> Float:
    """``array`` at fractional ``indices`` (3, k, j, i); beyond the scan the nearest voxel.

    A cubic spline, which keeps the image as sharp as it was, held between the least and the greatest of the voxels
    around: at the skin a spline alone overshoots by a tenth of the step, which draws a line that no scanner draws.
    """
    values = ndimage.map_coordinates(array, indices, order=3, mode="nearest", output=np.float32)
    return _held(values, array, indices)


def _held(values: Float, array: Float, indices: Float) -> Float:
    """``values`` limited to the range of the eight voxels that surround each point."""
    cells = [max(n - 1, 1) for n in array.shape]
    corner = [np.clip(np.floor(x), 0, n - 1).astype(np.intp) for x, n in zip(indices, cells, strict=True)]
    low, high = _cells(array, np.minimum), _cells(array, np.maximum)
    flat = np.ravel_multi_index(corner, low.shape)
    return np.asarray(np.clip(values, low.ravel()[flat], high.ravel()[flat]), dtype=np.float32)


def _cells(array: Float, pick: np.ufunc) -> Float:
    """Least or greatest of the eight corners of every cell between voxels."""
    for axis in range(3):
        if array.shape[axis] > 1:
            n = array.shape[axis]
            array = pick(np.take(array, range(n - 1), axis), np.take(array, range(1, n), axis))
    return array


def render_mask(mask: Bool, indices: Float) -> Bool:
    """A mask at fractional ``indices``: linear, at least half."""
    return np.asarray(ndimage.map_coordinates(mask.astype(np.float32), indices, order=1, mode="nearest") > 0.5)


def render_signed(signed: Float, indices: Float, margin_mm: float) -> Float:
    """A signed distance at fractional ``indices``, linear; ``-margin_mm`` beyond the scan and far away."""
    out = np.full(indices.shape[1:], -margin_mm, dtype=np.float32)
    near = signed > -margin_mm
    if not near.any():
        return out
    chosen = np.ones(out.shape, dtype=bool)
    for axis in range(3):
        hit = np.flatnonzero(near.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = max(float(hit[0]) - 1.0, -0.5), min(float(hit[-1]) + 1.0, signed.shape[axis] - 0.5)
        chosen &= (indices[axis] >= first) & (indices[axis] <= last)
    out[chosen] = ndimage.map_coordinates(signed, indices[:, chosen], order=1, mode="nearest")
    return out


def thicker_slices(array: Float, grid: Grid, spacing_k: float) -> Float:
    """What a detector of ``spacing_k`` mm along k would see: blurred by the difference of the two slice profiles."""
    own = float(grid.spacing_kji[0])
    if spacing_k <= own:
        return array
    sigma = np.sqrt((spacing_k**2 - own**2) / 12.0) / own
    return np.asarray(ndimage.gaussian_filter1d(array, sigma, axis=0, mode="nearest"), dtype=np.float32)
