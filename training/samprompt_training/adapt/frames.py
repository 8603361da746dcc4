"""Where a picture lies in the square of an item, and at which size a network takes it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

Shape = tuple[int, int]


def held(extent: Tensor | None, side: int) -> list[Shape] | None:
    """Rows and columns of each of B squares of ``side`` that hold image, from ``extent`` (B, 2); None: all do.

    The rest, at the bottom and the right, is padding.
    """
    if extent is None:
        return None
    shapes = [(int(rows), int(columns)) for rows, columns in extent.tolist()]
    return None if all(shape == (side, side) for shape in shapes) else shapes


def longest_side(shape: Shape, size: int) -> Shape:
    """Rows and columns when the longer of the two becomes ``size``, as SAM rounds them."""
    scale = size / max(shape)
    return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)


def resized(pictures: Tensor, shape: Shape) -> Tensor:
    """(B, C, H, W) at another size, as the backbones do it: bilinear, antialiased."""
    if tuple(pictures.shape[-2:]) == shape:
        return pictures
    return F.interpolate(pictures, shape, mode="bilinear", align_corners=False, antialias=True)


def stretched(mask: Tensor, shape: Shape) -> Tensor:
    """The picture's part (rows, columns) of a mask (1, S, S), over the whole square; 0 and 1 stay so."""
    part = mask[None, :, : shape[0], : shape[1]]
    return F.interpolate(part, tuple(mask.shape[-2:]), mode="nearest-exact")[0]
