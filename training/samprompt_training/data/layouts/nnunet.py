"""nnU-Net's raw data: ``dataset.json``, ``imagesTr`` with channels ``_0000``, ``_0001``, ... and ``labelsTr``.

Source: nnU-Net's documentation, dataset_format.md (version 2) and dataset_conversion.md (version 1).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samprompt.contract.errors import MissingFileError, UnreadableFileError

from samprompt_training.data.cases import Case, Dataset, Kind, MaskSource
from samprompt_training.data.finding import (
    PICTURES,
    dataset_folder,
    patient_of,
    refuse_broken_links,
    refuse_unpaired,
    shown,
    subfolder,
    visible,
)
from samprompt_training.data.pictures import count_channels

_CHANNEL_DIGITS = 4


def open_nnunet(folder: Path, *, kind: Kind | None = None, patient: str = "") -> Dataset:
    """The training cases of a folder ``DatasetNNN_Name`` (``imagesTs`` has no labels and is not read).

    Version 2 (labels: name -> value, or -> values of a region) and version 1 (value -> name). Two-dimensional PNG,
    BMP and TIFF as well as volumes, as ``file_ending`` says; a coloured picture may hold three channels in one file. A
    label called "ignore" is no structure. ``kind`` follows from the first channel's name ("CT" or else "mr", pictures
    "endoscopy") unless it is given. ``patient`` is a regular expression that finds the patient in the case's name;
    without it every case counts as a patient.

    Raises:
        MissingFileError: a folder or ``dataset.json`` is absent; fewer cases than ``numTraining``; a channel, a mask
            or an image is missing.
        UnreadableFileError: ``dataset.json`` is damaged or does not name labels and channels as nnU-Net does.
    """
    folder = dataset_folder(folder)
    described = read_description(folder / "dataset.json")
    channels = _channel_names(described, folder / "dataset.json")
    ending = str(described.get("file_ending", ".nii.gz"))
    labels, known = read_labels(described.get("labels"), folder / "dataset.json")
    images = _channels(subfolder(folder, "imagesTr"), ending, len(channels))
    label_folder = subfolder(folder, "labelsTr")
    masks = {f.name.removesuffix(ending): f for f in visible(label_folder) if f.name.endswith(ending)}
    refuse_broken_links(masks.values())
    refuse_unpaired({name: files[0] for name, files in images.items()}, masks)
    refuse_fewer(len(images), described.get("numTraining"), folder)
    kind = kind or kind_of(channels[0], ending)
    cases = tuple(
        Case(
            patient_of(name, patient) if patient else name,
            name,
            files,
            {title: MaskSource(masks[name], values) for title, values in labels.items()},
            kind,
            known,
        )
        for name, files in sorted(images.items())
    )
    note = "nnU-Net's layout names no patients: every case counts as a patient of its own."
    return Dataset("nnunet", folder, cases, () if patient else (note,), bool(patient))


def read_description(path: Path) -> dict[str, Any]:
    """The object in a ``dataset.json``.

    Raises:
        MissingFileError: it is absent.
        UnreadableFileError: it is no JSON object.
    """
    if not path.is_file():
        raise MissingFileError(
            f"{path} is missing: the folder is of another layout, or copied in part.",
            "Give the folder that holds dataset.json.",
        )
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"{path} is damaged: {error}.", "Copy the file again.") from error
    if not isinstance(described, dict):
        raise UnreadableFileError(f"{path} holds no description of a dataset.", "Copy the file again.")
    return described


def read_labels(labels: Any, path: Path) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """Structures with the values that belong to them, and every value a mask may hold.

    Raises:
        UnreadableFileError: no labels, or not as either version writes them.
    """
    try:
        if not isinstance(labels, Mapping) or not labels:
            raise TypeError("no labels")
        old = all(str(key).lstrip("-").isdigit() for key in labels)
        pairs = [(str(v), k) for k, v in labels.items()] if old else list(labels.items())
        values = {
            str(name): tuple(int(v) for v in value) if isinstance(value, (list, tuple)) else (int(value),)
            for name, value in pairs
        }
    except (TypeError, ValueError) as error:
        raise UnreadableFileError(
            f"{path} does not name the labels as nnU-Net does.", 'Write "labels": {"background": 0, "tumour": 1}.'
        ) from error
    known = tuple(sorted({value for found in values.values() for value in found} - {0}))
    structures = {
        name: found for name, found in values.items() if found != (0,) and name not in ("background", "ignore")
    }
    return structures, known


def _channel_names(described: Mapping[str, Any], path: Path) -> list[str]:
    """The names of the channels, in order; version 1 calls them "modality".

    Raises:
        UnreadableFileError: not as either version writes them.
    """
    key = "modality" if "modality" in described and "channel_names" not in described else "channel_names"
    named = described.get(key, {"0": "CT"})
    if not isinstance(named, Mapping) or not named or not all(isinstance(name, str) for name in named.values()):
        raise UnreadableFileError(
            f"{path} does not name the channels as nnU-Net does ({key}).", f'Write "{key}": {{"0": "CT"}}.'
        )
    return list(named.values())


def refuse_fewer(found: int, promised: Any, folder: Path) -> None:
    """Refuse a folder with fewer cases than its description promises.

    Raises:
        MissingFileError: it has fewer.
    """
    if isinstance(promised, int) and found < promised:
        raise MissingFileError(
            f"{folder} holds {found} of {promised} training cases: it is copied in part.", "Copy the dataset again."
        )


def kind_of(channel: str, ending: str) -> Kind:
    """The kind of image that the first channel's name tells."""
    if ending.lower() in PICTURES:
        return "endoscopy"
    return "ct" if channel.strip().casefold() in ("ct", "rescale_to_0_1 ct") else "mr"


def _channels(folder: Path, ending: str, count: int) -> dict[str, tuple[Path, ...]]:
    """Name of a case -> its channels in order, or the one coloured picture that holds all three.

    Raises:
        MissingFileError: a channel is missing; no image has the ending.
        UnreadableFileError: a picture is damaged.
    """
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    for file in visible(folder):
        name, _, channel = file.name.removesuffix(ending).rpartition("_")
        if file.name.endswith(ending) and name and len(channel) == _CHANNEL_DIGITS and channel.isdigit():
            found[name][int(channel)] = file
    if not found:
        raise MissingFileError(
            f"{folder} holds no image called NAME_0000{ending}.", "Check file_ending in dataset.json."
        )
    refuse_broken_links(file for own in found.values() for file in own.values())
    alone = count == 3 and ending.lower() in PICTURES and all(set(own) == {0} for own in found.values())
    if alone and all(count_channels(own[0]) == 3 for own in found.values()):
        return {name: (own[0],) for name, own in found.items()}
    incomplete = [f"{name}_{c:04d}" for name, own in sorted(found.items()) for c in range(count) if c not in own]
    if incomplete:
        raise MissingFileError(
            f"Channels are missing in {folder}: {shown(incomplete)}.", "Copy the dataset again, or remove these cases."
        )
    return {name: tuple(own[c] for c in range(count)) for name, own in found.items()}
