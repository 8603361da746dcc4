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


def valid_tokens(embedding: Embedding, device: torch.device | None = None) -> Tensor:
    """Tokens (hm, wm), bool, whose centre lies in the image and not in the padding; at least one in each direction.

    They are made on the embedding's device, or on ``device``.
    """
    device = embedding.matching.device if device is None else device
    inside = []
    for tokens, share in zip(embedding.matching.shape[-2:], embedding.valid, strict=True):
        count = sum(n + 0.5 < share * tokens - 1e-9 for n in range(tokens))
        inside.append(torch.arange(tokens, device=device) < max(count, 1))
    return inside[0][:, None] & inside[1][None, :]


def reduce_mask(
    mask: Tensor, input_size: int, tokens: tuple[int, int], area: bool = False, stretched: bool = False
) -> Tensor:
    """Reduce masks (..., H, W) to the token grid (..., hm, wm), float32.

    The mask is resized as the image is (longest side to ``input_size``, antialiased bilinear), padded with zeros to the
    square and reduced bilinearly (as published) or, with ``area``, by the mean over each token's area. Where the image
    is ``stretched`` to the square, so is the mask. Every step is linear and acts on one axis at a time, so all of them
    together are one small matrix per axis.
    """
    height, width = int(mask.shape[-2]), int(mask.shape[-1])
    sides = (height, width) if stretched else (max(height, width),) * 2
    axes = (height, sides[0], tokens[0]), (width, sides[1], tokens[1])
    down, across = (_axis(length, side, input_size, count, area) for length, side, count in axes)
    matrix = down.to(mask.device)
    other = matrix if across is down else across.to(mask.device)
    return matrix @ mask.to(torch.float32) @ other.T


def covered_tokens(mask: Tensor, embedding: Embedding, input_size: int, parameters: P2SamParameters) -> Tensor:
    """Tokens (..., hm, wm), bool, that belong to masks (..., H, W); padding never belongs.

    Published rule (methods page 1.1, step 2): the reduced mask minus its mid-range is above zero. A mask that falls
    between the sampled pixels has no token then. With ``coverage_pooling`` a token belongs when the mask covers at
    least ``coverage_threshold`` of it, and a mask that covers no token enough keeps its best-covered one.
    """
    rows, columns = embedding.matching.shape[-2:]
    tokens = (int(rows), int(columns))
    reduced = reduce_mask(mask, input_size, tokens, parameters.coverage_pooling, embedding.stretched)
    valid = valid_tokens(embedding, mask.device)
    if not parameters.coverage_pooling:
        middle = (reduced.amax(dim=(-2, -1), keepdim=True) + reduced.amin(dim=(-2, -1), keepdim=True)) / 2.0
        return ((reduced - middle) > TIE) & valid
    covered = (reduced >= parameters.coverage_threshold - TIE) & valid
    flat = torch.where(valid, reduced, torch.full_like(reduced, -1.0)).flatten(-2)
    best = F.one_hot(flat.argmax(dim=-1), flat.shape[-1]).bool().view(covered.shape)
    lost = ~covered.flatten(-2).any(dim=-1) & mask.flatten(-2).any(dim=-1)
    return covered | (best & lost[..., None, None])


def tokens_under(masks: Tensor, embedding: Embedding) -> list[Tensor]:
    """Matching tokens (T, D) under each of N masks of tokens (N, hm, wm), bool; float32 on the CPU, in raster order.

    From another device the tokens that any mask needs come in one copy.
    """
    inside = masks.flatten(1).cpu()
    used = inside.any(dim=0)
    features = embedding.matching[0].flatten(1).T
    tokens = features[torch.nonzero(used).flatten().to(features.device)].to(torch.float32).cpu()
    return [tokens[one[used]] for one in inside]


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
