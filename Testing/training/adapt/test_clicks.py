"""Prompts made from the truth, and what the last answer got wrong."""

from __future__ import annotations

import numpy as np
import torch
from samprompt_training.adapt.clicks import first_prompts, next_prompts, noisy_box
from samprompt_training.adapt.schedule import Turn
from samprompt_training.core.task import Draws
from small_models import discs, draws


def _at(mask: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Value of the masks (B, 1, H, W) under points (B, P, 2)."""
    x, y = (points[..., n].floor().long() for n in (0, 1))
    return torch.stack([mask[n, 0, y[n], x[n]] for n in range(len(mask))])


def test_a_first_point_is_a_pixel_of_the_structure_and_an_absent_one_has_none() -> None:
    target = discs(6, absent=(2,))["mask"]
    for step in range(20):
        given = first_prompts(Turn("point"), target, draws(step).of_sample, 0.1, 20.0)
        there = torch.arange(6) != 2
        assert given.labels.tolist() == [[1.0]] * 2 + [[-1.0]] + [[1.0]] * 3
        assert bool((_at(target, given.points)[there] == 1).all())
        assert torch.equal(given.points % 1.0, torch.where(there[:, None, None], 0.5, 0.0).expand(6, 1, 2))


def test_first_points_reach_every_pixel_of_the_structure() -> None:
    target = torch.zeros(1, 1, 16, 16)
    target[..., 4:6, 7:9] = 1
    found = {
        tuple(first_prompts(Turn("point"), target, draws(step).of_sample, 0, 0).points[0, 0].tolist())
        for step in range(60)
    }
    assert found == {(7.5, 4.5), (8.5, 4.5), (7.5, 5.5), (8.5, 5.5)}


def test_a_box_without_noise_is_the_tight_one_and_noise_follows_the_side() -> None:
    mask = np.zeros((64, 200), bool)
    mask[20:30, 50:150] = True
    assert noisy_box(mask, np.random.default_rng(0), 0.0, 20.0).tolist() == [50, 20, 150, 30]
    boxes = np.stack([noisy_box(mask, np.random.default_rng(n), 0.1, 20.0) for n in range(400)])
    spread = boxes.std(axis=0)
    assert 7.5 < spread[0] < 11.0  # 10 % of 100 pixels, cut at 20
    assert 0.8 < spread[1] < 1.2
    assert np.abs(boxes - [50, 20, 150, 30]).max() <= 20.0
    assert noisy_box(np.zeros((8, 9), bool), np.random.default_rng(0), 0.1, 20.0).tolist() == [0, 0, 9, 8]


def test_a_box_holds_all_parts_of_a_structure() -> None:
    target = torch.zeros(1, 1, 32, 32)
    target[..., 2:4, 3:5] = target[..., 20:25, 28:30] = 1
    given = first_prompts(Turn("box"), target, draws().of_sample, 0.0, 20.0)
    assert given.boxes.tolist() == [[3, 2, 30, 25]]


def test_a_prior_is_a_wrong_contour_that_resembles_the_truth_as_mask_logits() -> None:
    target = discs(3, absent=(1,))["mask"]
    overlaps = []
    for step in range(12):
        given = first_prompts(Turn("prior"), target, draws(step).of_sample, 0.1, 20.0, 32)
        assert given.masks.shape == (3, 1, 32, 32)
        assert float(given.masks.abs().max()) <= 4.0 + 1e-5
        assert bool((given.masks[1] < 0).all())
        assert given.points is None
        assert given.boxes is None
        found = torch.nn.functional.interpolate(given.masks, (64, 64), mode="bilinear", align_corners=False) > 0
        both = (found & (target > 0)).sum((1, 2, 3)) * 2 / (found.sum((1, 2, 3)) + target.sum((1, 2, 3)))
        overlaps += [float(both[0]), float(both[2])]
    assert 0.6 < float(np.median(overlaps)) < 0.98
    assert min(overlaps) < 0.85
    again = first_prompts(Turn("prior"), target[2:], Draws(5, 11, 0, first=2).of_sample, 0.1, 20.0, 32)
    torch.testing.assert_close(again.masks[0], given.masks[2])


def test_later_points_lie_on_errors_and_their_label_says_what_is_missing() -> None:
    target = discs(4, seed=1)["mask"]
    answer = torch.roll(target, (6, -5), (2, 3))
    logits = torch.randn(4, 1, 16, 16)
    for points in (1, 5):
        given = next_prompts(Turn(points=points), target, answer, logits, draws(points).of_sample)
        assert given.points.shape == (4, points, 2)
        assert bool((_at(target, given.points) != _at(answer, given.points)).all())
        assert torch.equal(given.labels, _at(target, given.points))
        assert given.masks is logits
    assert {0.0, 1.0} == set(given.labels.flatten().tolist())


def test_a_mask_only_iteration_gives_the_logits_and_nothing_else() -> None:
    logits = torch.randn(1, 1, 16, 16)
    given = next_prompts(Turn(), torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), logits, draws().of_sample)
    assert given.points is None
    assert given.boxes is None
    assert torch.equal(given.masks, logits)


def test_a_perfect_answer_is_confirmed_and_a_perfectly_empty_one_gets_no_point() -> None:
    target = discs(2, absent=(1,))["mask"]
    given = next_prompts(Turn(points=1), target, target, torch.zeros(2, 1, 16, 16), draws().of_sample)
    assert given.labels.tolist() == [[1.0], [-1.0]]
    assert float(_at(target, given.points)[0, 0]) == 1.0


def test_the_same_place_in_the_global_batch_gets_the_same_prompt() -> None:
    target = discs(4)["mask"]
    whole = first_prompts(Turn("point"), target, Draws(5, 0, 0).of_sample, 0.1, 20.0)
    second = first_prompts(Turn("point"), target[2:], Draws(5, 0, 0, first=2).of_sample, 0.1, 20.0)
    assert torch.equal(whole.points[2:], second.points)
