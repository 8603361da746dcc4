"""Files of a dataset's folder: found, paired, and told apart from what operating systems leave behind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from samprompt.contract.errors import MissingFileError, ParameterError
from samprompt.io._files import existing, stem

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
VOLUMES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
_SHOWN = 5


def dataset_folder(path: Path) -> Path:
    """``path``, which must be a folder with something in it.

    Raises:
        MissingFileError: absent, a file, or empty.
    """
    folder = existing(path)
    if not folder.is_dir():
        raise MissingFileError(f"{path} is a file, not the folder of a dataset.", "Unpack it and give the folder.")
    if not visible(folder):
        raise MissingFileError(f"{path} is empty.", "Copy or unpack the dataset into it.")
    return folder


def subfolder(folder: Path, *names: str) -> Path:
    """The first of ``folder``'s subfolders ``names`` that exists (capitals do not count).

    Raises:
        MissingFileError: none of them does, or it is empty.
    """
    below = {child.name.casefold(): child for child in visible(folder) if child.is_dir()}
    for name in names:
        found = below.get(name.casefold())
        if found is not None:
            if not visible(found):
                raise MissingFileError(f"{found} is empty: the dataset is copied in part.", "Copy it again.")
            return found
    wanted = " or ".join(f"'{name}'" for name in names)
    raise MissingFileError(
        f"{folder} has no folder {wanted}: it is of another layout, or copied in part.",
        "Give the folder that holds it, or copy the dataset again.",
    )


def visible(folder: Path) -> list[Path]:
    """What is in ``folder``, by name, without hidden files (archives made on a Mac hold a ``._`` file beside each)."""
    return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.name != "Thumbs.db")


def image_files(folder: Path, endings: Iterable[str] = PICTURES + VOLUMES) -> list[Path]:
    """The images in ``folder`` and its subfolders, by path, hidden ones left out.

    Raises:
        MissingFileError: one is a link to a file that is not there.
    """
    wanted = tuple(endings)
    found: list[Path] = []
    for child in visible(folder):
        if child.is_dir():
            found += image_files(child, wanted)
        elif child.name.lower().endswith(wanted):
            found.append(child)
    refuse_broken_links(found)
    return found


def refuse_broken_links(files: Iterable[Path]) -> None:
    """Refuse links to files that are not there: a dataset kept by git-annex that was not fetched as a whole.

    Raises:
        MissingFileError: there are such links; the message shows the first of them.
    """
    broken = [str(file) for file in files if file.is_symlink() and not file.exists()]
    if broken:
        raise MissingFileError(
            f"{shown(broken)}: a link to a file that is not there ({len(broken)} of them).",
            "Fetch the content (git annex get, datalad get), or copy the files themselves.",
        )


def by_stem(files: Iterable[Path], base: Path) -> dict[str, Path]:
    """Path below ``base`` without the extension -> file.

    Raises:
        MissingFileError: two files differ in their extension alone.
    """
    found: dict[str, Path] = {}
    for file in files:
        name = file.relative_to(base).with_name(stem(file)).as_posix()
        if name in found:
            raise MissingFileError(
                f"{file} and {found[name].name} have the same name.", "Keep one of them: which is meant is not clear."
            )
        found[name] = file
    return found


def refuse_unpaired(images: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
    """Refuse names that have an image and no mask, or a mask and no image.

    Raises:
        MissingFileError: there are such names; the message shows the first of them.
    """
    without_mask = sorted(set(images) - set(masks))
    without_image = sorted(set(masks) - set(images))
    if without_mask:
        raise MissingFileError(
            f"{len(without_mask)} of {len(images)} images have no mask: {shown(without_mask)}.",
            "Copy the missing masks, or remove these images.",
        )
    if without_image:
        raise MissingFileError(
            f"{len(without_image)} of {len(masks)} masks have no image: {shown(without_image)}.",
            "Copy the missing images, or remove these masks.",
        )


def shown(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def patient_of(name: str, pattern: str) -> str:
    """The patient in a file's name: the first group of the regular expression ``pattern``, or all that it matches.

    Raises:
        ParameterError: the pattern is no regular expression, or does not occur in the name.
    """
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise ParameterError(
            f"'{pattern}' is not a regular expression: {error}.", r"For names like P12_3.png use '^(P\d+)_'."
        ) from error
    if found is None:
        raise ParameterError(
            f"The pattern '{pattern}' finds no patient in the name '{name}'.", "Correct the pattern of the patient."
        )
    return found.group(1) if found.groups() else found.group(0)
