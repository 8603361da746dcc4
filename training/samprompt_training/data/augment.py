"""Random changes of an image and its mask, by MONAI's transforms, seeded per sample."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field


class AugmentationParameters(BaseModel):
    """How much an item is changed; each limit is the largest change of a uniform draw, 0 for none.

    Place and form: ``rotation`` in degrees; ``scale`` (0.2: 1/1.2 to 1.2 times, drawn for rows and columns by
    themselves); ``shift`` as part of the side; ``shear`` as its tangent; ``flip``, the probability that left and right
    are exchanged; ``elastic``, a smooth random displacement in pixels. Grey levels, full scale being 1: ``contrast``
    (their exponent runs from 1/(1 + contrast) to 1 + contrast); ``brightness`` is added; ``gain`` multiplies each
    channel by itself, so that colours shift; ``noise``, the standard deviation of white noise; ``blur``, that of a
    Gaussian in pixels. ``probability`` is that of each change. Mild defaults: the images of one clinic differ by less.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rotation: float = Field(15.0, ge=0.0, le=180.0)
    scale: float = Field(0.2, ge=0.0, le=2.0)
    shift: float = Field(0.1, ge=0.0, le=0.5)
    shear: float = Field(0.0, ge=0.0, le=1.0)
    flip: float = Field(0.5, ge=0.0, le=1.0)
    elastic: float = Field(0.0, ge=0.0)
    contrast: float = Field(0.3, ge=0.0)
    brightness: float = Field(0.05, ge=0.0, le=1.0)
    gain: float = Field(0.1, ge=0.0, lt=1.0)
    noise: float = Field(0.02, ge=0.0)
    blur: float = Field(0.8, ge=0.0)
    probability: float = Field(0.5, ge=0.0, le=1.0)


def augment(item: dict[str, Any], rng: np.random.Generator, parameters: AugmentationParameters) -> dict[str, Any]:
    """``item`` with "image" (C, S, S) in [0, 1] and "mask" (1, S, S) changed at random; everything else is kept.

    Equal states of ``rng`` give equal bits. The mask stays 0 and 1, and moves with the image. Where a structure would
    be moved out of the image altogether, place and form are left as they were. What comes in at the border is 0.
    Where "extent" says that the image is not square, the padding is none of it: it stays as it is, and "extent" too.
    """
    whole = item["image"].shape[-1]
    rows, columns = (int(n) for n in item["extent"]) if "extent" in item else (whole, whole)
    if min(rows, columns) < whole:
        part = item | {"image": item["image"][..., :rows, :columns], "mask": item["mask"][..., :rows, :columns]}
        changed = _augmented(part, rng, parameters)
        padding = (0, whole - columns, 0, whole - rows)
        return item | {key: F.pad(changed[key], padding) for key in ("image", "mask")}
    return item | _augmented(item, rng, parameters)


def _augmented(item: dict[str, Any], rng: np.random.Generator, parameters: AugmentationParameters) -> dict[str, Any]:
    """Image and mask, of any shape, changed at random."""
    moving, colouring = load_transforms(parameters, max(item["image"].shape[-2:]))
    seeds = rng.integers(0, 2**32, size=2, dtype=np.uint64)
    moving.set_random_state(seed=int(seeds[0]))
    colouring.set_random_state(seed=int(seeds[1]))
    image, mask = item["image"], item["mask"]
    moved = moving({"image": image, "mask": mask})
    if bool(moved["mask"].any()) or not bool(mask.any()):
        image, mask = moved["image"], (moved["mask"] > 0.5).to(torch.float32)
    image = torch.as_tensor(colouring(image)).to(torch.float32).clamp(0.0, 1.0).contiguous()
    return {"image": image, "mask": torch.as_tensor(mask).contiguous()}


@lru_cache(maxsize=8)
def load_transforms(p: AugmentationParameters, side: int) -> tuple[Any, Any]:
    """MONAI's transforms of place and form (image and mask), and of grey levels (image), for squares of ``side``.

    MONAI is imported here, since that takes seconds.
    """
    import monai.data
    import monai.transforms

    library: Any = monai
    transforms = library.transforms
    library.data.set_track_meta(False)  # plain tensors: their history is not needed and costs time
    both = {"keys": ("image", "mask"), "mode": ("bilinear", "nearest"), "padding_mode": "zeros", "prob": p.probability}
    moving = [
        transforms.RandFlipd(("image", "mask"), prob=p.flip, spatial_axis=1),
        transforms.RandAffined(
            rotate_range=(float(np.deg2rad(p.rotation)),),
            scale_range=((1.0 / (1.0 + p.scale) - 1.0, p.scale),) * 2,
            shear_range=(p.shear, p.shear),
            translate_range=(p.shift * side,) * 2,
            **both,
        ),
    ]
    if p.elastic > 0:
        moving.append(transforms.Rand2DElasticd(spacing=(32, 32), magnitude_range=(0.0, p.elastic), **both))
    colouring = []
    if p.contrast > 0:
        span = (1.0 / (1.0 + p.contrast), 1.0 + p.contrast)
        colouring.append(transforms.RandAdjustContrast(prob=p.probability, gamma=span))
    if p.gain > 0:
        colouring.append(transforms.RandScaleIntensity(factors=p.gain, prob=p.probability, channel_wise=True))
    if p.brightness > 0:
        colouring.append(transforms.RandShiftIntensity(offsets=p.brightness, prob=p.probability))
    if p.blur > 0:
        spread = (min(0.1, p.blur), p.blur)
        colouring.append(transforms.RandGaussianSmooth(sigma_x=spread, sigma_y=spread, prob=p.probability))
    if p.noise > 0:
        colouring.append(transforms.RandGaussianNoise(prob=p.probability, std=p.noise))
    return transforms.Compose(moving), transforms.Compose(colouring)
