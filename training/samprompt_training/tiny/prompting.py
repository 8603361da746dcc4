"""Prompts of the built-in model's training: a first one of some kind, then what follows the model's answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from samprompt.models.backbone import mask_to_prompt
from torch import Tensor

from samprompt_training.fields import Random
from samprompt_training.prompts import boxes_of, corrupt, interior, sample_points


@dataclass(frozen=True)
class Given:
    """Prompts of one decoder call, as ``TinyDecoder.forward`` takes them."""

    points: tuple[Tensor, Tensor] | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None


def first_prompts(
    random: Random, kind: str, target: Tensor, prior: Tensor, mask_size: int, jitter: float = 0.08
) -> Given:
    """Prompts of ``kind`` (a key of ``recipe.PROMPTS``) for targets and priors (N, 1, S, S).

    Each edge of a box is moved by up to ``jitter`` of its side.
    """
    masks = mask_to_prompt(corrupt(random, prior), mask_size) if "prior" in kind else None
    if kind.startswith("box"):
        # where the object vanished the prior's box is what a user of the prior would give
        shown = torch.where(target.sum(dim=(1, 2, 3), keepdim=True) > 0, target, prior)
        return Given(None, boxes_of(shown, random, jitter), masks)
    if kind == "click":
        return Given(_points(random, target, 1, 0))
    if "points" in kind:
        return Given(_points(random, target, random.integer(1, 3), random.integer(0, 2)), None, masks)
    return Given(None, None, masks)


def _points(random: Random, target: Tensor, positives: int, negatives: int) -> tuple[Tensor, Tensor]:
    inside, valid = sample_points(random, interior(target), positives)
    labels = torch.where(valid, 1, -1)
    if negatives == 0:
        return inside, labels
    near = F.max_pool2d(target, 25, 1, 12) * (1 - target)
    outside, ok = sample_points(random, near + 0.1 * (1 - target), negatives)
    return torch.cat((inside, outside), 1), torch.cat((labels, torch.where(ok, 0, -1)), 1)


def next_prompts(random: Random, given: Given, logits: Tensor, target: Tensor) -> Given:
    """After an answer: the same points (P2SAM's passes), with the answer's box, or a correcting point."""
    logits = logits.detach().float()
    answer = (F.interpolate(logits, target.shape[-2:], mode="bilinear", align_corners=False) > 0).float()
    draw = random.number()
    if draw < 0.25 and given.points is not None:
        return Given(given.points, None, logits)
    if draw < 0.45:
        return Given(given.points, boxes_of(answer), logits)
    missed, extra = target * (1 - answer), answer * (1 - target)
    points, valid = sample_points(random, interior(missed) + interior(extra) + 1e-6, 1)
    index, rows = points.long(), torch.arange(len(missed), device=missed.device)
    on_missed = missed[rows, 0, index[:, 0, 1], index[:, 0, 0]] > 0
    on_extra = extra[rows, 0, index[:, 0, 1], index[:, 0, 0]] > 0
    labels = torch.where(on_missed, 1, torch.where(on_extra, 0, -1))[:, None]
    labels = torch.where(valid, labels, -1)
    if given.points is not None:
        points, labels = torch.cat((given.points[0], points), 1), torch.cat((given.points[1], labels), 1)
    return Given((points, labels), None, logits)
