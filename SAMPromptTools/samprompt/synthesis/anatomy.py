"""The baseline as the simulator works on it: noise removed, masks as arrays, and a displacement that grows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.space.grid import Grid
from samprompt.synthesis.body import AIR_HU
from samprompt.synthesis.deformation import lattice_over, on_lattice
from samprompt.synthesis.fields import Bool, Float, smoothstep
from samprompt.synthesis.inpaint import fill
from samprompt.synthesis.parameters import VisitChange

_STIFF_MM = 20.0  # within this distance of bone tissue follows less and less


@dataclass(eq=False)
class Anatomy:
    """The patient at baseline while a change is worked into him; changed in place.

    ``array`` (HU, without noise) and ``masks`` (by structure name) are on ``grid``; ``target`` names the structure that
    changes. ``displacement`` (3, k, j, i; RAS mm) on ``lattice`` is the backward map of what moves; ``edited`` marks
    voxels whose content was made up. ``notes`` say in words what was done.
    """

    array: Float
    grid: Grid
    masks: dict[str, Bool]
    target: str
    body: Bool
    parameters: VisitChange
    rng: np.random.Generator
    lattice: Grid = field(init=False)
    displacement: Float = field(init=False)
    softness: Float = field(init=False)
    edited: Bool = field(init=False)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lattice = lattice_over(self.grid)
        self.displacement = np.zeros((3, *self.lattice.shape), dtype=np.float32)
        self.edited = np.zeros(self.grid.shape, dtype=bool)
        bone = on_lattice(((self.array > 250.0) & self.body).astype(np.float32), self.grid, self.lattice) > 0.3
        self.softness = np.ones(self.lattice.shape, dtype=np.float32)
        if bone.any():
            distance = ndimage.distance_transform_edt(~bone, sampling=self.lattice.spacing_kji)
            self.softness = smoothstep(distance / _STIFF_MM)

    def replace_by_tissue(self, removed: Bool, kept: Bool) -> None:
        """Put tissue of the surroundings where ``removed`` is, sparing ``kept`` (both masks on the grid).

        The image is replaced farther than the contour (``rim_mm`` and a voxel), blended over one voxel; structures that
        border on the hole and do not overlap the target receive the voxels whose tissue is theirs.
        """
        if not removed.any():
            return
        spacing = self.grid.spacing_kji
        reach = self.parameters.rim_mm + float(np.sort(spacing)[1])
        hole = self._near(removed, reach) & self.body & ~(kept | (self._near(kept, reach) & ~removed))
        hole |= removed
        filling = fill(self.array, hole, kept | ~self.body, self.grid, self.rng)
        inward = ndimage.distance_transform_edt(filling.hole, sampling=spacing)
        weight = np.clip(inward / (2.0 * spacing.min()), 0.0, 1.0).astype(np.float32)
        part = self.array[filling.box]
        self.array[filling.box] = weight * filling.values + (1.0 - weight) * part
        self.edited |= hole
        self._hand_over(removed, filling.box, filling.donor)

    def _hand_over(self, removed: Bool, box: tuple[slice, slice, slice], donor: NDArray[np.int64]) -> None:
        target = self.masks[self.target]
        freed = removed[box]
        for name, mask in self.masks.items():
            if name == self.target or (mask & target).sum() > 0.02 * target.sum():
                continue
            gained = freed & mask.ravel()[donor]
            if gained.any():
                changed = mask.copy()
                changed[box] |= gained
                self.masks[name] = changed

    def _near(self, mask: Bool, distance_mm: float) -> Bool:
        if not mask.any():
            return np.zeros_like(mask)
        return np.asarray(ndimage.distance_transform_edt(~mask, sampling=self.grid.spacing_kji) <= distance_mm)

    def outside_to_air(self) -> None:
        """Take what is not patient (table, clothes) out of the image, sparing 3 mm of skin and its partial volume."""
        self.array = np.where(self._near(self.body, 3.0), self.array, AIR_HU).astype(np.float32)
