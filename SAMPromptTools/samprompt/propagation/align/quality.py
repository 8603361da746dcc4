"""How well two images agree after alignment, measured against what their noise allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from samprompt.contract.propagation import AlignParameters
from samprompt.propagation.align.deformable import folding, strain
from samprompt.propagation.align.mind import box_mean
from samprompt.propagation.align.region import Patch, ring

# Share of the estimated noise variance that is believed: the estimate holds some structure, and too high a ceiling
# would forgive another patient more than it forgives noise.
_NOISE_SHARE = 0.4
RING = 25.0  # mm round the structure over which the agreement is measured
_RADIUS = 2  # voxels; windows of 15 mm: another patient's large shapes can be bent to fit, its details cannot


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

    In every window of 5 x 5 x 5 voxels the correlation is divided by the highest that two noisy images of one anatomy
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
    noise_a, noise_b = _NOISE_SHARE * fixed_noise**2, _NOISE_SHARE * warped_noise**2
    signal_a, signal_b = (variance_a - noise_a).clamp_min(0.0), (variance_b - noise_b).clamp_min(0.0)
    # Correlation over its ceiling is covariance over the signals' own spread; the floor keeps flat windows finite.
    ceiling = torch.sqrt(
        torch.maximum(signal_a, 0.25 * variance_a) * torch.maximum(signal_b, 0.25 * variance_b)
    ).clamp_min(1e-6)
    local = (covariance / ceiling).clamp(-1.0, 1.0)
    # The larger of the two signals: structure present in one image only is disagreement, not silence. A window counts
    # from 1.5 times the noise variance on, since below it the correlation is that of two noises.
    excess = torch.maximum(variance_a - 1.5 * fixed_noise**2, variance_b - 1.5 * warped_noise**2).clamp_min(0.0)
    informative = excess / (excess + 0.5 * (fixed_noise**2 + warped_noise**2) + 1e-6)
    share = weight * informative * (mass > 0.3)
    total = float(share.sum())
    if total < 1.0:
        return 0.0, local
    return max(0.0, float((local * share).sum()) / total), local


@dataclass(frozen=True)
class Verdict:
    """What was measured round one structure.

    ``agreement`` of the images in [0, 1] by stage ("rigid", "local", "deformable"); ``inconsistency`` (mm): how far
    from the start one ends after matching there and, independently, back; ``strain``: mean Frobenius norm of the
    displacement's gradient; ``movement`` (mm): mean length of the displacement; ``folding``: share of the region.
    """

    agreement: dict[str, float]
    inconsistency: float
    strain: float
    movement: float
    folding: float
    spacing: float
    parameters: AlignParameters

    def quality(self, stage: str) -> float:
        """Quality of a stage in [0, 1]: the agreement, less where there and back do not meet or the tissue was torn.

        A deformable step can bend one patient's thigh into another's (agreement 0.65, measured), but not consistently
        (inconsistency 1.2 mm against 0.5) and not gently (strain 0.34 and more against 0.28 and less).
        """
        value = self.agreement[stage] ** 1.5 / (
            1.0 + (self.inconsistency / self.parameters.doubtful_inconsistency) ** 2
        )
        if stage == "deformable":
            value /= 1.0 + (self.strain / self.parameters.doubtful_strain) ** 4
        return float(value)

    def error_mm(self, stage: str) -> float:
        """Estimated error of the map round the structure in mm; a third of a voxel is the floor.

        2.5 times the inconsistency is the measured error of known movements, two to three times, rounded to halves; a
        stage without the displacement misses the displacement as well.
        """
        missed = 0.0 if stage == "deformable" else self.movement
        return float(np.sqrt((self.spacing / 3.0) ** 2 + (2.5 * self.inconsistency) ** 2 + missed**2))

    def reasons(self, stage: str) -> list[str]:
        """Why the quality is low, in words."""
        found = []
        if self.agreement[stage] < 0.75:
            found.append(f"The images agree by only {self.agreement[stage]:.2f} round the structure.")
        if self.inconsistency > 0.6 * self.parameters.doubtful_inconsistency:
            found.append(f"Matching there and back misses the start by {self.inconsistency:.1f} mm.")
        if stage == "deformable" and self.strain > 0.6 * self.parameters.doubtful_strain:
            found.append(f"The tissue would have to be strained by {100 * self.strain:.0f} %.")
        return found or [f"The quality of the alignment round the structure is only {self.quality(stage):.2f}."]


def judge(
    fixed: Patch,
    images: Mapping[str, Patch],
    depths: Mapping[str, NDArray[np.float32]],
    field: Tensor,
    inconsistency: Tensor,
    spacing: float,
    parameters: AlignParameters,
) -> Verdict:
    """Measure every stage in the ring of one structure.

    ``images`` holds the baseline on the region by stage, ``depths`` the signed distance to the structure (mm) at the
    same voxels; ``field`` (3, k, j, i) and ``inconsistency`` (k, j, i) are of the deformable step, in mm.
    """
    # Two voxels under the skin: its steep edge would outweigh everything that tells one anatomy from another.
    inner = eroded(fixed.body, 2)
    values = {}
    weight = torch.zeros_like(inner)
    for stage, image in images.items():
        weight = torch.from_numpy(ring(depths[stage], RING, parameters.interior_weight))
        weight = weight * (inner * image.weight > 0.99)
        box = _box(weight)
        if box is None:
            values[stage] = 0.0
            continue
        values[stage] = agreement(
            compressed(fixed.values[box], fixed.modality), compressed(image.values[box], image.modality),
            weight[box], fixed.noise, image.noise,
        )[0]  # fmt: skip
    total = float(weight.sum())
    if total < 1.0:
        far = parameters.local_margin
        return Verdict(values, far, 0.0, far, folding(field, spacing)[0], spacing, parameters)

    def mean(amount: Tensor) -> float:
        return float((amount * weight).sum()) / total

    return Verdict(
        values, mean(inconsistency), mean(strain(field, spacing)), mean(field.square().sum(dim=0).sqrt()),
        folding(field, spacing)[0], spacing, parameters,
    )  # fmt: skip


def _box(weight: Tensor) -> tuple[slice, slice, slice] | None:
    """The block that holds every voxel of weight, with a window's reach round it."""
    found = torch.nonzero(weight)
    if len(found) == 0:
        return None
    low = (found.min(dim=0).values - _RADIUS).clamp_min(0).tolist()
    high = (found.max(dim=0).values + _RADIUS + 1).tolist()
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])
