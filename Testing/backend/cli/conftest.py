"""A small patient on disk, written by nibabel, and the command line run as a user would."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_line import Command, Outcome

AFFINE = np.array([[-4.0, 0, 0, 90], [0, -4.0, 0, 80], [0, 0, 5.0, -40], [0, 0, 0, 1]])
SHAPE = (48, 44, 18)  # i, j, k


def ellipsoid(center: tuple[float, float, float], radius: tuple[float, float, float]) -> np.ndarray:
    """Voxels (i, j, k) inside an ellipsoid; all in voxels."""
    places = np.indices(SHAPE).astype(float)
    return sum(((places[n] - center[n]) / radius[n]) ** 2 for n in range(3)) <= 1.0


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def scan(shift: tuple[float, float, float], radius: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CT, tumour and cord of one visit: a body with two lungs, a tumour in the left one, and a spine."""
    s = np.array(shift)
    body = ellipsoid(tuple(np.array([23.5, 21.5, 8.5]) + s), (19, 14, 30))
    lungs = ellipsoid(tuple(np.array([15.5, 20, 8.5]) + s), (6, 8, 9)) | ellipsoid(
        tuple(np.array([31.5, 20, 8.5]) + s), (6, 8, 9)
    )
    tumour = ellipsoid(tuple(np.array([31.0, 20.0, 8.0]) + s), (radius, radius, radius * 0.8))
    spine = ellipsoid(tuple(np.array([23.5, 31.0, 8.5]) + s), (3, 3, 40))
    cord = ellipsoid(tuple(np.array([23.5, 31.0, 8.5]) + s), (1.6, 1.6, 40))
    image = np.full(SHAPE, -1000.0)
    image[body] = 40.0
    image[lungs] = -800.0
    image[tumour] = 45.0
    image[spine] = 400.0
    image[cord] = 30.0
    image += np.random.default_rng(seed).normal(0, 8, SHAPE)
    return image.astype(np.float32), tumour.astype(np.uint8), cord.astype(np.uint8)


@dataclass(frozen=True)
class Patient:
    """Files of a patient: ``ct0`` with ``masks`` (GTV, Cord), and two later scans."""

    folder: Path
    ct0: Path
    ct1: Path
    ct2: Path
    masks: Path


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A patient of its own for every test, since the tests damage files."""
    folder = tmp_path / "patient"
    image, tumour, cord = scan((0, 0, 0), 4.5, 1)
    save(folder / "ct0.nii.gz", image)
    save(folder / "masks" / "GTV.nii.gz", tumour)
    save(folder / "masks" / "Cord.nii.gz", cord)
    save(folder / "ct1.nii.gz", scan((1, -1, 0), 3.8, 2)[0])
    save(folder / "ct2.nii.gz", scan((0, 1, 0), 3.2, 3)[0])
    return Patient(folder, folder / "ct0.nii.gz", folder / "ct1.nii.gz", folder / "ct2.nii.gz", folder / "masks")


@pytest.fixture
def propagate(command: Command, patient: Patient, tmp_path: Path) -> Command:
    """``propagate(...)`` with everything given that is not named: method copied, output in ``tmp_path / "out"``."""

    def run(*extra: object, followups: tuple[Path, ...] | None = None, **named: object) -> Outcome:
        options = {"baseline": patient.ct0, "structures": patient.masks, "out": tmp_path / "out", "method": "copied"}
        arguments: list[object] = ["propagate"]
        for name, value in (options | named).items():
            arguments += [f"--{name}", value]
        for path in (patient.ct1,) if followups is None else followups:
            arguments += ["--followup", path]
        return command(*arguments, *extra)

    return run
