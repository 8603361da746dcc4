"""Arrays written to and read from .npy files in small steps."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from samprompt.contract.errors import UnreadableFileError

from SAMPromptCommonLib.folders import wholeFile, writeAll
from SAMPromptCommonLib.voxels import pieces


def npyHeader(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """Begin of an .npy file (version 1.0) for an array in C order."""
    stream = io.BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(map(int, shape))}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def writtenArray(path: Path, array: np.ndarray) -> Iterator[float]:
    """Steps that write ``array`` (C order) to ``path``, whole or not at all.

    Raises:
        OutputError: disk full, no permission.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    with wholeFile(path) as stream:
        writeAll(stream, npyHeader(array.dtype, array.shape))
        for part in pieces(flat.size, flat.itemsize):
            writeAll(stream, memoryview(flat[part]).cast("B"))
            yield part.stop / flat.size


def readMask(path: str, name: str, into: np.ndarray) -> Generator[float, None, None]:
    """Steps that read the mask of a structure into ``into``, uint8 (k, j, i): 0 and 1.

    ``name`` stands in messages. The file may be removed afterwards.

    Raises:
        UnreadableFileError: not there, damaged, or another kind of array than ``into``.
    """
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        fits = stored.dtype.kind in "bui" and stored.shape == into.shape
    except (OSError, ValueError, EOFError) as error:
        raise UnreadableFileError(f"The mask of '{name}' cannot be read: {error}.", "Compute it again.") from error
    if not fits:
        raise UnreadableFileError(
            f"The mask of '{name}' is {stored.dtype} of shape {stored.shape}, not what was announced.",
            "Compute it again.",
        )
    for part in pieces(len(stored), stored[0].nbytes):
        np.not_equal(stored[part], 0, out=into[part], casting="unsafe")
        yield part.stop / len(stored)
