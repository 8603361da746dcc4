"""The Medical Segmentation Decathlon: ``TaskNN_Name`` with ``dataset.json``, ``imagesTr`` and ``labelsTr``.

Source: medicaldecathlon.com and Antonelli et al. 2022 (arXiv 2106.05735). ``dataset.json`` lists the training pairs;
several MR sequences are the fourth dimension of one file; its archives hold a hidden ``._`` file beside each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samprompt.contract.errors import MissingFileError, UnreadableFileError
from samprompt.io._files import stem

from samprompt_training.data.cases import Case, Dataset, MaskSource
from samprompt_training.data.finding import dataset_folder, image_files, patient_of, shown, subfolder
from samprompt_training.data.layouts.nnunet import kind_of, read_description, read_labels, refuse_fewer


def open_msd(folder: Path, *, patient: str = "") -> Dataset:
    """The training cases of one task.

    The Decathlon names no patients: each case counts as one, unless the regular expression ``patient`` finds it in the
    case's name. The cases of some tasks share patients (both hippocampi of one person), which no file tells.

    Raises:
        MissingFileError: ``dataset.json``, a folder, or a file it lists is absent; an image that it does not list.
        UnreadableFileError: ``dataset.json`` is damaged or names no labels or no cases.
    """
    folder = dataset_folder(folder)
    path = folder / "dataset.json"
    described = read_description(path)
    labels, known = read_labels(described.get("labels"), path)
    modality = described.get("modality")
    channel = str(next(iter(modality.values()), "CT")) if isinstance(modality, dict) else "CT"
    image_folder = subfolder(folder, "imagesTr")
    subfolder(folder, "labelsTr")
    listed = described.get("training")
    pairs = [_pair(folder, one, path) for one in listed] if isinstance(listed, list) else []
    if not pairs:
        raise UnreadableFileError(f"{path} lists no training cases.", "Copy the file again.")
    missing = [file.relative_to(folder).as_posix() for pair in pairs for file in pair if not file.is_file()]
    if missing:
        raise MissingFileError(
            f"{len(missing)} files listed in {path} are missing: {shown(missing)}.", "Copy the dataset again."
        )
    unlisted = sorted(set(image_files(image_folder)) - {image for image, _ in pairs})
    if unlisted:
        raise MissingFileError(
            f"{path} names no mask for {shown(file.name for file in unlisted)}.", "Remove these images, or list them."
        )
    refuse_fewer(len(pairs), described.get("numTraining"), folder)
    cases = tuple(
        Case(
            patient_of(stem(image), patient) if patient else stem(image),
            stem(image),
            (image,),
            {title: MaskSource(mask, values) for title, values in labels.items()},
            kind_of(channel, ".nii.gz"),
            known,
        )
        for image, mask in sorted(pairs)
    )
    note = "The Decathlon names no patients: every case counts as a patient of its own."
    return Dataset("msd", folder, cases, () if patient else (note,), bool(patient))


def _pair(folder: Path, listed: Any, path: Path) -> tuple[Path, Path]:
    try:
        return folder / str(listed["image"]), folder / str(listed["label"])
    except (KeyError, TypeError) as error:
        raise UnreadableFileError(
            f"{path}: '{listed}' is no pair of image and label.", "Copy the file again."
        ) from error
