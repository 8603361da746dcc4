"""Encoded slices of a region: the one place where images enter a backbone; each slice is encoded once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from samprompt.contract.progress import Progress
from samprompt.models.backbone import Backbone, Embedding
from samprompt.propagation.region import Region, fill_value
from samprompt.space.volume import Volume
from samprompt.space.windows import Window


@dataclass(frozen=True, eq=False)
class Encoded:
    """A region's grey levels (slices, P, P) in [0, 1] and the embedding of every slice."""

    region: Region
    window: Window
    grey: NDArray[np.float32]
    embeddings: tuple[Embedding, ...]

    def __len__(self) -> int:
        return len(self.embeddings)


def region_pixels(backbone: Backbone, side: float, scan_pixel: float) -> int:
    """Pixels along the side of a region's images: the model's own, but not far beyond what the scan holds.

    A model with a large input enlarges the image itself; sampling finer than half a scan pixel costs memory only.
    """
    useful = int(np.ceil(side / scan_pixel * 2.0))
    return int(np.clip(useful, min(128, backbone.input_size), min(256, backbone.input_size)))


def encode_region(
    volume: Volume, region: Region, window: Window, backbone: Backbone, batch: int, progress: Progress, stage: str
) -> Encoded:
    """Encode every slice of ``region``; channels are slices k-1, k, k+1 where the model wants neighbours."""
    grey = window.apply(region.sample(volume.array, fill_value(volume)))
    count = grey.shape[0]
    order = np.arange(count)
    stack = np.stack([np.maximum(order - 1, 0), order, np.minimum(order + 1, count - 1)], axis=1)
    if not backbone.uses_neighbours:
        stack = np.stack([order] * 3, axis=1)
    embeddings: list[Embedding] = []
    for start in range(0, count, batch):
        progress.step(stage, start, count)
        images = torch.from_numpy(grey[stack[start : start + batch]])
        encoded = backbone.encode(images)
        embeddings.extend(encoded[n] for n in range(len(encoded)))
    return Encoded(region, window, grey, tuple(embeddings))
