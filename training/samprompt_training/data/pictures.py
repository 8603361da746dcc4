"""Pictures (PNG, JPEG, TIFF, BMP) and the masks that were stored as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from samprompt.contract.errors import NotAnImageError, StructureError, UnreadableFileError

# A mask that went through JPEG has levels near its two values; this share of other levels is still taken for artefacts.
# Kvasir-SEG's masks stay below 0.01; a grey image or a soft probability map has far more.
_MOST_BETWEEN = 0.05


def read_picture(path: Path) -> NDArray[Any]:
    """The picture as (channels, rows, columns): 3 channels of colour or 1 of grey; uint8, or uint16 where stored so.

    Transparency is left out. Rotation tags of cameras are not followed: masks are drawn on the stored pixels.

    Raises:
        UnreadableFileError: truncated, damaged, or no picture.
    """
    array = _stored(path, palette=False)
    if array.ndim == 2:
        return array[None]
    if array.shape[2] < 3:
        return np.ascontiguousarray(array[None, :, :, 0])
    return np.ascontiguousarray(array[:, :, :3].transpose(2, 0, 1))


def read_labels(path: Path) -> NDArray[Any]:
    """The whole numbers of a label picture, (rows, columns); of one with a palette its indices.

    Raises:
        UnreadableFileError: truncated, damaged, or no picture.
        NotAnImageError: its colours differ, so that no single number belongs to a pixel.
    """
    array = _stored(path, palette=True)
    if array.ndim == 2:
        return array
    colors = array[:, :, :3] if array.shape[2] >= 3 else array[:, :, :1]
    if (colors != colors[:, :, :1]).any():
        raise NotAnImageError(
            f"{path} is a coloured picture, not a mask.", "Give a mask with one grey value per structure."
        )
    return np.ascontiguousarray(colors[:, :, 0])


def read_binary_mask(path: Path) -> NDArray[np.bool_]:
    """A mask of two values as bool (rows, columns), the higher value being the structure.

    A mask stored as JPEG has a fringe of other levels; it is cut halfway between black and white.

    Raises:
        UnreadableFileError, NotAnImageError: as ``read_labels``.
        StructureError: more than two values that are no fringe: grey levels, probabilities or several labels.
    """
    labels = read_labels(path)
    values = np.unique(labels)
    if len(values) <= 2:
        return np.asarray(labels > 0) if values[0] == 0 or len(values) == 1 else np.asarray(labels == values[-1])
    white = float(np.iinfo(labels.dtype).max) if labels.dtype.kind in "ui" else float(values[-1])
    share = labels.astype(np.float32) / white
    between = float(((share > 0.25) & (share < 0.75)).mean())
    if between > _MOST_BETWEEN or float(share.max()) < 0.75:
        raise StructureError(
            f"{path} is no mask of two values: it holds {len(values)} levels from {values[0]} to {values[-1]}.",
            "Give a mask of black and white; for several structures say which value is which (labels).",
        )
    return np.asarray(share >= 0.5)


def _stored(path: Path, palette: bool) -> NDArray[Any]:
    """Pixels as stored, (rows, columns) or (rows, columns, channels); a palette's indices or its colours."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # microscopy and stitched X-rays are larger than its default
    picture: Any
    try:
        with Image.open(path) as picture:
            picture.load()
            if (picture.mode == "P" and not palette) or picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
                picture = picture.convert("RGB")
            array = np.asarray(picture)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UnreadableFileError(
            f"{path} is damaged, truncated or no picture ({error}).", "Copy the file again."
        ) from error
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype == np.int32:  # how 16-bit PNG came before mode "I;16"
        return array.astype(np.uint16)
    return array
