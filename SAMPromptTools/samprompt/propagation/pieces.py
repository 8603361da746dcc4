"""Which pieces of a result are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def keep_pieces(mask: NDArray[np.bool_], prior: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without crumbs: pieces under a twentieth of the largest that do not touch the prior are dropped."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
    touching = np.zeros(count + 1, bool)
    touching[np.unique(labels[prior & mask])] = True
    keep = np.concatenate([[False], (sizes >= 0.05 * sizes.max()) | touching[1:]])
    return np.asarray(keep[labels])
