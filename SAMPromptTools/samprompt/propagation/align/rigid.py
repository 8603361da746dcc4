"""The rigid steps: whole scan once per pair of visits, then local to one structure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.progress import Progress
from samprompt.contract.propagation import AlignParameters
from samprompt.propagation.align.body import Body, find_body, intensity_range
from samprompt.propagation.align.matching import Scene, best_shifts, correlation, gauss_newton, translation
from samprompt.propagation.align.sampling import apply, block_mean, grid_points, inverse, sample
from samprompt.space.volume import Volume


@dataclass(frozen=True, eq=False)
class RigidAlignment:
    """The whole-scan step: ``matrix`` maps follow-up RAS mm to baseline RAS mm.

    ``quality`` in [0, 1] is the correlation inside both bodies, ``body_overlap`` the Dice of the bodies where both
    scans look, ``shared_field`` the share of the smaller scan's body that the other one shows. ``trusted`` is False
    with ``reasons`` when the two have nothing in common.
    """

    matrix: NDArray[np.float64]
    quality: float
    body_overlap: float
    shared_field: float
    baseline_body: Body
    followup_body: Body
    baseline_range: tuple[float, float]
    followup_range: tuple[float, float]
    trusted: bool
    reasons: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def scene(volume: Volume, body: Body, limits: tuple[float, float], spacing: float) -> Scene:
    """An image ready for matching at about ``spacing`` mm: clipped to ``limits``, outside the body plain air.

    Air right round the body keeps its weight, since the skin is a landmark; further out nothing counts, since the
    table and the arms' place are not the patient.
    """
    low, high = limits
    array = np.nan_to_num(volume.array, nan=low, posinf=high, neginf=low)
    np.clip(array, low, high, out=array)  # in place: a whole scan in float32 takes hundreds of megabytes
    values, grid = block_mean(array, volume.grid, spacing)
    points = grid_points(grid)
    if volume.modality == "CT":
        values = np.where(body.at(points, dilation=4.0), values, low)
    weight = (body.at(points, dilation=15.0) & body.valid_at(points)).astype(np.float32)
    return Scene.build(((values - low) / (high - low)).astype(np.float32), weight, grid)


def align_rigid(
    baseline: Volume,
    followup: Volume,
    parameters: AlignParameters | None = None,
    progress: Progress | None = None,
) -> RigidAlignment:
    """Rigid alignment of two whole scans, whatever their fields of view and coordinate systems.

    Starts: the scanner's own coordinates, the bodies' centres, and the best shifts of a masked correlation over all
    translations; each refined from coarse to ``parameters.rigid_spacing``, the best kept.

    Raises:
        IntensityError: an image without finite or without differing values.
        Cancelled: through ``progress``.
    """
    parameters = parameters or AlignParameters()
    progress = progress or Progress()
    began = time.perf_counter()
    progress.step("body", 0, 2)
    bodies, limits = [], []
    for volume in (baseline, followup):
        bodies.append(find_body(volume))
        limits.append(intensity_range(volume))
    baseline_body, followup_body = bodies
    seconds = {"body": time.perf_counter() - began}
    began = time.perf_counter()
    if not baseline_body.mask.any() or not followup_body.mask.any():
        which = "baseline" if not baseline_body.mask.any() else "follow-up"
        return RigidAlignment(
            np.eye(4), 0.0, 0.0, 0.0, baseline_body, followup_body, limits[0], limits[1], False,
            (f"No body was found in the {which} image.",), seconds,
        )  # fmt: skip
    moving = scene(baseline, baseline_body, limits[0], parameters.rigid_spacing)
    fixed = scene(followup, followup_body, limits[1], parameters.rigid_spacing)
    progress.step("rigid", 0, 3)
    matrix = _best_start(fixed, moving, bodies, parameters, progress)
    overlap, shared, interior = _agreement(fixed, moving, baseline_body, followup_body, matrix)
    reasons = []
    if baseline.modality != followup.modality:
        reasons.append(f"The scans are of different kinds ({baseline.modality} and {followup.modality}).")
    if shared < parameters.minimum_shared_field:
        reasons.append(f"The two scans share only {100 * shared:.0f} % of the smaller one's body.")
    if interior < parameters.minimum_rigid_quality:
        reasons.append(f"The whole scans correlate by only {interior:.2f} after rigid alignment.")
    if overlap < parameters.minimum_body_overlap:
        reasons.append(f"The two bodies overlap by only {100 * overlap:.0f} %.")
    seconds["rigid"] = time.perf_counter() - began
    return RigidAlignment(
        matrix, max(0.0, interior), overlap, shared, baseline_body, followup_body, limits[0], limits[1],
        not reasons, tuple(reasons), seconds,
    )  # fmt: skip


def _best_start(
    fixed: Scene, moving: Scene, bodies: list[Body], parameters: AlignParameters, progress: Progress
) -> NDArray[np.float64]:
    """The matrix of the best refined start."""
    centres = [b.grid.to_ras(np.argwhere(b.mask)).mean(axis=0) for b in bodies]
    starts = [np.eye(4), translation(centres[0] - centres[1])]
    coarse_fixed, coarse_moving = fixed.smoothed(8.0), moving.smoothed(8.0)
    found = best_shifts(coarse_fixed, coarse_moving, 2.0 * parameters.rigid_spacing, parameters.minimum_overlap, 4)
    starts.extend(translation(shift) for shift in found)
    points = grid_points(fixed.grid)[fixed.weight > 0]
    few = _thinned(points, 4000)
    rough = []
    for number, start in enumerate(starts):
        progress.step("rigid", number, len(starts) + 3)
        matrix = gauss_newton(coarse_fixed, coarse_moving, few, start, 25)
        rough.append((_score(coarse_fixed, coarse_moving, few, matrix, parameters), number, matrix))
    rough.sort(key=lambda item: (-item[0], item[1]))
    # A little blur even here: between unblurred voxels the interpolated image has its optimum in the wrong place.
    fixed, moving = (s.smoothed(0.5 * parameters.rigid_spacing) for s in (fixed, moving))
    many = _thinned(points, 25000)
    fine: list[tuple[float, int, NDArray[np.float64]]] = []
    for _, number, matrix in _different(rough)[:3]:
        progress.step("rigid", len(starts) + len(fine), len(starts) + 3)
        refined = gauss_newton(fixed, moving, many, matrix, 20)
        fine.append((_score(fixed, moving, many, refined, parameters), number, refined))
    fine.sort(key=lambda item: (-item[0], item[1]))
    return fine[0][2]


def _score(
    fixed: Scene, moving: Scene, points: NDArray[np.float64], matrix: NDArray[np.float64], parameters: AlignParameters
) -> float:
    """Correlation with a little credit for overlap and a heavy loss for less than the minimum."""
    value, share = correlation(fixed, moving, points, matrix)
    # The share of the smaller scan, whichever of the two it is.
    sizes = [float((s.weight > 0).sum()) * s.grid.voxel_volume for s in (fixed, moving)]
    share = min(1.0, share * sizes[0] / max(min(sizes), 1e-9))
    return value * share**0.15 if share >= parameters.minimum_overlap else value * share - 1.0


def _different(
    results: list[tuple[float, int, NDArray[np.float64]]],
) -> list[tuple[float, int, NDArray[np.float64]]]:
    """Results in order without those that ended within 3 mm of a better one."""
    kept: list[tuple[float, int, NDArray[np.float64]]] = []
    for item in results:
        if all(np.abs(item[2] @ inverse(k[2]) - np.eye(4))[:3, 3].max() > 3.0 for k in kept):
            kept.append(item)
    return kept


def _thinned(points: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """About ``most`` of the points, taken at random with a fixed seed (a fixed stride would alias with the rows)."""
    if len(points) <= most:
        return points
    return points[np.sort(np.random.default_rng(0).choice(len(points), most, replace=False))]


def _agreement(
    fixed: Scene, moving: Scene, baseline_body: Body, followup_body: Body, matrix: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Dice of the bodies where both scans look, share of the smaller body seen by both, correlation inside both."""
    points = grid_points(fixed.grid).reshape(-1, 3)
    own = followup_body.at(points) & followup_body.valid_at(points)
    moved = apply(matrix, points)
    kji = moving.grid.to_kji(moved)
    seen = ((kji >= -0.5) & (kji <= np.array(moving.grid.shape) - 0.5)).all(axis=1) & baseline_body.valid_at(moved)
    other = baseline_body.at(moved) & seen
    both = own & other
    dice = 2.0 * both.sum() / max(float((own & seen).sum() + other.sum()), 1.0)
    sizes = [float(b.mask.sum()) * b.grid.voxel_volume for b in (baseline_body, followup_body)]
    shared = min(1.0, float((own & seen).sum()) * fixed.grid.voxel_volume / max(min(sizes), 1e-9))
    if both.sum() < 30:
        return float(dice), shared, 0.0
    a = fixed.values.ravel()[both].astype(np.float64)
    b = sample(moving.values, kji[both]).astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a**2).sum() * (b**2).sum())
    return float(dice), shared, float((a * b).sum() / spread) if spread > 1e-9 else 0.0
