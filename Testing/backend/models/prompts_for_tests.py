"""Images and prompts that the backbones' tests share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from samprompt.models.backbone import Prompts
from torch import Tensor

CASES = ("points", "boxes", "masks", "points and boxes", "points, boxes and masks", "one point")


def random_image(shape: tuple[int, int], seed: int = 0) -> Tensor:
    """A smooth random colour image (1, 3, H, W) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 9, 9, generator=generator)
    return F.interpolate(coarse, shape, mode="bicubic", align_corners=False).clamp(0, 1)


def make_prompts(case: str, shape: tuple[int, int], mask_size: int) -> Prompts:
    """Five prompts of the kind that ``case`` names (one for "one point"), inside an image of ``shape``."""
    generator = torch.Generator().manual_seed(7)
    n = 1 if case == "one point" else 5
    size = torch.tensor([shape[1], shape[0]], dtype=torch.float32)
    points = labels = boxes = masks = None
    if "point" in case:
        count = 1 if case == "one point" else 4
        points = torch.rand(n, count, 2, generator=generator) * size
        labels = (torch.arange(n * count).reshape(n, count) % 3 > 0).int()
    if "boxes" in case:
        corners = torch.rand(n, 2, 2, generator=generator).sort(dim=1).values * size
        boxes = corners.reshape(n, 4)
    if "masks" in case:
        masks = torch.randn(n, 1, mask_size, mask_size, generator=generator) * 4
    return Prompts(points, labels, boxes, masks)
