"""Volumes and their label maps, read through the readers of ``samprompt.io``, which refuse what is damaged."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from samprompt.contract.errors import GridError, NotAnImageError, StructureError, UnreadableFileError
from samprompt.io.images import read_volume
from samprompt.io.notes import note
from samprompt.space.grid import Grid
from samprompt.space.intensity import finite_values, guess_modality
from samprompt.space.volume import Volume

# Headers of image and mask are often rounded differently; a whole tenth of a voxel is another place.
_SAME_PLACE = 0.1


def read_channels(paths: Sequence[Path], modality: str) -> tuple[Volume, ...]:
    """The co-registered channels of one image: one file or DICOM series each, or one 4D NIfTI file with all of them.

    Raises:
        MissingFileError, UnreadableFileError, NotAnImageError, DicomSeriesError: as ``read_volume``.
        GridError: the channels differ in size or place.
    """
    if len(paths) == 1:
        try:
            volumes: tuple[Volume, ...] = (read_volume(paths[0]),)
        except NotAnImageError:
            volumes = _channels_of_4d(paths[0])
    else:
        volumes = tuple(read_volume(path) for path in paths)
    first = volumes[0]
    for other in volumes[1:]:
        refuse_other_grid(other.grid, first.grid, other.source, first.source)
    if modality == "CT" and guess_modality(first.array) != "CT":
        note(f"{first.source} holds no value below -50: are these HU, which the windows of a CT are made for?")
    return tuple(Volume(v.array, first.grid, modality, v.source) for v in volumes)


def read_label_map(path: Path, image: Volume, known: tuple[int, ...] = ()) -> NDArray[np.int32]:
    """The labels of ``path`` on the voxels of ``image``, (k, j, i).

    Raises:
        GridError: another size or place than the image.
        StructureError: values that are not whole, or not in ``known`` (where that names any).
    """
    volume = read_volume(path)
    refuse_other_grid(volume.grid, image.grid, str(path), image.source)
    labels = np.rint(volume.array)
    if np.abs(labels - volume.array).max(initial=0.0) > 1e-3:
        raise StructureError(
            f"{path} holds values that are not whole numbers: an image or probabilities, not a mask.",
            "Threshold it first, and give a label map.",
        )
    found = labels.astype(np.int32)
    if known:
        strange = sorted(set(np.unique(found).tolist()) - {0, *known})
        if strange:
            raise StructureError(
                f"{path} holds the label {strange[0]}, which the dataset does not name (it names "
                f"{', '.join(map(str, sorted(known)))}).",
                "Name it in the dataset, or correct the mask.",
            )
    return found


def refuse_other_grid(grid: Grid, reference: Grid, source: str, reference_source: str) -> None:
    """Refuse a grid that differs from ``reference`` in size, or by more than a tenth of a voxel in place.

    Raises:
        GridError: it does.
    """
    if grid.shape != reference.shape:
        raise GridError(
            f"{source} has {_size(grid)} voxels, but {reference_source} has {_size(reference)}.",
            "Give the mask that was drawn on this image, on the image's own voxels.",
        )
    if not grid.same_as(reference, _SAME_PLACE * float(reference.spacing.min())):
        raise GridError(
            f"{source} lies at another place than {reference_source} (origin, spacing or direction differ).",
            "Give the mask that was drawn on this image, and check that both were exported in one coordinate system.",
        )


def _size(grid: Grid) -> str:
    return " x ".join(str(n) for n in grid.shape[::-1])


def _channels_of_4d(path: Path) -> tuple[Volume, ...]:
    """The volumes of a 4D NIfTI file (the Decathlon's way to store several MR sequences).

    Raises:
        NotAnImageError: not four dimensions.
        UnreadableFileError: truncated or damaged.
    """
    import nibabel

    try:
        image = nibabel.load(path)
        if not isinstance(image, nibabel.nifti1.Nifti1Image) or image.ndim != 4:
            raise NotAnImageError(
                f"{path} holds no volume of three dimensions, nor several sequences in four.",
                "Give one volume per file.",
            )
        array = np.asarray(image.get_fdata(dtype=np.float32))
        matrix = np.asarray(image.affine, dtype=np.float64)
    except (OSError, ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFileError(f"{path} is damaged or truncated ({error}).", "Copy the file again.") from error
    volumes = []
    for number in range(array.shape[3]):
        channel = np.ascontiguousarray(array[..., number].transpose(2, 1, 0))
        source = f"{path} (sequence {number})"
        values, _ = finite_values(channel, source)
        volumes.append(Volume(values, Grid((channel.shape[0], channel.shape[1], channel.shape[2]), matrix), "", source))
    return tuple(volumes)
