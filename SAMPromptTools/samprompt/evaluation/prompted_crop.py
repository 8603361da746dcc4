"""The square that a model sees of a slice, and the way of prompts and answers between its pixels and the slice's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samprompt.evaluation.prompted_parameters import PromptedParameters
from samprompt.evaluation.prompted_pieces import Edges, Mask
from samprompt.models.backbone import Backbone, Embedding, mask_to_prompt
from samprompt.propagation.encoding import region_pixels
from samprompt.propagation.region import Region, fill_value, make_region
from samprompt.space.volume import Volume
from samprompt.space.windows import Window


@dataclass(frozen=True, eq=False)
class Crop:
    """An encoded square of slice ``k`` of the scan that ``region`` is cut from."""

    region: Region
    k: int
    embedding: Embedding

    @property
    def side(self) -> float:
        """Side of the square in the scan's unit."""
        return self.region.pixel * self.region.grid.shape[1]

    def places(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (N, 2) of the slice, x and y, in pixels of the square; the first pixel's edge is 0 in both."""
        kji = np.stack([np.full(len(xy), float(self.k)), xy[:, 1] - 0.5, xy[:, 0] - 0.5], axis=-1)
        found = self.region.grid.to_kji(self.region.scan.to_ras(kji))
        return np.asarray(found[:, [2, 1]] + 0.5)

    def box(self, box: Edges) -> Tensor:
        """A box of the slice as box prompt (1, 4)."""
        return torch.from_numpy(self.places(box.reshape(2, 2)).reshape(1, 4)).float()

    def mask(self, mask: Mask, mask_size: int) -> Tensor:
        """A mask (H, W) of the slice as mask prompt (1, 1, m, m)."""
        rows, columns = self.region.rows, self.region.columns
        soft = torch.from_numpy(rows @ mask.astype(np.float32) @ columns.T)[None, None]
        return mask_to_prompt(soft, mask_size, stretched=self.embedding.stretched)

    def back(self, logits: NDArray[np.float32]) -> Mask:
        """Where logits (P, P) on the square's pixels are positive at the centres of the slice's; False beyond."""
        field = np.repeat(logits[None].astype(np.float32), self.region.grid.shape[0], axis=0)
        values, (_, rows, columns) = self.region.back(field)
        result = np.zeros(self.region.scan.shape[1:], dtype=bool)
        result[rows, columns] = values[0] > 0
        return result


def cut(volume: Volume, window: Window, k: int, box: Edges, backbone: Backbone, parameters: PromptedParameters) -> Crop:
    """Encode the square round ``box`` on slice ``k``, with its neighbours as channels where the model uses them.

    Its side is ``enlargement`` times the box's longest side, its pixels are those that ``propagation`` would choose.
    """
    grid = volume.grid
    spacing = grid.spacing_kji[1:]
    lengths = (box[2:] - box[:2])[::-1] * spacing
    pixel = float(spacing.max())
    side = max(parameters.enlargement * float(lengths.max()), parameters.least_side * pixel)
    centre = grid.to_ras(np.array([k, (box[1] + box[3]) / 2.0 - 0.5, (box[0] + box[2]) / 2.0 - 0.5]))
    pixels = region_pixels(backbone, side, float(spacing.min()))
    region = make_region(grid, centre, side, pixels, k - 1, k + 1)
    grey = window.apply(region.sample(volume.array, fill_value(volume)))
    here = k - region.first
    neighbours = np.clip([here - 1, here, here + 1], 0, len(grey) - 1)
    channels = grey[neighbours if backbone.uses_neighbours else [here] * 3]
    return Crop(region, k, backbone.encode(torch.from_numpy(channels)[None]))
