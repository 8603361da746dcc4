"""A case read from its files: the image's channels and a mask per structure, on one grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from samprompt.contract.errors import GridError, StructureError
from samprompt.io._files import has_extension, is_dicom
from samprompt.io.rtstruct import read_rtstruct
from samprompt.io.structures import read_structures
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume

from samprompt_training.data import pictures, volumes
from samprompt_training.data.cases import Case, MaskSource
from samprompt_training.data.dicom_seg import is_dicom_seg, read_dicom_seg
from samprompt_training.data.finding import PICTURES

_MODALITIES = {"ct": "CT", "mr": "MR", "xray": "DX", "ultrasound": "US", "endoscopy": "ES"}


@dataclass(frozen=True, eq=False)
class Content:
    """``image`` (channels, k, j, i): uint8 of a picture with one slice, or float32 (HU, MR values, 16-bit greys).

    ``masks`` maps the structures that the case has to bool (k, j, i); one that is named but was not contoured is
    absent, one that was looked for and not found is there and empty. ``grid`` is None for pictures, whose pixels are
    square and of unknown size. ``modality`` is DICOM's.
    """

    image: NDArray[Any]
    masks: dict[str, NDArray[np.bool_]]
    grid: Grid | None
    modality: str


def read_case(case: Case, structures: Iterable[str] = ()) -> Content:
    """Read the image of a case and the masks of ``structures`` (none named: all it has).

    Raises:
        MissingFileError, UnreadableFileError, NotAnImageError, DicomSeriesError: a file is absent, damaged or no image.
        GridError: a mask has another size or place than its image.
        StructureError: a mask that is not one: grey levels, unknown labels.
    """
    wanted = [name for name in (tuple(structures) or tuple(case.masks)) if name in case.masks]
    if has_extension(case.images[0], PICTURES):
        return _picture(case, wanted)
    return _volume(case, wanted)


def _picture(case: Case, wanted: list[str]) -> Content:
    channels = [pictures.read_picture(path) for path in case.images]
    for path, channel in zip(case.images[1:], channels[1:], strict=True):
        if channel.shape[1:] != channels[0].shape[1:]:
            raise GridError(
                f"{path} and {case.images[0].name} differ in size.", "Give channels of one image, pixel by pixel."
            )
    image = np.concatenate(channels)
    masks: dict[str, NDArray[np.bool_]] = {}
    read = _Once(pictures.read_labels)
    for name in wanted:
        source = case.masks[name]
        if source.labels:
            labels = read(source.path)
            _refuse_unknown(labels, case.known_labels, source.path)
            mask = np.isin(labels, source.labels)
        else:
            mask = pictures.read_binary_mask(source.path)
        if mask.shape != image.shape[1:]:
            raise GridError(
                f"{source.path} has {mask.shape[1]} x {mask.shape[0]} pixels, but {case.images[0]} has "
                f"{image.shape[2]} x {image.shape[1]}.",
                "Give the mask that was drawn on this image, in its size.",
            )
        masks[name] = mask[None]
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
    return Content(image[:, None], masks, None, _MODALITIES[case.kind])


def _volume(case: Case, wanted: list[str]) -> Content:
    channels = volumes.read_channels(case.images, _MODALITIES[case.kind])
    first = channels[0]
    masks: dict[str, NDArray[np.bool_]] = {}
    labels = _Once(lambda path: volumes.read_label_map(path, first, case.known_labels))
    named = _Once(lambda path: _named_structures(path, first))
    for name in wanted:
        source = case.masks[name]
        if source.names:
            mask = _joined(source, named(source.path))
            if mask is not None:
                masks[name] = mask
        else:
            found = labels(source.path)
            masks[name] = np.isin(found, source.labels) if source.labels else found != 0
    return Content(np.stack([channel.array for channel in channels]), masks, first.grid, first.modality)


def _named_structures(path: Path, image: Volume) -> tuple[Structure, ...]:
    """The structures of an RTSTRUCT, a DICOM SEG or a Slicer segmentation, on the image's voxels."""
    if not is_dicom(path):
        return read_structures(path, image)
    return read_dicom_seg(path, image.grid) if is_dicom_seg(path) else read_rtstruct(path, image.grid)


def _joined(source: MaskSource, structures: tuple[Structure, ...]) -> NDArray[np.bool_] | None:
    """The union of the structures whose name (or description) fits; None where none was contoured."""
    fitting = [s for s in structures if _fits(s, source.names) and not s.is_empty]
    if not fitting:
        return None
    return np.asarray(np.logical_or.reduce([structure.mask for structure in fitting]))


def _fits(structure: Structure, patterns: tuple[str, ...]) -> bool:
    names = (structure.name.casefold(), structure.tags.get("SegmentDescription", "").casefold())
    return any(fnmatchcase(name, pattern.casefold()) for name in names if name for pattern in patterns)


def _refuse_unknown(labels: NDArray[Any], known: tuple[int, ...], path: Path) -> None:
    strange = sorted(set(np.unique(labels).tolist()) - {0, *known}) if known else []
    if strange:
        raise StructureError(
            f"{path} holds the label {strange[0]}, which the dataset does not name.",
            "Name it in the dataset, or correct the mask (JPEG changes labels: store PNG).",
        )


class _Once:
    """A reader that keeps what it read last: the structures of a case mostly come from one file."""

    def __init__(self, read: Callable[[Path], Any]) -> None:
        self._read = read
        self._path: Path | None = None
        self._kept: Any = None

    def __call__(self, path: Path) -> Any:
        if path != self._path:
            self._kept = self._read(path)
            self._path = path
        return self._kept
