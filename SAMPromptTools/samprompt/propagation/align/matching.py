"""Rigid matching of two images: robust Gauss-Newton on grey values, and a search over all shifts by correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from samprompt.propagation.align.sampling import apply, inside, sample
from samprompt.space.grid import Grid


@dataclass(frozen=True, eq=False)
class Scene:
    """An image prepared for matching.

    ``values`` in [0, 1] with the table replaced by air, ``weight`` in [0, 1] (0 where nothing was measured), and
    ``gradient`` (3, k, j, i) per mm in RAS, all on ``grid``.
    """

    values: NDArray[np.float32]
    weight: NDArray[np.float32]
    gradient: NDArray[np.float32]
    grid: Grid

    @classmethod
    def build(cls, values: NDArray[np.float32], weight: NDArray[np.float32], grid: Grid) -> Scene:
        """Scene with the gradient worked out; an axis of one voxel has gradient zero."""
        along = np.zeros((3, *values.shape), dtype=np.float32)
        for axis in range(3):
            if values.shape[axis] > 1:
                along[2 - axis] = np.gradient(values, axis=axis) / np.float32(grid.spacing_kji[axis])
        gradient = np.tensordot(grid.directions.astype(np.float32), along, axes=(1, 0))
        return cls(values, weight, np.asarray(gradient, dtype=np.float32), grid)

    def smoothed(self, sigma: float) -> Scene:
        """The same scene blurred by a Gaussian of ``sigma`` mm, missing voxels not counting."""
        sigmas = [sigma / s if n > 1 else 0.0 for s, n in zip(self.grid.spacing_kji, self.values.shape, strict=True)]
        known = (self.weight > 0).astype(np.float32)
        mass = ndimage.gaussian_filter(known, sigmas)
        blurred = ndimage.gaussian_filter(self.values * known, sigmas) / np.maximum(mass, 1e-3)
        return Scene.build(np.asarray(blurred, dtype=np.float32), self.weight, self.grid)


def rotation(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """3x3 rotation of a rotation vector in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def translation(shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """4x4 matrix of a shift in mm."""
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return matrix


def gauss_newton(
    fixed: Scene,
    moving: Scene,
    points: NDArray[np.float64],
    start: NDArray[np.float64],
    iterations: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """4x4 rigid matrix that maps ``points`` (n, 3; RAS mm of ``fixed``) onto the same anatomy in ``moving``.

    Least squares between fixed values and a linear function of the moving values (contrast may differ), with
    Geman-McClure weights of the residual (what changed between visits must not pull), the mean of both images'
    gradients (ESM, Benhimane and Malis 2004) and Levenberg damping of 1e-3. Stops at steps below 0.01 mm.
    """
    here = sample(np.concatenate([fixed.values[None], fixed.weight[None], fixed.gradient]), fixed.grid.to_kji(points))
    own_weight = here[1].astype(np.float64) * (1.0 if weights is None else weights)
    stack = np.concatenate([moving.values[None], moving.weight[None], moving.gradient])
    matrix = start.copy()
    for _ in range(iterations):
        moved = apply(matrix, points)
        kji = moving.grid.to_kji(moved)
        there = sample(stack, kji)
        weight = own_weight * there[1] * inside(moving.grid.shape, kji)
        total = weight.sum()
        if total < 30.0:
            return matrix
        target, value = here[0].astype(np.float64), there[0].astype(np.float64)
        scale, offset = _linear_fit(value, target, weight)
        residual = target - scale * value - offset
        spread = max(2.0 * float(np.sqrt((weight * residual**2).sum() / total)), 0.02)
        weight = weight / (1.0 + (residual / spread) ** 2) ** 2
        gradient = 0.5 * (scale * there[2:].T + here[2:].T @ matrix[:3, :3].T).astype(np.float64)
        centre = (weight[:, None] * moved).sum(axis=0) / weight.sum()
        jacobian = np.concatenate([np.cross(moved - centre, gradient), gradient], axis=1)
        weighted = jacobian * weight[:, None]
        normal = weighted.T @ jacobian
        damping = 1e-3 * np.diag(normal) + 1e-9 * max(float(np.trace(normal)), 1e-12)
        step = np.linalg.solve(normal + np.diag(damping), weighted.T @ residual)
        # At most 0.1 rad and 20 mm a step: the linearisation holds no further.
        step *= min(1.0, 0.1 / (np.linalg.norm(step[:3]) + 1e-12), 20.0 / (np.linalg.norm(step[3:]) + 1e-12))
        turn = np.eye(4)
        turn[:3, :3] = rotation(step[:3])
        turn[:3, 3] = centre + step[3:] - turn[:3, :3] @ centre
        matrix = turn @ matrix
        reach = float(np.sqrt(((moved - centre) ** 2).sum(axis=1).mean()))
        if np.linalg.norm(step[3:]) + reach * np.linalg.norm(step[:3]) < 0.01:
            break
    return matrix


def _linear_fit(
    value: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Weighted regression target = scale * value + offset, with the scale held in [0.5, 2]."""
    total = weight.sum()
    mean_value, mean_target = (weight * value).sum() / total, (weight * target).sum() / total
    variance = (weight * (value - mean_value) ** 2).sum()
    covariance = (weight * (value - mean_value) * (target - mean_target)).sum()
    scale = float(np.clip(covariance / variance, 0.5, 2.0)) if variance > 1e-9 else 1.0
    return scale, float(mean_target - scale * mean_value)


def correlation(
    fixed: Scene, moving: Scene, points: NDArray[np.float64], matrix: NDArray[np.float64]
) -> tuple[float, float]:
    """Weighted correlation of the two images at ``points`` after ``matrix``, and the share of points seen by both."""
    here = sample(np.stack([fixed.values, fixed.weight]), fixed.grid.to_kji(points)).astype(np.float64)
    kji = moving.grid.to_kji(apply(matrix, points))
    there = sample(np.stack([moving.values, moving.weight]), kji).astype(np.float64)
    weight = here[1] * there[1] * inside(moving.grid.shape, kji)
    total, share = weight.sum(), weight.sum() / max(here[1].sum(), 1e-9)
    if total < 30.0:
        return 0.0, float(share)
    a = here[0] - (weight * here[0]).sum() / total
    b = there[0] - (weight * there[0]).sum() / total
    spread = np.sqrt((weight * a**2).sum() * (weight * b**2).sum())
    return (float((weight * a * b).sum() / spread) if spread > 1e-9 else 0.0), float(share)


def best_shifts(
    fixed: Scene, moving: Scene, spacing: float, minimum_overlap: float, count: int
) -> list[NDArray[np.float64]]:
    """The shifts (mm, follow-up to baseline) of the highest masked correlation over all translations, best first.

    Normalised cross-correlation of images with missing parts, all shifts at once by Fourier transform (Padfield 2012,
    equation for masked NCC); both scenes are laid on one RAS lattice of ``spacing`` mm. ``minimum_overlap`` is the
    share of the smaller image's weight that must be seen by both.
    """
    a, wa, origin_a = _on_lattice(fixed, spacing)
    b, wb, origin_b = _on_lattice(moving, spacing)
    shape = [fft.next_fast_len(m + n - 1, real=True) for m, n in zip(a.shape, b.shape, strict=True)]

    def spectrum(array: NDArray[np.float64]) -> NDArray[np.complex128]:
        return np.asarray(fft.rfftn(array, shape))

    def correlate(x: NDArray[np.complex128], y: NDArray[np.complex128]) -> NDArray[np.float64]:
        return np.asarray(fft.irfftn(np.conj(x) * y, shape))

    fa, fa2, fwa = spectrum(a * wa), spectrum(a * a * wa), spectrum(wa)
    fb, fb2, fwb = spectrum(b * wb), spectrum(b * b * wb), spectrum(wb)
    weight = correlate(fwa, fwb)
    smaller = min(float(wa.sum()), float(wb.sum()))
    allowed = weight > max(minimum_overlap * smaller, 8.0)
    if not allowed.any():
        return []
    n = np.maximum(weight, 1.0)
    sum_a, sum_b = correlate(fa, fwb), correlate(fwa, fb)
    numerator = correlate(fa, fb) - sum_a * sum_b / n
    variance_a = np.maximum(correlate(fa2, fwb) - sum_a**2 / n, 0.0)
    variance_b = np.maximum(correlate(fwa, fb2) - sum_b**2 / n, 0.0)
    spread = np.sqrt(variance_a * variance_b)
    ncc = np.where(spread > 1e-3 * max(spread.max(), 1e-9), numerator / np.maximum(spread, 1e-9), 0.0)
    # A little credit for overlap: a sliver that happens to fit must not beat a whole that fits as well.
    score = np.where(allowed, ncc * (np.maximum(weight, 0.0) / smaller) ** 0.15, -1.0)
    shifts: list[NDArray[np.float64]] = []
    wrap = np.array(shape)
    for _ in range(count):
        peak = np.array(np.unravel_index(int(np.argmax(score)), score.shape))
        if score[tuple(peak)] <= 0.05:
            break
        lag = np.where(peak >= np.array(b.shape), peak - wrap, peak)
        shifts.append(origin_b - origin_a + lag[::-1] * spacing)
        around = [np.arange(p - 2, p + 3) % s for p, s in zip(peak, shape, strict=True)]
        score[np.ix_(*around)] = -1.0
    return shifts


def _on_lattice(scene: Scene, spacing: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Values and weights of a scene on a RAS lattice (k, j, i), and the RAS of its first point."""
    corners = scene.grid.corners_ras()
    low, high = corners.min(axis=0), corners.max(axis=0)
    count = np.maximum(np.floor((high - low) / spacing).astype(int), 1)
    origin = (low + high) / 2.0 - (count - 1) / 2.0 * spacing
    grid = Grid.from_spacing((int(count[2]), int(count[1]), int(count[0])), [spacing] * 3, origin)
    kji = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1).astype(float)
    points = scene.grid.to_kji(grid.to_ras(kji))
    values, weight = sample(np.stack([scene.values, scene.weight]), points).astype(np.float64)
    weight = weight * inside(scene.grid.shape, points)
    mean = (values * weight).sum() / max(weight.sum(), 1e-9)
    return values - mean, weight, origin
