"""Samples come in an order that depends on seed and number alone, whoever loads them."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from samprompt.contract.errors import ParameterError, UnreadableFileError
from samprompt_training.core.order import Order, sample_batches
from samprompt_training.core.task import Draws


def take_flat(order: Any, batches: int) -> list[int]:
    return [index for batch in take(order, batches) for index in batch]


def take(order: Any, batches: int) -> list[list[int]]:
    return [[place.index for place in batch] for batch in islice(order, batches)]


def test_every_sample_is_shown_once_before_any_is_shown_again_and_never_in_the_same_order() -> None:
    shown = take_flat(Order(10, 4, seed=1), 10)
    rounds = [shown[:10], shown[10:20], shown[20:30], shown[30:]]
    assert all(sorted(r) == list(range(10)) for r in rounds)
    assert len({tuple(r) for r in rounds}) == 4
    assert take(Order(10, 4, seed=2), 10) != take(Order(10, 4, seed=1), 10)


def test_two_processes_show_together_what_one_shows_with_the_double_batch() -> None:
    one = take(Order(10, 8, seed=1), 5)
    both = zip(*(take(Order(10, 4, seed=1, rank=rank, world=2), 5) for rank in (0, 1)), strict=True)
    assert one == [first + second for first, second in both]


def test_an_order_begun_later_goes_on_where_the_other_was() -> None:
    assert take(Order(10, 4, seed=1, first=7), 3) == take(Order(10, 4, seed=1), 10)[7:]


def test_no_samples_are_no_order() -> None:
    with pytest.raises(ParameterError, match="no sample"):
        Order(0, 4, seed=1)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"batch": 2, "rank": 1}, {"batch": 2, "first": -1}])
def test_numbers_without_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match="count from 0"):
        next(sample_batches(Numbers(), seed=1, workers=0, **wrong))


class Numbers:
    """Ten samples, of which one may be unreadable."""

    def __init__(self, broken: int = -1) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 10

    def sample(self, index: int, rng: np.random.Generator) -> float:
        if index == self.broken:
            raise UnreadableFileError("image_7.png cannot be read.", "Copy it again.")
        return index + float(rng.uniform(0, 0.5))


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_and_their_changes_do_not_depend_on_who_loads_them(workers: int) -> None:
    got = torch.stack(list(islice(sample_batches(Numbers(), 4, 3, workers=workers), 6)))
    later = torch.stack(list(islice(sample_batches(Numbers(), 4, 3, first=4, workers=workers), 2)))
    assert torch.equal(got[4:], later)
    assert got.floor().flatten().int().tolist() == take_flat(Order(10, 4, seed=3), 6)
    here = torch.stack(list(islice(sample_batches(Numbers(), 4, 3, workers=0), 6)))
    assert torch.equal(got, here)
    first, again = (got.flatten()[i * 10 : i * 10 + 10].sort().values for i in (0, 1))
    assert not torch.equal(first, again)  # the same samples, changed anew


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_said_in_its_own_words(workers: int) -> None:
    with pytest.raises(UnreadableFileError) as told:
        list(islice(sample_batches(Numbers(broken=7), 4, 3, workers=workers), 10))
    assert (told.value.message, told.value.hint) == ("image_7.png cannot be read.", "Copy it again.")


def test_draws_depend_on_a_samples_place_in_the_global_batch_alone() -> None:
    whole = [Draws(1, 5, 2, first=0).of_sample(i).random() for i in range(8)]
    halves = [Draws(1, 5, 2, first=f).of_sample(i).random() for f in (0, 4) for i in range(4)]
    assert whole == halves
    assert len(set(whole)) == 8
    others = [Draws(2, 5, 2), Draws(1, 6, 2), Draws(1, 5, 3)]
    assert all(d.of_sample(0).random() not in whole for d in others)


def test_choices_of_the_batch_are_shared_and_seeds_are_not() -> None:
    one, two = Draws(1, 5, 2, first=0), Draws(1, 5, 2, first=4)
    assert one.shared.random(3).tolist() == two.shared.random(3).tolist()
    assert one.seed != two.seed
    assert one.seed == Draws(1, 5, 2, first=0).seed
    torch.Generator().manual_seed(one.seed)
