"""From labels to grey values: tissues under a window, texture, partial volume, kernels, noise, streaks, speckle."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt_training.fields import Random, sampling_grid, smooth_noise, table_on

# HU ranges of tissues; drawn per label. Sources: usual radiology values, widened on purpose.
_TISSUES = (
    (-1000, -950),
    (-900, -650),
    (-120, -60),
    (-10, 30),
    (30, 80),
    (40, 120),
    (80, 200),
    (150, 400),
    (300, 1300),
)
_MIXED = (0.06, 0.12, 0.18, 0.12, 0.24, 0.12, 0.06, 0.05, 0.05)
_SOFT = (0.01, 0.02, 0.14, 0.12, 0.42, 0.22, 0.05, 0.01, 0.01)  # abdomen, pelvis, limbs: one soft tissue beside another
_WINDOWS = ((-160, 240), (-910, 590), (-450, 1050), (-1000, 1000))
_WINDOW_WEIGHTS = (0.5, 0.25, 0.1, 0.15)


def grey_table(random: Random, batch: int, count: int, free_contrast: float) -> tuple[Tensor, Tensor]:
    """Grey level and texture amplitude per label, both (B, count), in units of the window's width."""
    soft, mixed = table_on(random.device, _SOFT), table_on(random.device, _MIXED)
    weights = torch.where(random.uniform((batch, 1)) < 0.5, soft, mixed)
    kind = torch.multinomial(weights, count, replacement=True, generator=random.generator)
    ranges = table_on(random.device, _TISSUES)
    low, high = ranges[kind, 0], ranges[kind, 1]
    hu = low + (high - low) * random.uniform((batch, count))
    window = table_on(random.device, _WINDOWS)
    shares = table_on(random.device, _WINDOW_WEIGHTS).expand(batch, -1)
    pick = torch.multinomial(shares, 1, generator=random.generator)[:, 0]
    edges = window[pick] + random.uniform((batch, 2), -40.0, 40.0)
    ct = (hu - edges[:, :1]) / (edges[:, 1:] - edges[:, :1])
    free = random.uniform((batch, count), 0.0, 1.0)
    is_free = (random.uniform((batch, 1)) < free_contrast).float()
    texture = random.uniform((batch, count), 0.0, 0.06) * (random.uniform((batch, count)) < 0.7)
    texture = texture * (1.0 + 2.0 * is_free * (random.uniform((batch, count)) < 0.3))
    return ct.clamp(-0.6, 1.8) * (1 - is_free) + free * is_free, texture


def bring_down(random: Random, table: Tensor, column: int, around: Tensor, chance: float, known: Tensor) -> None:
    """Give label ``column`` of ``table`` (B, labels) a grey close to ``around`` (B,), in place, with ``chance``.

    Only where ``known`` (B,). Contrast is scarce in soft tissue.
    """
    delta = 0.01 + 0.34 * random.uniform(around.shape) ** 1.5
    delta = delta * torch.where(random.uniform(around.shape) < 0.5, -1.0, 1.0)
    near = (random.uniform(around.shape) < chance) & known
    table[:, column] = torch.where(near, around + delta, table[:, column])


def render(
    random: Random,
    labels: Tensor,
    table: Tensor,
    texture: Tensor,
    beneath: Tensor | None = None,
    cover: Tensor | None = None,
) -> Tensor:
    """Grey values (B, 3, S, S), not yet clipped, of labels (B, 3, S, S).

    With ``cover`` (B, 3, S, S), from 0 to 1, the labels ``beneath`` have the rest of a pixel's grey.
    """
    batch, size = len(labels), labels.shape[-1]
    flat = labels.reshape(batch, -1)
    values = torch.gather(table, 1, flat).reshape(labels.shape)
    if beneath is not None and cover is not None:
        values = cover * values + (1.0 - cover) * torch.gather(table, 1, beneath.flatten(1)).reshape(labels.shape)
    grain = smooth_noise(random, (batch, 1, 3, size, size), (2, random.integer(10, 40), random.integer(10, 40)))[:, 0]
    values = values + grain * torch.gather(texture, 1, flat).reshape(labels.shape)
    values = values + smooth_noise(random, (batch, 1, size, size), (3, 3)) * random.uniform((batch, 1, 1, 1), 0.0, 0.04)
    values = _thick(random, values)
    values = _blurred(values, random.number(0.3, 1.6))
    if random.chance(0.12):  # ultrasound: noise that grows with the signal
        speckle = F.avg_pool2d(random.normal(values.shape), 3, 1, 1) * 3.0
        values = values * (1.0 + speckle * random.uniform((batch, 1, 1, 1), 0.05, 0.35))
    values = values + _noise(random, values.shape)
    if random.chance(0.15):
        values = values + _streaks(random, batch, size)
    return values


def _thick(random: Random, values: Tensor) -> Tensor:
    """Partial volume along the normal: a slice sees a share of its neighbours."""
    share = random.uniform((len(values), 1, 1, 1), 0.0, 0.3)
    around = torch.stack((values[:, 1], 0.5 * (values[:, 0] + values[:, 2]), values[:, 1]), dim=1)
    return values * (1 - share) + around * share


def _blurred(values: Tensor, sigma: float, radius: int = 3) -> Tensor:
    taps = torch.exp(-(torch.arange(-radius, radius + 1, device=values.device) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    padded = F.pad(values.flatten(0, 1)[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps[None, None, None]), taps[None, None, :, None]).reshape(values.shape)


def _noise(random: Random, shape: tuple[int, ...]) -> Tensor:
    noise = random.normal(shape)
    if random.chance(0.7):  # reconstruction kernels correlate the noise
        noise = F.avg_pool2d(noise, 3, 1, 1, count_include_pad=False) * 2.2
    return noise * random.uniform((shape[0], 1, 1, 1), 0.0, 1.0) ** 2 * 0.09


def _streaks(random: Random, batch: int, size: int) -> Tensor:
    angle = random.uniform((batch, 1, 1), 0.0, 3.1416)
    xy = sampling_grid(size, random.device)
    phase = (xy[0] * torch.cos(angle) + xy[1] * torch.sin(angle)) * random.uniform((batch, 1, 1), 0.2, 1.2)
    return (torch.sin(phase) * random.uniform((batch, 1, 1), 0.0, 0.06))[:, None]
