"""Images and masks in two folders: what people have who have no known layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from samprompt.contract.errors import MissingFileError, ParameterError
from samprompt.io._files import stem

from samprompt_training.data.cases import Case, Dataset, Kind, MaskSource
from samprompt_training.data.finding import (
    PICTURES,
    VOLUMES,
    by_stem,
    dataset_folder,
    image_files,
    patient_of,
    refuse_unpaired,
    shown,
    subfolder,
    visible,
)

_KINDS: tuple[Kind, ...] = ("ct", "mr", "xray", "ultrasound", "endoscopy")


def open_folders(
    folder: Path,
    *,
    kind: Kind,
    images: str = "images",
    masks: str = "masks",
    mask_suffix: str = "",
    patient: str = "",
    structure: str = "structure",
    labels: Mapping[str, int] | None = None,
) -> Dataset:
    """Pairs of ``images/NAME`` and ``masks/NAME`` (their extensions may differ), pictures or volumes.

    With a ``mask_suffix`` such as "_mask" the masks are called ``NAME_mask``.

    ``masks/NAME`` may also be a folder with one mask file per structure, named like it. Names may lie in subfolders,
    in the same ones on both sides. A mask file shows one ``structure``, or several with ``labels`` (name -> value).
    ``patient`` is a regular expression that finds the patient in NAME (its first group, or all it matches). Without it
    the first subfolder is the patient, and where there is none every image counts as a patient of its own.

    Raises:
        MissingFileError: a folder is absent or empty; an image without mask or a mask without image.
        ParameterError: an unknown kind; a pattern that finds no patient.
    """
    if kind not in _KINDS:
        raise ParameterError(f"'{kind}' is no kind of image.", f"Choose one of: {', '.join(_KINDS)}.")
    folder = dataset_folder(folder)
    image_folder, mask_folder = subfolder(folder, images), subfolder(folder, masks)
    found = by_stem(image_files(image_folder), image_folder)
    if not found:
        raise MissingFileError(
            f"{image_folder} holds no image.", f"Formats that are read: {', '.join(PICTURES + VOLUMES)}."
        )
    sources = _masks(mask_folder, found, structure, labels, mask_suffix)
    known = tuple(labels.values()) if labels else ()
    cases = []
    for name, image in sorted(found.items()):
        who = patient_of(name, patient) if patient else name.split("/", maxsplit=1)[0]
        cases.append(Case(who, name, (image,), sources[name], kind, known))
    patients_known = bool(patient) or all("/" in name for name in found)
    note = "The folder names no patients: every image counts as a patient of its own."
    return Dataset("folders", folder, tuple(cases), () if patients_known else (note,), patients_known)


def _masks(
    folder: Path, images: Mapping[str, Path], structure: str, labels: Mapping[str, int] | None, suffix: str
) -> dict[str, dict[str, MaskSource]]:
    """The masks of every image, by structure.

    Raises:
        MissingFileError: an image without mask, a mask without image.
    """
    folders = {name: folder / name for name in images if (folder / name).is_dir()}
    inside = tuple(folders.values())
    files = [file for file in image_files(folder) if not any(parent in file.parents for parent in inside)]
    single = {name.removesuffix(suffix): file for name, file in by_stem(files, folder).items()}
    empty = [path for path in inside if not visible(path)]
    if empty:
        raise MissingFileError(
            f"{shown(p.name for p in empty)}: no mask in the folder {empty[0]}.", "Copy the missing masks."
        )
    refuse_unpaired(images, single | folders)
    found: dict[str, dict[str, MaskSource]] = {}
    for name in images:
        if name in folders:
            found[name] = {stem(file): MaskSource(file) for file in image_files(folders[name])}
        elif labels:
            found[name] = {title: MaskSource(single[name], (value,)) for title, value in labels.items()}
        else:
            found[name] = {structure: MaskSource(single[name])}
    return found
