"""Pairs of visits of synthetic bodies, the first one brought onto the second by a registration that errs.

The same bodies, lesions and grey levels as the built-in model's scenes, but whole slabs are labelled, millimetres
count, and the second visit is cut at another height than the registration believes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from samprompt.models.refiner import prior_distance
from torch import Tensor

from samprompt_training.bodies import ORGANS, Body, BodyParameters, random_frame
from samprompt_training.fields import Random, sample_at, sampling_grid, slab, smooth_noise
from samprompt_training.greys import bring_down, grey_table, render
from samprompt_training.lesions import FIRST, Drawn, LesionParameters, Lesions

FAMILIES = ("organ", "unchanged", "shrunk", "grown", "vanished")
FAR = 32.0  # mm, what a distance is where nothing is near; beyond all that the network is shown or asked
_SMALLEST = 12  # pixels of an object's largest section


@dataclass(frozen=True)
class PairParameters:
    """What is drawn how often; lengths are mm on the follow-up unless said otherwise."""

    size: int = 80  # pixels
    objects: int = 2  # of each scene
    body: BodyParameters = field(default_factory=BodyParameters)
    # as many grow as shrink, and many stay: what is trained on one direction goes there with unchanged ones too
    lesions: LesionParameters = field(
        default_factory=lambda: LesionParameters(
            change=(-1.2, 1.2), steady=0.3, uneven=2.5, power=(1.7, 2.9), spiculated=0.12
        )
    )
    free_contrast: float = 0.3
    pixel_mm: tuple[float, float] = (0.6, 2.5)
    step_mm: tuple[float, float] = (2.0, 6.0)
    tissue_mm: float = 4.0  # largest RMS of the true deformation
    error_mm: float = 5.0  # largest RMS of the registration's error in plane; seven in ten have under half of it
    height_mm: float = 3.0  # largest SD of its error along the normal
    observer_mm: float = 0.8  # largest RMS of the baseline reader's contour
    low_contrast: float = 0.6  # chance that an object's grey is close to what is round it
    alone: float = 0.1  # chance that neighbouring slices are not shown


@dataclass(frozen=True)
class Pairs:
    """``followup`` and ``baseline`` (N, 3, S, S) in [0, 1]; ``prior`` and ``target`` (N, 1, S, S) signed distances in

    mm; ``pixel`` and ``step`` (N,) mm; ``family`` (N,) index into FAMILIES; ``contrast`` (N,) grey of the object minus
    its ring in units of the noise (SD of both), NaN where it is gone.
    """

    followup: Tensor
    baseline: Tensor
    prior: Tensor
    target: Tensor
    pixel: Tensor
    step: Tensor
    family: Tensor
    contrast: Tensor

    def turned(self, quarter: int, mirrored: bool) -> Pairs:
        """The same pairs turned by quarters of a circle and mirrored."""

        def moved(x: Tensor) -> Tensor:
            if x.ndim < 4:
                return x
            x = torch.rot90(x, quarter, (-2, -1))
            return x.flip(-1) if mirrored else x

        return Pairs(*(moved(getattr(self, f.name)) for f in fields(self)))

    def to(self, device: torch.device, non_blocking: bool = False) -> Pairs:
        """The same pairs on another device; ``non_blocking`` as torch has it."""
        return Pairs(*(getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)))

    def pin_memory(self) -> Pairs:
        """The same pairs in memory that a GPU copies from by itself; a ``DataLoader`` asks for it."""
        return Pairs(*(getattr(self, f.name).pin_memory() for f in fields(self)))

    def __len__(self) -> int:
        return len(self.pixel)


def make_pairs(random: Random, batch: int, p: PairParameters) -> Pairs:
    """Pairs of ``batch`` scenes, ``p.objects`` of each, every one with a registration of its own."""
    size, device = p.size, random.device
    body = Body(random, random_frame(random, batch, size), p.body)
    low, high = p.pixel_mm
    pixel = low * (high / low) ** random.uniform((batch,))
    step = random.uniform((batch,), *p.step_mm)
    flat = sampling_grid(size, device).expand(batch, -1, -1, -1)
    moved = flat + _smooth(random, batch, size, pixel, random.uniform((batch,)) * p.tissue_mm)
    # the registration's error along the normal: a height, and smooth changes of it across the plane
    wrong = random.uniform((batch,)) ** 2 * p.height_mm
    height = random.normal((batch, 1, 1)) * wrong[:, None, None]
    height = height + 0.3 * wrong[:, None, None] * smooth_noise(random, (batch, 1, size, size), (2, 2))[:, 0]
    slabs = [
        slab(flat, step / pixel),
        slab(moved, step / pixel, height / pixel[:, None, None]),
    ]
    grounds = [body.labels(each) for each in slabs]
    lesions = Lesions(random, grounds[0][0], p.lesions)
    table, texture = grey_table(random, batch, body.count + 2 * p.lesions.count, p.free_contrast)
    drawn = [lesions.drawn_over(*grounds[visit], slabs[visit], visit, body.count) for visit in range(2)]
    _bring_contrasts_down(random, p, body, drawn[0], table)
    images = []
    for visit in range(2):
        gain = 1.0 + 0.1 * random.normal((batch, 1, 1, 1)) * (random.uniform((batch, 1, 1, 1)) < 0.3) * visit
        ground, (ids, _, cover) = grounds[visit][0], drawn[visit]
        grey = render(random, ids, table, texture, ground, cover) * gain
        grey = grey + visit * random.uniform((batch, 1, 1, 1), -0.02, 0.02)
        single = (random.uniform((batch, 1, 1, 1)) < p.alone).float()
        images.append((grey * (1 - single) + grey[:, 1:2] * single).clamp(0.0, 1.0))
    rng = np.random.default_rng(random.integer(0, 2**31 - 1))
    found = [
        _objects(random, rng, p, images, [d.instances for d in drawn], moved, pixel, step, lesions)
        for _ in range(p.objects)
    ]
    return Pairs(*(torch.cat([getattr(part, f.name) for part in found]) for f in fields(Pairs)))


def _smooth(random: Random, batch: int, size: int, pixel: Tensor, rms_mm: Tensor) -> Tensor:
    """Displacement (B, 2, S, S) in pixels: a shift and a smooth field, together of about ``rms_mm`` (B,)."""
    amount = (rms_mm / pixel)[:, None, None, None]
    cells = random.integer(1, 5)
    field = 0.7 * random.normal((batch, 2, 1, 1)) + 0.7 * smooth_noise(random, (batch, 2, size, size), (cells, cells))
    return field * amount / 2**0.5


def _bring_contrasts_down(random: Random, p: PairParameters, body: Body, drawn: Drawn, table: Tensor) -> None:
    """Give most organs and lesions a grey close to the mean of what lies round them on the baseline's middle slice."""
    ids, instances = drawn.ids[:, 1], drawn.instances[:, 1]
    values = torch.gather(table, 1, ids.flatten(1)).reshape(ids.shape).clamp(0.0, 1.0)
    wanted = [(ORGANS + n, body.regions + 2 + 3 * n) for n in range(p.body.organs)]
    wanted += [(FIRST + n, body.count + 2 * n) for n in range(p.lesions.count)]
    for instance, column in wanted:
        inside = (instances == instance).float()
        ring = F.max_pool2d(inside[:, None], 7, 1, 3)[:, 0] - inside
        around = (values * ring).sum((1, 2)) / ring.sum((1, 2)).clamp_min(1.0)
        bring_down(random, table, column, around, p.low_contrast, ring.sum((1, 2)) > 0)


def _objects(
    random: Random,
    rng: np.random.Generator,
    p: PairParameters,
    images: list[Tensor],
    instances: list[Tensor],
    moved: Tensor,
    pixel: Tensor,
    step: Tensor,
    lesions: Lesions,
) -> Pairs:
    """One object of every scene, seen through a registration of its own.

    Objects are chosen and distances taken with numpy and scipy, so from a GPU what they need is copied, each at once.
    """
    batch, size, device = len(pixel), p.size, random.device
    amount = random.uniform((batch,)) ** 2 * p.error_mm
    mapped = moved + _smooth(random, batch, size, pixel, amount)
    baseline = sample_at(images[0], mapped)
    observed = (
        mapped
        + smooth_noise(random, (batch, 2, size, size), (size // 10, size // 10))
        * (random.uniform((batch,), 0.0, p.observer_mm) / pixel)[:, None, None, None]
        / 2**0.5
    )
    chosen = [_choose(labels, rng) for labels in instances[0].cpu().numpy()]
    numbers = torch.tensor(chosen, device=device)[:, None, None, None]
    before = (sample_at((instances[0] == numbers).float(), observed) > 0.5).cpu().numpy()
    after = (instances[1] == numbers).cpu().numpy()
    shown, changes = images[1][:, 1].cpu().numpy(), lesions.change.tolist()
    prior, target = np.empty((batch, 1, size, size), np.float32), np.empty((batch, 1, size, size), np.float32)
    family, contrast = [], []
    for b, scale in enumerate(zip(pixel.tolist(), step.tolist(), strict=True)):
        prior[b, 0] = prior_distance(before[b], *scale, FAR).clip(-FAR, FAR)
        target[b, 0] = prior_distance(after[b], *scale, FAR).clip(-FAR, FAR)
        family.append(_family(chosen[b], changes[b]))
        contrast.append(_contrast(shown[b], target[b, 0], scale[0]))
    found = torch.from_numpy(prior), torch.from_numpy(target), torch.tensor(family), torch.tensor(contrast)
    distance, truth, kind, strength = (part.to(device) for part in found)
    return Pairs(images[1], baseline, distance, truth, pixel, step, kind, strength)


def _choose(instances: NDArray[np.int64], rng: np.random.Generator) -> int:
    """A lesion (55 %), else an organ or tube, that some slice of the baseline (3, S, S) shows; else a region.

    The larger and the nearer to the middle the likelier: a region of interest is cut round its structure.
    """
    size = instances.shape[-1]
    numbers, place, counts = np.unique(instances, return_inverse=True, return_counts=True)
    rows, columns = (np.bincount(place.ravel(), g.ravel()) / counts for g in np.indices(instances.shape)[1:])
    areas = counts / len(instances)
    likely = np.sqrt(areas) * np.exp(-((rows - size / 2) ** 2 + (columns - size / 2) ** 2) / (0.3 * size) ** 2)
    likely[(areas < _SMALLEST) | (areas > 0.5 * size**2)] = 0.0
    lesion, thing = numbers >= FIRST, (numbers >= ORGANS) & (numbers < FIRST)
    for wanted in (lesion, thing) if rng.random() < 0.55 else (thing, lesion):
        weights = likely * wanted
        if weights.sum() > 0:
            return int(rng.choice(numbers, p=weights / weights.sum()))
    return int(numbers[np.argmax(likely + 1e-9 * areas)])


def _family(instance: int, changes: list[float]) -> int:
    """The family of an object where the radii of its scene's lesions change by these factors."""
    if instance < FIRST:
        return FAMILIES.index("organ")
    change = changes[instance - FIRST]
    if change < 0.01:
        return FAMILIES.index("vanished")
    return FAMILIES.index("shrunk" if change < 0.9 else "grown" if change > 1.1 else "unchanged")


def _contrast(image: NDArray[np.float32], distance: NDArray[np.float32], pixel: float) -> float:
    """|mean inside - mean of the 10 mm ring| / pooled SD, as ``samprompt.space.contrast`` has it."""
    inside, ring = image[distance > 0], image[(distance < -pixel) & (distance > -10.0)]
    if len(inside) < 5 or len(ring) < 5:
        return float("nan")
    return float(abs(inside.mean() - ring.mean()) / max(np.sqrt(0.5 * (inside.var() + ring.var())), 1e-4))
