"""Randomised synthetic scenes: slabs of three slices through 3D bodies, seen at two visits, every pixel labelled.

Randomised far past reality, so that real scans become one more variation (the idea of SynthSeg and anatomix). No
patient data goes in. Tissue-like HU under a random window in 70 % of the scenes, free grey levels in the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from samprompt_training.bodies import Body, BodyParameters, random_frame
from samprompt_training.fields import Random, displacement, sampling_grid, slab
from samprompt_training.greys import bring_down, grey_table, render
from samprompt_training.lesions import LesionParameters, Lesions


@dataclass(frozen=True)
class SceneParameters:
    """What is drawn how often; lengths are shares of the image's side."""

    size: int = 128
    body: BodyParameters = field(default_factory=BodyParameters)
    lesions: LesionParameters = field(default_factory=LesionParameters)
    free_contrast: float = 0.3
    slice_step: tuple[float, float] = (0.5, 5.0)  # pixels between slices
    deformation: float = 0.035  # RMS displacement between the visits
    low_contrast: float = 0.6  # chance that a lesion's or organ's grey is close to what is round it
    alone: float = 0.3  # chance that the neighbours are not shown, so that single slices work


@dataclass(frozen=True)
class Scenes:
    """``images`` (V, B, 3, S, S) in [0, 1] for V = 2 visits; ``labels`` (V, B, S, S) instances on the middle slice

    (0 outside, regions from 1, organs from 50, tubes from 80, lesions from 100); ``places`` (B, 2, S, S): pixel of
    visit 0 that each pixel of visit 1 shows (x, y).
    """

    images: Tensor
    labels: Tensor
    places: Tensor

    def mirrored(self) -> Scenes:
        """The same scenes, left and right exchanged."""
        x, y = self.places.flip(-1).unbind(1)
        return Scenes(self.images.flip(-1), self.labels.flip(-1), torch.stack((self.images.shape[-1] - x, y), dim=1))

    def to(self, device: torch.device, non_blocking: bool = False) -> Scenes:
        """The same scenes on another device; ``non_blocking`` as torch has it."""
        return Scenes(*(getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)))

    def pin_memory(self) -> Scenes:
        """The same scenes in memory that a GPU copies from by itself; a ``DataLoader`` asks for it."""
        return Scenes(*(getattr(self, f.name).pin_memory() for f in fields(self)))


def make_scenes(random: Random, batch: int, p: SceneParameters) -> Scenes:
    """``batch`` scenes, each seen at two visits (deformed, re-rendered with independent noise, lesions changed)."""
    size, device = p.size, random.device
    frame = random_frame(random, batch, size)
    body = Body(random, frame, p.body)
    step = random.uniform((batch,), *p.slice_step)
    flat = sampling_grid(size, device).expand(batch, -1, -1, -1)
    magnitude = random.uniform((batch,), 0.0, 2.0) * p.deformation * size
    moved = flat + displacement(random, batch, size, random.integer(2, 4), magnitude)
    moved = moved + random.uniform((batch, 2, 1, 1), -0.06, 0.06) * size
    places = [slab(flat, step), slab(moved, step)]
    grounds = [body.labels(each) for each in places]
    lesions = Lesions(random, grounds[0][0], p.lesions)
    table, texture = grey_table(random, batch, body.count + 2 * p.lesions.count, p.free_contrast)
    _bring_contrasts_down(random, p, body, lesions, grounds[0][0], table)
    if p.lesions.dark_core:
        for column in range(body.count, body.count + 2 * p.lesions.count, 2):
            table[:, column + 1] = table[:, column] - random.uniform((batch,), 0.02, 0.25)

    images, labels = [], []
    for visit in range(2):
        drawn = lesions.drawn_over(*grounds[visit], places[visit], visit, body.count)
        shift = random.uniform((batch, 1), -0.02, 0.02) if visit else torch.zeros((batch, 1), device=device)
        grey = render(random, drawn.ids, table + shift, texture, grounds[visit][0], drawn.cover)
        alone = (random.uniform((batch, 1, 1, 1)) < p.alone).float()
        grey = grey * (1 - alone) + grey[:, 1:2] * alone
        images.append(grey.clamp(0.0, 1.0))
        labels.append(drawn.instances[:, 1])
    return Scenes(torch.stack(images), torch.stack(labels), moved)


def _bring_contrasts_down(
    random: Random, p: SceneParameters, body: Body, lesions: Lesions, ground: Tensor, table: Tensor
) -> None:
    """Give most lesions and organs a grey close to what lies at their edge."""
    batch, size = len(ground), p.size
    first_organ = body.regions + 2
    wanted = [
        (first_organ + 3 * n, body.organ_place[:, n, :2], body.organ_radius[:, n, 0]) for n in range(p.body.organs)
    ]
    wanted += [(body.count + 2 * n, lesions.place[:, n], lesions.radius[:, n]) for n in range(p.lesions.count)]
    rows = torch.arange(batch, device=ground.device)
    for column, centre, radius in wanted:
        side = (centre[:, 0] + 1.3 * radius).long().clamp(0, size - 1), centre[:, 1].long().clamp(0, size - 1)
        around = table.gather(1, ground[rows, 1, side[1], side[0]][:, None])[:, 0]
        bring_down(random, table, column, around, p.low_contrast, torch.ones_like(rows, dtype=torch.bool))
