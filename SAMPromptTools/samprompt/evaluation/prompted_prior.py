"""Priors that are wrong in the ways of a carried contour: out of place, bent, of another size, cut.

Independent of the corruption that training uses, which has other families, constants and units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.evaluation.prompted_parameters import PriorParameters
from samprompt.evaluation.prompted_pieces import Mask

_TRIES = 6


def corrupted(
    mask: Mask,
    spacing: NDArray[np.float64],
    random: np.random.Generator,
    parameters: PriorParameters | None = None,
    in_mm: bool = True,
) -> Mask:
    """A wrong prior of ``mask`` (H, W), which is not empty; ``spacing`` along y and x, in mm unless ``in_mm`` is False.

    How far the contour moves is drawn evenly between nothing and the most that ``parameters`` allow, then divided
    between a shift and a smooth warp. A prior that came out empty is drawn again with half of the error.
    """
    known = parameters or PriorParameters()
    diameter = 2.0 * float(np.sqrt(np.count_nonzero(mask) * np.prod(spacing) / np.pi))
    most = min(known.reach, known.share * diameter) if in_mm else known.share_without_mm * diameter
    error = float(random.uniform(0.0, most))
    factor = 1.0
    for _ in range(_TRIES):
        found = _once(mask, spacing, random, known, error * factor, diameter)
        if found.any():
            return found
        factor /= 2.0
    return mask.copy()


def _once(
    mask: Mask,
    spacing: NDArray[np.float64],
    random: np.random.Generator,
    known: PriorParameters,
    error: float,
    diameter: float,
) -> Mask:
    shift_share = float(random.uniform())
    angle = float(random.uniform(0.0, 2.0 * np.pi))
    shift = error * shift_share * np.array([np.sin(angle), np.cos(angle)])
    scale = known.scale ** random.uniform(-1.0, 1.0, 2)
    # only the part of the slice that the prior can reach; everything in the unit of the spacing from here on
    rows, columns = np.nonzero(mask)
    reach = np.ceil((error + (known.scale - 1.0) * diameter) / spacing).astype(int) + 2
    low = np.maximum([rows.min() - reach[0], columns.min() - reach[1]], 0)
    high = np.minimum([rows.max() + 1 + reach[0], columns.max() + 1 + reach[1]], mask.shape)
    block = mask[low[0] : high[0], low[1] : high[1]]
    centre = (np.array([rows.mean(), columns.mean()]) - low) * spacing
    place = np.indices(block.shape, dtype=float) * spacing[:, None, None]
    away = place - (centre + shift)[:, None, None]
    warp = _smooth(random, block.shape, known.smoothness * diameter / spacing) * error * (1.0 - shift_share)
    source = away / scale[:, None, None] + centre[:, None, None] + warp
    soft = ndimage.map_coordinates(block.astype(float), source / spacing[:, None, None], order=1, cval=0.0)
    found = soft >= 0.5
    if random.uniform() < known.cut:
        direction = float(random.uniform(0.0, 2.0 * np.pi))
        along = away[0] * np.sin(direction) + away[1] * np.cos(direction)
        found &= along <= float(random.uniform(known.cut_from, known.cut_to)) * diameter / 2.0
    result = np.zeros_like(mask)
    result[low[0] : high[0], low[1] : high[1]] = found
    return result


def _smooth(random: np.random.Generator, shape: tuple[int, ...], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth displacement (2, H, W) whose largest length is 1."""
    field = np.stack([ndimage.gaussian_filter(random.normal(size=shape), sigma, mode="reflect") for _ in range(2)])
    longest = float(np.sqrt((field**2).sum(axis=0)).max())
    return field / longest if longest > 0 else field
