"""Random smooth fields, correlated noise and signed distances: the raw material of synthesis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.space.contrast import box_around

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, ...], spacing_kji: NDArray[np.float64], correlation_mm: float
) -> Float:
    """Gaussian random field of zero mean and unit variance, shape ``shape``.

    White noise on a lattice of step ``correlation_mm`` under a Gaussian kernel of that SD, separable; the rows of the
    interpolation matrices have unit length, so that the variance is one everywhere, also at the border.
    """
    matrices = []
    for n, step in zip(shape, spacing_kji, strict=True):
        position = np.arange(n) * step
        nodes = np.arange(-3.0 * correlation_mm, position[-1] + 3.0 * correlation_mm + 1e-6, correlation_mm)
        weights = np.exp(-0.5 * ((position[:, None] - nodes[None]) / correlation_mm) ** 2)
        matrices.append((weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32))
    field = rng.standard_normal([m.shape[1] for m in matrices], dtype=np.float32)
    for axis, matrix in enumerate(matrices):
        field = np.moveaxis(np.tensordot(matrix, field, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(field, dtype=np.float32)


def scanner_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma_voxels: tuple[float, float, float], band: float = 0.6
) -> Float:
    """Noise of unit SD with the correlation of a reconstruction kernel.

    White noise smoothed with ``sigma_voxels`` (k, j, i) minus ``band`` times a copy smoothed twice as much in plane:
    the noise power of filtered back-projection vanishes towards frequency zero.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(white, sigma_voxels, mode="wrap", truncate=3.0)
    if band > 0:
        wide = (0.0, 2.0 * sigma_voxels[1] + 0.5, 2.0 * sigma_voxels[2] + 0.5)
        noise -= band * ndimage.gaussian_filter(noise, wide, mode="wrap", truncate=3.0)
    noise -= noise.mean()
    return np.asarray(noise / max(float(noise.std()), 1e-6), dtype=np.float32)


def signed_distance(mask: Bool, spacing_kji: NDArray[np.float64], margin_mm: float) -> Float:
    """Distance to the surface of ``mask`` in mm, positive inside, float32, exact up to ``margin_mm`` outside.

    The surface lies half way between voxel centres (by subtracting half a mean voxel on both sides); farther than
    ``margin_mm`` outside the value is ``-margin_mm``, as it is everywhere for an empty mask.
    """
    out = np.full(mask.shape, -margin_mm, dtype=np.float32)
    if not mask.any():
        return out
    box = box_around(mask, margin_mm, spacing_kji)
    inside = mask[box]
    outside_distance = ndimage.distance_transform_edt(~inside, sampling=spacing_kji)
    if inside.all():  # nothing outside within the array: everything is deep inside
        inside_distance = np.full(inside.shape, margin_mm)
    else:
        inside_distance = ndimage.distance_transform_edt(inside, sampling=spacing_kji)
    half = 0.5 * float(np.min(spacing_kji))
    signed = np.where(inside, inside_distance - half, half - outside_distance)
    out[box] = np.maximum(signed, -margin_mm)
    return out


def smoothstep(x: NDArray[np.floating]) -> Float:
    """0 below 0, 1 above 1, a cubic between, float32."""
    t = np.clip(x, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def rank_auroc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Chance that a positive value exceeds a negative one (ties count half); NaN when either is empty."""
    if positive.size == 0 or negative.size == 0:
        return float("nan")
    ordered = np.sort(negative, axis=None)
    below = np.searchsorted(ordered, positive, side="left")
    above = np.searchsorted(ordered, positive, side="right")
    return float((below + above).mean() / (2.0 * ordered.size))
