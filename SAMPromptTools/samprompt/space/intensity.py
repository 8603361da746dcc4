"""What the values of an image say: which modality, and what stands in where there is no number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import IntensityError

# A CT shows air or at least fat below this; MR images have no values below it.
_CT_BELOW_HU = -50.0


def guess_modality(array: NDArray[np.float32]) -> str:
    """ "CT" when there are values below -50 (HU), else "OT" (shown by percentiles, not by HU windows)."""
    with np.errstate(invalid="ignore"):
        lowest = np.min(array, initial=np.inf, where=np.isfinite(array))
    return "CT" if lowest < _CT_BELOW_HU else "OT"


def finite_values(array: NDArray[np.float32], source: str) -> tuple[NDArray[np.float32], str]:
    """The array with its minimum in place of NaN and infinity, and a note on that ("" where nothing was replaced).

    Raises:
        IntensityError: nothing finite in it; ``source`` names the image.
    """
    finite = np.isfinite(array)
    if finite.all():
        return array, ""
    if not finite.any():
        raise IntensityError(f"{source} holds no number at all (NaN everywhere).", "Export the image again.")
    lowest = np.float32(array[finite].min())
    count = int(finite.size - np.count_nonzero(finite))
    text = f"{source}: {count} voxels are not a number (NaN or infinite); the minimum {float(lowest):g} stands in."
    return np.where(finite, array, lowest), text
