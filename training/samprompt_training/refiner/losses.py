"""Loss of a refined signed distance: its error near the contours, and the overlap of what it encloses."""

from __future__ import annotations

import torch
from torch import Tensor

_EDGE = 0.75  # pixels: width of the soft edge that the overlap is taken with
_SMOOTH = 10.0  # pixels: an empty target and a nearly empty answer are nearly right


def distance_loss(field: Tensor, target: Tensor, prior: Tensor, limit_mm: float) -> Tensor:
    """Mean absolute error (B,) in mm of distances (B, 1, H, W), both clipped at ``limit_mm``.

    Taken where target or prior are nearer than the limit: elsewhere nothing is asked. Beyond the limit the network
    cannot reach and is not blamed for it.
    """
    asked = ((target.abs() < limit_mm) | (prior.abs() < limit_mm)).float()
    error = (field.clamp(-limit_mm, limit_mm) - target.clamp(-limit_mm, limit_mm)).abs() * asked
    return error.sum((1, 2, 3)) / asked.sum((1, 2, 3)).clamp_min(1.0)


def overlap_loss(field: Tensor, target: Tensor, pixel: Tensor) -> Tensor:
    """1 - Dice (B,) of the inside of ``field`` (soft edge) with that of ``target``, both (B, 1, H, W) in mm."""
    width = _EDGE * pixel[:, None, None, None]
    answer, truth = torch.sigmoid(field / width), (target > 0).float()
    both = (answer * truth).sum((1, 2, 3))
    return 1.0 - (2.0 * both + _SMOOTH) / (answer.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + _SMOOTH)
