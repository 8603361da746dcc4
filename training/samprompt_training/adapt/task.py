"""An adaptation as a task of the training loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from samprompt.models.registry import Weights

from samprompt_training.adapt.families import Family
from samprompt_training.adapt.files import write_adapter, write_whole
from samprompt_training.adapt.interactive import InteractiveAdaptation
from samprompt_training.adapt.layers import part_of, plain_name
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.adapt.scoring import dice_by_patient, mean_dice
from samprompt_training.core.order import sample_batches
from samprompt_training.core.task import Trained
from samprompt_training.data.slices import SliceSet


class AdaptTask:
    """``core.task.Task`` of an adaptation of ``base`` to the slices of ``training``; other patients validate.

    ``training`` is a ``SliceSet`` or has its length and ``sample``.
    """

    def __init__(self, family: Family, base: Weights, recipe: AdaptRecipe, training: Any, validation: SliceSet) -> None:
        self.recipe, self.base = recipe, base
        self.monitor: str = recipe.monitor
        self.trained: Trained = InteractiveAdaptation(family, recipe)
        self._family = family
        self._training, self._validation = training, validation

    def parameter_groups(self) -> list[dict[str, Any]]:
        """By depth (``layer_decay``), and without weight decay for norms, biases and single vectors."""
        groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in self._family.network.named_parameters():
            if parameter.requires_grad:
                key = (self._rate(plain_name(name)), parameter.ndim > 1)
                groups.setdefault(key, []).append(parameter)
        return [
            {"params": found, "lr_scale": rate} | ({} if decayed else {"weight_decay": 0.0})
            for (rate, decayed), found in sorted(groups.items(), key=lambda group: group[0])
        ]

    def _rate(self, name: str) -> float:
        """Share of the learning rate: each encoder block has ``layer_decay`` times that of the next deeper one."""
        names = self._family.block_names()
        for place, block in enumerate(names):
            if name.startswith(f"{block}."):
                return self.recipe.layer_decay ** (len(names) - place)
        shallow = part_of(self._family, name) in ("encoder", "patch_embedding")
        return self.recipe.layer_decay ** (len(names) + 1) if shallow else 1.0

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Any]:
        """Slices of the training patients, made ready by processes of their own where the recipe has workers."""
        recipe, pin = self.recipe, next(self.trained.parameters()).device.type == "cuda"
        return sample_batches(self._training, recipe.batch, recipe.seed, first_step, rank, world, recipe.workers, pin)

    def validate(self, trained: Any) -> dict[str, float]:
        """Mean Dice over validation patients without a prompt, with a point and with a box."""
        device = next(trained.network.parameters()).device
        with torch.autocast(device.type, enabled=False):  # the backbone chooses its own precision, as for users
            return mean_dice(dice_by_patient(trained.family.backbone(device), all_items(self._validation)))

    def export(self, trained: Any, path: Path, notes: dict[str, str]) -> None:
        """An adapter file where LoRA was used, whole weights where not; both are loaded by ``load_backbone``."""
        if self.recipe.lora is not None:
            write_adapter(trained.network, self.base, self.recipe.lora, trained.layers, path, notes)
        else:
            write_whole(trained.network, self.base, path, notes)


def all_items(slices: SliceSet) -> Iterator[Any]:
    """Every slice, as it is (a ``SliceSet`` has a length and no end of its own)."""
    return (slices[index] for index in range(len(slices)))
