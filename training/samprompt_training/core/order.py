"""In which order samples are shown: a function of the seed and of a sample's number in the run, so that it resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from samprompt.contract.errors import ParameterError, SamPromptError
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from samprompt_training.core.recipe import LoopRecipe

_ORDER, _CHANGE = 4, 5  # what a seed is for, beside those of ``task.Draws``
_AHEAD = 4  # batches that each loading process keeps ready


class Samples(Protocol):
    """Samples by their index; what ``torch.utils.data.Dataset`` offers is enough."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True)
class Place:
    """``index`` of a sample among all, and its running ``number`` in the run, from 0."""

    index: int
    number: int


class Order(Sampler[list[Place]]):
    """Batches of places without end, from batch ``first`` on, for process ``rank`` of ``world``.

    Every sample is shown once before any is shown again, each time in another order. Over all ranks, batch n holds the
    numbers [n * world * batch, (n + 1) * world * batch).
    """

    def __init__(self, count: int, batch: int, seed: int, first: int = 0, rank: int = 0, world: int = 1) -> None:
        if count < 1:
            raise ParameterError("The training part holds no sample.", "Add images with masks, or use another split.")
        self.count, self.batch, self.seed = count, batch, seed
        self.first, self.rank, self.world = first, rank, world

    def __iter__(self) -> Iterator[list[Place]]:
        """The places of one batch after the other."""
        batch = self.first
        while True:
            start = (batch * self.world + self.rank) * self.batch
            yield [Place(self._index(number), number) for number in range(start, start + self.batch)]
            batch += 1

    def _index(self, number: int) -> int:
        epoch, place = divmod(number, self.count)
        return int(_permutation(self.seed, epoch, self.count)[place])


def sample_batches(
    samples: Samples,
    recipe: LoopRecipe,
    first: int,
    rank: int,
    world: int,
    change: Callable[[Any, np.random.Generator], Any] | None = None,
    collate: Callable[[list[Any]], Any] = default_collate,
) -> Iterator[Any]:
    """Batches as ``Task.batches`` gives them, loaded ahead by ``recipe.workers`` processes.

    ``change`` (augmentation) gets a sample and a generator that depends on the seed and the sample's number alone.

    Raises:
        ParameterError: there is no sample.
        SamPromptError: whatever ``samples`` raises, as it was raised in the loading process.
    """
    order = Order(len(samples), recipe.batch, recipe.seed, first, rank, world)
    loader = DataLoader(
        _Placed(samples, recipe.seed, change),
        batch_sampler=order,
        collate_fn=_Collate(collate),
        num_workers=recipe.workers,
        prefetch_factor=_AHEAD if recipe.workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        if isinstance(batch, SamPromptError):
            raise batch
        yield batch


class _Placed(Dataset[Any]):
    """Samples by their place; an error is handed on as a sample, since torch would wrap it into a traceback."""

    def __init__(self, samples: Samples, seed: int, change: Callable[[Any, np.random.Generator], Any] | None) -> None:
        self._samples, self._seed, self._change = samples, seed, change

    def __getitem__(self, place: Place) -> Any:
        try:
            sample = self._samples[place.index]
            if self._change is None:
                return sample
            return self._change(sample, np.random.default_rng((self._seed, place.number, _CHANGE)))
        except SamPromptError as error:
            return error


class _Collate:
    """``collate``, or the first error among the samples."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        error = next((s for s in samples if isinstance(s, SamPromptError)), None)
        return self._collate(samples) if error is None else error


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, _ORDER)).permutation(count)
