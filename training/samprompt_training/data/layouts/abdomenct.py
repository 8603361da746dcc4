"""AbdomenCT-1K: liver, kidneys, spleen and pancreas in CT of many centres."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from samprompt.contract.errors import MissingFileError

from samprompt_training.data.cases import Case, Dataset, MaskSource
from samprompt_training.data.finding import dataset_folder, image_files, refuse_unpaired, visible

LABELS = {"liver": 1, "kidney": 2, "spleen": 3, "pancreas": 4}
_CHANNEL = "_0000"
_ENDING = ".nii.gz"


def open_abdomenct_1k(folder: Path, *, unlabelled: Literal["refuse", "leave out"] = "refuse") -> Dataset:
    """AbdomenCT-1K: images in the folders ``AbdomenCT-1K-ImagePart1`` to ``3``, masks in ``Mask``.

    Files are called ``Case_00001_0000.nii.gz`` and ``Case_00001.nii.gz``. All folders lie in ``folder``, each perhaps
    in another of its name (as unpacked). Cases count as patients. Images that came without a mask are an error unless
    they are to be left out (``unlabelled``), which is noted. The set contains the CTs of LiTS, KiTS and of the
    Decathlon's spleen and pancreas tasks: do not test on those after training on it. Source: Ma et al. 2021 (arXiv
    2010.14808), github.com/JunMa11/AbdomenCT-1K.

    Raises:
        MissingFileError: a folder is absent or empty; an image without mask or the reverse.
    """
    folder = dataset_folder(folder)
    below = [child for child in visible(folder) if child.is_dir()]
    mask_folders = [child for child in below if child.name.casefold().startswith("mask")]
    image_folders = [child for child in below if "image" in child.name.casefold()]
    for wanted, found in (("AbdomenCT-1K-ImagePart1", image_folders), ("Mask", mask_folders)):
        if not found:
            raise MissingFileError(
                f"{folder} has no folder '{wanted}': it is of another layout, or copied in part.",
                "Unpack the archives of images and of masks into one folder, and give that.",
            )
    images = _named(image_folders, _CHANNEL + _ENDING)
    masks = _named(mask_folders, _ENDING)
    if not images:
        raise MissingFileError(f"{folder} holds no image called Case_00001_0000.nii.gz.", "Copy the dataset again.")
    alone = set(images) - set(masks) if unlabelled == "leave out" else set()
    images = {name: image for name, image in images.items() if name not in alone}
    refuse_unpaired(images, masks)
    known = tuple(LABELS.values())
    cases = [
        Case(name, name, (image,), {title: MaskSource(masks[name], (v,)) for title, v in LABELS.items()}, "ct", known)
        for name, image in sorted(images.items())
    ]
    notes = (f"{len(alone)} images without mask were left out.",) if alone else ()
    return Dataset("abdomenct-1k", folder, tuple(cases), notes)


def _named(folders: list[Path], ending: str) -> dict[str, Path]:
    return {f.name.removesuffix(ending): f for folder in folders for f in image_files(folder, (ending,))}
