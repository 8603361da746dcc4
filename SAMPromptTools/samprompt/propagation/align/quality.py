"""How well two images agree after alignment, measured against what their noise allows."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from samprompt.propagation.align.mind import box_mean

_RADIUS = 3  # voxels; windows of 7 x 7 x 7 at 3 mm hold a muscle's edge and 343 values


def eroded(mask: Tensor, steps: int) -> Tensor:
    """A 0/1 mask (k, j, i) without its outer ``steps`` voxels; the region's border does not count as outside."""
    width = 2 * steps + 1
    return -functional.max_pool3d(-mask[None, None], width, stride=1, padding=steps)[0, 0]


def compressed(image: Tensor, modality: str) -> Tensor:
    """HU with what is below fat squeezed to a fifth and what is above soft tissue cut off; other images unchanged.

    Else air beside tissue and bone beside tissue, the same in every patient, would decide the correlation alone.
    """
    if modality != "CT":
        return image
    return torch.where(image < -200.0, -200.0 + 0.2 * (image + 200.0), image).clamp_max(300.0)


def agreement(
    fixed: Tensor, warped: Tensor, weight: Tensor, fixed_noise: float, warped_noise: float
) -> tuple[float, Tensor]:
    """Local correlation in [0, 1] of two images (k, j, i), and the map of it.

    In every window of 7 x 7 x 7 voxels the correlation is divided by the highest that two noisy images of one anatomy
    can reach, sqrt(s1 s2 / ((s1 + n1) (s2 + n2))) with signal variance s and noise variance n. Windows count by
    ``weight`` and by how much signal they hold: flat tissue tells nothing of the alignment. 0 where nothing can be
    compared. ``noise`` are standard deviations in the image's unit.
    """
    mass = box_mean(weight[None], _RADIUS)[0].clamp_min(1e-6)

    def mean(values: Tensor) -> Tensor:
        return box_mean((values * weight)[None], _RADIUS)[0] / mass

    a, b = mean(fixed), mean(warped)
    # Centred first: HU squared would lose the small variances to rounding.
    fixed_centred, warped_centred = fixed - fixed.mean(), warped - warped.mean()
    ca, cb = a - fixed.mean(), b - warped.mean()
    variance_a = (mean(fixed_centred**2) - ca**2).clamp_min(0.0)
    variance_b = (mean(warped_centred**2) - cb**2).clamp_min(0.0)
    covariance = mean(fixed_centred * warped_centred) - ca * cb
    noise_a, noise_b = fixed_noise**2, warped_noise**2
    signal_a, signal_b = (variance_a - noise_a).clamp_min(0.0), (variance_b - noise_b).clamp_min(0.0)
    # Correlation over its ceiling is covariance over the signals' own spread; the floor keeps flat windows finite.
    ceiling = torch.sqrt(
        torch.maximum(signal_a, 0.25 * variance_a) * torch.maximum(signal_b, 0.25 * variance_b)
    ).clamp_min(1e-6)
    local = (covariance / ceiling).clamp(-1.0, 1.0)
    # The larger of the two signals: structure present in one image only is disagreement, not silence.
    signal = torch.maximum(signal_a, signal_b)
    informative = signal / (signal + 4.0 * (noise_a + noise_b) / 2.0 + 1e-6)
    share = weight * informative * (mass > 0.3)
    total = float(share.sum())
    if total < 1.0:
        return 0.0, local
    return max(0.0, float((local * share).sum()) / total), local
