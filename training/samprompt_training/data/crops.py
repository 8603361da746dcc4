"""Where a crop round a structure lies in a slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def crop_round(
    mask: NDArray[np.bool_], lengths: tuple[int, int], shift: float, rng: np.random.Generator
) -> tuple[slice, slice]:
    """Rows and columns of a crop of ``lengths`` pixels that shows the structure of a slice; it may reach beyond.

    All parts are shown where they fit, else the largest one, shifted at random by up to ``shift`` of the free room. A
    part that is longer than the crop is cut round one of its pixels, drawn at random: between its ends there need be
    none of it (a ring). Without any structure the crop lies about the middle.
    """
    hit = np.argwhere(_shown(mask, lengths))
    pixel = hit[rng.integers(len(hit))] if len(hit) else np.zeros(2)
    found = []
    for axis in (0, 1):
        length = lengths[axis]
        first, last = (int(hit[:, axis].min()), int(hit[:, axis].max())) if len(hit) else (0, mask.shape[axis] - 1)
        middle = (first + last + 1) / 2.0
        if len(hit) and last - first + 1 > length:
            middle = float(pixel[axis]) + 0.5
        else:
            room = abs(length - (last - first + 1)) / 2.0 * shift
            middle += rng.uniform(-room, room)
        start = round(middle - length / 2.0)
        found.append(slice(start, start + length))
    return found[0], found[1]


def _shown(mask: NDArray[np.bool_], lengths: tuple[int, int]) -> NDArray[np.bool_]:
    """All of the mask where its box fits into ``lengths``, else its largest part (corners connect)."""
    used = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    if all(len(found) == 0 or found[-1] - found[0] < length for found, length in zip(used, lengths, strict=True)):
        return mask
    parts, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == int(sizes.argmax()))
