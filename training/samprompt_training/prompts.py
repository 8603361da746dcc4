"""Objects of synthetic scenes and prompts for them: corrupted priors, jittered boxes, points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from samprompt_training.bodies import ORGANS
from samprompt_training.fields import Random, displacement, sample_at, sampling_grid
from samprompt_training.lesions import FIRST as FIRST_LESION
from samprompt_training.scenes import Scenes

MINIMUM_AREA = 20  # pixels; smaller pieces have no shape at the mask's stride 2


@dataclass(frozen=True)
class ObjectShares:
    """How often an object is a lesion, an organ or tube, or else one connected piece of anything.

    ``centred``, a part of ``lesions``, is the share of the lesion that most images are centred on.
    """

    lesions: float = 0.5
    things: float = 0.3
    centred: float = 0.2


def choose_objects(
    scenes: Scenes, rng: np.random.Generator, shares: ObjectShares | None = None
) -> tuple[Tensor, Tensor]:
    """One object per image: target masks and the priors of it, both (V * B, 1, S, S) in {0, 1}; visits outermost.

    The prior of a lesion, organ or tube at the second visit is the first visit's mask, registered, and the target may
    have shrunk, grown or vanished. The prior of a piece is itself.
    """
    shares = shares or ObjectShares()
    visits, batch, size, _ = scenes.labels.shape
    registered = sample_at(scenes.labels[0][:, None].float(), scenes.places, mode="nearest")[:, 0]
    earlier = torch.stack((scenes.labels[0], registered.round().long()))
    # what chooses is numpy: from a GPU one copy, in the shortest type that holds all instance numbers
    labels, before = torch.stack((scenes.labels, earlier)).to(torch.int16).cpu().numpy()
    targets, priors = np.zeros(labels.shape, np.bool_), np.zeros(labels.shape, np.bool_)
    for b in range(batch):
        chosen = _instance(labels[0, b], rng, shares)
        for v in range(visits):
            if chosen is not None:
                targets[v, b] = labels[v, b] == chosen
                priors[v, b] = before[v, b] == chosen
                continue
            targets[v, b] = priors[v, b] = _piece(labels[v, b], rng)
    device = scenes.images.device
    shape = (visits * batch, 1, size, size)
    target, prior = torch.from_numpy(np.stack((targets, priors))).to(device).float()
    return target.reshape(shape), prior.reshape(shape)


def _instance(labels: np.ndarray, rng: np.random.Generator, shares: ObjectShares) -> int | None:
    """A lesion, an organ or a tube of the first visit that is large enough; None for a piece of anything."""
    draw = rng.random()
    if draw >= shares.lesions + shares.things:
        return None
    present, areas = np.unique(labels, return_counts=True)
    present = present[(areas >= MINIMUM_AREA) & (areas <= 0.45 * labels.size)]
    lesions, others = present[present >= FIRST_LESION], present[(present >= ORGANS) & (present < FIRST_LESION)]
    if draw < shares.centred and FIRST_LESION in lesions:
        return FIRST_LESION
    wanted = lesions if draw < shares.lesions else others
    return int(rng.choice(wanted)) if len(wanted) else None


def _piece(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One connected region of 0.3 % to 40 % of the image, without holes below MINIMUM_AREA; the largest otherwise."""
    for _ in range(6):
        y, x = rng.integers(0, labels.shape[0], 2)
        mask, _count = ndimage.label(labels == labels[y, x])
        mask = mask == mask[y, x]
        if 0.003 <= mask.mean() <= 0.4:
            return mask
    return mask


def corrupt(random: Random, masks: Tensor) -> Tensor:
    """Soft priors (N, 1, S, S) in [0, 1]: shifted and warped by 0 to ~8 % of the side, scaled, sometimes cut."""
    n, _, size, _ = masks.shape
    grid = sampling_grid(size, masks.device).expand(n, -1, -1, -1)
    area = masks.sum(dim=(1, 2, 3)).clamp_min(1.0)
    centre = (grid * masks).sum(dim=(2, 3)) / area[:, None]
    # errors grow with the object, or small ones would be lost altogether
    extent = area.sqrt().clamp(8.0, size * 0.6)
    amount = random.uniform((n,)) ** 1.5
    scale = 1.35 ** (random.uniform((n, 2), -1.0, 1.0) * amount[:, None])
    shift = random.normal((n, 2)) * (0.18 * extent * amount)[:, None]
    places = (grid - centre[:, :, None, None] - shift[:, :, None, None]) / scale[:, :, None, None]
    places = places + centre[:, :, None, None]
    places = places + displacement(random, n, size, random.integer(3, 7), 0.10 * extent * amount)
    soft = sample_at(masks, places)
    cut = random.uniform((n,)) < 0.12
    angle = random.uniform((n,), 0.0, 6.2832)
    side = (grid[:, 0] - centre[:, 0, None, None]) * torch.cos(angle)[:, None, None] + (
        grid[:, 1] - centre[:, 1, None, None]
    ) * torch.sin(angle)[:, None, None]
    keep = (side > -0.25 * extent[:, None, None]) | ~cut[:, None, None]
    soft = soft * keep[:, None]
    return F.avg_pool2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), 3, 1)


def boxes_of(masks: Tensor, random: Random | None = None, jitter: float = 0.0) -> Tensor:
    """Tight boxes (N, 4) in pixels, each edge moved by up to ``jitter`` of the side; an empty mask: whole image."""
    n, _, height, width = masks.shape
    columns, rows = masks.amax(dim=2)[:, 0] > 0, masks.amax(dim=3)[:, 0] > 0
    xs, ys = torch.arange(width, device=masks.device), torch.arange(height, device=masks.device)
    big = 10**6
    x0 = torch.where(columns, xs, big).amin(1)
    x1 = torch.where(columns, xs, -1).amax(1) + 1
    y0 = torch.where(rows, ys, big).amin(1)
    y1 = torch.where(rows, ys, -1).amax(1) + 1
    empty = ~columns.any(dim=1)
    whole = zip((x0, y0, x1, y1), (0, 0, width, height), strict=True)
    boxes = torch.stack([edge.masked_fill(empty, border) for edge, border in whole], dim=1).float()
    if random is not None and jitter > 0:
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        boxes = boxes + random.uniform((n, 4), -jitter, jitter) * sides
    return boxes


def sample_points(random: Random, weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``count`` points per image drawn with ``weights`` (N, 1, S, S); (N, count, 2) in pixels and valid (N, count)."""
    n, _, size, _ = weights.shape
    flat = weights.reshape(n, -1)
    valid = flat.sum(1) > 0
    safe = torch.where(valid[:, None], flat, torch.ones_like(flat))
    index = torch.multinomial(safe, count, replacement=True, generator=random.generator)
    points = torch.stack((index % size, torch.div(index, size, rounding_mode="floor")), dim=-1).float() + 0.5
    return points, valid[:, None].expand(-1, count)


def interior(masks: Tensor, steps: int = 4) -> Tensor:
    """Weights that grow from the edge of the masks inwards (number of 3x3 erosions survived), zero outside."""
    weights, current = masks.clone(), masks
    for _ in range(steps):
        current = -F.max_pool2d(-current, 3, 1, 1)
        weights = weights + 2.0 * current
    return weights * (masks > 0)
