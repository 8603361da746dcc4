"""One batch seen several times: a first prompt, then clicks on what the answer before got wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt_training.adapt.clicks import Given, first_prompts, next_prompts
from samprompt_training.adapt.drop_path import add_drop_path
from samprompt_training.adapt.families import Family, Features
from samprompt_training.adapt.layers import part_of, prepare
from samprompt_training.adapt.losses import answer_loss
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.adapt.schedule import Turn, plan_turns
from samprompt_training.core.task import Draws, Trained


@dataclass(frozen=True)
class Seen:
    """What the next iteration needs; nothing here has a gradient."""

    features: Features
    logits: Tensor
    turns: tuple[Turn, ...]
    iteration: int


class InteractiveAdaptation(Trained):
    """A network with the interactive schedule round it.

    Only the first iteration of a batch runs the encoder, and only there it gets a gradient; later ones decode the
    detached embedding (methods page, section 1.4).
    """

    def __init__(self, family: Family, recipe: AdaptRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.layers = prepare(family, recipe)
        family.single_mask = True
        add_drop_path(family.blocks(), recipe.drop_path)
        self.family = family
        self.network = family.network
        # Later iterations teach decoder and prompt encoder alone; where neither is trained there is nothing to learn.
        changed = {*recipe.parts, *(part_of(family, f"{layer}.weight") for layer in self.layers)}
        later = {"decoder", "prompt_encoder"} & changed
        self.iterations = recipe.interaction.iterations if later else 1

    def forward(
        self, batch: dict[str, Any], draws: Draws, carried: Seen | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Seen | None]:
        """Loss of one iteration on ``batch``.

        It has "image" (B, 3, S, S) in [0, 1], "mask" (B, 1, S, S) of 0 and 1 and, where there is padding, "extent"
        (B, 2), the rows and columns that are none.
        """
        rules, extent = self.recipe.interaction, batch.get("extent")
        target = self.family.framed(batch["mask"], extent)
        side = int(target.shape[-1])
        if carried is None:
            turns = plan_turns(
                draws.shared, rules.first, rules.variant, self.iterations, rules.mask_only, rules.most_points
            )
            features, iteration = self.family.encode(batch["image"], extent), 0
            given = first_prompts(
                turns[0], target, draws.of_sample, rules.box_noise, rules.most_box_noise, self.family.mask_size
            )
        else:
            turns, features, iteration = carried.turns, carried.features, carried.iteration
            answered = _at(carried.logits, side) > 0
            given = next_prompts(turns[iteration], target, answered, carried.logits, draws.of_sample)
        # As at inference, only the encoder computes in half precision: bfloat16 has three digits, too few for the place
        # of a point and for sums over pixels.
        with self._stopped(given), torch.autocast(target.device.type, enabled=False):
            features = tuple(level.float() for level in features)
            answer = self.family.decode(features, given, side)
            loss, parts = answer_loss(answer, _at(answer.logits, side), target, self.recipe.loss)
        if torch.is_grad_enabled() and not loss.requires_grad:
            # the prompt encoder alone is trained, and this iteration had no prompt: a gradient of zero
            loss = loss + 0.0 * next(p for p in self.network.parameters() if p.requires_grad).sum()
        if iteration + 1 >= len(turns):
            return loss, parts, None
        kept = tuple(level.detach() for level in features)
        return loss, parts, Seen(kept, answer.logits.detach().float(), turns, iteration + 1)

    @contextlib.contextmanager
    def _stopped(self, given: Given) -> Iterator[None]:
        """Where nothing was given: no gradient for "not a point" and "no mask", as the published code has it."""
        if self.recipe.interaction.stopped != "without a prompt" or not given.nothing:
            yield
            return
        wanted = set(self.family.anatomy.stopped)
        found = [p for name, p in self.network.named_parameters() if name in wanted and p.requires_grad]
        try:
            for parameter in found:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in found:
                parameter.requires_grad_(True)


def _at(logits: Tensor, side: int) -> Tensor:
    """Logits (B, 1, m, m) at the image's size."""
    return F.interpolate(logits.float(), (side, side), mode="bilinear", align_corners=False)
