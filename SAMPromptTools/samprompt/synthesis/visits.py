"""A later visit of a real or synthetic patient, simulated with exact truth (methods page, section 7)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import ParameterError, StructureError
from samprompt.space.contrast import contrast_to_noise
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.synthesis.acquisition import (
    NoiseModel,
    add_noise,
    denoise,
    followup_grid,
    render,
    render_mask,
    render_signed,
    source_indices,
    thicker_slices,
)
from samprompt.synthesis.anatomy import Anatomy
from samprompt.synthesis.body import add_table, body_mask
from samprompt.synthesis.deformation import (
    DisplacementField,
    VisitTransform,
    compose,
    random_setup,
    soft_tissue,
)
from samprompt.synthesis.fields import Bool, Float, signed_distance, smooth_field
from samprompt.synthesis.lesion_change import change_lesion
from samprompt.synthesis.organ_change import breathe, change_organs
from samprompt.synthesis.parameters import FROZEN, KINDS, ORGAN_KINDS, TUMOUR_KINDS, VisitChange

_TUMOUR_WORDS = ("gtv", "tumour", "tumor", "lesion", "mass", "nodule", "metast")
_LUNG_SHARE = 0.03  # of the body: with more air-like tissue than this there is a lung that breathes
_MARGIN_MM = 8.0  # how far outside signed distances are kept: beyond any contour noise


@dataclass(frozen=True, eq=False)
class SimulatedVisit:
    """A simulated follow-up and everything that is known about it.

    ``visit`` carries the image and the structures as a second observer would draw them: the exact contours displaced by
    smooth noise of ``VisitChange.observer_sd_mm``; these are what results are compared with. ``exact`` are the same
    structures without that noise: the image's own map applied to the baseline masks. ``transform`` maps follow-up RAS
    to baseline RAS. ``contrast_to_noise`` is by structure name, on the follow-up, NaN where the structure is gone.
    ``edited`` marks voxels of the follow-up whose content was made up. ``folding`` is the share of the map that folds.
    """

    visit: Visit
    exact: tuple[Structure, ...]
    kind: str
    description: str
    target: str
    seed: int
    transform: VisitTransform
    contrast_to_noise: dict[str, float]
    edited: Bool
    folding: float


def find_target(visit: Visit, name: str | None = None) -> Structure:
    """The structure that changes: the one of that name, else the first called like a tumour, else the first.

    Raises:
        StructureError: there is none, or it is empty.
    """
    if not visit.structures:
        raise StructureError(f"Visit {visit.name} has no structure.", "Give at least one contoured structure.")
    found = visit.structures[0]
    if name is not None:
        named = [s for s in visit.structures if s.name == name]
        if not named:
            known = ", ".join(s.name for s in visit.structures)
            raise StructureError(f"Visit {visit.name} has no structure {name}.", f"It has: {known}.")
        found = named[0]
    else:
        alike = [s for s in visit.structures if any(w in s.name.lower() for w in _TUMOUR_WORDS)]
        found = alike[0] if alike else found
    if found.is_empty:
        raise StructureError(f"Structure {found.name} of visit {visit.name} is empty.", "Choose another one.")
    return found


def is_tumour(name: str) -> bool:
    """Whether a structure is called like a tumour (GTV, mass, lesion, ...)."""
    return any(word in name.lower() for word in _TUMOUR_WORDS)


def simulate_visit(
    visit: Visit, seed: int, kind: str, parameters: VisitChange = FROZEN, target: str | None = None
) -> SimulatedVisit:
    """Simulate a later visit of ``visit`` (a CT in HU with structures on its own grid) with a change of ``kind``.

    ``kind`` is one of ``TUMOUR_KINDS`` (the ``target`` changes; by default the structure called like a tumour) or
    ``ORGAN_KINDS``. Image and masks go through one backward map, evaluated on the follow-up's own grid. Always other:
    set-up, field of view (cut, never invented), slice phase and thickness, table, noise. The same arguments give the
    same visit.

    Raises:
        ParameterError: unknown kind, or not a CT.
        StructureError: the target is absent or empty.
        GridError: the scan is too small for the set-up error.
    """
    if kind not in KINDS:
        raise ParameterError(f"Unknown kind of change: {kind}.", f"Choose one of {', '.join(KINDS)}.")
    if visit.volume.modality != "CT":
        raise ParameterError(
            f"Later visits are simulated for CT only; this is {visit.volume.modality}.", "Give a CT in HU."
        )
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), zlib.crc32(visit.name.encode())])
    anatomy, noise = _anatomy(visit, find_target(visit, target).name, parameters, rng)
    grid, before = anatomy.grid, anatomy.masks[anatomy.target].copy()
    if kind in TUMOUR_KINDS:
        change_lesion(anatomy, kind)
    else:
        change_organs(anatomy, kind)
    transform = _whole_transform(anatomy, kind)
    some = np.argwhere(before)[:: max(1, int(before.sum()) // 2000)]
    target_points = _followup_points(transform, grid.to_ras(some))
    followup = followup_grid(grid, transform, anatomy.body, target_points, rng, parameters)
    indices = source_indices(grid, followup, transform)
    array = thicker_slices(anatomy.array, grid, float(followup.spacing_kji[0]))
    image = render(array, indices)
    body = render_mask(anatomy.body, indices)
    table = add_table(image, body, followup, rng, float(rng.uniform(*parameters.table_gap_mm)))
    image = add_noise(image, noise, rng, float(rng.uniform(*parameters.noise_factor)), body)
    name = f"{visit.name}-{kind}-{seed}"
    volume = Volume(image, followup, "CT", f"simulated from {visit.volume.source or visit.name}")
    exact, drawn = _truth(visit, anatomy, indices, followup, rng)
    folding = transform.field.folding()
    shift = float(np.linalg.norm(_followup_points(transform, _middle(grid)[None])[0] - _middle(grid)))
    description = "; ".join(
        [*anatomy.notes, f"moved by {shift:.0f} mm", "new table" if table else "no room for a table"]
    )
    return SimulatedVisit(
        visit=Visit(name, volume, drawn),
        exact=exact,
        kind=kind,
        description=description,
        target=anatomy.target,
        seed=seed,
        transform=transform,
        contrast_to_noise={s.name: contrast_to_noise(volume, s.mask) for s in drawn},
        edited=render_mask(anatomy.edited, indices),
        folding=folding,
    )


def _anatomy(
    visit: Visit, target: str, parameters: VisitChange, rng: np.random.Generator
) -> tuple[Anatomy, NoiseModel]:
    masks = {s.name: s.mask.copy() for s in visit.structures}
    if len(masks) < len(visit.structures):
        raise StructureError(f"Two structures of visit {visit.name} have the same name.", "Give each its own name.")
    for structure in visit.structures:
        if not structure.grid.same_as(visit.volume.grid):
            raise StructureError(
                f"Structure {structure.name} is not on the grid of its image.", "Resample it to the image first."
            )
    smooth, noise = denoise(visit.volume.array)
    body = body_mask(smooth, visit.volume.grid)
    for mask in masks.values():
        body |= mask
    anatomy = Anatomy(smooth, visit.volume.grid, masks, target, body, parameters, rng)
    anatomy.outside_to_air()
    return anatomy, noise


def _whole_transform(anatomy: Anatomy, kind: str) -> VisitTransform:
    """Set-up, soft tissue and quiet breathing round the change that is in ``anatomy.displacement`` already."""
    parameters, rng, lattice = anatomy.parameters, anatomy.rng, anatomy.lattice
    lung = float(((anatomy.array < -500.0) & anatomy.body).mean()) > _LUNG_SHARE * float(anatomy.body.mean())
    if kind not in ("breathing", "sliding") and (lung or kind in ORGAN_KINDS):
        shift = float(rng.uniform(*parameters.quiet_breathing_mm)) * (1.0 if rng.random() < 0.5 else -1.0)
        breathe(anatomy, shift, sliding=bool(rng.random() < 0.5))
    tissue = soft_tissue(rng, lattice, parameters.tissue_rms_mm, parameters.tissue_correlation_mm)
    displacement = compose(tissue, DisplacementField(anatomy.displacement, lattice))
    centre = _middle(anatomy.grid)
    setup = random_setup(rng, centre, parameters.setup_shift_mm, parameters.setup_rotation_degrees)
    return VisitTransform(np.asarray(np.linalg.inv(setup), dtype=np.float64), DisplacementField(displacement, lattice))


def _middle(grid: Grid) -> NDArray[np.float64]:
    return grid.to_ras((np.array(grid.shape) - 1) / 2.0)


def _followup_points(transform: VisitTransform, baseline_ras: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where baseline points (N, 3) are on the follow-up, to a fraction of a mm (fixed-point inverse)."""
    point = baseline_ras.copy()
    for _ in range(8):
        point = baseline_ras - transform.field.at(point)
    back = np.linalg.inv(transform.rigid)
    return np.asarray(point @ back[:3, :3].T + back[:3, 3])


def _truth(
    visit: Visit, anatomy: Anatomy, indices: Float, followup: Grid, rng: np.random.Generator
) -> tuple[tuple[Structure, ...], tuple[Structure, ...]]:
    """The structures on the follow-up: exactly as the image moved, and as a second observer draws them."""
    parameters = anatomy.parameters
    exact, drawn = [], []
    for structure in visit.structures:
        signed = signed_distance(anatomy.masks[structure.name], anatomy.grid.spacing_kji, _MARGIN_MM)
        moved = render_signed(signed, indices, _MARGIN_MM)
        exact.append(structure.with_mask(moved > 0, followup))
        observer = smooth_field(rng, followup.shape, followup.spacing_kji, parameters.observer_correlation_mm)
        drawn.append(structure.with_mask(moved + parameters.observer_sd_mm * observer > 0, followup))
    return tuple(exact), tuple(drawn)
