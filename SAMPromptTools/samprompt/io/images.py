"""Reading and writing the image of a visit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import GridError, NotAnImageError, OutputError
from samprompt.io import _files
from samprompt.io.atomic import replacing
from samprompt.io.dicom_series import read_series
from samprompt.io.metaimage import write_mha
from samprompt.io.nifti import write_nifti
from samprompt.io.notes import note
from samprompt.io.nrrd import write_nrrd
from samprompt.io.seg_nrrd import is_segmentation
from samprompt.space.grid import Grid
from samprompt.space.intensity import finite_values, guess_modality
from samprompt.space.volume import Volume


def read_volume(path: Path | str) -> Volume:
    """Read the image of a visit: NIfTI, NRRD, MetaImage, a folder with one DICOM series, or one file of a series.

    Values that are NaN or infinite become the image's minimum, with a note. Files that do not name their modality count
    as CT when they hold values below -50 (HU), else as "OT" (shown by percentiles, not by HU windows).

    Raises:
        MissingFileError, UnreadableFileError: not there; truncated, corrupt or of another format.
        NotAnImageError: no single-channel 3D image (RGB, vectors, 4D, 2D).
        IntensityError: no finite value.
        GridError: a sheared or singular grid.
        DicomSeriesError: several series in the folder, or an incomplete one.
    """
    found = _files.existing(path)
    if found.is_dir() or (not _files.has_extension(found, _files.IMAGES) and _files.is_dicom(found)):
        return _checked(read_series(found))
    raw = _files.read_raw(found)
    if raw.components > 1 or raw.array.ndim != 3 or is_segmentation(raw):
        colors = f"{raw.components} values per voxel (colours or vectors)"
        what = "a segmentation" if is_segmentation(raw) else colors
        raise NotAnImageError(f"{found} holds {what}, not one grey value per voxel.", "Give the CT image itself.")
    try:
        grid = Grid((raw.array.shape[0], raw.array.shape[1], raw.array.shape[2]), raw.ijk_to_ras)
    except GridError as error:
        raise type(error)(f"{found}: {error.message}", error.hint) from error
    modality = raw.metadata.get("modality", "").strip() or raw.metadata.get("DICOM_0008_0060", "").strip()
    array = raw.array.astype(np.float32)
    return _checked(Volume(array, grid, modality or guess_modality(array), str(found)))


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write an image as ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha``, whole or not at all.

    Whole numbers that fit are stored as int16, everything else as float32; the values read back are equal.

    Raises:
        OutputError: unknown format, disk full, no permission.
    """
    target = Path(path)
    array: NDArray[Any] = volume.array
    if array.size and np.abs(array).max() <= 32767 and (array == np.rint(array)).all():
        array = array.astype(np.int16)
    write_array(target, array, volume.grid, {"modality": volume.modality} if volume.modality else {})


def write_array(path: Path, array: NDArray[Any], grid: Grid, fields: dict[str, str]) -> None:
    """Write an array (k, j, i) in the format the name asks for; ``fields`` are kept by NRRD alone.

    Raises:
        OutputError: unknown format, disk full, no permission.
    """
    if not _files.has_extension(path, (*_files.NIFTI, ".nrrd", ".mha")):
        raise OutputError(
            f"{path} cannot be written: the format is unknown or needs two files.",
            "Use .nii.gz, .nii, .nrrd or .mha.",
        )
    with replacing(path) as temporary:
        if _files.has_extension(path, _files.NIFTI):
            write_nifti(temporary, array, grid)
        elif _files.has_extension(path, (".nrrd",)):
            write_nrrd(temporary, array, grid, fields)
        else:
            write_mha(temporary, array, grid)


def _checked(volume: Volume) -> Volume:
    """The volume without NaN and infinity.

    Raises:
        IntensityError: nothing finite in it.
    """
    array, remark = finite_values(volume.array, volume.source)
    if not remark:
        return volume
    note(remark)
    return Volume(array, volume.grid, volume.modality, volume.source)
