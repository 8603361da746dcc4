"""Losses of the built-in model: masks, predicted IoU, presence, and correspondence between visits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt_training.fields import Random
from samprompt_training.scenes import Scenes


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """2 x mean BCE + Dice (methods page, section 8) of logits (N, 1, m, m) against soft targets of the same shape.

    Dice counts only where the target is not empty: an absent object is learnt by BCE and the presence score.
    """
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=(1, 2, 3))
    probability = logits.sigmoid()
    overlap = (probability * target).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3))
    dice = 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)
    present = (target.sum(dim=(1, 2, 3)) > 0).float()
    return (2.0 * cross + dice * present).mean()


def score_loss(logits: Tensor, iou: Tensor, presence: Tensor, target: Tensor) -> Tensor:
    """Squared error of the predicted IoU and cross entropy of "the object is there"."""
    with torch.no_grad():
        mask, truth = logits > 0, target > 0.5
        union = (mask | truth).sum(dim=(1, 2, 3))
        actual = (mask & truth).sum(dim=(1, 2, 3)) / union.clamp_min(1)
        there = (target.sum(dim=(1, 2, 3)) > 0).float()
    return F.mse_loss(iou, actual) + 0.2 * F.binary_cross_entropy_with_logits(presence, there)


def correspondence_loss(
    matching: Tensor, scenes: Scenes, random: Random, count: int = 96, temperature: float = 0.1, sigma: float = 6.0
) -> Tensor:
    """Region contrast across two visits plus a weaker place term (methods page, section 8).

    ``matching`` (V * B, D, h, w) unit vectors, visits outermost. Positives carry the same label at the other visit,
    negatives are all other labels of the same scene (neighbours and look-alikes). The place term pulls towards
    Gaussian targets of ``sigma`` pixels round the true position, so that parts of one region stay apart.
    """
    visits, batch = scenes.labels.shape[:2]
    size, stride = scenes.labels.shape[-1], scenes.labels.shape[-1] // matching.shape[-1]
    features = matching.reshape(visits, batch, *matching.shape[1:])
    small = scenes.labels[..., stride // 2 :: stride, stride // 2 :: stride].reshape(visits, batch, -1)
    weight = torch.where(small >= 100, 3.0, 1.0)
    picks = [torch.multinomial(weight[v], count, generator=random.generator) for v in range(2)]
    z = [
        torch.gather(features[v].flatten(2), 2, picks[v][:, None].expand(-1, features.shape[2], -1)).transpose(1, 2)
        for v in range(2)
    ]
    labels = [torch.gather(small[v], 1, picks[v]) for v in range(2)]
    similarity = torch.einsum("bid,bjd->bij", z[0], z[1]) / temperature
    same = (labels[0][:, :, None] == labels[1][:, None, :]).float()
    loss = matching.new_zeros(())
    for axis in (2, 1):
        log_share = similarity - similarity.logsumexp(dim=axis, keepdim=True)
        positives = same.sum(dim=axis)
        region = -(log_share * same).sum(dim=axis) / positives.clamp_min(1.0)
        loss = loss + (region * (positives > 0)).sum() / (positives > 0).sum().clamp_min(1)
    width = matching.shape[-1]
    place0 = (
        torch.stack((picks[0] % width, torch.div(picks[0], width, rounding_mode="floor")), -1) * stride + stride / 2
    )
    sparse = scenes.places[..., stride // 2 :: stride, stride // 2 :: stride].flatten(2)
    place1 = torch.gather(sparse, 2, picks[1][:, None].expand(-1, 2, -1)).transpose(1, 2)
    distance = ((place0[:, :, None] - place1[:, None]) ** 2).sum(-1) / (sigma * size / 128.0) ** 2
    target = torch.exp(-0.5 * distance) * same
    mass = target.sum(dim=1, keepdim=True)
    log_share = similarity - similarity.logsumexp(dim=1, keepdim=True)
    place = -(log_share * target / mass.clamp_min(1e-6)).sum(dim=1)
    loss = loss + 0.4 * (place * (mass[:, 0] > 0.1)).sum() / (mass[:, 0] > 0.1).sum().clamp_min(1)
    return loss
