"""The real images of a measurement with prompts: one folder per data set, laid out as it was published."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from samprompt.contract.errors import GridError, MissingFileError, ParameterError, UnreadableFileError
from samprompt.evaluation.prompted_parameters import PromptedParameters
from samprompt.io.images import read_volume
from samprompt.io.structures import read_structures
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume

Unit = Literal["mm", "pixels"]
_PICTURES = (".png", ".jpg", ".jpeg")
_VOLUMES = (".nii.gz", ".nii", ".nrrd", ".mha")
# A person's pictures share what these find at the start of the name: numbers, or words up to the day or the letter.
_PATIENT = re.compile(r"\d+(?=_)|covid-19-pneumonia-(?:\d+|rapidly-progressive)|.+?(?=-day\d|-[a-c]$)")


@dataclass(frozen=True)
class PromptedImage:
    """An image with contours: ``load`` reads it. ``unit`` is that of its spacing: pictures have none but pixels."""

    data_set: str
    patient: str
    name: str
    unit: Unit
    load: Callable[[], Visit]


@dataclass(frozen=True)
class DataSet:
    """``find`` lists the images below the data set's folder; smaller structures than ``least_voxels`` are left out."""

    find: Callable[[str, Path, PromptedParameters], list[PromptedImage]]
    unit: Unit
    least_voxels: int = 1


def open_data_sets(
    root: Path, names: Sequence[str] = (), parameters: PromptedParameters | None = None
) -> tuple[list[PromptedImage], list[str]]:
    """The images of the data sets ``names`` below ``root``, all that are there when none is named; and which are not.

    Raises:
        MissingFileError: a named data set, or every one, is absent; one is empty or half copied.
        ParameterError: there is no such data set.
    """
    if not root.is_dir():
        raise MissingFileError(f"The folder of images {root} does not exist.", "Check --data.")
    for name in names:
        if name not in DATA_SETS:
            raise ParameterError(f"There is no data set {name!r}.", f"Choose among {', '.join(DATA_SETS)}.")
    absent = [name for name in names or DATA_SETS if not (root / name).is_dir()]
    if absent and names:
        raise MissingFileError(f"The data set {root / absent[0]} does not exist.", "Check --data and --set.")
    if len(absent) == len(DATA_SETS):
        raise MissingFileError(f"{root} holds none of the data sets.", f"They are folders: {', '.join(DATA_SETS)}.")
    found: list[PromptedImage] = []
    for name in dict.fromkeys(names or DATA_SETS):
        if name not in absent:
            found += DATA_SETS[name].find(name, root / name, parameters or PromptedParameters())
    return found, absent


def measured_structures(data_set: str, visit: Visit) -> list[Structure]:
    """The structures of an image that its data set is measured on."""
    least = DATA_SETS[data_set].least_voxels
    return [s for s in visit.structures if np.count_nonzero(s.mask) >= least]


def patient_of(stem: str) -> str:
    """Whose picture a file is, by its name without ending: "157_1_2" is patient 157's; the whole name otherwise."""
    found = _PATIENT.match(stem)
    return found[0] if found else stem


def _patient_folders(name: str, folder: Path, _: PromptedParameters) -> list[PromptedImage]:
    """``ct.nii.gz`` with ``gtv.nii.gz`` or ``organs.nii.gz``, in the folder itself or in one for each patient."""
    patients = [folder] if (folder / "ct.nii.gz").is_file() else sorted(p for p in folder.iterdir() if p.is_dir())
    found = []
    for patient in patients:
        contours = [p for p in (patient / "gtv.nii.gz", patient / "organs.nii.gz") if p.is_file()]
        if not (patient / "ct.nii.gz").is_file() or not contours:
            raise MissingFileError(f"{patient} lacks ct.nii.gz or its contours.", "Copy the data set again.")
        load = partial(_read_volume, patient.name, patient / "ct.nii.gz", contours[0])
        found.append(PromptedImage(name, patient.name, patient.name, DATA_SETS[name].unit, load))
    return _some(found, folder)


def _volume_pairs(name: str, folder: Path, _: PromptedParameters) -> list[PromptedImage]:
    """``images/NAME.nii.gz`` with ``labels/NAME.nii.gz``, a patient each."""
    found = []
    for stem, image, mask in _pairs(folder, "images", "labels", _VOLUMES, ""):
        load = partial(_read_volume, stem, image, mask)
        found.append(PromptedImage(name, stem, stem, DATA_SETS[name].unit, load))
    return _some(found, folder)


def _picture_pairs(suffix: str, name: str, folder: Path, parameters: PromptedParameters) -> list[PromptedImage]:
    """``images/NAME.png`` (or .jpg) with ``masks/NAME + suffix.png``."""
    found = []
    for stem, image, mask in _pairs(folder, "images", "masks", _PICTURES, suffix):
        load = partial(_read_picture, stem, image, mask, parameters.picture_side)
        found.append(PromptedImage(name, patient_of(stem), stem, DATA_SETS[name].unit, load))
    return _some(found, folder)


def _some(found: list[PromptedImage], folder: Path) -> list[PromptedImage]:
    if not found:
        raise MissingFileError(f"{folder} holds no image.", "Copy the data set again.")
    return found


def _pairs(folder: Path, images: str, masks: str, endings: Sequence[str], suffix: str) -> list[tuple[str, Path, Path]]:
    """Name, image and mask of every file in ``folder / images``; folders that are absent hold nothing."""
    pairs = []
    for image in sorted((folder / images).iterdir()) if (folder / images).is_dir() else ():
        ending = next((e for e in endings if image.name.lower().endswith(e)), None)
        if ending is None:
            continue
        stem = image.name[: -len(ending)]
        names = [folder / masks / f"{stem}{suffix}{e}" for e in endings]
        mask = next((path for path in names if path.is_file()), None)
        if mask is None:
            raise MissingFileError(f"{image} has no mask ({names[0]}).", "Copy the data set again.")
        pairs.append((stem, image, mask))
    return pairs


def _read_volume(name: str, image: Path, contours: Path) -> Visit:
    volume = read_volume(image)
    return Visit(name, volume, read_structures(contours, volume))


def _read_picture(name: str, image: Path, mask: Path, longest: int) -> Visit:
    """A picture as a volume of one slice, in pixels of 1 x 1; reduced where its longest side exceeds ``longest``."""
    grey, levels = _decoded(image), np.asarray(_decoded(mask))
    lossy = mask.suffix.lower() in (".jpg", ".jpeg")  # JPEG leaves a fringe of other levels round a mask
    drawn = Image.fromarray((levels > (0.5 * levels.max() if lossy else 0.0)).astype(np.float32))
    if grey.size != drawn.size:
        raise GridError(f"{mask} is {_size(drawn)} pixels, its image {_size(grey)}.", "They must be of one size.")
    scale = longest / max(grey.size)
    if scale < 1.0:
        small = (round(grey.width * scale), round(grey.height * scale))
        grey, drawn = (picture.resize(small, Image.Resampling.BILINEAR) for picture in (grey, drawn))
    grid = Grid((1, grey.height, grey.width), np.eye(4))
    array: NDArray[np.float32] = np.asarray(grey, dtype=np.float32)[None]
    structure = Structure("object", np.asarray(drawn)[None] >= 0.5, grid)
    return Visit(name, Volume(array, grid, "OT", str(image)), (structure,))


def _decoded(path: Path) -> Image.Image:
    """A picture's grey levels, as floats."""
    try:
        with Image.open(path) as picture:
            deep = picture.mode.startswith(("I", "F"))  # more than 8 bits, which "L" would cut off
            return (picture if deep else picture.convert("L")).convert("F")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:  # a damaged PNG is a SyntaxError of Pillow
        raise UnreadableFileError(f"{path} cannot be read as a picture: {error}.", "Copy it again.") from error


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"


DATA_SETS: dict[str, DataSet] = {
    "ct_organs": DataSet(_patient_folders, "mm", least_voxels=100),
    "ct_lung_tumour": DataSet(_patient_folders, "mm"),
    "ct_sarcoma": DataSet(_patient_folders, "mm"),
    "mr_hippocampus": DataSet(_volume_pairs, "mm"),
    "ultrasound_thyroid": DataSet(partial(_picture_pairs, ""), "pixels"),
    "xray_lungs": DataSet(partial(_picture_pairs, "_mask"), "pixels"),
}
