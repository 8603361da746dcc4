"""Scenes made as training goes; each batch depends on seed and step alone, so a run resumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch.utils.data import DataLoader, IterableDataset

from samprompt_training.core.loading import unsignalled
from samprompt_training.fields import Random
from samprompt_training.scenes import SceneParameters, Scenes, make_scenes

_CPU = torch.device("cpu")


class SceneStream(IterableDataset[Scenes]):
    """Batches of scenes from step ``first`` on, without end, made on ``device``.

    On every kind of device the numbers drawn from a seed are others, and so are the scenes.
    """

    def __init__(
        self, seed: int, batch: int, parameters: SceneParameters, first: int = 0, device: torch.device = _CPU
    ) -> None:
        self.seed, self.batch, self.parameters, self.first = seed, batch, parameters, first
        self.device = device

    def __iter__(self) -> Iterator[Scenes]:
        """The batch of every step, in order."""
        if self.device.type == "cpu":
            torch.set_num_threads(1)
            torch.set_flush_denormal(True)
        step = self.first
        while True:
            yield make_scenes(Random(self.seed * 1_000_003 + step, self.device), self.batch, self.parameters)
            step += 1

    def loader(self, pin: bool = False) -> Iterable[Scenes]:
        """The stream from one process that works ahead, in pinned memory if asked for.

        What a GPU makes comes from this process: the GPU is the one that works ahead, and no process of a loader's
        could use it.
        """
        if self.device.type != "cpu":
            return self
        return DataLoader(
            self, batch_size=None, num_workers=1, prefetch_factor=4, pin_memory=pin, worker_init_fn=unsignalled
        )
