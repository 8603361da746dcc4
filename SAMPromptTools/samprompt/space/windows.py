"""Grey-level windows: HU (or MR values) to the [0, 1] a model sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.propagation import WindowName
from samprompt.space.contrast import OUTSIDE_AIR_HU, box_around


@dataclass(frozen=True)
class Window:
    """``low`` maps to 0 and ``high`` to 1, both in the image's unit (HU for CT); outside is clipped."""

    low: float
    high: float

    def apply(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Grey levels in [0, 1], same shape, float32."""
        return np.clip((array - self.low) / (self.high - self.low), 0.0, 1.0).astype(np.float32)


WINDOWS = {
    "lung": Window(-910.0, 590.0),  # the CT preparation of P2SAM's 4D-Lung experiments (methods page, 1.4)
    "soft": Window(-160.0, 240.0),
    "bone": Window(-450.0, 1050.0),
    "wide": Window(-1000.0, 1000.0),
}
_AROUND_MM = 15.0
_CHOSEN: dict[WindowName, str] = {"lung": "lung", "soft tissue": "soft", "bone": "bone"}


def chosen_window(choice: WindowName) -> Window | None:
    """The window that a person chose for a CT; None for "auto" and "MR/other", which depend on the image."""
    return WINDOWS[_CHOSEN[choice]] if choice in _CHOSEN else None


def window_for(values: NDArray[np.float32], inside: NDArray[np.bool_], modality: str = "CT") -> Window:
    """Window that shows a structure against its surroundings.

    CT: the narrowest of soft, lung and bone whose range holds the 2nd to 98th percentile of the values in and round
    the structure (``inside`` selects them); soft tissue is preferred, since low contrast needs every grey level.
    Any other modality: the 1st to 99th percentile of the whole image.
    """
    if modality != "CT":
        low, high = np.percentile(values, [1.0, 99.0])
        return Window(float(low), float(max(high, low + 1e-3)))
    selected = values[inside] if inside.any() else values
    low, high = np.percentile(selected, [2.0, 98.0])
    for name in ("soft", "lung", "bone"):
        window = WINDOWS[name]
        if low >= window.low - 60.0 and high <= window.high + 60.0:
            return window
    return WINDOWS["wide"]


def window_round(
    array: NDArray[np.float32], mask: NDArray[np.bool_], spacing_kji: NDArray[np.float64], modality: str = "CT"
) -> Window:
    """Window that shows a structure and 15 mm round it: "auto" of the propagation and of the training alike.

    ``array`` and ``mask`` (k, j, i) on the same voxels, of ``spacing_kji`` mm. An empty mask stands for all of the
    image. Any other modality than CT: as ``window_for``.
    """
    if modality != "CT":
        return window_for(array, np.ones(1, dtype=bool), "OT")
    box = box_around(mask, _AROUND_MM, spacing_kji) if mask.any() else (slice(None),) * 3
    values = array[box]
    # air outside the patient says nothing of the structure's contrast
    return window_for(values, (values > OUTSIDE_AIR_HU) | mask[box])
