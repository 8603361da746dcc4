"""Writing NRRD (teem.sourceforge.net/nrrd/format.html) as Slicer writes it: LPS, gzip, UTF-8 names."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samprompt.io._itk import flip_lps_ras
from samprompt.space.grid import Grid

_TYPES = {
    "u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32", "i4": "int32",
    "f4": "float", "f8": "double",
}  # fmt: skip


def write_nrrd(path: Path, array: NDArray[Any], grid: Grid, fields: Mapping[str, str]) -> None:
    """Write ``array``, (k, j, i) or (k, j, i, layer), with ``fields`` as key/value pairs.

    Raises:
        OSError: the disk is full, and the like; call it inside ``replacing``.
    """
    layered = array.ndim == 4
    kind = array.dtype.newbyteorder("=").str[1:]
    matrix = flip_lps_ras(grid.ijk_to_ras)
    vectors = [_vector(matrix[:3, axis]) for axis in range(3)]
    lines = [
        "NRRD0005",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {_TYPES[kind]}",
        f"dimension: {array.ndim}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in array.shape[::-1][-3:])
        if not layered
        else f"sizes: {array.shape[3]} " + " ".join(str(n) for n in array.shape[2::-1]),
        "space directions: " + " ".join((["none"] if layered else []) + vectors),
        "kinds: " + " ".join((["list"] if layered else []) + ["domain"] * 3),
        *(["endian: little"] if array.dtype.itemsize > 1 else []),
        "encoding: gzip",
        f"space origin: {_vector(matrix[:3, 3])}",
        *(f"{_one_line(key)}:={_one_line(value)}" for key, value in fields.items()),
    ]
    voxels = np.ascontiguousarray(array, dtype="<" + kind)
    with path.open("wb") as plain:
        plain.write(("\n".join(lines) + "\n\n").encode("utf-8"))
        with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=4, mtime=0) as packed:
            packed.write(voxels.data.cast("B"))


def _vector(values: NDArray[np.float64]) -> str:
    """A vector that reads back bit for bit; minus zero is written as zero."""
    return "(" + ",".join(repr(float(value) + 0.0) for value in values) + ")"


def _one_line(text: str) -> str:
    """A header line cannot hold a line break; the format's backslash escapes are not understood by every reader."""
    return " ".join(text.splitlines()) if len(text.splitlines()) > 1 else text.rstrip("\r\n")
