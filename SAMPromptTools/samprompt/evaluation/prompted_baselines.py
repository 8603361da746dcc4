"""What a box is worth without a model: the filled ellipse in it, and Otsu's threshold of what it shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samprompt.evaluation.prompted_pieces import Edges, Mask


def ellipse(box: Edges, shape: tuple[int, int]) -> Mask:
    """Pixels of a slice of ``shape`` (H, W) whose centre lies in the ellipse that touches the box's edges."""
    x, y = _centres(box, shape)
    return np.asarray(x[None, :] ** 2 + y[:, None] ** 2 <= 1.0)


def filled_box(box: Edges, shape: tuple[int, int]) -> Mask:
    """Pixels of a slice of ``shape`` (H, W) whose centre lies in the box."""
    x, y = _centres(box, shape)
    return np.asarray((np.abs(x) <= 1.0)[None, :] & (np.abs(y) <= 1.0)[:, None])


def otsu(grey: NDArray[np.float32], box: Edges) -> Mask:
    """The brighter or the darker class of the pixels in the box; ``grey`` (H, W).

    The class is taken that fills more of the inscribed ellipse than of the box's corners, since an object lies in the
    middle of its box. All of the box where it shows one value.
    """
    shape = (grey.shape[0], grey.shape[1])
    inside, middle = filled_box(box, shape), ellipse(box, shape)
    threshold = otsu_threshold(grey[inside])
    if threshold is None:
        return inside
    bright = grey > threshold
    corners = inside & ~middle
    share = np.mean(bright[corners]) if corners.any() else 0.0
    in_the_middle = np.mean(bright[middle & inside]) if (middle & inside).any() else 1.0
    return inside & (bright if in_the_middle >= share else ~bright)


def otsu_threshold(values: NDArray[np.float32]) -> float | None:
    """The value up to which a pixel belongs to the darker class (Otsu, IEEE SMC 1979); None for a single value.

    Every value is tried, not the middles of some histogram: between-class variance w0 w1 (m0 - m1)^2 is the largest;
    the smallest of several.
    """
    levels, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if len(levels) < 2:
        return None
    below = np.cumsum(counts)[:-1].astype(float)
    above = counts.sum() - below
    sums = np.cumsum(levels * counts)
    difference = (sums[-1] - sums[:-1]) / above - sums[:-1] / below
    return float(levels[int(np.argmax(below * above * difference**2))])


def _centres(box: Edges, shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of the pixels' centres along x and y, -1 and 1 being the box's edges."""
    middle, half = (box[:2] + box[2:]) / 2.0, (box[2:] - box[:2]) / 2.0
    x = (np.arange(shape[1]) + 0.5 - middle[0]) / half[0]
    y = (np.arange(shape[0]) + 0.5 - middle[1]) / half[1]
    return x, y
