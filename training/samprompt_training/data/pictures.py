"""Pictures (PNG, JPEG, TIFF, BMP) and the masks that were stored as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from samprompt.contract.errors import NotAnImageError, StructureError, UnreadableFileError
from scipy import ndimage

# A mask that went through JPEG has levels near its two values; this share of other levels is still taken for artefacts.
# Kvasir-SEG's masks stay below 0.01; a grey image or a soft probability map has far more.
_MOST_BETWEEN = 0.05
# A fringe that JPEG or resampling left has many levels; fewer, in a file that lost nothing, are classes.
_FEWEST_OF_A_FRINGE = 16
_GREY_MODES = ("1", "L", "LA", "La", "PA", "I", "F")
# Rec. 601, as pillow turns colours into grey.
_LUMINANCE = (0.299, 0.587, 0.114)


def read_picture(path: Path) -> NDArray[Any]:
    """The picture as (channels, rows, columns): 3 channels of colour or 1 of grey.

    uint8 or uint16 where stored so, else float32 (HU in a signed TIFF stay what they are). Transparency is left out.
    Rotation tags of cameras are not followed: masks are drawn on the stored pixels.

    Raises:
        UnreadableFileError: truncated, damaged, or no picture.
    """
    array, _ = _stored(path, palette=False)
    if array.dtype.kind == "i":
        array = array.astype(np.float32)
    if array.ndim == 2:
        return array[None]
    if array.shape[2] < 3:
        return np.ascontiguousarray(array[None, :, :, 0])
    return np.ascontiguousarray(array[:, :, :3].transpose(2, 0, 1))


def count_channels(path: Path) -> int:
    """How many channels ``read_picture`` gives, 1 or 3, by the file's header alone.

    Raises:
        UnreadableFileError: damaged, or no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            mode = str(picture.mode)
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableFileError(f"{path} is damaged or no picture ({error}).", "Copy the file again.") from error
    return 1 if mode in _GREY_MODES or mode.startswith("I;") else 3


def luminance(colours: NDArray[Any]) -> NDArray[Any]:
    """The grey (1, ...) of red, green and blue (3, ...), of the same type."""
    grey = np.tensordot(np.array(_LUMINANCE, dtype=np.float32), colours.astype(np.float32), axes=1)[None]
    return np.asarray(np.rint(grey) if colours.dtype.kind == "u" else grey).astype(colours.dtype)


def read_labels(path: Path) -> NDArray[Any]:
    """The whole numbers of a label picture, (rows, columns); of one with a palette its indices.

    Raises:
        UnreadableFileError: truncated, damaged, or no picture.
        NotAnImageError: its colours differ, so that no single number belongs to a pixel.
    """
    return _labels(path)[0]


def _labels(path: Path) -> tuple[NDArray[Any], bool]:
    """As ``read_labels``, and whether the file was stored by JPEG."""
    array, by_jpeg = _stored(path, palette=True)
    if array.ndim == 2:
        return array, by_jpeg
    colors = array[:, :, :3] if array.shape[2] >= 3 else array[:, :, :1]
    if (colors != colors[:, :, :1]).any():
        raise NotAnImageError(
            f"{path} is a coloured picture, not a mask.", "Give a mask with one grey value per structure."
        )
    return np.ascontiguousarray(colors[:, :, 0]), by_jpeg


def read_binary_mask(path: Path) -> NDArray[np.bool_]:
    """A mask of two values as bool (rows, columns), the higher value being the structure.

    A mask that went through JPEG has a fringe of other levels; it is cut halfway between black and white.

    Raises:
        UnreadableFileError, NotAnImageError: as ``read_labels``.
        StructureError: more than two values that are no fringe: grey levels, probabilities or several labels.
    """
    labels, by_jpeg = _labels(path)
    values = np.unique(labels)
    if len(values) <= 2:
        return np.asarray(labels > 0) if values[0] == 0 or len(values) == 1 else np.asarray(labels == values[-1])
    white = float(np.iinfo(labels.dtype).max) if labels.dtype.kind == "u" else float(values[-1])
    share = labels.astype(np.float32) / np.float32(white)
    few = not by_jpeg and len(values) < _FEWEST_OF_A_FRINGE
    if few or float(share.min()) < 0.0 or float(share.max()) < 0.75 or _holds_more_than_a_fringe(share):
        raise StructureError(
            f"{path} is no mask of two values: it holds {len(values)} levels from {values[0]} to {values[-1]}.",
            "Give a mask of black and white; for several structures say which value is which (labels).",
        )
    return np.asarray(share >= 0.5)


def _holds_more_than_a_fringe(share: NDArray[np.float32]) -> bool:
    """Whether levels between black (0) and white (1) are many, or fill an area: a fringe is thinner than three pixels.

    An area is a square of three pixels that is grey, or of one level that is neither black nor white by far.
    """
    grey = (share > 0.25) & (share < 0.75)
    flat = ndimage.maximum_filter(share, 3) == ndimage.minimum_filter(share, 3)
    level = flat & (share > 0.1) & (share < 0.9)
    return bool(grey.mean() > _MOST_BETWEEN or ndimage.minimum_filter(grey, 3).any() or level.any())


def _stored(path: Path, palette: bool) -> tuple[NDArray[Any], bool]:
    """Pixels as stored, (rows, columns) or (rows, columns, channels); a palette's indices or its colours.

    And whether the file was stored by JPEG.
    """
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # microscopy and stitched X-rays are larger than its default
    picture: Any
    try:
        with Image.open(path) as picture:
            by_jpeg = picture.format in ("JPEG", "MPO") or "jpeg" in str(picture.info.get("compression", ""))
            picture.load()
            if (picture.mode == "P" and not palette) or picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
                picture = picture.convert("RGB")
            array = np.asarray(picture)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UnreadableFileError(
            f"{path} is damaged, truncated or no picture ({error}).", "Copy the file again."
        ) from error
    if array.dtype == np.bool_:
        return array.astype(np.uint8), by_jpeg
    # 16-bit PNG came as int32 before mode "I;16"; a signed TIFF still does
    if array.dtype == np.int32 and array.size and array.min() >= 0 and array.max() <= np.iinfo(np.uint16).max:
        return array.astype(np.uint16), by_jpeg
    return array, by_jpeg
