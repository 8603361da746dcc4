"""Synthetic patients of a chosen number of slices, and their later visits."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.synthesis.parameters import FROZEN
from samprompt.synthesis.patient import synthetic_patient
from samprompt.synthesis.visits import simulate_visit

SEED = 11
_CHANGES = ("concentric", "growth", "eccentric", "density")
# A later visit has the baseline's voxels and is not trimmed, so that it can be cut to so many slices.
_CHANGE = replace(FROZEN, thickness_factor=(1.0, 1.0), pixel_factor=(1.0, 1.0), trim_mm=(0.0, 0.0), keep_mm=0.0)


@lru_cache(maxsize=2)
def patient(slices: int, coarse: bool) -> Visit:
    """A chest with a fifth more slices than ``slices``, and ten structures; ``coarse`` voxels are twice as wide."""
    shape, spacing = ((144, 160), (2.2, 2.2, 2.5)) if not coarse else ((72, 80), (4.4, 4.4, 8.0))
    whole = synthetic_patient(SEED, "lung", (slices + max(4, slices // 5), *shape), spacing)
    return Visit("baseline", whole.volume, tuple(_ten(whole)))


def baseline(slices: int, coarse: bool, count: int) -> Visit:
    """The patient with the first ``count`` structures; the first alone is seen on (nearly) every slice."""
    found = patient(slices, coarse)
    return Visit(found.name, found.volume, found.structures[:count])


@lru_cache(maxsize=8)
def later(slices: int, coarse: bool, number: int) -> Visit:
    """Later visit ``number`` (from 1), of exactly ``slices`` slices, without contours."""
    whole = simulate_visit(patient(slices, coarse), SEED + number, _CHANGES[(number - 1) % 4], _CHANGE, "GTV").visit
    array, grid = whole.volume.array, whole.volume.grid
    first = (len(array) - slices) // 2
    if first < 0:
        raise ValueError(f"the later visit has {len(array)} slices, {slices} were asked for")
    part = grid.crop((first, 0, 0), (slices, *array.shape[1:]))
    return Visit(f"visit {number}", Volume(array[first : first + slices], part, "CT", whole.volume.source))


def _ten(visit: Visit) -> list[Structure]:
    """Ten structures, the one on most slices that a model looks at first: large organs are cut in two."""
    known = {s.name: s for s in visit.structures}
    halves = []
    for name, axis in (("Heart", 2), ("Lung left", 0), ("Lung right", 0), ("Liver", 2)):
        halves += _halved(known[name], axis)
    one = known["Spinal cord"] if visit.volume.grid.spacing[0] < 4 else known["Heart"]
    rest = [known["GTV"], *halves, known["Spinal cord"] if one.name == "Heart" else known["Heart"]]
    return [one, *rest][:10]


def _halved(structure: Structure, axis: int) -> list[Structure]:
    """Both halves of a structure along an axis of its array, of equally many voxels."""
    middle = int(np.median(np.argwhere(structure.mask)[:, axis]))
    low = structure.mask.copy()
    low[tuple(slice(middle, None) if n == axis else slice(None) for n in range(3))] = False
    masks = (low, structure.mask & ~low)
    words = ("lower", "upper") if axis == 0 else ("first half", "second half")
    return [replace(structure, name=f"{structure.name} {w}", mask=m) for w, m in zip(words, masks, strict=True)]
