"""Thyroid nodules in ultrasound: TN3K."""

from __future__ import annotations

import csv
from pathlib import Path

from samprompt.contract.errors import MissingFileError, UnreadableFileError

from samprompt_training.data.cases import Case, Dataset, MaskSource
from samprompt_training.data.finding import (
    PICTURES,
    by_stem,
    dataset_folder,
    image_files,
    refuse_unpaired,
    shown,
    subfolder,
    visible,
)

_SETS = {"trainval": "train", "test": "test"}


def open_tn3k(folder: Path) -> Dataset:
    """TN3K: ``trainval-image`` and ``-mask``, ``test-image`` and ``-mask``, each with ``0000.jpg``, ``0001.jpg``, ...

    ``label4trainval.csv`` and ``label4test.csv`` (name, benign or malignant), where present, list every image. Its
    3,493 images are of 2,421 patients, who are not named: each image counts as a patient. Source: Gong et al. 2021 and
    2022 (TRFE+), github.com/haifangong/TRFE-Net-for-thyroid-nodule-segmentation; openmedlab's page of the set.

    Raises:
        MissingFileError: a folder is absent or empty; an image without mask or the reverse; a listed image absent.
        UnreadableFileError: a list is damaged.
    """
    folder = dataset_folder(folder)
    inner = [child for child in visible(folder) if child.is_dir() and child.name.casefold() == "tn3k"]
    folder = inner[0] if inner else folder
    cases: list[Case] = []
    for name, part in _SETS.items():
        image_folder, mask_folder = subfolder(folder, f"{name}-image"), subfolder(folder, f"{name}-mask")
        images = by_stem(image_files(image_folder, PICTURES), image_folder)
        masks = by_stem(image_files(mask_folder, PICTURES), mask_folder)
        refuse_unpaired(images, masks)
        _refuse_incomplete(folder / f"label4{name}.csv", images)
        for title, image in sorted(images.items()):
            masked = {"nodule": MaskSource(masks[title])}
            cases.append(Case(f"{name}/{title}", f"{name}/{title}", (image,), masked, "ultrasound", delivered=part))
    note = "TN3K names no patients: every image counts as a patient of its own."
    return Dataset("tn3k", folder, tuple(cases), (note,), patients_known=False)


def _refuse_incomplete(listing: Path, images: dict[str, Path]) -> None:
    if not listing.is_file():
        return
    try:
        with listing.open(newline="", encoding="utf-8") as stream:
            names = [Path(row[0].strip()).stem for row in csv.reader(stream) if row and "." in row[0]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(f"{listing} is damaged.", "Copy the file again.") from error
    missing = [name for name in names if name not in images]
    if missing:
        raise MissingFileError(
            f"{len(missing)} of {len(names)} images that {listing.name} lists are missing: {shown(missing)}.",
            "The dataset is copied in part: copy it again.",
        )
