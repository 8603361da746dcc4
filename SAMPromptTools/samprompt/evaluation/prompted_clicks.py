"""Where a person clicks: in the middle of what is wrong most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.evaluation.prompted_pieces import TOUCHING, Mask


@dataclass(frozen=True)
class Click:
    """A point in pixels of the slice (0.5 is the centre of the first one); ``positive``: this belongs to it."""

    x: float
    y: float
    positive: bool


def next_click(truth: Mask, answer: Mask, spacing: NDArray[np.float64]) -> Click | None:
    """The click that corrects ``answer`` (both (H, W)); None where there is nothing to correct.

    What is missed and what is too much fall into connected regions; the click goes into the one of the most pixels, on
    its pixel that is farthest from the region's edge (``spacing`` along y and x). Of equals the first from the top
    left, and what is missed before what is too much. With an empty answer this is the first click.
    """
    best, area, positive = None, 0, True
    for error, sign in ((truth & ~answer, True), (answer & ~truth, False)):
        labels, count = ndimage.label(error, TOUCHING)
        if not count:
            continue
        sizes = np.bincount(labels.ravel())[1:]
        if sizes.max() > area:
            best, area, positive = labels == int(np.argmax(sizes)) + 1, int(sizes.max()), sign
    if best is None:
        return None
    # the image ends in "outside": the edge of a region at the border is there
    depth = ndimage.distance_transform_edt(np.pad(best, 1), sampling=spacing)[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return Click(float(x) + 0.5, float(y) + 0.5, positive)
