"""Where the patient is in a scan: the body without the table, and where the scan holds no measurement at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.errors import IntensityError
from samprompt.propagation.align.sampling import block_mean, sample
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume

_SPACING = 5.5  # mm, grid of the mask
_AIR = -300.0  # HU between air and tissue (skin, fat -100, foam and cushions -900 to -500)
_PADDING = -1500.0  # HU; scanners write -2000, -2048 or -3024 outside the circle they reconstruct
_OPENING = 6.0  # mm; half the thickness under which a sheet (table top, clothing) is removed
_SHARE = 0.2  # of the largest piece that another piece (a second leg, an arm) must have to count as body


@dataclass(frozen=True, eq=False)
class Body:
    """``mask`` of the patient and ``valid`` (the scan measured there), bool (k, j, i) on their own coarse ``grid``."""

    mask: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    grid: Grid

    def at(self, ras: NDArray[np.float64], dilation: float = 0.0) -> NDArray[np.bool_]:
        """Whether RAS points (..., 3) lie in the body, or within ``dilation`` mm of it."""
        field = self.mask.astype(np.float32)
        if dilation > 0:
            field = (self.distance_outside <= dilation).astype(np.float32)
        return np.asarray(sample(field, self.grid.to_kji(ras)) >= 0.5)

    def valid_at(self, ras: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the scan holds a measurement at RAS points (..., 3); beyond its outer voxels it does not."""
        kji = self.grid.to_kji(ras)
        return np.asarray(sample(self.valid.astype(np.float32), kji) >= 0.5)

    @cached_property
    def distance_outside(self) -> NDArray[np.float64]:
        """Distance to the body in mm, 0 inside, infinite without a body; (k, j, i) on ``grid``."""
        if not self.mask.any():
            return np.full(self.mask.shape, np.inf)
        return np.asarray(ndimage.distance_transform_edt(~self.mask, sampling=self.grid.spacing_kji))


def intensity_range(volume: Volume) -> tuple[float, float]:
    """Values between which the image is compared: HU of tissue and bone for CT, 1st to 99.5th percentile otherwise.

    Raises:
        IntensityError: no finite value, or one value everywhere.
    """
    thin = volume.array[:: max(1, volume.array.shape[0] // 64), ::2, ::2]
    finite = thin[np.isfinite(thin)]
    if finite.size == 0 or float(finite.max() - finite.min()) <= 0.0:
        finite = volume.array[np.isfinite(volume.array)]
    name = volume.source or "the image"
    if finite.size == 0:
        raise IntensityError(f"{name} holds no finite value.", "Check the file; it may be damaged.")
    if float(finite.max() - finite.min()) <= 0.0:
        raise IntensityError(
            f"{name} has the same value ({float(finite.flat[0]):g}) everywhere.",
            "Give the scan itself, not a mask or an empty series.",
        )
    if volume.modality == "CT":
        return -500.0, 500.0
    low, high = np.percentile(finite, [1.0, 99.5])
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return float(low), float(high)


def find_body(volume: Volume) -> Body:
    """Body mask of a scan: threshold, thin sheets removed, the large pieces, holes filled slice by slice.

    CT is thresholded at -300 HU, anything else by Otsu's method. A scan that shows no air (a crop inside the body) is
    body everywhere; one that shows no tissue has an empty mask.

    Raises:
        IntensityError: as ``intensity_range``.
    """
    low, high = intensity_range(volume)
    array = volume.array
    missing = ~np.isfinite(array)
    if volume.modality == "CT":
        missing |= array <= _PADDING
    if missing.any():
        array = np.where(missing, np.float32(-1000.0 if volume.modality == "CT" else low), array)
    values, grid = block_mean(array, volume.grid, _SPACING)
    valid = np.ones(values.shape, dtype=bool)
    if missing.any():
        valid = block_mean(missing.astype(np.float32), volume.grid, _SPACING)[0] < 0.5
    threshold = _AIR if volume.modality == "CT" else _otsu(np.clip(values[valid], low, high))
    tissue = (values > threshold) & valid
    return Body(_largest(_opened(tissue, grid.spacing_kji), grid.axial_axis), valid, grid)


def _otsu(values: NDArray[np.float32]) -> float:
    """Threshold of the largest variance between two classes (Otsu 1979, 128 bins)."""
    if values.size == 0:
        return 0.0
    counts, edges = np.histogram(values, bins=128)
    centres = (edges[:-1] + edges[1:]) / 2.0
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nanargmax(np.where(np.isfinite(between), between, -1.0)))])


def _opened(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Opening by a ball, with the scan's border not counting as outside."""
    pad = [(int(np.ceil(_OPENING / s)) + 1,) * 2 for s in spacing]
    grown = np.pad(mask, pad, mode="edge")
    if grown.all() or not grown.any():
        return mask
    eroded = ndimage.distance_transform_edt(grown, sampling=spacing) > _OPENING
    if not eroded.any():
        return mask
    # Grown back a little further than it was eroded: skin folds and corners that the opening rounds off return.
    opened = ndimage.distance_transform_edt(~eroded, sampling=spacing) <= 1.5 * _OPENING
    block = tuple(slice(p[0], p[0] + n) for p, n in zip(pad, mask.shape, strict=True))
    return np.asarray(opened[block] & mask)


def _largest(mask: NDArray[np.bool_], axial_axis: int) -> NDArray[np.bool_]:
    """The pieces of at least ``_SHARE`` of the largest one, holes filled in each axial slice."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    kept = np.isin(labels, 1 + np.flatnonzero(sizes >= _SHARE * sizes.max()))
    filled = np.empty_like(kept)
    for index in range(kept.shape[axial_axis]):
        where = (slice(None),) * axial_axis + (index,)
        filled[where] = ndimage.binary_fill_holes(kept[where])
    return filled
