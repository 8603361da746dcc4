"""The one place where LPS (ITK, DICOM, NRRD, MetaImage) meets RAS (Grid), and where SimpleITK reads files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from samprompt.contract.errors import NotAnImageError, UnreadableFileError
from samprompt.io._raw import RawImage

sitk: Any = SimpleITK  # its annotations cover a part of it only
# ITK's warnings (an odd header field) go to stderr as several lines; what matters is checked and said here.
sitk.ProcessObject_SetGlobalWarningDisplay(False)

LPS_TO_RAS: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0])
LPS_TO_RAS.setflags(write=False)


def flip_lps_ras(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """An IJK-to-LPS matrix as IJK-to-RAS, or the other way round (4x4)."""
    return np.asarray(LPS_TO_RAS @ matrix)


def read_with_itk(path: Path) -> RawImage:
    """Read an NRRD or MetaImage file with its metadata.

    Raises:
        UnreadableFileError: ITK cannot read it (truncated, corrupt, another format, missing data file).
        NotAnImageError: it does not have three dimensions.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
            raise NotAnImageError(f"{path} holds complex numbers.", "Give the magnitude image.")
        if len(size) > 3 and all(n == 1 for n in size[3:]):
            reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
        elif len(size) != 3:
            raise NotAnImageError(
                f"{path} has {len(size)} dimensions (size {' x '.join(map(str, size))}), not three.",
                "Give one 3D volume; of a series over time, one time point.",
            )
        image = reader.Execute()
    except RuntimeError as error:
        raise UnreadableFileError(
            f"{path} cannot be read: {_last_line(error)}.",
            "The file may be truncated or of another format than its name says; export or copy it again.",
        ) from error
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    metadata = {key: _utf8(image.GetMetaData(key)) for key in image.GetMetaDataKeys()}
    components = int(image.GetNumberOfComponentsPerPixel())
    return RawImage(sitk.GetArrayFromImage(image), flip_lps_ras(matrix), metadata, components)


def read_dicom_slice(path: Path) -> NDArray[np.float32]:
    """Rescaled values (rows, columns) of one compressed DICOM slice, decoded by ITK's GDCM.

    Raises:
        UnreadableFileError: the compression is unknown or the data damaged.
    """
    try:
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise UnreadableFileError(
            f"{path} cannot be decoded: {_last_line(error)}.",
            "Export the series without compression (Explicit VR Little Endian).",
        ) from error
    return np.asarray(array.reshape(array.shape[-2:]), dtype=np.float32)


def _last_line(error: Exception) -> str:
    """The line of an ITK exception that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "unknown format"


def _utf8(text: str) -> str:
    """Metadata as text: SimpleITK hands bytes that are no UTF-8 on as surrogates, old files hold Latin-1."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
