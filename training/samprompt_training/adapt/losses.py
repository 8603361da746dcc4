"""The loss of one answer: Dice, focal, predicted IoU, and the object score of models that have one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss


class LossWeights(BaseModel):
    """Weights of the loss: Dice + 20 focal (alpha .25, gamma 2) + squared error of the IoU (methods page, section 1.4).

    ``presence``: cross entropy of the object score of SAM 2 and the built-in model, with SAM 2's own weight (arXiv
    2408.00714, appendix D). SAM has no such score. Without it the score would drift, as the layers below it change.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    dice: float = Field(1.0, ge=0)
    focal: float = Field(20.0, ge=0)
    focal_alpha: float = Field(0.25, ge=0, le=1)
    focal_gamma: float = Field(2.0, ge=0)
    iou: float = Field(1.0, ge=0)
    presence: float = Field(1.0, ge=0)


@dataclass(frozen=True)
class Answer:
    """``logits`` (B, 1, m, m), predicted ``iou`` (B,), ``presence`` (B,) logits or None."""

    logits: Tensor
    iou: Tensor
    presence: Tensor | None = None


def answer_loss(answer: Answer, full: Tensor, target: Tensor, weights: LossWeights) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss over the samples and its parts, detached.

    ``full`` (B, 1, H, W) are the answer's logits at the size of ``target`` (B, 1, H, W), which is 0 or 1. An absent
    structure (empty target) teaches the model to answer nothing: its Dice term falls with the answer's area.
    """
    over = (1, 2, 3)
    full, target = full.float(), target.float()
    probability = full.sigmoid()
    overlap = (probability * target).sum(over)
    dice = 1.0 - (2.0 * overlap + 1.0) / (probability.sum(over) + target.sum(over) + 1.0)
    focal = sigmoid_focal_loss(full, target, weights.focal_alpha, weights.focal_gamma).mean(over)
    with torch.no_grad():
        actual = overlap_over_union(full > 0, target > 0.5)
        there = (target.sum(over) > 0).float()
    iou = F.mse_loss(answer.iou.float(), actual, reduction="none")
    parts = {"dice": dice, "focal": focal, "iou": iou}
    total = weights.dice * dice + weights.focal * focal + weights.iou * iou
    if answer.presence is not None and weights.presence:
        parts["presence"] = F.binary_cross_entropy_with_logits(answer.presence.float(), there, reduction="none")
        total = total + weights.presence * parts["presence"]
    return total.mean(), {name: part.detach().mean() for name, part in parts.items()}


def overlap_over_union(found: Tensor, truth: Tensor) -> Tensor:
    """IoU (B,) of masks (B, 1, H, W); 1 where both are empty."""
    both = (found & truth).sum((1, 2, 3)).float()
    either = (found | truth).sum((1, 2, 3)).float()
    return torch.where(either > 0, both / either.clamp_min(1.0), torch.ones_like(either))
