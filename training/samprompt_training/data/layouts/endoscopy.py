"""Polyps in colonoscopy: Kvasir-SEG and CVC-ClinicDB."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
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

# Frames of the 29 sequences, in the order of the frames' numbers. Source: the frame ranges that the release of
# CVC-ClinicDB documents (polyp.grand-challenge.org/CVCClinicDB; repeated at datasetninja.com/cvc-612): 1-25, 26-50,
# 51-67, 68-78, ... 592-612.
CVC_FRAMES = (
    25, 25, 17, 11, 25, 23, 25, 26, 22, 6, 22, 25, 25, 20, 20, 25, 21, 20, 25, 20, 19, 19, 12, 25, 25, 18, 25, 20, 21,
)  # fmt: skip
_CVC_LAST = tuple(accumulate(CVC_FRAMES))


def open_kvasir_seg(folder: Path) -> Dataset:
    """Kvasir-SEG: ``images/NAME.jpg`` and ``masks/NAME.jpg``, and ``kavsir_bboxes.json``, which lists every name.

    The masks are JPEG and therefore not of two values exactly. The set names no patients. Source: Jha et al. 2020
    (arXiv 1911.07069), datasets.simula.no/kvasir-seg.

    Raises:
        MissingFileError: a folder is absent or empty, an image without mask or the reverse, a listed name absent.
        UnreadableFileError: ``kavsir_bboxes.json`` is damaged.
    """
    folder = _inner(dataset_folder(folder), "Kvasir-SEG")
    images, masks = (_pictures(subfolder(folder, name)) for name in ("images", "masks"))
    refuse_unpaired(images, masks)
    listed = folder / "kavsir_bboxes.json"
    if listed.is_file():
        try:
            names = set(json.loads(listed.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UnreadableFileError(f"{listed} is damaged.", "Copy the file again.") from error
        missing = sorted(names - set(images))
        if missing:
            raise MissingFileError(
                f"{len(missing)} of {len(names)} images that {listed.name} lists are missing: {shown(missing)}.",
                "The dataset is copied in part: copy it again.",
            )
    cases = [Case(n, n, (image,), {"polyp": MaskSource(masks[n])}, "endoscopy") for n, image in sorted(images.items())]
    note = "Kvasir-SEG names no patients: every image counts as a patient of its own."
    return Dataset("kvasir-seg", folder, tuple(cases), (note,), patients_known=False)


def open_cvc_clinicdb(folder: Path, *, complete: bool = True) -> Dataset:
    """CVC-ClinicDB: ``Original/N.tif`` and ``Ground Truth/N.tif``, N from 1 to 612 (or PNG of the same names).

    A sequence counts as the patient: its frames are nearly the same, and the release names no patients. Two sequences
    of one patient could therefore be in different parts. Source: Bernal et al. 2015 (WM-DOVA maps,
    Computerized Medical Imaging and Graphics 43); ``CVC_FRAMES``. ``complete``: refuse fewer than the 612 frames.

    Raises:
        MissingFileError: a folder or frame is absent; a name that is no frame's number.
    """
    folder = dataset_folder(folder)
    for inner in ("TIF", "PNG"):
        folder = _inner(folder, inner)
    images, masks = (_pictures(subfolder(folder, name)) for name in ("Original", "Ground Truth"))
    refuse_unpaired(images, masks)
    strange = [name for name in images if not name.isdigit() or not 1 <= int(name) <= _CVC_LAST[-1]]
    if strange:
        raise MissingFileError(
            f"{shown(sorted(strange))}: not the number of a frame of CVC-ClinicDB (1 to {_CVC_LAST[-1]}).",
            "Keep the names of the release: they tell the sequence. For other images use the layout 'folders'.",
        )
    missing = sorted(set(range(1, _CVC_LAST[-1] + 1)) - {int(name) for name in images})
    if complete and missing:
        raise MissingFileError(
            f"{len(missing)} of {_CVC_LAST[-1]} frames are missing: {shown(map(str, missing))}.",
            "The dataset is copied in part: copy it again, or say that it need not be complete (complete: false).",
        )
    cases = [
        Case(f"sequence {cvc_sequence(int(n)):02d}", n, (images[n],), {"polyp": MaskSource(masks[n])}, "endoscopy")
        for n in sorted(images, key=int)
    ]
    note = "A sequence of frames counts as a patient; sequences of one patient may be in different parts."
    return Dataset("cvc-clinicdb", folder, tuple(cases), (note,))


def cvc_sequence(frame: int) -> int:
    """Number of the sequence (1 to 29) that a frame (1 to 612) belongs to."""
    return bisect_left(_CVC_LAST, frame) + 1


def _inner(folder: Path, name: str) -> Path:
    """The subfolder of that name where there is one: archives are often unpacked into a folder more."""
    return next((c for c in visible(folder) if c.is_dir() and c.name.casefold() == name.casefold()), folder)


def _pictures(folder: Path) -> Mapping[str, Path]:
    return by_stem(image_files(folder, PICTURES), folder)
