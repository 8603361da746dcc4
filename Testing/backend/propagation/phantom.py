"""A small patient whose anatomy is known exactly: body, spine, two lungs, a liver, a lesion; drawn at any grid."""

from __future__ import annotations

import numpy as np
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from scipy import ndimage

BODY = Grid.from_spacing((26, 96, 112), (2.5, 2.5, 3.0), (-139.0, -118.0, -37.0))


def _inside(points: np.ndarray, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    return (((points - np.array(centre)) / np.array(radii)) ** 2).sum(-1) <= 1.0


def draw(
    grid: Grid = BODY,
    lesion: float = 18.0,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    seed: int = 0,
    name: str = "visit",
    other_anatomy: bool = False,
) -> Visit:
    """The patient moved by ``shift`` (RAS mm), its lesion of the given radius (mm; 0: gone), with noise of ``seed``."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    p = grid.to_ras(index) - np.array(shift)
    hu = np.full(grid.shape, -1000.0)
    body = _inside(p, (0, 0, 0), (125, 92, 400))
    hu[body] = -90.0
    hu[_inside(p, (0, 0, 0), (112, 80, 400))] = 45.0
    if other_anatomy:
        hu[_inside(p, (20, 30, -20), (60, 25, 30))] = -700.0
        hu[_inside(p, (-60, -30, 10), (25, 30, 60))] = 300.0
    else:
        hu[_inside(p, (-55, 8, 20), (38, 52, 46))] = -780.0
        hu[_inside(p, (55, 8, 20), (38, 52, 46))] = -780.0
        hu[_inside(p, (30, 12, -40), (60, 45, 30))] = 95.0
        hu[_inside(p, (0, -58, 0), (16, 16, 400))] = 420.0
        hu[_inside(p, (0, -58, 0), (6, 6, 400))] = 30.0
        hu[_inside(p, (-8, 28, 0), (11, 11, 400))] = 160.0
        hu[_inside(p, (60, -30, -5), (9, 14, 60))] = 220.0
    mask = np.zeros(grid.shape, bool)
    if lesion > 0:
        mask = _inside(p, (-52.0, 6.0, 4.0), (lesion, 0.85 * lesion, 0.9 * lesion))
        hu[mask] = 35.0
    sigma = [0.8 / s for s in grid.spacing_kji]
    smooth = ndimage.gaussian_filter(hu, [0.0 if n == 1 else s for n, s in zip(grid.shape, sigma, strict=True)])
    noise = np.random.default_rng(seed).normal(0.0, 18.0, grid.shape)
    volume = Volume((smooth + noise).astype(np.float32), grid, "CT", name)
    structures = (Structure("GTV", mask, grid, (0.8, 0.1, 0.2), "terminology of a tumour"),)
    return Visit(name, volume, structures)


def bare(visit: Visit) -> Visit:
    """The visit without its contours, as a follow-up comes."""
    return Visit(visit.name, visit.volume)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Volumetric Dice; 1 when both are empty."""
    total = int(one.sum() + other.sum())
    return 1.0 if total == 0 else 2.0 * int((one & other).sum()) / total
