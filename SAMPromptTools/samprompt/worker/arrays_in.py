"""Images and structures as a panel hands them over: .npy files, each checked before it is believed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import (
    GridError,
    IntensityError,
    MissingFileError,
    NotAnImageError,
    StructureError,
    UnreadableFileError,
)
from samprompt.contract.worker import GridMessage, StructureMessage, VolumeMessage
from samprompt.space.grid import Grid
from samprompt.space.intensity import finite_values, guess_modality
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume

_AGAIN = "Start the propagation again; if it stays so, please report it."


def open_array(path: str, shape: tuple[int, int, int], what: str) -> NDArray[np.generic]:
    """The array of an .npy file, not yet read: numbers only, of that shape.

    Raises:
        MissingFileError, UnreadableFileError: not there; no .npy, truncated, or holding Python objects.
        NotAnImageError: other than real numbers.
        GridError: another shape.
    """
    file = Path(path)
    if not path or not file.is_file():
        raise MissingFileError(f"The voxels of {what} are not there ({path or 'no path'}).", _AGAIN)
    try:
        array = np.lib.format.open_memmap(file, mode="r")
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise UnreadableFileError(f"The voxels of {what} cannot be read from {path} ({error}).", _AGAIN) from error
    if array.dtype.kind not in "biuf":
        raise NotAnImageError(f"{what} holds values of type {array.dtype}, not real numbers.", "Give a scalar volume.")
    if array.shape != tuple(shape):
        raise GridError(f"{what} has {_times(array.shape)} voxels, its grid {_times(shape)}.", _AGAIN)
    return array


def grid_of(message: GridMessage, what: str) -> Grid:
    """The grid of a message.

    Raises:
        GridError: no voxels, or a matrix that is singular, sheared, not finite or not affine.
    """
    if len(message.ijk_to_ras) != 16:
        raise GridError(f"{what}: the IJK-to-RAS matrix has {len(message.ijk_to_ras)} numbers, not 16.", _AGAIN)
    matrix = np.array(message.ijk_to_ras, dtype=np.float64).reshape(4, 4)
    if not np.array_equal(matrix[3], (0.0, 0.0, 0.0, 1.0)):
        raise GridError(f"{what}: the last row of its IJK-to-RAS matrix is not 0, 0, 0, 1.", _AGAIN)
    try:
        return Grid(message.shape, matrix)
    except GridError as error:
        raise GridError(f"{what}: {error.message}", error.hint) from error


def content_key(message: VolumeMessage) -> str:
    """Name of voxels, place and modality together; "" where the panel gave none."""
    if not message.key:
        return ""
    parts = (message.key, message.grid.shape, tuple(float(x) for x in message.grid.ijk_to_ras), message.modality)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def read_volume(message: VolumeMessage, notes: list[str]) -> Volume:
    """An image as float32; NaN and infinity become its minimum, with a note. Without a modality it is guessed.

    Raises:
        InputError: as ``open_array`` and ``grid_of``; or all values are equal, or none is a number.
    """
    grid = grid_of(message.grid, message.name)
    found = open_array(message.array, grid.shape, message.name)
    with np.errstate(over="ignore"):
        array = np.array(found, dtype=np.float32, order="C")
    del found  # on Windows an open file cannot be removed
    array, remark = finite_values(array, message.name)
    if remark:
        notes.append(remark)
    if float(array.min()) == float(array.max()):
        raise IntensityError(
            f"All voxels of {message.name} are {float(array.min()):g}.", "Choose the image itself, not an empty one."
        )
    return Volume(array, grid, message.modality or guess_modality(array), message.name, content_key(message))


def read_structure(message: StructureMessage, grid: Grid, visit: str) -> Structure:
    """A structure on the grid of its visit.

    Raises:
        InputError: as ``open_array``; or it reaches beyond the grid, or holds other values than 0 and 1.
    """
    what = f"the structure {message.name} of {visit}"
    mask = np.zeros(grid.shape, dtype=bool)
    key = "empty"
    if message.array:
        ends = tuple(o + n for o, n in zip(message.offset, message.size, strict=True))
        if min(message.offset) < 0 or any(e > n for e, n in zip(ends, grid.shape, strict=True)):
            raise GridError(f"{what} reaches beyond the image of its visit.", _AGAIN)
        found = np.array(open_array(message.array, message.size, what))
        if found.dtype.kind == "f" or (found.size and (int(found.max()) > 1 or int(found.min()) < 0)):
            raise StructureError(f"{what} is no mask of 0 and 1.", _AGAIN)
        mask[tuple(slice(o, e) for o, e in zip(message.offset, ends, strict=True))] = found != 0
        digest = hashlib.sha256(repr((message.offset, message.size, grid.shape)).encode())
        digest.update(np.packbits(found != 0).tobytes())
        key = digest.hexdigest()
    return Structure(message.name, mask, grid, message.color, message.terminology, {}, key)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
