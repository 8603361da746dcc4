"""Random lesions: rough ellipsoids with lobes, spikes and necrosis, growing, shrinking and vanishing between visits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt_training.fields import Random, sample_at, smooth_noise

FIRST = 100  # instance number of the first lesion
_WAVES = (2, 3, 4, 5, 7)


@dataclass(frozen=True)
class LesionParameters:
    """How many, how large (shares of the image's side), how smooth and how they change."""

    count: int = 3
    radius: tuple[float, float] = (0.03, 0.36)
    at_wall: float = 0.35  # chance to sit on an edge of what is round it
    spiculated: float = 0.2
    uneven: float = 1.5  # lobes and roughness are a uniform number to this power: the higher, the smoother are most
    power: tuple[float, float] = (1.6, 3.5)  # exponent of the superellipsoid; 2 is an ellipsoid
    necrosis: float = 0.35  # chance of a core that belongs to it
    dark_core: bool = False  # such a core is darker than the lesion, as dead tissue is, and not of any grey
    vanish: float = 0.08  # chance to be gone at the second visit
    change: tuple[float, float] = (-1.3, 0.7)  # of the radius at the second visit, as a power of 1.5
    steady: float = 0.0  # chance not to change at all
    transparent: float = 0.0  # chance that what is beneath shows through, so that edges cross it and its own is faint
    solid: tuple[float, float] = (0.1, 0.7)  # how much of its own grey such a lesion has; 0: nothing of it is seen


class Lesions:
    """Lesions of one batch; ``background`` (B, S, H, W) are the labels round them at the first visit."""

    def __init__(self, random: Random, background: Tensor, p: LesionParameters) -> None:
        self.parameters = p
        batch, n, size = len(background), p.count, background.shape[-1]
        self.size = size
        u = random.uniform
        low, high = p.radius
        self.radius = size * low * (high / low) ** u((batch, n))
        self.place = torch.stack((u((batch, n), 0.12, 0.88) * size, u((batch, n), 0.12, 0.88) * size), dim=-1)
        self._at_walls(random, background)
        # the first lesion of most scenes is in the middle, as in a region cut round it
        centred = u((batch, 1)) < 0.6
        self.place[:, 0] = torch.where(centred, size / 2 + u((batch, 2), -0.08, 0.08) * size, self.place[:, 0])
        self.radius[:, 0] = torch.where(centred[:, 0], u((batch,), 0.09, high) * size, self.radius[:, 0])
        self.depth = self.radius * u((batch, n), -0.8, 0.8)
        self.turn = u((batch, n), 0.0, 3.1416)
        self.aspect = 1.6 ** u((batch, n), -1.0, 1.0)
        self.power = u((batch, n), *p.power)
        # real tumours are smoother than one thinks: an ellipse in their box has a Dice of .93 (methods page, 8)
        uneven = u((batch, n)) ** p.uneven
        self.roughness = u((batch, n), 0.0, 0.25) * uneven
        self.rough = smooth_noise(random, (batch, n, size, size), (random.integer(4, 20),) * 2)
        self.waves = [(u((batch, n), 0.0, 0.4 / k) * uneven, u((batch, n), 0.0, 6.2832)) for k in _WAVES]
        self.spikes = u((batch, n), 0.15, 0.6) * (u((batch, n)) < p.spiculated)
        self.spike_count, self.spike_phase = random.integer(3, 6), u((batch, n), 0.0, 6.2832)
        self.change = 1.5 ** u((batch, n), *p.change)
        if p.steady > 0:
            self.change = torch.where(u((batch, n)) < p.steady, torch.ones_like(self.change), self.change)
        self.change = torch.where(u((batch, n)) < p.vanish, torch.full_like(self.change, 1e-3), self.change)
        self.core = torch.where(u((batch, n)) < p.necrosis, u((batch, n), 0.3, 0.7), torch.full_like(self.depth, 9.0))
        self.solid, self.rim = torch.ones_like(self.depth), torch.zeros_like(self.depth)
        if p.transparent > 0:
            chosen = u((batch, n)) < p.transparent
            self.solid = torch.where(chosen, u((batch, n), *p.solid), self.solid)
            self.rim = torch.where(chosen, u((batch, n), 0.0, 0.5), self.rim)

    def _at_walls(self, random: Random, background: Tensor) -> None:
        """Move some to a random edge between two labels of the middle slice."""
        middle = background[:, background.shape[1] // 2].float()
        step = max(1, self.size // 32)
        edge = (middle != F.pad(middle[:, :, step:], (0, step))) | (middle != F.pad(middle[:, step:], (0, 0, 0, step)))
        margin = self.size // 8
        weight = torch.zeros_like(middle)
        weight[:, margin:-margin, margin:-margin] = edge[:, margin:-margin, margin:-margin].float()
        weight = weight.flatten(1) + 1e-6
        index = torch.multinomial(weight, self.parameters.count, generator=random.generator)
        spots = torch.stack((index % self.size, index // self.size), dim=-1) + 0.5
        moved = random.uniform(self.radius.shape) < self.parameters.at_wall
        self.place = torch.where(moved[..., None], spots, self.place)

    def fields(self, places: Tensor, visit: int) -> Tensor:
        """Implicit functions (B, count, S, H, W), positive inside, at ``places`` (B, 3, S, H, W) in pixels."""

        def wide(values: Tensor) -> Tensor:
            return values[:, :, None, None, None]

        x, y, z = (places[:, None, axis] for axis in range(3))
        dx, dy, dz = x - wide(self.place[..., 0]), y - wide(self.place[..., 1]), z - wide(self.depth)
        u = dx * torch.cos(wide(self.turn)) + dy * torch.sin(wide(self.turn))
        v = -dx * torch.sin(wide(self.turn)) + dy * torch.cos(wide(self.turn))
        radius = wide(self.radius * self.change if visit else self.radius)
        power, aspect = wide(self.power), wide(self.aspect)
        r = (
            ((u / (radius * aspect)).abs() + 1e-6) ** power
            + ((v * aspect / radius).abs() + 1e-6) ** power
            + ((dz / radius).abs() + 1e-6) ** power
        ) ** (1.0 / power)
        angle = torch.atan2(v, u)
        lobes = sum(
            wide(a) * torch.cos(k * angle + wide(phase)) for k, (a, phase) in zip(_WAVES, self.waves, strict=True)
        )
        spikes = torch.cos(self.spike_count * angle / 2 + wide(self.spike_phase)) ** 8
        rough = sample_at(self.rough, places[:, :2, 1])
        return 1.0 + lobes + wide(self.spikes) * spikes + wide(self.roughness) * rough[:, :, None] - r

    def drawn_over(self, ids: Tensor, instances: Tensor, places: Tensor, visit: int, first: int) -> Drawn:
        """The visit's lesions over ``ids`` (grey labels) and ``instances``, both (B, S, H, W).

        Lesion n has the grey labels ``first`` + 2n and, in its core, + 1.
        """
        found = self.fields(places, visit)
        cover = None if self.parameters.transparent == 0 else torch.ones_like(found[:, 0])
        for n in reversed(range(self.parameters.count)):  # the first, which images are centred on, lies on top
            inside = found[:, n] > 0
            core = found[:, n] > self.core[:, n, None, None, None]
            ids = torch.where(inside, first + 2 * n + core.long(), ids)
            instances = torch.where(inside, torch.full_like(instances, FIRST + n), instances)
            if cover is not None:
                solid, rim = (x[:, n, None, None, None] for x in (self.solid, self.rim))
                cover = torch.where(inside, solid * (found[:, n] / rim.clamp_min(1e-3)).clamp(0.0, 1.0), cover)
        return Drawn(ids, instances, cover)


class Drawn(NamedTuple):
    """Labels with lesions over them, (B, S, H, W): of grey levels and of instances.

    ``cover``, where any lesion may be transparent: how much of a pixel's grey is that of ``ids``, the rest being that
    of what lies beneath.
    """

    ids: Tensor
    instances: Tensor
    cover: Tensor | None
