"""Balls in volumes and discs in pictures, whose volumes and areas are known by their formula."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SPACING = (2.0, 1.5, 3.0)  # i, j, k in mm
SHAPE = (10, 30, 24)  # k, j, i


@dataclass(frozen=True)
class Ball:
    """A ball of ``radius`` mm in a volume of 48 x 45 x 30 mm, off its middle, so that a mirrored one is another.

    ``mask`` and HU are (k, j, i).
    """

    radius: float
    shape: tuple[int, int, int] = SHAPE

    @property
    def centre(self) -> NDArray[np.float64]:
        """Index (k, j, i) of the centre."""
        return (np.array(self.shape) - 1) / 2.0 + np.array([-0.8, 2.3, -3.1])

    @property
    def mask(self) -> NDArray[np.bool_]:
        away = (np.indices(self.shape).reshape(3, -1).T - self.centre) * np.array(SPACING[::-1])
        return (np.linalg.norm(away, axis=1) < self.radius).reshape(self.shape)

    @property
    def volume(self) -> float:
        """mm3, by the formula."""
        return 4.0 / 3.0 * np.pi * self.radius**3

    @property
    def hu(self) -> NDArray[np.int16]:
        return np.where(self.mask, 40, -800).astype(np.int16)

    @property
    def affine(self) -> NDArray[np.float64]:
        """Index (i, j, k) to RAS, with the axes a scanner has (i to the left, j to the back)."""
        matrix = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
        matrix[:3, 3] = [40.0, 30.0, -100.0]
        return matrix


def disc(radius: float, size: tuple[int, int] = (40, 50)) -> NDArray[np.bool_]:
    """A disc in the middle of (rows, columns)."""
    rows, columns = np.indices(size)
    return np.hypot(rows - (size[0] - 1) / 2, columns - (size[1] - 1) / 2) < radius


def save_nifti(path: Path, array: NDArray[Any], ball: Ball) -> None:
    """Array (k, j, i), or (k, j, i, sequence), with nibabel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = (2, 1, 0, 3) if array.ndim == 4 else (2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(array.transpose(axes)), ball.affine), path)


def save_picture(path: Path, array: NDArray[Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def polyp(number: int, size: tuple[int, int] = (40, 50)) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A coloured picture that differs for each number, and the disc that is its mask."""
    mask = disc(6 + number % 8, size)
    rng = np.random.default_rng(number)
    picture = np.where(mask[..., None], (200, 90, 80), (120, 60, 50)) + rng.integers(0, 30, (*size, 3))
    return picture.astype(np.uint8), mask
