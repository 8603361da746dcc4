"""The prior refined by its network: on a region's pixels as one more candidate, or on the scan's own as a result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.propagation import PropagationParameters, RegionParameters
from samprompt.models.refiner import Refiner, prior_distances
from samprompt.propagation.align import Alignment, warp_volume
from samprompt.propagation.align.sampling import crop_to_box
from samprompt.propagation.knowledge import structure_window
from samprompt.propagation.pieces import keep_pieces
from samprompt.propagation.region import Region, fill_value, make_region, side_of
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.space.windows import Window

FAR = 1000.0  # mm, the distance where no section is near
_PIXELS = 128  # along the side of a region, unless they would be coarser than RegionParameters.maximum_pixel
_SATURATED = 0.9  # of the largest correction: the network may have wanted more
_BORDER_MM = 1.5  # either side of the result's edge, where a correction counts as one of the contour


@dataclass(frozen=True, eq=False)
class RefinedPrior:
    """``mask`` on the follow-up's grid; ``saturated`` is the share of its contour (of the prior's, where the mask is

    empty) that was moved by all the network may.
    """

    mask: NDArray[np.bool_]
    saturated: float


def refined_fields(
    refiner: Refiner,
    grey: NDArray[np.float32],
    priors: NDArray[np.bool_],
    region: Region,
    window: Window,
    baseline: Volume,
    alignment: Alignment,
    dead_zone: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Signed distance of the refined prior and the correction in it, both (slices, P, P) in mm, positive inside.

    ``grey`` (slices, P, P) is the follow-up in [0, 1] and ``priors`` the warped prior on ``region``'s pixels. Slices
    with no section on them or within 2 mm (or on the next slice) are not looked at: ``-FAR``, correction 0.
    ``dead_zone`` as in ``PathParameters.refiner_dead_zone``.
    """
    stride, step = _neighbours(refiner, float(region.grid.spacing[2]))
    fields = np.full(priors.shape, -FAR, np.float32)
    moved = np.zeros(priors.shape, np.float32)
    wanted = _near(priors, stride)
    if wanted.size == 0:
        return fields, moved
    around = _around(wanted, stride, len(priors))
    needed = np.unique(around)
    warped = np.zeros(priors.shape, np.float32)
    warped[needed[0] : needed[-1] + 1] = window.apply(
        _baseline_on(region.grid, int(needed[0]), int(needed[-1]), baseline, alignment)
    )
    distance = prior_distances(priors, wanted, stride, region.pixel, step / stride, FAR)
    found = refiner.correction(grey[around], warped[around], distance, region.pixel, step)
    moved[wanted] = np.sign(found) * np.maximum(np.abs(found) - dead_zone, 0.0)
    fields[wanted] = distance + moved[wanted]
    return fields, moved


def refine_prior(
    refiner: Refiner,
    base: Visit,
    structure: Structure,
    target: Visit,
    prior: NDArray[np.bool_],
    alignment: Alignment,
    parameters: PropagationParameters,
) -> RefinedPrior:
    """The warped prior refined on the follow-up's own pixels, no other model involved.

    ``prior`` is not empty, on the follow-up's grid. Only the correction comes from the region's pixels; where it is
    zero the prior stays exactly as it was.
    """
    region = prior_region(target.volume.grid, prior, parameters.region)
    window = structure_window(base, structure, parameters.window)
    grey = window.apply(region.sample(target.volume.array, fill_value(target.volume)))
    dead_zone = parameters.path.refiner_dead_zone
    _, moved = refined_fields(refiner, grey, region.mask(prior), region, window, base.volume, alignment, dead_zone)
    values, block = region.back(moved)
    spacing = target.volume.grid.spacing_kji
    stride, _ = _neighbours(refiner, float(spacing[0]))
    own = prior[block]
    field = np.full(own.shape, -FAR, np.float32)
    near = _near(own, stride)
    pixel = float(spacing[1]), float(spacing[2])
    field[near] = prior_distances(own, near, stride, pixel, float(spacing[0]), FAR)
    mask = np.zeros_like(prior)
    mask[block] = field + values > 0
    mask = keep_pieces(mask, prior)
    share = saturated_share(field + values if mask.any() else field, values, refiner.limit_mm - dead_zone)
    return RefinedPrior(mask, share)


def saturated_share(field: NDArray[np.float32], moved: NDArray[np.float32], limit: float) -> float:
    """Share of the contour of ``field`` (signed distance, mm) that was moved by as much as ``limit`` mm allows.

    Where ``field`` has no contour, the share of the one that it had before it was ``moved``.
    """
    edge = np.abs(field) <= _BORDER_MM
    if not edge.any():
        edge = np.abs(field - moved) <= _BORDER_MM
    full = np.abs(moved) >= _SATURATED * limit
    return float(full[edge].mean()) if edge.any() else 0.0


def prior_region(scan: Grid, prior: NDArray[np.bool_], parameters: RegionParameters) -> Region:
    """The square round a prior that is not empty; all of it is seen, a very large one through more pixels."""
    found = np.argwhere(prior)
    low, high = found.min(axis=0), found.max(axis=0)
    side = side_of((high - low + 1)[1:] * scan.spacing_kji[1:], parameters)
    pixels = max(_PIXELS, int(np.ceil(side / parameters.maximum_pixel)))
    beyond = 2 + int(np.ceil(2.0 / scan.spacing[2]))
    return make_region(scan, scan.to_ras((low + high) / 2.0), side, pixels, int(low[0]) - beyond, int(high[0]) + beyond)


def _neighbours(refiner: Refiner, spacing: float) -> tuple[int, float]:
    """How many slices away the neighbours are that the network sees, and the mm between: no nearer than in training."""
    stride = max(1, int(np.ceil(refiner.step_mm[0] / spacing - 1e-3)))
    return stride, stride * spacing


def _near(priors: NDArray[np.bool_], stride: int) -> NDArray[np.intp]:
    """Slices that have a section, or one on a slice up to ``stride`` away."""
    found = np.flatnonzero(priors.any(axis=(1, 2)))
    near = (found[:, None] + np.arange(-stride, stride + 1)).ravel()
    return np.unique(near[(near >= 0) & (near < len(priors))])


def _around(indices: NDArray[np.intp], stride: int, count: int) -> NDArray[np.intp]:
    """(N, 3): each slice between its neighbours; at the scan's ends a slice is its own neighbour."""
    rows = indices[:, None] + np.array([-stride, 0, stride])
    return np.where((rows < 0) | (rows >= count), indices[:, None], rows)


def _baseline_on(grid: Grid, first: int, last: int, baseline: Volume, alignment: Alignment) -> NDArray[np.float32]:
    """The baseline's image on slices ``first`` to ``last`` of a region's grid."""
    part = grid.crop((first, 0, 0), (last - first + 1, *grid.shape[1:]))
    fill = fill_value(baseline)
    reach = float(baseline.grid.spacing.max() + grid.spacing.max())
    shift = alignment.displacement
    if shift is not None and shift.size:
        reach += float(np.abs(shift).max()) * np.sqrt(3.0)
    corners = alignment.map_to_baseline(part.corners_ras(), "local")
    block = crop_to_box(baseline.array, baseline.grid, corners, reach)
    if block is None:
        return np.full(part.shape, fill, np.float32)
    # what is averaged over a coarser voxel needs the neighbourhood of the region only
    return warp_volume(Volume(block[0], block[1], baseline.modality), alignment, part, "deformable", fill)
