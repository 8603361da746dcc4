"""In which order samples are shown: a function of the seed and of a sample's number in the run, so that it resumes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from samprompt.contract.errors import ParameterError, SamPromptError
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from samprompt_training.core.loading import unsignalled

_ORDER, _CHANGE = 4, 5  # what a seed is for, beside those of ``task.Draws``
_AHEAD = 4  # batches that each loading process keeps ready


class Samples(Protocol):
    """Samples by their index, as training sees them: changed at random by ``rng`` where they are augmented."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Any: ...


@dataclass(frozen=True)
class Place:
    """``index`` of a sample among all, and its running ``number`` in the run, from 0."""

    index: int
    number: int


class Order(Sampler[list[Place]]):
    """Batches of places without end, from batch ``first`` on, for process ``rank`` of ``world``.

    Every sample is shown once before any is shown again, each time in another order. Over all ranks, batch n holds the
    numbers [n * world * batch, (n + 1) * world * batch).

    Raises:
        ParameterError: no sample, or numbers that make no sense.
    """

    def __init__(self, count: int, batch: int, seed: int, first: int = 0, rank: int = 0, world: int = 1) -> None:
        if count < 1:
            raise ParameterError("The training part holds no sample.", "Add images with masks, or use another split.")
        if batch < 1 or world < 1 or not 0 <= rank < world or first < 0:
            raise ParameterError(
                f"No batch {first} of {batch} samples for process {rank} of {world}.",
                "Numbers count from 0; batch and number of processes are at least 1.",
            )
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
    batch: int,
    seed: int,
    first: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 1,
    pin: bool = False,
) -> Iterator[Any]:
    """Batches ``first``, ``first`` + 1, ... of process ``rank`` of ``world``, without end, as ``Order`` has them.

    No batch is smaller than the others and no sample is left out. What a sample looks like, its augmentation too,
    depends on its number in the run and ``seed`` alone: two processes see together what one sees with the double batch,
    and a resumed run goes on as it would have. Tensors are stacked along a new first axis, texts are lists.
    ``workers`` processes work ahead (0: none); they end when the iterator is closed, and not by Ctrl-C or SIGTERM.
    ``pin`` puts the tensors into memory that a GPU copies from by itself.

    Raises:
        ParameterError: no sample, or numbers that make no sense.
        SamPromptError: whatever ``samples`` raises, as it was raised in the loading process.
    """
    loader = DataLoader(
        _Placed(samples, seed),
        batch_sampler=Order(len(samples), batch, seed, first, rank, world),
        collate_fn=_collate,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=pin,
        worker_init_fn=unsignalled,
    )
    batches = iter(loader)
    try:
        for found in batches:
            if isinstance(found, SamPromptError):
                raise found
            yield found
    finally:
        del batches


class _Placed(Dataset[Any]):
    """Samples by their place; an error is handed on as a sample, since torch would wrap it into a traceback."""

    def __init__(self, samples: Samples, seed: int) -> None:
        self._samples, self._seed = samples, seed

    def __getitem__(self, place: Place) -> Any:
        try:
            return self._samples.sample(place.index, np.random.default_rng((self._seed, place.number, _CHANGE)))
        except SamPromptError as error:
            return error


def _collate(samples: list[Any]) -> Any:
    """The samples as one batch, or the first error among them."""
    error = next((s for s in samples if isinstance(s, SamPromptError)), None)
    return default_collate(samples) if error is None else error


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, _ORDER)).permutation(count)
