"""The built-in model as a task of the training loop: SAM-style interactive prompts on randomised synthetic scenes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from samprompt.models.tiny import TinyModel, save_tiny
from torch import Tensor

from samprompt_training.core.task import Draws, Trained
from samprompt_training.fields import Random
from samprompt_training.making import place_of
from samprompt_training.prompts import choose_objects
from samprompt_training.scenes import Scenes
from samprompt_training.stream import SceneStream
from samprompt_training.tiny.losses import correspondence_loss, mask_loss, score_loss
from samprompt_training.tiny.prompting import Given, first_prompts, next_prompts
from samprompt_training.tiny.recipe import TinyRecipe
from samprompt_training.tiny.start import start_from
from samprompt_training.tiny.validation import Validation


class TinyTrained(Trained):
    """The model and the losses of one batch of scenes."""

    def __init__(self, recipe: TinyRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        config = {
            "input_size": recipe.size,
            "widths": recipe.widths,
            "blocks": recipe.blocks,
            "skips": recipe.skips,
            "decoder_blocks": recipe.decoder_blocks or (),
            "ellipse": recipe.ellipse,
        }
        self.model = TinyModel(config).to(memory_format=torch.channels_last)

    def forward(self, batch: Scenes, draws: Draws, carried: Any = None) -> tuple[Tensor, dict[str, Tensor], Any]:
        """All losses of a batch: some objects per image, each prompted and then again after the model's answers."""
        recipe, model = self.recipe, self.model
        random, rng = Random(draws.seed, batch.images.device), draws.shared
        images = batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        tokens, matching, skip4, skip2 = model.encoder(images)
        total = {"mask": images.new_zeros(()), "score": images.new_zeros(())}
        kinds, shares = list(recipe.prompts), np.array(list(recipe.prompts.values()))
        for _ in range(recipe.objects):
            kind = str(rng.choice(kinds, p=shares / shares.sum()))
            # a click says least and needs most corrections: the user of clicks gives a second and a third
            passes = 3 if kind in ("click", "points") else 2
            share = 1.0 / (recipe.objects * passes)
            target, prior = choose_objects(batch, rng, recipe.asked)
            small = F.avg_pool2d(target, 2)
            given = first_prompts(random, kind, target, prior, recipe.size // 2, recipe.jitter)
            for number in range(passes):
                logits, iou, presence = model.decoder(tokens, skip4, skip2, given.points, given.boxes, given.masks)
                with torch.autocast(logits.device.type, enabled=False):  # sums over pixels need all digits
                    logits, iou, presence = logits.float(), iou.float(), presence.float()
                    total["mask"] = total["mask"] + share * mask_loss(logits, small)
                    total["score"] = total["score"] + share * score_loss(logits, iou, presence, small)
                if number < passes - 1:
                    given = next_prompts(random, given, logits, target)
        with torch.autocast(images.device.type, enabled=False):
            total["contrast"] = correspondence_loss(matching.float(), batch, random)
        loss = total["mask"] + recipe.score_weight * total["score"] + recipe.contrast_weight * total["contrast"]
        return loss, {name: value.detach() for name, value in total.items()}, None


class TinyTask:
    """``core.task.Task`` of the built-in model."""

    monitor = "mean"

    def __init__(self, recipe: TinyRecipe, start: Path | None = None) -> None:
        """``start`` are weights of the same sizes to go on from; a run that is resumed does not look at them."""
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.trained = TinyTrained(recipe)
        self._notes = {} if start is None else {"started_from": start_from(self.trained.model, start)}
        self._validation = Validation(recipe)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices and kernels only."""
        parameters = list(self.trained.parameters())
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Scenes]:
        """Scenes of every step; a batch depends on seed, step and rank alone."""
        recipe, reuse = self.recipe, self.recipe.reuse
        device, pin = place_of(recipe.generator, self.trained)
        stream = SceneStream(recipe.seed * world + rank, recipe.batch, recipe.scenes(), first_step // reuse, device)
        step = first_step
        for scenes in stream.loader(pin):
            while True:
                yield scenes.mirrored() if step % reuse % 2 else scenes
                step += 1
                if step % reuse == 0:
                    break

    def validate(self, trained: TinyTrained) -> dict[str, float]:
        """Dice per kind of prompt on scenes that training never draws, and the mean of the model's kinds."""
        return self._validation(trained.model)

    def export(self, trained: TinyTrained, path: Path, notes: dict[str, str]) -> None:
        """Weights as users load them."""
        save_tiny(trained.model, path, {**self._notes, **notes})


__all__ = ["Given", "TinyTask", "TinyTrained"]
