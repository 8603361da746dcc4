"""Which prompt comes when: the counts of the methods page."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError
from samprompt_training.adapt.recipe import AdaptRecipe, Interaction
from samprompt_training.adapt.schedule import plan_turns
from small_models import SHORT

FIRST = ("none", "point", "box")


def _plans(count: int, **options):
    return [plan_turns(np.random.default_rng(seed), FIRST, **options) for seed in range(count)]


def test_the_papers_eleven_iterations_are_one_first_prompt_eight_points_and_two_masks_with_a_mask_last() -> None:
    for turns in _plans(200):
        assert len(turns) == 11
        assert turns[0].first in FIRST
        assert all(turn.first is None for turn in turns[1:])
        assert Counter(turn.points for turn in turns[1:]) == {1: 8, 0: 2}
        assert turns[-1].mask_only


def test_the_other_mask_comes_anywhere_and_the_first_prompts_are_equally_frequent() -> None:
    plans = _plans(900)
    firsts = Counter(turns[0].first for turns in plans)
    assert all(240 < firsts[kind] < 360 for kind in FIRST)
    places = Counter(n for turns in plans for n, turn in enumerate(turns[1:10], 1) if turn.mask_only)
    assert set(places) == set(range(1, 10))
    assert min(places.values()) > 60


def test_the_published_code_draws_one_to_nine_points_and_a_mask_alone_in_one_of_nine() -> None:
    plans = _plans(900, variant="code")
    between = [turn.points for turns in plans for turn in turns[1:10]]
    assert all(turns[10].mask_only and len(turns) == 11 for turns in plans)
    counts = Counter(between)
    assert set(counts) == set(range(10))
    assert counts[0] / len(between) == pytest.approx(1 / 9, abs=0.015)
    for points in range(1, 10):
        assert counts[points] / len(between) == pytest.approx(8 / 81, abs=0.015)


@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_short_schedules_keep_the_first_prompt_and_end_with_a_mask(iterations: int, variant: str) -> None:
    turns = plan_turns(np.random.default_rng(0), ("box",), variant, iterations)
    assert len(turns) == iterations
    assert turns[0].first == "box"
    assert iterations == 1 or turns[-1].mask_only


def test_without_mask_only_iterations_every_later_one_has_a_point() -> None:
    turns = plan_turns(np.random.default_rng(0), FIRST, "paper", 5, mask_only=0)
    assert [turn.points for turn in turns[1:]] == [1, 1, 1, 1]


def test_a_schedule_that_cannot_be_is_refused_with_its_key() -> None:
    with pytest.raises(ValidationError, match="mask_only"):
        Interaction(iterations=2, mask_only=3)
    with pytest.raises(ValidationError, match="first"):
        Interaction(first=())
    with pytest.raises(ValidationError, match="nothing would be trained"):
        AdaptRecipe(**SHORT, lora=None, parts=())
