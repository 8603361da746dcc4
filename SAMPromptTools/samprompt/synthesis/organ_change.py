"""What organs do between two visits: breathe, slide, fill, and move their gas. They are never eroded."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from samprompt.synthesis.anatomy import Anatomy
from samprompt.synthesis.body import depth_under_skin, posterior_axis
from samprompt.synthesis.deformation import DisplacementField, breathing, compose, on_lattice
from samprompt.synthesis.fields import Bool, signed_distance, smooth_field
from samprompt.synthesis.lesion_change import scale_with_tissue

_HOLLOW = ("stomach", "bladder", "duodenum", "bowel", "colon", "rectum", "magen", "darm", "blase")
_GASSY = ("stomach", "duodenum", "bowel", "colon", "rectum", "magen", "darm")
_GAS_HU = -950.0
_FLUID_HU = 20.0


def breathe(anatomy: Anatomy, shift_mm: float, sliding: bool) -> None:
    """Shift the interior of the body cranio-caudally by ``shift_mm``.

    ``sliding``: the wall stays and the interior glides along it; otherwise the shift fades over three times the wall's
    thickness.
    """
    parameters = anatomy.parameters
    body = on_lattice(anatomy.body.astype(np.float32), anatomy.grid, anatomy.lattice) > 0.5
    depth = depth_under_skin(body, anatomy.lattice.spacing_kji)
    wall = min(parameters.wall_mm, 0.4 * float(depth.max()))
    width = parameters.sliding_width_mm if sliding else 3.0 * wall
    depth = ndimage.gaussian_filter(depth, 1.0)
    shift = breathing(anatomy.lattice, depth, shift_mm, wall if sliding else 1.5 * wall, width, 1.0)
    shift *= anatomy.softness  # the spine stays
    anatomy.displacement = compose(shift, DisplacementField(anatomy.displacement, anatomy.lattice))


def change_organs(anatomy: Anatomy, kind: str) -> None:
    """Work a change of ``kind`` (one of ``ORGAN_KINDS``) into ``anatomy``."""
    rng, parameters = anatomy.rng, anatomy.parameters
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if kind == "breathing":
        shift = sign * float(rng.uniform(*parameters.breathing_mm))
        breathe(anatomy, shift, sliding=False)
        anatomy.notes.append(f"breathing, the interior shifted by {shift:+.0f} mm")
    elif kind == "sliding":
        shift = sign * float(rng.uniform(*parameters.sliding_mm))
        breathe(anatomy, shift, sliding=True)
        anatomy.notes.append(f"the interior slid along the wall by {shift:+.0f} mm")
    elif kind == "filling":
        _filling(anatomy)
    else:
        _gas(anatomy)


def _named(anatomy: Anatomy, words: tuple[str, ...]) -> list[str]:
    return [n for n, m in anatomy.masks.items() if any(w in n.lower() for w in words) and m.any()]


def _filling(anatomy: Anatomy) -> None:
    """Up to two hollow organs (any organ of 10 ml and more if none is named so) fill or empty."""
    rng = anatomy.rng
    names = _named(anatomy, _HOLLOW)
    if not names:
        large = 10_000.0 / anatomy.grid.voxel_volume
        names = [n for n, m in anatomy.masks.items() if m.sum() >= large and not _touches_border(m)]
    if not names:
        names = [anatomy.target]
    chosen = [str(n) for n in rng.permutation(names)[:2]]
    for name in chosen:
        scale = float(rng.uniform(*anatomy.parameters.filling_scale))
        scale = scale if rng.random() < 0.5 else 1.0 / scale
        pivot = anatomy.grid.to_ras(np.argwhere(anatomy.masks[name]).mean(axis=0))
        scale_with_tissue(anatomy, name, pivot, scale)
        anatomy.notes.append(f"{name} {'filled' if scale > 1 else 'emptied'} to {scale**3:.2f} of its volume")


def _touches_border(mask: Bool) -> bool:
    return any(bool(mask.take(end, axis).any()) for axis in range(3) for end in (0, -1))


def _gas(anatomy: Anatomy) -> None:
    """In hollow organs gas and contents change places: old gas is filled with fluid, new gas rises to the front.

    Hollow is what is called so, or what holds gas already without being lung; where there is none, organs fill.
    """
    rng = anatomy.rng
    names = _named(anatomy, _GASSY) or [
        n
        for n, m in anatomy.masks.items()
        if m.any() and 0.02 < float((anatomy.array[m] < -300.0).mean()) < 0.7 and "lung" not in n.lower()
    ]
    if not names:
        _filling(anatomy)
        anatomy.notes.append("no organ that holds gas: filling instead")
        return
    for name in (str(n) for n in rng.permutation(names)[:3]):
        _move_gas(anatomy, name)


def _move_gas(anatomy: Anatomy, name: str) -> None:
    rng, spacing = anatomy.rng, anatomy.grid.spacing_kji
    mask = anatomy.masks[name]
    depth = signed_distance(mask, spacing, 2.0)
    wall = min(anatomy.parameters.gas_wall_mm, 0.4 * float(depth.max()))
    lumen = depth > wall
    if lumen.sum() < 20:
        return
    old = ndimage.binary_dilation((anatomy.array < -150.0) & mask, iterations=1) & mask
    mottle = smooth_field(rng, mask.shape, spacing, 5.0)
    anatomy.array[old] = _FLUID_HU + 8.0 * mottle[old]
    axis, sign = posterior_axis(anatomy.grid)
    shape = [1, 1, 1]
    shape[axis] = -1
    front = np.broadcast_to((-sign * np.arange(mask.shape[axis]) * spacing[axis]).reshape(shape), mask.shape)
    fraction = float(rng.uniform(*anatomy.parameters.gas_fraction))
    level = float(np.quantile(front[lumen], 1.0 - fraction))
    edge = np.minimum(depth - wall, front - level)
    share = np.clip(edge / float(spacing.min()) + 0.5, 0.0, 1.0) * mask
    anatomy.array[...] = anatomy.array * (1.0 - share) + _GAS_HU * share
    anatomy.edited |= old | (share > 0)
    anatomy.notes.append(f"{name}: gas in {fraction:.0%} of the lumen")
