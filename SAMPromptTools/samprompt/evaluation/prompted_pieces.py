"""What is prompted for: the connected pieces of a structure in a slice, each with a box that a person might draw."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.evaluation.prompted_parameters import PromptedParameters

Mask = NDArray[np.bool_]
# x0, y0, x1, y1 in pixels of the slice: 0 is the left (upper) edge of the first pixel, whose centre is at 0.5.
Edges = NDArray[np.float64]
TOUCHING = np.ones((3, 3), dtype=bool)  # diagonal neighbours belong together


@dataclass(frozen=True, eq=False)
class Piece:
    """A connected piece: slice ``k``, ``number`` in that slice from 1 on, ``mask`` (H, W), jittered ``box``.

    ``random`` makes the further draws of this piece; it depends on the seed and the piece's name alone.
    """

    k: int
    number: int
    mask: Mask
    box: Edges
    random: np.random.Generator


def pieces_of(mask: Mask, name: str, parameters: PromptedParameters) -> Iterator[Piece]:
    """The pieces of a structure's ``mask`` (k, j, i) on some of its slices; none of an empty mask.

    ``name`` tells this structure of this image from all others: which others are measured changes no draw.
    """
    for k in even_choice(np.flatnonzero(mask.any(axis=(1, 2))), parameters.slices):
        labels, count = ndimage.label(mask[k], TOUCHING)
        for number in range(1, count + 1):
            piece = np.asarray(labels == number)
            if np.count_nonzero(piece) >= parameters.least_pixels:
                random = np.random.default_rng([parameters.seed, zlib.crc32(f"{name}/{k}/{number}".encode())])
                yield Piece(int(k), number, piece, jittered(tight_box(piece), parameters.jitter, random), random)


def even_choice(values: NDArray[np.intp], count: int) -> list[int]:
    """``count`` of ``values``, evenly spaced, the first and the last among them; all where there are fewer."""
    if len(values) <= count:
        return [int(v) for v in values]
    if count == 1:  # the middle says more than an end
        return [int(values[len(values) // 2])]
    return [int(values[n]) for n in np.rint(np.linspace(0, len(values) - 1, count)).astype(int)]


def tight_box(mask: Mask) -> Edges:
    """The box whose edges touch the outermost pixels of a ``mask`` (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=float)


def jittered(box: Edges, share: float, random: np.random.Generator) -> Edges:
    """Each edge moved by up to ``share`` of the side it limits, evenly distributed and independently."""
    sides = np.tile(box[2:] - box[:2], 2)
    return np.asarray(box + random.uniform(-share, share, 4) * sides)
