"""Scenes made ahead of time by a process of their own; each batch depends on seed and step alone, so a run resumes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, IterableDataset

from samprompt_training.core.loading import unsignalled
from samprompt_training.fields import Random
from samprompt_training.scenes import SceneParameters, Scenes, make_scenes


class SceneStream(IterableDataset[Scenes]):
    """Batches of scenes from step ``first`` on, without end."""

    def __init__(self, seed: int, batch: int, parameters: SceneParameters, first: int = 0) -> None:
        self.seed, self.batch, self.parameters, self.first = seed, batch, parameters, first

    def __iter__(self) -> Iterator[Scenes]:
        """The batch of every step, in order."""
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        step = self.first
        while True:
            yield make_scenes(Random(self.seed * 1_000_003 + step, torch.device("cpu")), self.batch, self.parameters)
            step += 1

    def loader(self) -> DataLoader[Scenes]:
        """The stream from one process that works ahead."""
        return DataLoader(self, batch_size=None, num_workers=1, prefetch_factor=4, worker_init_fn=unsignalled)
