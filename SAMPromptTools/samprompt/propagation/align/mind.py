"""MIND-SSC: what surrounds a voxel, described so that noise and grey-level scale do not matter.

Heinrich et al., "Towards realtime multimodal fusion for image-guided interventions using self-similarities",
MICCAI 2013: 12 distances between neighbouring patches of the 6-neighbourhood, through exp(-d / variance).
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as functional
from torch import Tensor

_NEIGHBOURS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
# Pairs of neighbours at distance sqrt(2): the twelve edges of the octahedron (opposite neighbours are left out).
PAIRS = tuple(
    (a, b)
    for a, b in itertools.combinations(_NEIGHBOURS, 2)
    if sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) == 2
)


def noise_level(image: Tensor, known: Tensor) -> float:
    """Standard deviation of the noise: the 15th percentile of the local one (3x3x3) over ``known`` voxels.

    ``image`` and ``known`` are (k, j, i). Structure only ever adds to the local spread, so a low percentile sees the
    flattest tissue; 0 without known voxels.
    """
    mean = box_mean(image[None], 1)[0]
    variance = (box_mean(image[None] ** 2, 1)[0] - mean**2).clamp_min(0.0)
    selected = variance[known > 0]
    if selected.numel() == 0:
        return 0.0
    return float(selected.kthvalue(1 + int(0.15 * (selected.numel() - 1))).values.sqrt())


def box_mean(channels: Tensor, radius: int) -> Tensor:
    """Mean over a box of 2 * radius + 1 voxels, (c, k, j, i); the border repeats."""
    width = 2 * radius + 1
    padded = functional.pad(channels[None], (radius,) * 6, mode="replicate")
    for axis in range(3):
        kernel = [1, 1, 1]
        kernel[axis] = width
        padded = functional.avg_pool3d(padded, kernel, stride=1)
    return padded[0]


def mind_ssc(image: Tensor, noise: float, dilation: int = 2, radius: int = 1) -> Tensor:
    """Twelve features in (0, 1] of an image (k, j, i): (12, k, j, i).

    ``noise`` is the standard deviation of the image's noise. Two patches of nothing but noise differ by 2 * noise ** 2
    on average; the variance that scales the distances is not taken below half of that, so that flat tissue describes
    itself as flat instead of by its noise (which is new on every visit). This floor is ours.
    """
    reach = dilation
    padded = functional.pad(image[None, None], (reach,) * 6, mode="replicate")[0, 0]
    k, j, i = image.shape

    def shifted(offset: tuple[int, int, int]) -> Tensor:
        z, y, x = (reach + dilation * o for o in offset)
        return padded[z : z + k, y : y + j, x : x + i]

    distance = torch.stack([(shifted(a) - shifted(b)) ** 2 for a, b in PAIRS])
    distance = box_mean(distance, radius)
    smallest = distance.min(dim=0, keepdim=True).values
    variance = (distance - smallest).mean(dim=0, keepdim=True)
    middle = float(variance.mean())
    floor = max(noise**2, 1e-3 * middle, 1e-12)
    return torch.exp(-(distance - smallest) / variance.clamp(floor, max(1e3 * middle, floor)))
