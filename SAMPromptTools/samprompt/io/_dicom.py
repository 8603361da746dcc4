"""Reading DICOM objects with pydicom, quietly: real archives break small rules of the standard in every second file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from samprompt.contract.errors import UnreadableFileError
from samprompt.io._itk import read_dicom_slice

# What pydicom raises on files that are no DICOM or are damaged.
BROKEN = (pydicom.errors.InvalidDicomError, ValueError, AttributeError, KeyError, EOFError, TypeError, IndexError)


def read_dicom(path: Path, tags: list[str] | None = None) -> Any:
    """The whole object, or with ``tags`` only these elements and no pixels; raises ``OSError`` or one of ``BROKEN``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if tags is None:
            return pydicom.dcmread(path)
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)


def rescaled_pixels(path: Path) -> NDArray[np.float32]:
    """Stored values times rescale slope plus intercept of one slice, (rows, columns).

    pydicom decodes what it can; ITK's GDCM, which also rescales, the rest (JPEG 2000 and lossless JPEG where pydicom
    has no decoder installed).

    Raises:
        UnreadableFileError: damaged, truncated, or compressed in an unknown way.
    """
    try:
        data = read_dicom(path)
        compressed = bool(data.file_meta.TransferSyntaxUID.is_compressed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = data.pixel_array.astype(np.float64)
    except (RuntimeError, NotImplementedError, ImportError) as error:
        if compressed:
            return read_dicom_slice(path)
        raise _damaged(path) from error
    except (*BROKEN, OSError) as error:
        raise _damaged(path) from error
    slope, intercept = data.get("RescaleSlope"), data.get("RescaleIntercept")
    scaled = stored * float(1 if slope is None else slope) + float(0 if intercept is None else intercept)
    return np.asarray(scaled, dtype=np.float32)


def _damaged(path: Path) -> UnreadableFileError:
    return UnreadableFileError(
        f"{path} is damaged or truncated: its pixels cannot be read.", "Export the series again."
    )
