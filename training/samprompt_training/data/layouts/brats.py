"""BraTS: a folder per case with four MR sequences and a segmentation.

Source: the challenge's pages (synapse.org), Baid et al. 2021 (arXiv 2107.02314) and, for the newer names and labels,
de Verdier et al. 2024 (arXiv 2405.18368).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from samprompt.contract.errors import MissingFileError, ParameterError

from samprompt_training.data.cases import Case, Dataset, MaskSource
from samprompt_training.data.finding import dataset_folder, image_files, shown

_VOLUMES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class _Naming:
    """How an edition names the files of a case, and which labels it uses.

    ``sequences`` in the order native T1, T1 with contrast, T2, FLAIR; ``regions`` are those the challenge scores.
    """

    separator: str
    sequences: tuple[str, str, str, str]
    regions: dict[str, tuple[int, ...]]
    labels: tuple[int, ...]


# Until 2021: necrosis 1, oedema 2, enhancing tumour 4. Since 2023: enhancing tumour 3 (2024 adds the resection
# cavity, 4, which is no part of the whole tumour).
_NAMINGS = (
    _Naming(
        "_",
        ("t1", "t1ce", "t2", "flair"),
        {"whole tumour": (1, 2, 4), "tumour core": (1, 4), "enhancing tumour": (4,)},
        (1, 2, 4),
    ),
    _Naming(
        "-",
        ("t1n", "t1c", "t2w", "t2f"),
        {"whole tumour": (1, 2, 3), "tumour core": (1, 3), "enhancing tumour": (3,)},
        (1, 2, 3, 4),
    ),
)
_SEGMENTATION = "seg"
# "BraTS-GLI-00005-101": patient 00005 at time point 101; "BraTS19_CBICA_AAB_1": the scan 1 of patient AAB (until 2018
# "Brats18_...").
_TIME_POINT = re.compile(r"^((?i:BraTS)-[A-Za-z]+-\d+)-(\d+)$")
_SCAN = re.compile(r"^((?i:BraTS)\d\d_(?:CBICA|TCIA\d*|TMC|2013|WashU|MDA|UAB)_\w+)_(\d+)$")


def open_brats(folder: Path) -> Dataset:
    """BraTS 2017 to 2021 (``CASE/CASE_t1ce.nii.gz``) or 2023 and later (``CASE/CASE-t1c.nii.gz``), in any subfolder.

    The image's sequences are T1, T1 with contrast, T2 and FLAIR, in this order; the structures are the regions that the
    challenge scores: "whole tumour", "tumour core" and "enhancing tumour".

    Raises:
        MissingFileError: no case; a case lacks a sequence or its segmentation (the validation cases have none).
        ParameterError: cases of children (BraTS-PED), whose labels mean other things.
    """
    folder = dataset_folder(folder)
    cases: list[Case] = []
    incomplete: list[str] = []
    for naming in _NAMINGS:
        words = (*naming.sequences, _SEGMENTATION)
        endings = tuple(f"{naming.separator}{word}{ending}" for word in words for ending in _VOLUMES)
        files_of = {file.name.rpartition(naming.separator)[0]: file.parent for file in image_files(folder, endings)}
        for name, base in sorted(files_of.items()):
            _refuse_children(name)
            sequences = [_file(base, name, naming, word) for word in naming.sequences]
            mask = _file(base, name, naming, _SEGMENTATION)
            absent = [w for w, file in zip(words, (*sequences, mask), strict=True) if file is None]
            incomplete += [f"{name} ({', '.join(absent)})"] if absent else []
            if mask is not None and not absent:
                masks = {title: MaskSource(mask, labels) for title, labels in naming.regions.items()}
                patient, visit = _patient(name)
                files = tuple(file for file in sequences if file is not None)
                cases.append(Case(patient, name, files, masks, "mr", naming.labels, visit))
    if incomplete:
        raise MissingFileError(
            f"{len(incomplete)} cases are not complete: {shown(incomplete)}.",
            "Copy the missing files, or remove these cases (validation cases have no segmentation).",
        )
    if not cases:
        raise MissingFileError(
            f"{folder} holds no case of BraTS.", "Give the folder whose subfolders are called like BraTS2021_00000."
        )
    return Dataset("brats", folder, tuple(cases))


def _refuse_children(name: str) -> None:
    """Refuse cases of BraTS-PED.

    Raises:
        ParameterError: the case is one.
    """
    if name.casefold().startswith("brats-ped"):
        raise ParameterError(
            f"{name} is of BraTS-PED, whose labels mean other things than those of adult gliomas.",
            "Use the layout 'nnunet' or 'folders', and say which label is which.",
        )


def _file(base: Path, name: str, naming: _Naming, word: str) -> Path | None:
    files = (base / f"{name}{naming.separator}{word}{ending}" for ending in _VOLUMES)
    return next((file for file in files if file.is_file()), None)


def _patient(name: str) -> tuple[str, str]:
    """Patient and visit ("" where the name tells none)."""
    found = _TIME_POINT.match(name) or _SCAN.match(name)
    return (found.group(1), found.group(2)) if found else (name, "")
