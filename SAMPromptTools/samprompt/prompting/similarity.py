"""Cosine similarity of part features with a target image, and the pixel where it peaks (methods page 1.1, step 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt.contract.errors import ParameterError
from samprompt.models.backbone import Embedding, logits_to_image

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the image, x = 0 at its left edge
_MAPS_AT_ONCE = 8  # 1024 x 1024 floats each on the way to the image: 32 MiB


def similarity_maps(features: Tensor, embedding: Embedding, input_size: int) -> Tensor:
    """Cosine similarity (P, H, W), float32, of unit features (P, D) with one encoded image, at the image's size.

    Source: P2SAM, equation 2. Upsampled bilinearly to the input square, padding cut off, bilinearly to the image.
    """
    tokens = F.normalize(embedding.matching[0].to(torch.float32), dim=0)
    cosine = torch.einsum("pd,dhw->phw", features.to(tokens), tokens)
    return logits_to_image(cosine[:, None], embedding, input_size)[:, 0]


def peaks(
    features: Tensor, embedding: Embedding, input_size: int, focus: Tensor | None = None, box: Box | None = None
) -> Tensor:
    """Points (P, 2), x and y at pixel centres, where the similarity with each of the features (P, D) is greatest.

    ``focus`` (H, W) in [0, 1] multiplies the similarity counted from the map's least value; ``box`` limits the search.
    The first pixel in raster order wins a tie.

    Raises:
        ParameterError: no pixel centre lies in the box.
    """
    found = [
        highest(similarity_maps(chunk, embedding, input_size), focus, box)
        for chunk in torch.split(features, _MAPS_AT_ONCE)
    ]
    return torch.cat(found)


def highest(maps: Tensor, focus: Tensor | None = None, box: Box | None = None) -> Tensor:
    """Points (P, 2) where each of the maps (P, H, W) is greatest; ``focus`` and ``box`` as in ``peaks``."""
    width = int(maps.shape[-1])
    if focus is not None:
        maps = (maps - maps.amin(dim=(-2, -1), keepdim=True)) * focus.to(maps)
    if box is not None:
        rows, columns = _box_pixels(box, int(maps.shape[-2]), width)
        limited = torch.full_like(maps, -torch.inf)
        limited[..., rows, columns] = maps[..., rows, columns]
        maps = limited
    index = maps.flatten(1).argmax(dim=1)
    return torch.stack([index % width, index.div(width, rounding_mode="floor")], dim=1).to(torch.float32) + 0.5


def prior_focus(prior: Tensor | None, weight: float) -> tuple[Tensor | None, Tensor | None]:
    """Factors (H, W) for positive and for negative points from a soft prior (H, W) in [0, 1]; None, None without."""
    if prior is None or weight <= 0.0:
        return None, None
    soft = prior.to(torch.float32).clamp(0.0, 1.0)
    return (1.0 - weight) + weight * soft, (1.0 - weight) + weight * (1.0 - soft)


def _box_pixels(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns whose pixel centres lie in the box."""
    rows, columns = _centres_between(height, box[1], box[3]), _centres_between(width, box[0], box[2])
    if rows is None or columns is None:
        raise ParameterError(
            f"The box {tuple(round(float(edge), 1) for edge in box)} holds no pixel of the {width} x {height} image.",
            "Give x0, y0, x1, y1 in pixels of the image.",
        )
    return rows, columns


def _centres_between(count: int, low: float, high: float) -> slice | None:
    """Those of ``count`` pixels in a line whose centre lies between; None where there is none."""
    centres = torch.arange(count) + 0.5
    inside = torch.nonzero((centres >= low) & (centres <= high)).flatten().tolist()
    return slice(inside[0], inside[-1] + 1) if inside else None
