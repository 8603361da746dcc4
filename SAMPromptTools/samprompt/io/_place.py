"""A structure of a file brought onto the grid of the image it belongs to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from samprompt.contract.errors import GridError
from samprompt.io.notes import note
from samprompt.space.grid import Grid
from samprompt.space.resample import grids_overlap, resample_mask
from samprompt.space.structure import Structure


def on_grid(structures: Iterable[Structure], grid: Grid, source: str) -> tuple[Structure, ...]:
    """The structures on ``grid``: unchanged where voxels coincide, resampled else; what was lost is noted.

    Raises:
        GridError: a structure's grid and ``grid`` share no space.
    """
    return tuple(_placed(structure, grid, source) for structure in structures)


def _placed(structure: Structure, grid: Grid, source: str) -> Structure:
    if structure.grid.same_as(grid):
        return structure.with_mask(structure.mask, grid)
    if not grids_overlap(structure.grid, grid):
        raise GridError(
            f"{source}: '{structure.name}' and the image share no space.",
            "Give the structures that were drawn on this image, and check that both were exported in one coordinate "
            "system.",
        )
    placed = structure.with_mask(resample_mask(structure.mask, structure.grid, grid), grid)
    before, after = structure.volume_ml, placed.volume_ml
    inside = _share_inside(structure, grid)
    if before > 0 and after == 0:
        note(f"{source}: '{structure.name}' lies outside the image and is empty there.")
    elif before > 0 and inside < 0.99:
        note(f"{source}: {100 * (1 - inside):.0f} % of '{structure.name}' lies outside the image and was cut off.")
    return placed


def _share_inside(structure: Structure, grid: Grid) -> float:
    """Share of the structure's voxel centres that lie inside ``grid``."""
    voxels = np.argwhere(structure.mask)
    if len(voxels) == 0:
        return 1.0
    voxels = voxels[:: max(1, len(voxels) // 20000)]
    kji = grid.to_kji(structure.grid.to_ras(voxels))
    inside = (kji >= -0.5 - 1e-6) & (kji <= np.array(grid.shape) - 0.5 + 1e-6)
    return float(inside.all(axis=1).mean())
