"""From pixels to tokens: which tokens a mask covers, and which tokens hold image at all."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt.contract.prompting import P2SamParameters
from samprompt.models.backbone import Embedding

# A reduced mask this close to the limit counts as background, so that rounding never decides a tie.
TIE = 1e-4


def valid_tokens(embedding: Embedding) -> Tensor:
    """Tokens (hm, wm), bool, whose centre lies in the image and not in the padding; at least one in each direction."""
    rows, columns = embedding.matching.shape[-2:]
    inside = []
    for tokens, share in ((rows, embedding.valid[0]), (columns, embedding.valid[1])):
        centres = torch.arange(tokens, dtype=torch.float64) + 0.5
        axis = centres < share * tokens - 1e-9
        axis[0] = True
        inside.append(axis)
    return (inside[0][:, None] & inside[1][None, :]).to(embedding.matching.device)


def reduce_mask(mask: Tensor, input_size: int, tokens: tuple[int, int], area: bool = False) -> Tensor:
    """Reduce masks (..., H, W) to the token grid (..., hm, wm), float32.

    The mask is resized as the image is (longest side to ``input_size``, antialiased bilinear), padded with zeros to the
    square and reduced bilinearly (as published) or, with ``area``, by the mean over each token's area. Every step is
    linear and acts on one axis at a time, so all of them together are one small matrix per axis.
    """
    height, width = int(mask.shape[-2]), int(mask.shape[-1])
    side = max(height, width)
    down = _axis(height, side, input_size, tokens[0], area).to(mask.device)
    across = _axis(width, side, input_size, tokens[1], area).to(mask.device)
    return down @ mask.to(torch.float32) @ across.T


def covered_tokens(mask: Tensor, embedding: Embedding, input_size: int, parameters: P2SamParameters) -> Tensor:
    """Tokens (..., hm, wm), bool, that belong to masks (..., H, W); padding never belongs.

    Published rule (methods page 1.1, step 2): the reduced mask minus its mid-range is above zero. A mask that falls
    between the sampled pixels has no token then. With ``coverage_pooling`` a token belongs when the mask covers at
    least ``coverage_threshold`` of it, and a mask that covers no token enough keeps its best-covered one.
    """
    rows, columns = embedding.matching.shape[-2:]
    reduced = reduce_mask(mask, input_size, (int(rows), int(columns)), parameters.coverage_pooling)
    valid = valid_tokens(embedding).to(mask.device)
    if not parameters.coverage_pooling:
        middle = (reduced.amax(dim=(-2, -1), keepdim=True) + reduced.amin(dim=(-2, -1), keepdim=True)) / 2.0
        return ((reduced - middle) > TIE) & valid
    covered = (reduced >= parameters.coverage_threshold - TIE) & valid
    flat = torch.where(valid, reduced, torch.full_like(reduced, -1.0)).flatten(-2)
    best = F.one_hot(flat.argmax(dim=-1), flat.shape[-1]).bool().view(covered.shape)
    lost = ~covered.flatten(-2).any(dim=-1) & mask.flatten(-2).any(dim=-1)
    return covered | (best & lost[..., None, None])


@lru_cache(maxsize=32)
def _axis(length: int, side: int, input_size: int, tokens: int, area: bool) -> Tensor:
    """The whole reduction along one axis as a matrix (tokens, length), found by reducing the unit matrix.

    The other axis keeps its length; torch 2.15 gives wrong antialiased values when it is 1.
    """
    resized = F.interpolate(
        torch.eye(length)[None, None],
        (int(length * (input_size / side) + 0.5), length),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    padded = F.pad(resized, (0, 0, 0, input_size - resized.shape[2]))
    if area:
        return F.interpolate(padded, (tokens, length), mode="area")[0, 0]
    return F.interpolate(padded, (tokens, length), mode="bilinear", align_corners=False)[0, 0]
