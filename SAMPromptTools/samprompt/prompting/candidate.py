"""One candidate mask of one structure in one image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from samprompt.models.backbone import Backbone, Embedding
from samprompt.prompting.retrieval import EMPTY_DISTANCE


@dataclass(frozen=True, eq=False)
class Candidate:
    """The mask that the prompts of n positive and m negative parts led to.

    ``points`` (P, 2) x, y in pixels of the image and ``labels`` (P,); ``logits`` (m, m) at the backbone's mask size;
    ``mask`` (H, W), bool, at image size; predicted ``iou``; ``presence`` logit or None; retrieval ``distance`` to the
    reference, the smaller the better. n = 0 when no prompt was used.
    """

    n: int
    m: int
    points: Tensor
    labels: Tensor
    logits: Tensor
    mask: Tensor
    iou: float
    presence: float | None
    distance: float

    @property
    def empty(self) -> bool:
        """True when no pixel is in the mask."""
        return not bool(self.mask.any())


def nothing_found(backbone: Backbone, embedding: Embedding) -> Candidate:
    """The empty answer where no prompt could be made: n = m = 0, empty mask, the largest distance."""
    device = embedding.matching.device
    return Candidate(
        n=0,
        m=0,
        points=torch.zeros(0, 2, device=device),
        labels=torch.zeros(0, device=device),
        logits=torch.full((backbone.mask_size, backbone.mask_size), -10.0, device=device),
        mask=torch.zeros(embedding.image_shape, dtype=torch.bool, device=device),
        iou=0.0,
        presence=None,
        distance=EMPTY_DISTANCE,
    )
