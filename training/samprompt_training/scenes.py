"""Randomised synthetic scenes: slabs of three slices, seen at two visits, with a label for every pixel.

Randomised far past reality, so that real scans become one more variation (the idea of SynthSeg and anatomix). No
patient data goes in. Tissue-like HU under a random window in 70 % of the scenes, free grey levels in the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt_training.fields import Random, displacement, sample_at, sampling_grid, smooth_noise

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
_TISSUE_WEIGHTS = (0.06, 0.12, 0.18, 0.12, 0.24, 0.12, 0.06, 0.05, 0.05)
_WINDOWS = ((-160, 240), (-910, 590), (-450, 1050), (-1000, 1000))


@dataclass(frozen=True)
class SceneParameters:
    """What is drawn how often; lengths are shares of the image's side."""

    size: int = 128
    regions: tuple[int, int] = (4, 12)  # labels of the background's argmax noise
    lesions: int = 3
    lesion_radius: tuple[float, float] = (0.05, 0.36)
    free_contrast: float = 0.3
    deformation: float = 0.035  # RMS displacement between the visits
    vanish: float = 0.08  # chance that a lesion is gone at the second visit


@dataclass(frozen=True)
class Scenes:
    """``images`` (V, B, 3, S, S) in [0, 1] for V = 2 visits; ``labels`` (V, B, S, S) integer labels of the middle slice

    (0 background regions are labelled from 1; lesions from 100); ``places`` (B, 2, S, S): pixel of visit 0 that each
    pixel of visit 1 shows (x, y).
    """

    images: Tensor
    labels: Tensor
    places: Tensor


def _lesion_fields(places: Tensor, scale: Tensor, seeds: dict[str, Tensor]) -> Tensor:
    """Implicit functions (B, count, 3, S, S), positive inside; star-shaped ellipsoids roughened by noise."""
    x = places[:, None, None, 0]
    y = places[:, None, None, 1]
    z = torch.tensor([-1.0, 0.0, 1.0], device=places.device)[None, None, :, None, None]
    c = {k: v[:, :, None, None, None] for k, v in seeds.items() if v.ndim == 2}
    dx, dy, dz = x - c["x"], y - c["y"], z * c["step"] - c["z"]
    u = dx * torch.cos(c["turn"]) + dy * torch.sin(c["turn"])
    v = -dx * torch.sin(c["turn"]) + dy * torch.cos(c["turn"])
    radius = c["radius"] * scale[:, :, None, None, None]
    power = c["power"]
    r = (
        ((u / (radius * c["aspect"])).abs() + 1e-6) ** power
        + ((v * c["aspect"] / radius).abs() + 1e-6) ** power
        + ((dz / radius).abs() + 1e-6) ** power
    ) ** (1.0 / power)
    angle = torch.atan2(v, u)
    waves = sum(c[f"wave{n}"] * torch.cos(n * angle + c[f"phase{n}"]) for n in (2, 3, 4, 5, 7))
    rough = sample_at(seeds["rough"], places)
    return 1.0 + waves + c["roughness"] * rough[:, :, None] - r


def _lesion_seeds(random: Random, p: SceneParameters, batch: int) -> dict[str, Tensor]:
    n, s = p.lesions, float(p.size)
    low, high = p.lesion_radius
    u = random.uniform
    seeds = {
        "x": u((batch, n), 0.15 * s, 0.85 * s),
        "y": u((batch, n), 0.15 * s, 0.85 * s),
        "radius": s * low * (high / low) ** u((batch, n)),
        "turn": u((batch, n), 0.0, 3.1416),
        "aspect": 1.6 ** u((batch, n), -1.0, 1.0),
        "power": u((batch, n), 1.6, 3.5),
        "step": u((batch, n), 0.5, 4.0),
        "roughness": u((batch, n), 0.0, 0.25) * (u((batch, n)) < 0.7),
        "rough": smooth_noise(random, (batch, n, p.size, p.size), (random.integer(4, 20),) * 2),
    }
    seeds["z"] = seeds["radius"] * u((batch, n), -0.8, 0.8)
    # the first lesion of half of the scenes is in the middle, as in a region cut round it
    centred = u((batch,)) < 0.6
    for axis in ("x", "y"):
        seeds[axis][:, 0] = torch.where(centred, s / 2 + u((batch,), -0.08 * s, 0.08 * s), seeds[axis][:, 0])
    for k in (2, 3, 4, 5, 7):
        seeds[f"wave{k}"] = u((batch, n), 0.0, 0.35 / k)
        seeds[f"phase{k}"] = u((batch, n), 0.0, 6.2832)
    return seeds


def _grey(random: Random, p: SceneParameters, labels: Tensor, noise_scale: Tensor, table: Tensor) -> Tensor:
    """Grey values (B, 3, S, S) from labels and a table (B, labels): texture, gradient, kernel, noise, streaks."""
    batch, size = labels.shape[0], p.size
    values = torch.gather(table, 1, labels.reshape(batch, -1)).reshape(labels.shape)
    texture = smooth_noise(random, (batch, 1, 3, size, size), (2, random.integer(10, 40), random.integer(10, 40)))[:, 0]
    amount = torch.gather(noise_scale, 1, labels.reshape(batch, -1)).reshape(labels.shape)
    values = values + texture * amount
    low_cells = smooth_noise(random, (batch, 1, size, size), (3, 3))
    values = values + low_cells * random.uniform((batch, 1, 1, 1), 0.0, 0.04)
    blur = float(random.uniform((1,), 0.3, 1.6))
    radius = 3
    taps = torch.exp(-(torch.arange(-radius, radius + 1, device=values.device) ** 2) / (2 * blur**2))
    taps = taps / taps.sum()
    values = F.pad(values.reshape(-1, 1, size, size), (radius,) * 4, mode="replicate")
    values = F.conv2d(F.conv2d(values, taps[None, None, None]), taps[None, None, :, None]).reshape(batch, 3, size, size)
    noise = random.normal((batch, 3, size, size))
    if random.chance(0.7):  # reconstruction kernels correlate the noise
        noise = F.avg_pool2d(noise, 3, 1, 1, count_include_pad=False) * 2.2
    strength = random.uniform((batch, 1, 1, 1), 0.0, 1.0) ** 2 * 0.12
    values = values + noise * strength
    if random.chance(0.15):
        angle = random.uniform((batch, 1, 1), 0.0, 3.1416)
        xy = sampling_grid(size, values.device)
        phase = (xy[0] * torch.cos(angle) + xy[1] * torch.sin(angle)) * random.uniform((batch, 1, 1), 0.2, 1.2)
        values = values + (torch.sin(phase) * random.uniform((batch, 1, 1), 0.0, 0.06))[:, None]
    return values


def _tables(random: Random, p: SceneParameters, batch: int, count: int) -> tuple[Tensor, Tensor]:
    """Grey level and texture amplitude per label (B, count), in units of the window's width."""
    weights = torch.tensor(_TISSUE_WEIGHTS, device=random.device).expand(batch, -1)
    kind = torch.multinomial(weights, count, replacement=True, generator=random.generator)
    ranges = torch.tensor(_TISSUES, device=random.device, dtype=torch.float32)
    low, high = ranges[kind, 0], ranges[kind, 1]
    hu = low + (high - low) * random.uniform((batch, count))
    window = torch.tensor(_WINDOWS, device=random.device, dtype=torch.float32)
    pick = torch.multinomial(
        torch.tensor((0.5, 0.25, 0.1, 0.15), device=random.device).expand(batch, -1), 1, generator=random.generator
    )[:, 0]
    edges = window[pick] + random.uniform((batch, 2), -40.0, 40.0)
    ct = (hu - edges[:, :1]) / (edges[:, 1:] - edges[:, :1])
    free = random.uniform((batch, count), 0.0, 1.0)
    is_free = (random.uniform((batch, 1)) < p.free_contrast).float()
    texture = random.uniform((batch, count), 0.0, 0.06) * (random.uniform((batch, count)) < 0.7)
    return ct.clamp(-0.6, 1.8) * (1 - is_free) + free * is_free, texture


def make_scenes(random: Random, batch: int, p: SceneParameters) -> Scenes:
    """``batch`` scenes, each seen at two visits (deformed, re-rendered with independent noise, lesions changed)."""
    size, device = p.size, random.device
    cells = (2, random.integer(2, 9), random.integer(2, 9))
    regions = random.integer(*p.regions)
    field = smooth_noise(random, (batch, regions, 3, size, size), cells)
    fine = smooth_noise(random, (batch, regions, 3, size, size), (2, 16, 16))
    field = (
        field + fine * random.uniform((batch, 1, 1, 1, 1), 0.0, 0.35) + 0.6 * random.normal((batch, regions, 1, 1, 1))
    )
    identity = sampling_grid(size, device).expand(batch, -1, -1, -1)
    # a rough body outline in a third of the scenes: outside is air (label 0)
    centre = size / 2 + random.uniform((batch, 2, 1, 1), -0.1 * size, 0.1 * size)
    half = size * random.uniform((batch, 2, 1, 1), 0.38, 0.6)
    wobble = smooth_noise(random, (batch, 1, size, size), (5, 5))[:, 0] * 0.04
    outside = ((((identity - centre) / half) ** 2).sum(1).sqrt() + wobble > 1.0) & (
        random.uniform((batch, 1, 1)) < 0.35
    )
    # tubes and walls: level bands of a noise field, one further label
    band = smooth_noise(random, (batch, 1, 3, size, size), (2, 6, 6))[:, 0]
    wall = (band.abs() < random.uniform((batch, 1, 1, 1), 0.02, 0.12)) & (random.uniform((batch, 1, 1, 1)) < 0.5)

    background = field.argmax(1) + 1
    background = torch.where(wall, torch.full_like(background, regions + 1), background)
    background = torch.where(outside[:, None], torch.zeros_like(background), background)

    magnitude = random.uniform((batch,), 0.0, 2.0) * p.deformation * size
    moved = identity + displacement(random, batch, size, random.integer(2, 4), magnitude)
    moved = moved + random.uniform((batch, 2, 1, 1), -0.06, 0.06) * size
    seeds = _lesion_seeds(random, p, batch)
    ones = torch.ones((batch, p.lesions), device=device)
    change = 1.5 ** random.uniform((batch, p.lesions), -1.3, 0.7)
    change = torch.where(random.uniform((batch, p.lesions)) < p.vanish, torch.full_like(change, 1e-3), change)

    total = regions + 2 + 2 * p.lesions
    table, texture = _tables(random, p, batch, total)
    # low-contrast lesions: grey level close to what is round them
    near = (random.uniform((batch, p.lesions)) < 0.6).float()
    for n in range(p.lesions):
        column = regions + 2 + 2 * n
        x = seeds["x"][:, n].long().clamp(0, size - 1)
        y = seeds["y"][:, n].long().clamp(0, size - 1)
        host = background[torch.arange(batch, device=device), 1, y, x]
        around = table.gather(1, host[:, None])[:, 0]
        delta = random.uniform((batch,), 0.03, 0.35) * torch.where(random.uniform((batch,)) < 0.5, -1.0, 1.0)
        table[:, column] = torch.where(near[:, n] > 0, around + delta, table[:, column])
    necrosis = (random.uniform((batch, p.lesions)) < 0.3).float()

    images, labels = [], []
    for visit, (places, scale) in enumerate(((identity, ones), (moved, change))):
        ids = background
        if visit == 1:
            ids = sample_at(background.float(), places, mode="nearest").round().long()
        fields = _lesion_fields(places, scale, seeds)
        instance = ids.clone()
        for n in range(p.lesions):
            body = fields[:, n] > 0
            core = (fields[:, n] > 0.55) & (necrosis[:, n] > 0)[:, None, None, None]
            ids = torch.where(body, torch.full_like(ids, regions + 2 + 2 * n), ids)
            ids = torch.where(core, torch.full_like(ids, regions + 3 + 2 * n), ids)
            instance = torch.where(body, torch.full_like(instance, 100 + n), instance)
        shift = random.uniform((batch, 1), -0.02, 0.02) if visit == 1 else torch.zeros((batch, 1), device=device)
        grey = _grey(random, p, ids, texture, table + shift)
        # the neighbours are dropped in 30 % of the images, so that single slices work
        alone = (random.uniform((batch, 1, 1, 1)) < 0.3).float()
        grey = grey * (1 - alone) + grey[:, 1:2] * alone
        images.append(grey.clamp(0.0, 1.0))
        labels.append(instance[:, 1])
    return Scenes(torch.stack(images), torch.stack(labels), moved)
