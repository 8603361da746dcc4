"""Square slices cut from a case, with masks that keep every part and every hole of a structure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from samprompt.contract.errors import ParameterError
from samprompt.space.orientation import slice_normal, towards

from samprompt_training.data.content import Content
from samprompt_training.data.cutter import Cutter
from samprompt_training.data.parameters import SliceParameters
from samprompt_training.data.pictures import luminance


@dataclass(frozen=True)
class SliceItem:
    """One structure in one slice of a case.

    ``index`` is the slice's number in the stored image, along the axis it was cut across. ``view`` is the number of
    the case's image it is seen in; ``pixels`` counts the mask at the size cut; ``extent`` (rows, columns) is the part
    of the square that holds image, from the top left, the rest being padding.
    """

    index: int
    structure: str
    view: int
    pixels: int
    extent: tuple[int, int]


@dataclass(frozen=True, eq=False)
class CutCase:
    """``images`` (views, channels, S, S), uint8 or uint16, full scale being 1; ``masks`` (items, S, S) bool.

    ``lost`` counts the items left out since the structure is in the slice, but too little of it in the square.
    """

    items: tuple[SliceItem, ...]
    images: NDArray[Any]
    masks: NDArray[np.bool_]
    lost: int = 0


def cut_case(content: Content, name: str, parameters: SliceParameters) -> CutCase:
    """Cut the slices of one case; ``name`` makes the random choices of different cases differ.

    Multi-part structures and holes stay as they are: masks are resampled as areas, never as outlines. A pixel belongs
    to the structure when at least half of it does. "neighbours" of a coloured picture show its luminance.

    Raises:
        ParameterError: a sequence that the image does not have; ``crop_mm`` for a picture of unknown pixel size.
    """
    missing = [n for n in parameters.sequences if not 0 <= n < len(content.image)]
    is_colour = content.grid is None and len(content.image) == 3 and parameters.sequences == (0,)
    if missing:
        raise ParameterError(
            f"{name} has {len(content.image)} sequences, so there is no number {missing[0]}.",
            "Number the sequences from 0 (sequences).",
        )
    if content.grid is None and parameters.crop_mm > 0:
        raise ParameterError(f"{name} is a picture whose pixel size is unknown.", "Set crop_mm to 0.")
    image = content.image if is_colour else content.image[list(parameters.sequences)]
    if is_colour and parameters.channels == "neighbours":
        image = luminance(image)
    image, masks, spacing, numbers = _oriented(image, content, parameters.plane)
    cutter = Cutter(image, spacing, content.modality, parameters)
    items: list[SliceItem] = []
    cut_masks: list[NDArray[np.bool_]] = []
    lost = 0
    for structure in parameters.structures or tuple(masks):
        if structure not in masks:
            continue
        mask = masks[structure]
        rng = np.random.default_rng(int.from_bytes(_digest(f"{parameters.seed}:{name}:{structure}")[:8], "big"))
        for k in _chosen(mask, parameters, rng):
            cut = cutter.cut(int(k), mask, rng)
            if cut is None:
                lost += 1
                continue
            items.append(SliceItem(int(numbers[k]), structure, cut.view, int(cut.mask.sum()), cut.extent))
            cut_masks.append(cut.mask)
    side = parameters.size
    images = np.stack(cutter.views) if cutter.views else np.zeros((0, 1, side, side), dtype=np.uint16)
    cut_all = np.stack(cut_masks) if items else np.zeros((0, side, side), dtype=bool)
    return CutCase(tuple(items), images, cut_all, lost)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _oriented(
    image: NDArray[Any], content: Content, plane: str
) -> tuple[NDArray[Any], dict[str, NDArray[np.bool_]], NDArray[np.float64], NDArray[np.int64]]:
    """Channels and masks as a radiologist looks at them, their voxel (k, j, i) in mm, the slices' numbers."""
    if content.grid is None:
        return image, content.masks, np.ones(3), np.arange(1)
    orientation = towards(content.grid, 2 if plane == "axial" else slice_normal(content.grid))
    turned = np.stack([orientation.apply(channel) for channel in image])
    masks = {name: np.asarray(orientation.apply(mask)) for name, mask in content.masks.items()}
    count = turned.shape[1]
    numbers = np.array([orientation.slice_index(k, content.grid.shape) for k in range(count)])
    return turned, masks, orientation.grid(content.grid).spacing_kji, numbers


def _chosen(mask: NDArray[np.bool_], parameters: SliceParameters, rng: np.random.Generator) -> NDArray[np.int64]:
    """Slices with enough of the structure, and a share of those with none, in order."""
    areas = mask.sum(axis=(1, 2))
    filled = np.flatnonzero(areas >= parameters.least_pixels)
    empty = np.flatnonzero(areas == 0)
    wanted = min(len(empty), round(parameters.empty_share * max(len(filled), 1)))
    if wanted == 0:
        return filled
    return np.sort(np.concatenate([filled, rng.choice(empty, wanted, replace=False)]))
