"""The prior refiner as a task of the training loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from samprompt.models.refiner import RefinerNetwork, save_refiner
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from samprompt_training.core.loading import unsignalled
from samprompt_training.core.task import Draws, Trained
from samprompt_training.fields import Random
from samprompt_training.making import place_of
from samprompt_training.refiner.losses import distance_loss, overlap_loss
from samprompt_training.refiner.measure import score, summary, validation_pairs
from samprompt_training.refiner.pairs import Pairs, make_pairs
from samprompt_training.refiner.recipe import RefinerRecipe

_CPU = torch.device("cpu")


class RefinerTrained(Trained):
    """The network and its loss on a batch of pairs."""

    def __init__(self, recipe: RefinerRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        parameters = recipe.pairs()
        ranges = {"pixel_mm": parameters.pixel_mm, "step_mm": parameters.step_mm}
        self.network = RefinerNetwork({"widths": recipe.widths, **ranges})

    def forward(self, batch: Pairs, draws: Draws, carried: Any = None) -> tuple[Tensor, dict[str, Tensor], Any]:
        """Error of the refined distance near the contours, and 1 - Dice."""
        correction = self.network(batch.followup, batch.baseline, batch.prior, batch.pixel, batch.step)
        with torch.autocast(correction.device.type, enabled=False):  # sums over pixels need all digits
            field = batch.prior + correction.float()
            limit = float(self.network.config["limit_mm"])
            distance = distance_loss(field, batch.target, batch.prior, limit).mean()
            overlap = overlap_loss(field, batch.target, batch.pixel).mean()
            with torch.no_grad():
                start = distance_loss(batch.prior, batch.target, batch.prior, limit).mean()
        loss = self.recipe.distance_weight * distance + overlap
        return loss, {"distance": distance.detach(), "prior": start, "overlap": overlap.detach()}, None


class PairStream(IterableDataset[Pairs]):
    """Pairs of batch ``first``, ``first + 1``, ... of one process, made on ``device``.

    A batch depends on seed, number, rank, world and the kind of device.
    """

    def __init__(self, recipe: RefinerRecipe, first: int, rank: int, world: int, device: torch.device = _CPU) -> None:
        self.recipe, self.first, self.rank, self.world = recipe, first, rank, world
        self.device = device

    def __iter__(self) -> Iterator[Pairs]:
        """Every batch in order; the same pairs ``reuse`` times, each time turned otherwise."""
        if self.device.type == "cpu":
            torch.set_num_threads(1)
            torch.set_flush_denormal(True)
        reuse, parameters = self.recipe.reuse, self.recipe.pairs()
        made, pairs = -1, None
        number = self.first
        while True:
            if pairs is None or made != number // reuse:
                made = number // reuse
                seed = ((self.recipe.seed * 1_000_003 + made) * self.world) + self.rank
                pairs = make_pairs(Random(seed, self.device), self.recipe.batch, parameters)
            turn = number % reuse
            yield pairs.turned(turn, mirrored=turn % 2 == 1)
            number += 1


class RefinerTask:
    """``core.task.Task`` of the prior refiner."""

    monitor = "refined"

    def __init__(self, recipe: RefinerRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.trained = RefinerTrained(recipe)
        self._validation: list[Pairs] = []

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay for kernels only."""
        parameters = list(self.trained.parameters())
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Pairs]:
        """Pairs, made ahead by a process of their own where the recipe has workers; a GPU's come from this one."""
        device, pin = place_of(self.recipe.generator, self.trained)
        stream = PairStream(self.recipe, first_step, rank, world, device)
        if stream.device.type != "cpu":
            yield from stream
        workers = min(1, self.recipe.workers)  # the stream has one order
        yield from DataLoader(
            stream,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=pin,
            worker_init_fn=unsignalled,
        )

    def validate(self, trained: RefinerTrained) -> dict[str, float]:
        """Dice of prior and refined contours on pairs that training never draws; see ``measure.summary``."""
        if not self._validation:
            self._validation = validation_pairs(self.recipe.validation_scenes, self.recipe.pairs())
        return summary(score(trained.network, self._validation, distances=False))

    def export(self, trained: RefinerTrained, path: Path, notes: dict[str, str]) -> None:
        """Weights as users load them."""
        save_refiner(trained.network, path, notes)
