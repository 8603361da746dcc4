"""Random bodies in three dimensions: regions, organs, tubes and walls as smooth fields that any oblique plane can cut.

A body lives in the cube [-1, 1]^3. Nothing is stored as voxels: fields are coarse grids and formulas, evaluated at the
points that a slice sees, so that edges are smooth at every pixel size and neighbouring slices belong together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt_training.fields import Random

ORGANS, TUBES = 50, 80  # first instance number of each; regions are numbered from 1, lesions from 100


@dataclass(frozen=True)
class BodyParameters:
    """What a body holds; lengths are shares of the image's side."""

    regions: tuple[int, int] = (4, 12)
    organs: int = 4
    tubes: int = 2
    organ_radius: tuple[float, float] = (0.06, 0.42)
    nested: float = 0.3  # chance that an organ holds another one
    own_core: float = 0.0  # chance that what it holds is asked for by itself and does not belong to it
    shell: float = 0.25  # chance that it has a wall of its own
    tube_chance: float = 0.5
    wall_chance: float = 0.5
    outline_chance: float = 0.35  # of a body outline: outside is air


@dataclass(frozen=True)
class Frame:
    """How a batch of planes lies in its bodies.

    ``origin`` (B, 3) is the image's centre, ``axes`` (B, 3, 3) holds the unit vectors of x, y and the normal as rows,
    ``pixel`` (B,) the length of a pixel.
    """

    origin: Tensor
    axes: Tensor
    pixel: Tensor
    size: int

    def points(self, places: Tensor) -> Tensor:
        """Body coordinates (B, 3, S, H, W) of ``places`` (B, 3, S, H, W): x, y (from the corner), z in pixels."""
        centred = places.clone()
        centred[:, :2] -= self.size / 2
        scaled = centred * self.pixel[:, None, None, None, None]
        return torch.einsum("bcj,bc...->bj...", self.axes, scaled) + self.origin[:, :, None, None, None]


def random_rotations(random: Random, batch: int) -> Tensor:
    """Rotation matrices (B, 3, 3), uniform over all directions."""
    q = F.normalize(random.normal((batch, 4)), dim=1)
    w, x, y, z = q.unbind(1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def random_frame(random: Random, batch: int, size: int) -> Frame:
    """Planes through the middle of their bodies; their width is a half to all of the body."""
    span = random.uniform((batch,), 0.7, 1.7)
    return Frame(random.uniform((batch, 3), -0.35, 0.35), random_rotations(random, batch), span / size, size)


def _argmax(field: Tensor) -> Tensor:
    """``field.argmax(1)``, several times faster on a CPU, where the axis is not the innermost one."""
    best, ids = field[:, 0], torch.zeros_like(field[:, 0], dtype=torch.long)
    for n in range(1, field.shape[1]):
        better = field[:, n] > best
        best, ids = torch.maximum(best, field[:, n]), ids.masked_fill(better, n)
    return ids


class Body:
    """Bodies of one batch. ``labels`` says what is at points of the frame's planes."""

    def __init__(self, random: Random, frame: Frame, p: BodyParameters) -> None:
        batch, device = len(frame.pixel), random.device
        self.parameters, self.frame = p, frame
        self.regions = random.integer(*p.regions)
        grid = 24
        cells = [random.integer(2, 8) for _ in range(3)]
        coarse = random.normal((batch, self.regions, *[c + 1 for c in cells]))
        fine = random.normal((batch, self.regions, grid, grid, grid))
        field = F.interpolate(coarse, (grid,) * 3, mode="trilinear", align_corners=True)
        rough = random.uniform((batch, 1, 1, 1, 1), 0.0, 0.35)
        self.field = field + rough * fine + 0.5 * random.normal((batch, self.regions, 1, 1, 1))
        # two fields per tube, one for all walls, one for organs' surfaces; unit SD
        self.extra = random.normal((batch, 2 * p.tubes + 2, *[random.integer(6, 9) + 1 for _ in range(3)]))
        self._organs(random, batch)
        self.tube_width = random.uniform((batch, p.tubes), 0.08, 0.32)
        self.tube_there = random.uniform((batch, p.tubes)) < p.tube_chance
        self.tube_wall = random.uniform((batch, p.tubes), 0.0, 0.6) * (random.uniform((batch, p.tubes)) < 0.4)
        self.wall_width = random.uniform((batch,), 0.03, 0.18)
        self.wall_there = random.uniform((batch,)) < p.wall_chance
        self.outline_there = random.uniform((batch,)) < p.outline_chance
        self.outline = random.uniform((batch, 3), 0.55, 1.0)
        self.device = device

    def _organs(self, random: Random, batch: int) -> None:
        p, n = self.parameters, self.parameters.organs
        u = random.uniform
        low, high = p.organ_radius
        self.organ_there = u((batch, n)) < 0.75
        # centres near the plane, in pixels of the frame, radii in pixels
        size = self.frame.size
        radius = size * low * (high / low) ** u((batch, n))
        self.organ_place = torch.stack(
            (u((batch, n), 0.1, 0.9) * size, u((batch, n), 0.1, 0.9) * size, radius * u((batch, n), -0.8, 0.8)), dim=-1
        )
        self.organ_radius = radius[..., None] * 1.5 ** u((batch, n, 3), -1.0, 1.0)
        self.organ_turn = random_rotations(random, batch * n).reshape(batch, n, 3, 3)
        self.organ_power = u((batch, n), 1.7, 3.5)
        self.organ_rough = u((batch, n), 0.0, 0.22) * (u((batch, n)) < 0.8)
        # 9: no place is that deep in an organ, which is 1 in its middle
        self.core = torch.where(u((batch, n)) < p.nested, u((batch, n), 0.35, 0.75), torch.full_like(radius, 9.0))
        self.shell = torch.where(u((batch, n)) < p.shell, u((batch, n), 0.06, 0.2), torch.zeros_like(radius))
        self.own_core = torch.zeros_like(self.organ_there)
        if p.own_core > 0:
            self.own_core = u((batch, n)) < p.own_core

    @property
    def count(self) -> int:
        """Number of grey labels: outside, regions, wall, three per organ (body, core, shell), two per tube."""
        return self.regions + 2 + 3 * self.parameters.organs + 2 * self.parameters.tubes

    def labels(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Grey labels and instances, both (B, S, H, W) integers, at ``places`` (B, 3, S, H, W) of the frame.

        Grey labels decide what is drawn, instances what may be asked for: an organ counts with its shell, and with its
        core unless that is one by itself.
        """
        p = self.parameters
        points = self.frame.points(places)
        at = points.permute(0, 2, 3, 4, 1).flip(-1)  # grid_sample wants (x, y, z) as (W, H, D); any fixed order will do
        field = F.grid_sample(self.field, at, mode="bilinear", padding_mode="reflection", align_corners=True)
        extra = F.grid_sample(self.extra, at, mode="bilinear", padding_mode="reflection", align_corners=True)
        ids = _argmax(field) + 1
        b = slice(None), None, None, None
        wall = (extra[:, -2].abs() < self.wall_width[b]) & self.wall_there[b]
        ids = torch.where(wall, torch.full_like(ids, self.regions + 1), ids)
        instances = ids.clone()
        first = self.regions + 2
        for n in range(p.organs):
            inside = self._organ(n, places, extra[:, -1])
            there = (inside > 0) & self.organ_there[:, n][b]
            label = torch.full_like(ids, first + 3 * n)
            label = torch.where(inside > self.core[:, n][b], label + 1, label)
            label = torch.where(inside < self.shell[:, n][b], label + 2, label)
            ids = torch.where(there, label, ids)
            own = (inside > self.core[:, n][b]) & self.own_core[:, n][b]
            number = torch.full_like(ids, ORGANS + n).masked_fill(own, ORGANS + p.organs + n)
            instances = torch.where(there, number, instances)
        first += 3 * p.organs
        for n in range(p.tubes):
            across = (extra[:, 2 * n] ** 2 + extra[:, 2 * n + 1] ** 2).sqrt() / self.tube_width[:, n][b]
            there = (across < 1) & self.tube_there[:, n][b]
            label = torch.full_like(ids, first + 2 * n)
            label = torch.where(across > 1 - self.tube_wall[:, n][b], label + 1, label)
            ids = torch.where(there, label, ids)
            instances = torch.where(there, torch.full_like(ids, TUBES + n), instances)
        outside = ((points / self.outline[:, :, None, None, None]) ** 2).sum(1).sqrt() + 0.05 * extra[:, -1] > 1.0
        outside = outside & self.outline_there[b]
        return torch.where(outside, 0, ids), torch.where(outside, 0, instances)

    def _organ(self, n: int, places: Tensor, rough: Tensor) -> Tensor:
        """Implicit function of organ ``n``, 1 in its middle and 0 at its surface."""
        b = slice(None), None, None, None
        offset = places - self.organ_place[:, n, :, None, None, None]
        local = torch.einsum("bij,bj...->bi...", self.organ_turn[:, n], offset)
        local = (local / self.organ_radius[:, n, :, None, None, None]).abs() + 1e-6
        power = self.organ_power[:, n][b]
        radius = (local ** power[:, None]).sum(1) ** (1.0 / power)
        return 1.0 + self.organ_rough[:, n][b] * rough - radius
