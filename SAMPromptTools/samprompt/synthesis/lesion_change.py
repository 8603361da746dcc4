"""What a tumour does between two visits: shrinks with or without its surroundings, splits, vanishes, grows, pales."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.synthesis.anatomy import Anatomy
from samprompt.synthesis.deformation import DisplacementField, compose, sample, scaling
from samprompt.synthesis.fields import Bool, signed_distance, smooth_field
from samprompt.synthesis.inpaint import fill

_SMALLEST_PART = 0.1  # of the remaining tumour; smaller fragments are replaced too


def change_lesion(anatomy: Anatomy, kind: str) -> None:
    """Work a change of ``kind`` (one of ``TUMOUR_KINDS``) of the target into ``anatomy``."""
    _KINDS[kind](anatomy)


def _centroid(anatomy: Anatomy) -> NDArray[np.float64]:
    return anatomy.grid.to_ras(np.argwhere(anatomy.masks[anatomy.target]).mean(axis=0))


def _diameter(anatomy: Anatomy) -> float:
    """Diameter in mm of the ball of the target's volume."""
    volume = float(anatomy.masks[anatomy.target].sum()) * anatomy.grid.voxel_volume
    return float(2.0 * (3.0 * volume / (4.0 * np.pi)) ** (1.0 / 3.0))


def _wall_point(anatomy: Anatomy) -> NDArray[np.float64]:
    """A random point of the target's surface (RAS)."""
    mask = anatomy.masks[anatomy.target]
    surface = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    return anatomy.grid.to_ras(surface[anatomy.rng.integers(len(surface))])


def scale_with_tissue(anatomy: Anatomy, name: str, pivot: NDArray[np.float64], scale: float) -> None:
    """Scale structure ``name`` by ``scale`` about ``pivot``; the tissue around follows, bone does not."""
    mask = anatomy.masks[name]
    if not mask.any():
        return
    volume = float(mask.sum()) * anatomy.grid.voxel_volume
    diameter = 2.0 * (3.0 * volume / (4.0 * np.pi)) ** (1.0 / 3.0)
    reach = max(anatomy.parameters.reach_mm, anatomy.parameters.reach * diameter)
    signed = signed_distance(mask, anatomy.grid.spacing_kji, reach / min(scale, 1.0) + 6.0)
    shift = scaling(anatomy.lattice, signed, anatomy.grid, pivot, scale, reach, anatomy.softness)
    anatomy.displacement = compose(anatomy.displacement, DisplacementField(shift, anatomy.lattice))


def _scaled_mask(anatomy: Anatomy, pivot: NDArray[np.float64], scale: float) -> Bool:
    """The target scaled by ``scale`` < 1 about ``pivot``, within itself."""
    mask = anatomy.masks[anatomy.target]
    signed = signed_distance(mask, anatomy.grid.spacing_kji, 5.0)
    inside = np.argwhere(mask)
    points = anatomy.grid.to_ras(inside)
    still = sample(signed, anatomy.grid, pivot + (points - pivot) / scale, -5.0) > 0
    kept = np.zeros_like(mask)
    kept[tuple(inside[still].T)] = True
    return kept


def _replace(anatomy: Anatomy, kept: Bool) -> None:
    """The target becomes ``kept``; tissue takes the rest."""
    removed = anatomy.masks[anatomy.target] & ~kept
    anatomy.replace_by_tissue(removed, kept)
    anatomy.masks[anatomy.target] = kept


def _shrink(anatomy: Anatomy, pivot: NDArray[np.float64], how: str) -> None:
    scale = float(anatomy.rng.uniform(*anatomy.parameters.shrink_scale))
    half = float(np.sqrt(scale))
    _replace(anatomy, _scaled_mask(anatomy, pivot, half))
    scale_with_tissue(anatomy, anatomy.target, pivot, half)
    anatomy.notes.append(f"{how} shrinkage to {scale:.2f} of its length, half of it followed by the tissue")


def _concentric(anatomy: Anatomy) -> None:
    _shrink(anatomy, _centroid(anatomy), "concentric")


def _eccentric(anatomy: Anatomy) -> None:
    _shrink(anatomy, _wall_point(anatomy), "eccentric")


def _elastic(anatomy: Anatomy) -> None:
    scale = float(anatomy.rng.uniform(*anatomy.parameters.shrink_scale))
    scale_with_tissue(anatomy, anatomy.target, _centroid(anatomy), scale)
    anatomy.notes.append(f"elastic shrinkage to {scale:.2f} of its length, the tissue follows")


def _growth(anatomy: Anatomy) -> None:
    scale = float(anatomy.rng.uniform(*anatomy.parameters.growth_scale))
    scale_with_tissue(anatomy, anatomy.target, _centroid(anatomy), scale)
    anatomy.notes.append(f"growth to {scale:.2f} of its length")


def _regressive(anatomy: Anatomy) -> None:
    """Tissue replaces the rim: the voxels deepest under a rough surface stay."""
    mask = anatomy.masks[anatomy.target]
    spacing = anatomy.grid.spacing_kji
    radius = _diameter(anatomy) / 2.0
    depth = signed_distance(mask, spacing, 1.0)
    rough = smooth_field(anatomy.rng, mask.shape, spacing, max(radius / 2.5, 4.0))
    score = depth + anatomy.parameters.rim_roughness * radius * rough
    fraction = float(anatomy.rng.uniform(*anatomy.parameters.remaining_fraction))
    kept = mask & (score > np.quantile(score[mask], 1.0 - fraction))
    labels, count = ndimage.label(kept)
    if count > 1:
        sizes = ndimage.sum_labels(kept, labels, np.arange(1, count + 1))
        kept = np.isin(labels, 1 + np.flatnonzero(sizes >= _SMALLEST_PART * sizes.sum()))
    _replace(anatomy, kept)
    anatomy.notes.append(f"tissue replaced the rim, {fraction:.0%} of the volume remain")


def _splitting(anatomy: Anatomy) -> None:
    """A bent sheet of tissue grows through the middle and leaves two parts."""
    mask = anatomy.masks[anatomy.target]
    inside = np.argwhere(mask)
    points = anatomy.grid.to_ras(inside) - _centroid(anatomy)
    normal = anatomy.rng.standard_normal(3)
    normal /= np.linalg.norm(normal)
    bend = smooth_field(anatomy.rng, mask.shape, anatomy.grid.spacing_kji, max(_diameter(anatomy) / 3.0, 6.0))
    gap = float(anatomy.rng.uniform(*anatomy.parameters.split_gap_mm))
    gap = min(gap, 0.3 * _diameter(anatomy))
    height = points @ normal + 0.08 * _diameter(anatomy) * bend[mask]
    kept = np.zeros_like(mask)
    kept[tuple(inside[np.abs(height - 0.1 * height.std()) > gap / 2.0].T)] = True
    _replace(anatomy, kept)
    anatomy.notes.append(f"split by {gap:.0f} mm of tissue")


def _disappearance(anatomy: Anatomy) -> None:
    _replace(anatomy, np.zeros_like(anatomy.masks[anatomy.target]))
    anatomy.notes.append("gone, tissue replaced all of it")


def _density(anatomy: Anatomy) -> None:
    """The excess over the tissue that would be there is multiplied, with an edge of one voxel."""
    mask = anatomy.masks[anatomy.target]
    parameters = anatomy.parameters
    factor = float(anatomy.rng.uniform(*parameters.density_factor))
    there = fill(anatomy.array, mask, ~anatomy.body, anatomy.grid, anatomy.rng)
    part = anatomy.array[there.box]
    excess = float(part[there.hole].mean()) - float(there.values[there.hole].mean())
    shift = (factor - 1.0) * excess
    mean = float(part[there.hole].mean())
    shift = min(shift, max(parameters.density_ceiling - mean, 0.0))
    spacing = anatomy.grid.spacing_kji
    soft = ndimage.gaussian_filter(there.hole.astype(np.float32), 0.7 * spacing.min() / spacing)
    anatomy.array[there.box] = part + np.float32(shift) * np.where(anatomy.body[there.box], soft, 0.0)
    anatomy.notes.append(f"density x {factor:.2f} of its excess ({shift:+.0f} HU)")


_KINDS: dict[str, Callable[[Anatomy], None]] = {
    "concentric": _concentric,
    "eccentric": _eccentric,
    "elastic": _elastic,
    "regressive": _regressive,
    "splitting": _splitting,
    "disappearance": _disappearance,
    "density": _density,
    "growth": _growth,
}
