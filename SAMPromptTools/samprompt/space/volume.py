"""An image: an array together with where it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import GridError
from samprompt.space.grid import Grid


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar image of one visit.

    ``array`` is float32, (k, j, i), finite (NaN was replaced or refused when it was read); CT in HU.
    ``modality`` is DICOM's ("CT", "MR", ...). ``source`` names the file or series for messages. ``key`` names the
    content (same key, same voxels at the same place), "" where nobody named it.
    """

    array: NDArray[np.float32]
    grid: Grid
    modality: str = "CT"
    source: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise GridError(
                f"Array of shape {self.array.shape} on a grid of shape {self.grid.shape}.",
                "This is a fault of the caller: both are in (k, j, i) order.",
            )
        object.__setattr__(self, "array", np.ascontiguousarray(self.array, dtype=np.float32))
