"""Both images on one region of interest round a structure, and the weights of its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from samprompt.contract.propagation import AlignParameters
from samprompt.propagation.align.body import Body
from samprompt.propagation.align.deformable import Features
from samprompt.propagation.align.mind import mind_ssc, noise_level
from samprompt.propagation.align.sampling import block_mean, box_grid, crop_to_box, inside, sample
from samprompt.propagation.align.transform import padded_distance
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume

# HU that tell tissues apart: lung texture to dense bone. Metal and cortical bone above say no more.
_CT_RANGE = (-1000.0, 600.0)


@dataclass(frozen=True, eq=False)
class Patch:
    """One image on the region: ``values`` and ``weight`` (k, j, i), 0 where nothing was measured; ``noise`` (SD)."""

    values: Tensor
    weight: Tensor
    body: Tensor
    noise: float
    modality: str

    def features(self) -> Features:
        """MIND-SSC of the patch."""
        return Features(mind_ssc(self.values, self.noise), self.weight)


class Distance:
    """Signed distance (mm, positive inside) to the nearest of several structures, at any RAS points of the baseline."""

    def __init__(self, structures: Sequence[Structure], margin: float) -> None:
        self.fields = [padded_distance(s, margin) for s in structures]

    def surface(self) -> NDArray[np.float64]:
        """RAS mm of the voxels along the structures' surfaces, (n, 3)."""
        return np.concatenate(
            [grid.to_ras(np.argwhere(np.abs(d) <= float(grid.spacing.max()) * 1.01)) for d, grid in self.fields]
        )

    def __call__(self, ras: NDArray[np.float64]) -> NDArray[np.float32]:
        """Signed distance at (..., 3); beyond the fields it grows with the distance to them."""
        best = np.full(ras.shape[:-1], -np.inf, dtype=np.float32)
        for field, grid in self.fields:
            kji = grid.to_kji(ras)
            nearest = np.clip(kji, 0.0, np.array(grid.shape) - 1.0)
            beyond = np.linalg.norm((kji - nearest) * grid.spacing_kji, axis=-1)
            best = np.maximum(best, sample(field, nearest) - beyond.astype(np.float32))
        return best


def region_grid(surface_followup: NDArray[np.float64], followup: Grid, parameters: AlignParameters) -> Grid | None:
    """Grid round the structure's expected place, within the follow-up's field of view; None outside it.

    The spacing grows beyond ``parameters.deformable_spacing`` where the region would hold more than
    ``parameters.maximum_voxels``: a large structure is aligned more coarsely, in the same time.
    """
    corners = followup.corners_ras()
    low = np.maximum(surface_followup.min(axis=0) - parameters.deformable_margin, corners.min(axis=0))
    high = np.minimum(surface_followup.max(axis=0) + parameters.deformable_margin, corners.max(axis=0))
    if (high <= low).any():
        return None
    spacing = parameters.deformable_spacing
    spacing = max(spacing, float((np.prod(high - low) / parameters.maximum_voxels) ** (1.0 / 3.0)))
    return box_grid(low + spacing / 2.0, np.maximum(high - spacing / 2.0, low + spacing / 2.0), spacing)


def patch(volume: Volume, body: Body, points: NDArray[np.float64], spacing: float) -> Patch:
    """An image at RAS points (k, j, i, 3) of its own space; outside the body (the table) plain air for CT."""
    ct = volume.modality == "CT"
    flat = points.reshape(-1, 3)
    blank = np.float32(_CT_RANGE[0] if ct else 0.0)
    block = crop_to_box(volume.array, volume.grid, flat, 2.0 * spacing)
    shape = points.shape[:-1]
    if block is None:
        empty = torch.zeros(shape)
        return Patch(empty + float(blank), empty, empty, 0.0, volume.modality)
    array = np.nan_to_num(block[0], nan=float(blank), posinf=float(blank), neginf=float(blank))
    if ct:
        array = np.clip(array, *_CT_RANGE)
    array, grid = block_mean(array, block[1], spacing)
    values = sample(array, grid.to_kji(points))
    seen = inside(volume.grid.shape, volume.grid.to_kji(points)) & body.valid_at(points)
    within = body.at(points)
    if ct:
        values = np.where(body.at(points, dilation=8.0), values, blank)
    if not seen.all() and seen.any():
        # The nearest measured value continues the image, so that no edge appears where the scan ends; what is computed
        # there still counts for nothing, nor do the two voxels along the scan's end, whose features see beyond it.
        far, nearest = ndimage.distance_transform_edt(~seen, return_indices=True)
        values = np.where(far > 0, values[tuple(nearest)], values)
        seen = ndimage.distance_transform_edt(np.pad(seen, 2, mode="edge"))[2:-2, 2:-2, 2:-2] > 2.0
    image = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    weight = torch.from_numpy(seen.astype(np.float32))
    inner = torch.from_numpy((within & seen).astype(np.float32))
    return Patch(image, weight, inner, noise_level(image, inner), volume.modality)


def interior(distance: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """``weight`` deep inside the structure, 1 from 3 mm under its surface outwards."""
    depth = np.clip((distance - 2.0) / 4.0, 0.0, 1.0)
    return np.asarray(1.0 - (1.0 - weight) * depth, dtype=np.float32)


def ring(distance: NDArray[np.float32], width: float, weight: float) -> NDArray[np.float32]:
    """1 in the ``width`` mm round the structure, ``weight`` inside it, 0 elsewhere."""
    around = (distance > -width).astype(np.float32)
    return np.asarray(around * interior(distance, weight), dtype=np.float32)
