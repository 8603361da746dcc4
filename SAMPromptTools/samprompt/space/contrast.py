"""How well a structure stands out against what surrounds it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.errors import GridError
from samprompt.space.volume import Volume

RING_MM = 10.0
# HU below which a voxel is air outside the patient. Emphysema reaches -950 HU, ordinary lung -900: both stay in the
# ring, since the contrast of a lung tumour is its contrast against lung.
OUTSIDE_AIR_HU = -950.0


def box_around(
    mask: NDArray[np.bool_], margin_mm: float, spacing_kji: NDArray[np.float64]
) -> tuple[slice, slice, slice]:
    """Slices (k, j, i) of the box of a non-empty ``mask`` enlarged by ``margin_mm``, cut at the array's border."""
    found = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        extra = int(np.ceil(margin_mm / spacing_kji[axis])) + 1
        found.append(slice(max(int(hit[0]) - extra, 0), min(int(hit[-1]) + extra + 1, mask.shape[axis])))
    return found[0], found[1], found[2]


def contrast_to_noise(volume: Volume, mask: NDArray[np.bool_], ring_mm: float = RING_MM) -> float:
    """Contrast-to-noise ratio of a structure against its ring: |mean in - mean ring| / sqrt((var in + var ring) / 2).

    ``mask`` (k, j, i) is on the volume's grid. The ring is every voxel outside the mask whose centre lies at most
    ``ring_mm`` from a voxel of the mask; in CT, voxels below -950 HU (air outside the patient) are left out of it, lung
    is not. NaN when the mask or its ring is empty; infinite when both are constant and differ. Units cancel.

    Raises:
        GridError: mask and volume have different shapes.
    """
    if mask.shape != volume.grid.shape:
        raise GridError(
            f"Mask of shape {mask.shape} on a volume of shape {volume.grid.shape}.",
            "Both must be on the same grid.",
        )
    if not mask.any():
        return float("nan")
    spacing = volume.grid.spacing_kji
    box = box_around(mask, ring_mm, spacing)
    inside, values = mask[box], volume.array[box]
    ring = ~inside & (ndimage.distance_transform_edt(~inside, sampling=spacing) <= ring_mm)
    if volume.modality == "CT":
        ring &= values > OUTSIDE_AIR_HU
    if not ring.any():
        return float("nan")
    a, b = values[inside].astype(np.float64), values[ring].astype(np.float64)
    noise = float(np.sqrt((a.var() + b.var()) / 2.0))
    difference = abs(float(a.mean() - b.mean()))
    if noise == 0.0:
        return float("inf") if difference > 0 else 0.0
    return difference / noise
