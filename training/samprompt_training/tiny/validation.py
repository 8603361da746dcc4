"""How good the built-in model is on synthetic scenes that it was never trained on."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from samprompt.models.tiny import TinyModel
from torch import Tensor

from samprompt_training.fields import Random
from samprompt_training.prompts import choose_objects
from samprompt_training.scenes import Scenes, make_scenes
from samprompt_training.tiny.prompting import first_prompts
from samprompt_training.tiny.recipe import TinyRecipe

_SEED = 10_000_019  # beyond every seed that ``SceneStream`` reaches from a recipe's
_AT_ONCE = 8


class Validation:
    """Fixed scenes, objects and prompts, made at the first use.

    Gives the mean Dice over objects that are there, per kind of prompt; "prior as given" and "ellipse" (filled, in the
    box as given) say what the prompt alone is worth; "mean" is the mean over the kinds of prompt.
    """

    def __init__(self, recipe: TinyRecipe) -> None:
        self.recipe = recipe
        self._scenes: list[Scenes] = []

    @torch.no_grad()
    def __call__(self, model: TinyModel) -> dict[str, float]:
        """Measure ``model`` (in evaluation mode, on its device)."""
        size = self.recipe.size
        device = next(model.parameters()).device
        random, rng = Random(_SEED + 1, torch.device("cpu")), np.random.default_rng(7)
        found: dict[str, list[float]] = defaultdict(list)
        for scenes in self._made():
            images = scenes.images.flatten(0, 1).to(device)
            tokens, _matching, skip4, skip2 = model.encoder(images)
            for kind in self.recipe.prompts:
                target, prior = choose_objects(scenes, rng, self.recipe.asked)
                given = first_prompts(random, kind, target, prior, size // 2, self.recipe.jitter)
                points = None if given.points is None else tuple(part.to(device) for part in given.points)
                boxes, masks = (None if part is None else part.to(device) for part in (given.boxes, given.masks))
                logits, _iou, _presence = model.decoder(tokens, skip4, skip2, points, boxes, masks)
                there = target.sum((1, 2, 3)) > 0
                found[kind].extend(_dice(_at(logits.float().cpu(), size), target)[there].tolist())
                if kind == "prior" and given.masks is not None:
                    found["prior as given"].extend(_dice(_at(given.masks, size), target)[there].tolist())
                if kind == "box" and given.boxes is not None:
                    found["ellipse"].extend(_dice(_ellipses(given.boxes, size), target)[there].tolist())
        means = {kind: float(np.mean(values)) for kind, values in found.items()}
        means["mean"] = float(np.mean([means[kind] for kind in self.recipe.prompts]))
        return {kind: round(value, 4) for kind, value in means.items()}

    def _made(self) -> list[Scenes]:
        if not self._scenes:
            random, parameters = Random(_SEED, torch.device("cpu")), self.recipe.scenes()
            for _ in range(self.recipe.validation_scenes // _AT_ONCE):
                self._scenes.append(make_scenes(random, _AT_ONCE, parameters))
        return self._scenes


def _at(logits: Tensor, size: int) -> Tensor:
    return F.interpolate(logits, (size, size), mode="bilinear", align_corners=False) > 0


def _ellipses(boxes: Tensor, size: int) -> Tensor:
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    axis = torch.arange(size) + 0.5
    x = (axis[None, None, :] - centre[:, 0, None, None]) / half[:, 0, None, None]
    y = (axis[None, :, None] - centre[:, 1, None, None]) / half[:, 1, None, None]
    return (x**2 + y**2 <= 1)[:, None]


def _dice(mask: Tensor, target: Tensor) -> Tensor:
    both = (mask * target).sum((1, 2, 3))
    return 2 * both / (mask.sum((1, 2, 3)) + target.sum((1, 2, 3))).clamp_min(1)
