"""The patients of a comparison: synthetic ones by number, real ones from folders with an image and contours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from samprompt.contract.errors import MissingFileError, ParameterError, StructureError
from samprompt.io.images import read_volume
from samprompt.io.structures import read_structures
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit

MOST_STRUCTURES = 10
LEAST_VOXELS = 2000
_IMAGES = (".nii.gz", ".nii", ".nrrd", ".mha")
_CONTOURS = ("gtv", "organs", "structures", "segmentation", "contours", "masks", "rtstruct")


@dataclass(frozen=True)
class Case:
    """A patient: ``load`` reads or makes its baseline, whose name is the patient's."""

    patient: str
    load: Callable[[], Visit]


def synthetic_cases(count: int, first: int = 1) -> list[Case]:
    """``count`` synthetic patients, numbers ``first`` and following; chest, abdomen and limb in turn.

    Raises:
        ParameterError: no patient.
    """
    if count < 1:
        raise ParameterError(f"{count} synthetic patients are none.", "Give 1 or more with --synthetic.")
    return [Case(f"synthetic-{seed}", partial(_synthetic, seed)) for seed in range(first, first + count)]


def folder_cases(folders: Sequence[Path]) -> list[Case]:
    """Patients from folders that hold ``ct.*`` (or a DICOM folder ``ct``) and contours on it.

    Contours are a file or folder called gtv, organs, structures, segmentation, contours, masks or rtstruct. A folder of
    such folders stands for all of them. Patients are called like their folders.

    Raises:
        MissingFileError: a folder is absent, or no patient is in it.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise MissingFileError(f"The patient's folder {folder} does not exist.", "Check the path.")
        inside = [folder] if _parts(folder) else [f for f in sorted(folder.iterdir()) if f.is_dir() and _parts(f)]
        if not inside:
            raise MissingFileError(
                f"{folder} holds no patient.", "Put ct.nii.gz and gtv.nii.gz (or organs.nii.gz) into it."
            )
        found += [f for f in inside if f.resolve() not in [g.resolve() for g in found]]
    names = [f.resolve().name for f in found]
    full = [n if names.count(n) == 1 else f"{f.resolve().parent.name}-{n}" for f, n in zip(found, names, strict=True)]
    if len(set(full)) < len(full):
        raise ParameterError("Two patients have the same name.", "Rename one of their folders.")
    return [Case(name, partial(_read, f, name)) for f, name in zip(found, full, strict=True)]


def choose_structures(structures: Sequence[Structure]) -> tuple[Structure, ...]:
    """All structures that are not empty; of more than ten, ten by a rule fixed before any result was seen.

    Eligible are structures of at least 2,000 voxels that do not touch the scan's border. Ranked by volume (equal ones
    in the order given), ten are taken evenly over the ranks, the smallest and the largest among them; with fewer than
    ten eligible all of these. They keep the order given.

    Raises:
        StructureError: nothing is left.
    """
    shown = [s for s in structures if not s.is_empty]
    if len(shown) > MOST_STRUCTURES:
        eligible = [s for s in shown if s.mask.sum() >= LEAST_VOXELS and not _touches_border(s)]
        ranked = sorted(range(len(eligible)), key=lambda n: (int(eligible[n].mask.sum()), n))
        if len(ranked) > MOST_STRUCTURES:
            places = np.rint(np.linspace(0, len(ranked) - 1, MOST_STRUCTURES)).astype(int)
            ranked = [ranked[place] for place in places]
        shown = [eligible[n] for n in sorted(ranked)]
    if not shown:
        raise StructureError(
            "No structure can be evaluated.",
            f"Give one that is not empty (of more than {MOST_STRUCTURES}: of {LEAST_VOXELS} voxels, off the border).",
        )
    return tuple(shown)


def _synthetic(seed: int) -> Visit:
    from samprompt.synthesis.patient import PATIENT_KINDS, synthetic_patient

    visit = synthetic_patient(seed, PATIENT_KINDS[seed % len(PATIENT_KINDS)])
    return Visit(f"synthetic-{seed}", visit.volume, choose_structures(visit.structures))


def _read(folder: Path, name: str) -> Visit:
    parts = _parts(folder)
    assert parts is not None
    volume = read_volume(parts[0])
    return Visit(name, volume, choose_structures(read_structures(parts[1], volume)))


def _parts(folder: Path) -> tuple[Path, Path] | None:
    """Image and contours in a patient's folder, or None."""
    image = _called(folder, ("ct",), _IMAGES)
    contours = _called(folder, _CONTOURS, (".seg.nrrd", *_IMAGES, ".dcm"))
    return (image, contours) if image is not None and contours is not None else None


def _called(folder: Path, stems: Sequence[str], endings: Sequence[str]) -> Path | None:
    for stem in stems:
        for path in (*(folder / f"{stem}{ending}" for ending in endings), folder / stem):
            if path.is_file() or (path.name == stem and path.is_dir()):
                return path
    return None


def _touches_border(structure: Structure) -> bool:
    mask = structure.mask
    return any(bool(mask.take(end, axis).any()) for axis in range(3) for end in (0, -1))
