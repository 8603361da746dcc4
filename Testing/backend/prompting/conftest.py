"""Fixtures of the prompting tests."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from module_by_path import module_by_path
from small_sam import SmallSamBackbone, small_sam
from torch import Tensor


@pytest.fixture(scope="session")
def plain_p2sam() -> ModuleType:
    """The module with the independent, plain P2SAM."""
    return module_by_path("plain_p2sam", Path(__file__).with_name("plain_p2sam.py"))


@pytest.fixture
def small_sam_backbone() -> SmallSamBackbone:
    """A real SAM of 128 pixels with random weights, as a backbone."""
    return SmallSamBackbone(small_sam(seed=0))


class Scenes:
    """Pictures of blobs on texture: ``draw`` gives an image (3, H, W) in [0, 1] and the mask (H, W) of one blob."""

    @staticmethod
    def draw(
        seed: int, height: int = 128, width: int = 128, radius: float = 0.18, colour: bool = False
    ) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng(seed)
        rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
        high, wide = height / max(height, width), width / max(height, width)
        image = np.zeros((3, height, width))
        for _ in range(6):
            wave = random.uniform(2, 20, 2)
            image += 0.08 * np.sin(2 * np.pi * (wave[0] * rows + wave[1] * columns) + random.uniform(0, 6))
        for _ in range(4):
            centre = random.uniform(0.1, 0.9, 2) * (high, wide)
            size = random.uniform(0.05, 0.2)
            spot = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < size**2
            image += np.where(spot, random.uniform(-0.4, 0.4, (3, 1, 1) if colour else (1, 1, 1)), 0)
        centre = random.uniform(0.3, 0.7, 2) * (high, wide)
        mask = ((rows - centre[0]) / radius) ** 2 + ((columns - centre[1]) / (0.8 * radius)) ** 2 < 1
        image += np.where(mask, 0.5 + 0.2 * np.sin(60 * rows), 0)
        image += random.normal(0, 0.03, image.shape if colour else image.shape[1:])
        image = (image - image.min()) / (image.max() - image.min())
        return torch.from_numpy(image.astype(np.float32)), torch.from_numpy(mask)


@pytest.fixture(scope="session")
def scenes() -> type[Scenes]:
    """Where the tests' pictures come from."""
    return Scenes
