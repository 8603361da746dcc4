"""Writing MetaImage (``.mha``): text header and zlib data in one file, LPS."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samprompt.io._itk import flip_lps_ras
from samprompt.space.grid import Grid

_TYPES = {
    "u1": "MET_UCHAR", "i1": "MET_CHAR", "u2": "MET_USHORT", "i2": "MET_SHORT", "u4": "MET_UINT", "i4": "MET_INT",
    "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip


def write_mha(path: Path, array: NDArray[Any], grid: Grid) -> None:
    """Write ``array`` (k, j, i) of an integer or floating type.

    Raises:
        OSError: the disk is full, and the like; call it inside ``replacing``.
    """
    kind = array.dtype.newbyteorder("=").str[1:]
    lps = flip_lps_ras(grid.ijk_to_ras)
    directions = lps[:3, :3] / grid.spacing
    data = zlib.compress(np.ascontiguousarray(array, dtype="<" + kind).data.cast("B"), 4)
    # One row of TransformMatrix per image axis, the way ITK reads it.
    header = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(data)),
        "TransformMatrix": _numbers(directions.T.ravel()),
        "Offset": _numbers(lps[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _numbers(grid.spacing),
        "DimSize": " ".join(str(n) for n in array.shape[::-1]),
        "ElementType": _TYPES[kind],
        "ElementDataFile": "LOCAL",
    }
    with path.open("wb") as stream:
        stream.write("".join(f"{key} = {value}\n" for key, value in header.items()).encode("ascii"))
        stream.write(data)


def _numbers(values: NDArray[np.float64]) -> str:
    """Numbers that read back bit for bit."""
    return " ".join(repr(float(value) + 0.0) for value in values)
