"""Which samples come when: shuffled epochs one after the other, the same for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from samprompt.contract.errors import ParameterError
from torch.utils.data import DataLoader, Dataset

from samprompt_training.data.augment import load_transforms
from samprompt_training.data.slices import Item, SliceSet

# The second entry of a seed says what the numbers are for, so that order and augmentation never share a stream.
_ORDER, _AUGMENTATION = 101, 102


def sample_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The numbers 0 to ``count`` - 1 in the order of an epoch; depends on the three arguments alone.

    Raises:
        ParameterError: ``count`` below 1.
    """
    if count < 1:
        raise ParameterError("There is no sample to train on.", "Check the dataset and its split.")
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(count)


def epoch_batches(
    items: SliceSet, batch: int, seed: int, first: int = 0, rank: int = 0, world: int = 1, workers: int = 1
) -> Iterator[dict[str, Any]]:
    """Batches number ``first``, ``first`` + 1, ... of process ``rank`` of ``world``, without end.

    The samples of a run are its epochs one after the other; batch n holds the samples
    [n * world * batch, (n + 1) * world * batch) of them, rank after rank. No batch is smaller, and no sample of an
    epoch is left out. What a sample looks like (its augmentation too) depends on its number in the run and ``seed``
    alone: two processes see together what one sees with the double batch, and a resumed run goes on as it would have.

    A batch is a dictionary as an item is, tensors stacked along a new first axis, texts as lists. It is put together in
    ``workers`` processes that work ahead (0: in this one); they end when the iterator is closed.

    Raises:
        ParameterError: no samples, or numbers that make no sense.
    """
    if batch < 1 or world < 1 or not 0 <= rank < world or first < 0:
        raise ParameterError(
            f"No batch {first} of {batch} samples for process {rank} of {world}.",
            "Numbers count from 0; batch and number of processes are at least 1.",
        )
    sample_order(len(items), seed, 0)  # refuses an empty set here, not in a worker
    if items.augmentation is not None:
        load_transforms(items.augmentation, items.parameters.size)  # once, before the processes part
    loader = DataLoader(
        _Run(items, seed),
        batch_sampler=_Numbers(batch, first, rank, world),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    batches = iter(loader)
    try:
        yield from batches
    finally:
        del batches


class _Run(Dataset[Item]):
    """The samples of a run by their number: epoch after epoch, each in its own order."""

    def __init__(self, items: SliceSet, seed: int) -> None:
        self._items, self._seed = items, seed

    def __getitem__(self, number: int) -> Item:
        epoch, place = divmod(number, len(self._items))
        rng = np.random.default_rng((self._seed, _AUGMENTATION, number))
        return self._items.sample(int(_kept_order(len(self._items), self._seed, epoch)[place]), rng)


class _Numbers:
    """Lists of sample numbers, one list per batch, without end."""

    def __init__(self, batch: int, first: int, rank: int, world: int) -> None:
        self._batch, self._first, self._rank, self._world = batch, first, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        number = self._first
        while True:
            start = (number * self._world + self._rank) * self._batch
            yield list(range(start, start + self._batch))
            number += 1


@lru_cache(maxsize=4)
def _kept_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return sample_order(count, seed, epoch)
