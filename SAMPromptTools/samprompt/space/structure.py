"""A contoured structure: a mask with a name, a colour and its place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import GridError
from samprompt.space.grid import Grid


@dataclass(frozen=True, eq=False)
class Structure:
    """One structure of one visit.

    ``mask`` is bool, (k, j, i); ``color`` is red, green, blue in [0, 1]; ``terminology`` is Slicer's
    ``TerminologyEntry`` string; ``tags`` keeps whatever else the file said of the segment. ``key`` names the mask
    (same key, same voxels), "" where nobody named it; another mask has no key.
    """

    name: str
    mask: NDArray[np.bool_]
    grid: Grid
    color: tuple[float, float, float] = (0.9, 0.3, 0.3)
    terminology: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    key: str = ""

    def __post_init__(self) -> None:
        if self.mask.shape != self.grid.shape:
            raise GridError(
                f"Mask of shape {self.mask.shape} on a grid of shape {self.grid.shape}.",
                "This is a fault of the caller: both are in (k, j, i) order.",
            )
        object.__setattr__(self, "mask", np.ascontiguousarray(self.mask, dtype=bool))

    @property
    def volume_ml(self) -> float:
        """Volume in millilitres (voxel count times voxel volume)."""
        return float(self.mask.sum()) * self.grid.voxel_volume / 1000.0

    @property
    def is_empty(self) -> bool:
        """Whether no voxel is set."""
        return not bool(self.mask.any())

    def centroid_ras(self) -> NDArray[np.float64]:
        """Centre of mass in RAS mm, NaN when empty."""
        if self.is_empty:
            return np.full(3, np.nan)
        return self.grid.to_ras(np.argwhere(self.mask).mean(axis=0))

    def with_mask(self, mask: NDArray[np.bool_], grid: Grid) -> Structure:
        """The same structure (name, colour, terminology) with another mask on another grid."""
        return Structure(self.name, mask, grid, self.color, self.terminology, dict(self.tags))
