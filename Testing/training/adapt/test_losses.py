"""The loss against its formula, written out."""

from __future__ import annotations

import math

import pytest
import torch
from samprompt_training.adapt.losses import Answer, LossWeights, answer_loss, overlap_over_union


def _by_hand(logits: list[float], target: list[float], iou: float, weights: LossWeights) -> float:
    p = [1 / (1 + math.exp(-x)) for x in logits]
    dice = 1 - (2 * sum(a * t for a, t in zip(p, target, strict=True)) + 1) / (sum(p) + sum(target) + 1)
    focal = 0.0
    for a, t in zip(p, target, strict=True):
        right, alpha = (a, weights.focal_alpha) if t else (1 - a, 1 - weights.focal_alpha)
        focal -= alpha * (1 - right) ** weights.focal_gamma * math.log(right)
    found = [x > 0 for x in logits]
    both = sum(f and t > 0 for f, t in zip(found, target, strict=True))
    either = sum(f or t > 0 for f, t in zip(found, target, strict=True))
    actual = both / either if either else 1.0
    return weights.dice * dice + weights.focal * focal / len(p) + weights.iou * (iou - actual) ** 2


CASES = [
    ([2.0, -1.0, 0.5, -3.0], [1.0, 1.0, 0.0, 0.0], 0.7),
    ([-2.0, -1.0, -0.5, -3.0], [0.0, 0.0, 0.0, 0.0], 0.9),
    ([3.0, 3.0, -4.0, -4.0], [1.0, 1.0, 0.0, 0.0], 0.1),
]


@pytest.mark.parametrize("weights", [LossWeights(), LossWeights(focal=3, dice=2, focal_alpha=0.6, focal_gamma=1)])
def test_the_loss_is_dice_and_twenty_focal_and_the_squared_error_of_the_iou(weights: LossWeights) -> None:
    logits = torch.tensor([case[0] for case in CASES]).reshape(3, 1, 2, 2)
    target = torch.tensor([case[1] for case in CASES]).reshape(3, 1, 2, 2)
    iou = torch.tensor([case[2] for case in CASES])
    loss, parts = answer_loss(Answer(logits, iou), logits, target, weights)
    assert float(loss) == pytest.approx(sum(_by_hand(*case, weights) for case in CASES) / 3, rel=1e-5)
    assert set(parts) == {"dice", "focal", "iou"}
    assert all(not part.requires_grad for part in parts.values())


def test_the_defaults_are_those_of_the_methods_page() -> None:
    weights = LossWeights()
    assert (weights.dice, weights.focal, weights.focal_alpha, weights.focal_gamma, weights.iou) == (1, 20, 0.25, 2, 1)


def test_an_object_score_is_learnt_where_there_is_one() -> None:
    logits, target = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    target[0] = 1
    presence = torch.tensor([0.4, -0.3], requires_grad=True)
    answer = Answer(logits, torch.zeros(2), presence)
    with_score, parts = answer_loss(answer, logits, target, LossWeights())
    without, _ = answer_loss(Answer(logits, torch.zeros(2)), logits, target, LossWeights())
    expected = (math.log(1 + math.exp(-0.4)) + math.log(1 + math.exp(-0.3))) / 2
    assert float(with_score.detach() - without) == pytest.approx(expected, rel=1e-5)
    assert float(parts["presence"]) == pytest.approx(expected, rel=1e-5)
    none, _ = answer_loss(answer, logits, target, LossWeights(presence=0))
    assert float(none) == pytest.approx(float(without))


def test_two_empty_masks_agree() -> None:
    masks = torch.tensor([[0, 0, 0, 0], [1, 1, 0, 0]]).bool().reshape(2, 1, 2, 2)
    assert overlap_over_union(masks, masks.flip(0)).tolist() == [0.0, 0.0]
    assert overlap_over_union(masks, masks).tolist() == [1.0, 1.0]
