"""How well a contour agrees with the truth: the measures of one structure on one visit (methods page, section 5)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from surface_distance import metrics as surface

from samprompt.contract.errors import GridError
from samprompt.space.crop import Box, crop_array
from samprompt.space.structure import Structure

State = Literal["both", "missed", "invented", "true negative"]
Mask = NDArray[np.bool_]

TOLERANCES = (1.0, 2.0, 3.0)  # mm; 3 is the headline, since at 3 mm slices less mostly measures voxelisation
LEAST_TAU = 1.0  # mm, of the added path length that forgives small deviations
_NONE = float("nan")


@dataclass(frozen=True)
class AddedPath:
    """Contour that a person has to draw anew: ``length_mm``, and ``relative`` to the truth's whole contour.

    A boundary pixel of the truth counts when no boundary pixel of the result lies within ``tau_mm`` in its plane.
    ``relative`` is NaN where the truth is empty.
    """

    tau_mm: float
    length_mm: float
    relative: float


@dataclass(frozen=True)
class StructureMetrics:
    """All measures of one result against its truth.

    ``state`` says which of the two is empty: "both" have voxels; "missed": the result is empty; "invented": the truth
    is; "true negative": both are. Dice and surface Dice are 0 where one is empty, and NaN (to be kept out of means) for
    a true negative; distances (mm) are NaN unless both have voxels: where one is empty they failed, which is counted.
    ``hd95_mm`` is the larger of the two directed 95th percentiles, ``mean_surface_distance_mm`` the mean over both
    surfaces together; both, and ``surface_dice`` (by tolerance in mm), are weighted by surface area (surfels).
    ``added_path_exact`` has tau = 0, ``added_path`` tau = max(1 mm, 1 pixel). ``slices_to_delete`` are axial slices
    with a result and no truth, ``slices_to_draw`` the opposite. Volumes are in ml; ``volume_difference_percent`` is the
    result's against the truth's, ``centroid_distance_mm`` between their centres of mass.
    """

    state: State
    dice: float
    surface_dice: dict[float, float]
    hd95_mm: float
    mean_surface_distance_mm: float
    added_path_exact: AddedPath
    added_path: AddedPath
    slices_to_delete: int
    slices_to_draw: int
    truth_ml: float
    result_ml: float
    volume_difference_percent: float
    centroid_distance_mm: float

    @property
    def distances_failed(self) -> bool:
        """Whether distances have no meaning because exactly one of the two is empty."""
        return self.state in ("missed", "invented")


def compare(truth: Structure, result: Structure, tolerances: Sequence[float] = TOLERANCES) -> StructureMetrics:
    """Measure ``result`` against ``truth``, both on the same grid; ``tolerances`` (mm) are those of the surface Dice.

    Surface measures are those of DeepMind's ``surface-distance`` package (Nikolov et al., JMIR 2021); its surface
    points are the corners of voxels on both sides, so distances come out up to half a voxel short of those between
    ideal surfaces. The added path length follows Vaassen et al. (phiRO 2020) with a tolerance. Only the box round both
    masks is looked at.

    Raises:
        GridError: the two are on different grids.
    """
    if not truth.grid.same_as(result.grid):
        raise GridError(
            f"Truth and result of {truth.name} are on different grids: {truth.grid.shape}, {result.grid.shape}.",
            "Bring both onto the visit's own grid first.",
        )
    grid = truth.grid
    state = _state(truth.is_empty, result.is_empty)
    volumes = truth.volume_ml, result.volume_ml
    if state == "true negative":
        pixel = _pixel(grid.spacing_kji, grid.axial_axis)
        nothing = AddedPath(0.0, 0.0, _NONE), AddedPath(pixel[1], 0.0, _NONE)
        flat = dict.fromkeys(map(float, tolerances), _NONE)
        return StructureMetrics(state, _NONE, flat, _NONE, _NONE, *nothing, 0, 0, *volumes, _NONE, _NONE)
    box = _union_box(truth.mask, result.mask)
    true, found = crop_array(truth.mask, box), crop_array(result.mask, box)
    dices, hd95, mean = _surfaces(true, found, grid.spacing_kji, tolerances)
    delete, draw = _whole_slices(true, found, grid.axial_axis)
    exact, forgiving = added_paths(true, found, grid.spacing_kji, grid.axial_axis)
    return StructureMetrics(
        state=state,
        dice=volumetric_dice(true, found),
        surface_dice=dices,
        hd95_mm=hd95,
        mean_surface_distance_mm=mean,
        added_path_exact=exact,
        added_path=forgiving,
        slices_to_delete=delete,
        slices_to_draw=draw,
        truth_ml=volumes[0],
        result_ml=volumes[1],
        volume_difference_percent=100.0 * (volumes[1] / volumes[0] - 1.0) if volumes[0] > 0 else _NONE,
        centroid_distance_mm=float(np.linalg.norm(truth.centroid_ras() - result.centroid_ras())),
    )


def volumetric_dice(truth: Mask, result: Mask) -> float:
    """2 |A and B| / (|A| + |B|) of two masks of one shape; NaN when both are empty."""
    total = int(np.count_nonzero(truth)) + int(np.count_nonzero(result))
    return 2.0 * int(np.count_nonzero(truth & result)) / total if total else _NONE


def added_paths(
    truth: Mask, result: Mask, spacing_kji: NDArray[np.float64], axis: int = 0
) -> tuple[AddedPath, AddedPath]:
    """Added path length of two masks (k, j, i), slices across ``axis``, for tau = 0 and tau = max(1 mm, 1 pixel).

    A boundary pixel has one of its four neighbours in the plane outside the mask. Its length is the pixel's size (the
    geometric mean of its sides); one pixel of tolerance is its longer side.
    """
    plane = np.delete(np.asarray(spacing_kji, dtype=float), axis)
    length, tau = _pixel(spacing_kji, axis)
    true, found = _boundary(np.moveaxis(truth, axis, 0)), _boundary(np.moveaxis(result, axis, 0))
    near = np.zeros_like(found)
    for k in np.flatnonzero(found.any(axis=(1, 2)) & true.any(axis=(1, 2))):
        near[k] = ndimage.distance_transform_edt(~found[k], sampling=plane) <= tau + 1e-6
    whole = int(np.count_nonzero(true))

    def path(limit: float, reached: Mask) -> AddedPath:
        missing = int(np.count_nonzero(true & ~reached))
        return AddedPath(limit, missing * length, missing / whole if whole else _NONE)

    return path(0.0, found), path(tau, near)


def _state(no_truth: bool, no_result: bool) -> State:
    if no_truth:
        return "true negative" if no_result else "invented"
    return "missed" if no_result else "both"


def _pixel(spacing_kji: NDArray[np.float64], axis: int) -> tuple[float, float]:
    """Length that one boundary pixel stands for, and the tolerance max(1 mm, 1 pixel), in mm."""
    plane = np.delete(np.asarray(spacing_kji, dtype=float), axis)
    return math.sqrt(float(np.prod(plane))), max(LEAST_TAU, float(plane.max()))


def _union_box(one: Mask, other: Mask) -> Box:
    boxes = [Box.around(mask) for mask in (one, other) if mask.any()]
    return Box.between(np.min([b.start for b in boxes], axis=0), np.max([b.stop for b in boxes], axis=0))


def _boundary(mask: Mask) -> Mask:
    """Pixels of each plane (axis 0) with one of their four neighbours outside the mask; the image ends in outside."""
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    inner = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    return np.asarray(mask & ~inner)


def _whole_slices(truth: Mask, result: Mask, axis: int) -> tuple[int, int]:
    """Slices with a result alone (to delete) and with truth alone (to draw)."""
    others = tuple(a for a in range(3) if a != axis)
    true, found = truth.any(axis=others), result.any(axis=others)
    return int(np.count_nonzero(found & ~true)), int(np.count_nonzero(true & ~found))


def _surfaces(
    truth: Mask, result: Mask, spacing_kji: NDArray[np.float64], tolerances: Sequence[float]
) -> tuple[dict[float, float], float, float]:
    """Surface Dice by tolerance, HD95 and mean surface distance (mm); 0 and NaN where one mask is empty."""
    # The package cannot take an empty mask with NumPy 2 (it uses np.Inf), and there is nothing to ask it then.
    if not truth.any() or not result.any():
        return dict.fromkeys(map(float, tolerances), 0.0), _NONE, _NONE
    with warnings.catch_warnings():  # the package asks SciPy for functions by their old places
        warnings.simplefilter("ignore", DeprecationWarning)
        found = surface.compute_surface_distances(truth, result, tuple(float(s) for s in spacing_kji))
    dices = {float(t): float(surface.compute_surface_dice_at_tolerance(found, t)) for t in tolerances}
    hd95 = float(surface.compute_robust_hausdorff(found, 95.0))
    areas = np.concatenate([found["surfel_areas_gt"], found["surfel_areas_pred"]])
    distances = np.concatenate([found["distances_gt_to_pred"], found["distances_pred_to_gt"]])
    return dices, hd95, float(np.sum(distances * areas) / np.sum(areas))
