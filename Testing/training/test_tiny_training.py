"""The built-in model's training: scenes, prompts, losses, and that a run learns and resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from samprompt.models.tiny import load_tiny
from samprompt_training.fields import Random, sample_at, sampling_grid
from samprompt_training.prompts import boxes_of, choose_objects, corrupt, interior, sample_points
from samprompt_training.scenes import SceneParameters, make_scenes
from samprompt_training.tiny import Recipe, shipped_recipe, train
from samprompt_training.tiny_losses import correspondence_loss, mask_loss
from scipy import ndimage

CPU = torch.device("cpu")


def recipe(**changes) -> Recipe:
    short = {"size": 64, "scenes": 2, "steps": 6, "warmup_steps": 2, "validate_every": 100, "checkpoint_every": 3}
    return Recipe(**(shipped_recipe("tiny.yaml") | short | {"threads": 1, "max_minutes": 100.0} | changes))


def test_the_same_seed_makes_the_same_scenes() -> None:
    one, two = (make_scenes(Random(5, CPU), 3, SceneParameters(size=64)) for _ in range(2))
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.labels, two.labels)
    assert not torch.equal(one.images, make_scenes(Random(6, CPU), 3, SceneParameters(size=64)).images)


def test_scenes_are_grey_levels_with_labels_and_independent_noise_at_the_two_visits() -> None:
    scenes = make_scenes(Random(1, CPU), 6, SceneParameters(size=64))
    assert scenes.images.shape == (2, 6, 3, 64, 64)
    assert 0.0 <= float(scenes.images.min()) <= float(scenes.images.max()) <= 1.0
    assert bool((scenes.labels >= 100).any())
    noise = scenes.images - torch.nn.functional.avg_pool2d(scenes.images.flatten(0, 1), 5, 1, 2).view_as(scenes.images)
    first, second = (n.flatten().numpy() for n in noise[:, :, 1, 20:44, 20:44])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.5


def test_places_say_which_pixel_of_the_first_visit_is_seen_at_the_second() -> None:
    parameters = SceneParameters(size=96, lesions=3, vanish=0.0)
    scenes = make_scenes(Random(3, CPU), 4, parameters)
    background = scenes.labels[0].float()[:, None]
    moved = sample_at(background, scenes.places, mode="nearest")[:, 0]
    same = (moved == scenes.labels[1].float())[(scenes.labels[1] < 100) & (moved < 100)]
    assert float(same.float().mean()) > 0.97


def test_boxes_are_the_tight_ones_of_scipy() -> None:
    rng = np.random.default_rng(0)
    masks = torch.from_numpy((rng.random((5, 1, 40, 40)) < 0.01).astype(np.float32))
    masks[:, 0, 12, 20] = 1.0
    for box, mask in zip(boxes_of(masks).tolist(), masks[:, 0].numpy(), strict=True):
        rows, columns = ndimage.find_objects((mask > 0).astype(int))[0]
        assert box == [columns.start, rows.start, columns.stop, rows.stop]
    assert boxes_of(torch.zeros(1, 1, 8, 8)).tolist() == [[0.0, 0.0, 8.0, 8.0]]


def test_points_are_drawn_inside_and_mostly_deep() -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 10:30, 10:30] = 1
    points, valid = sample_points(Random(0, CPU), interior(mask), 200)
    assert bool(valid.all())
    x, y = points[0, :, 0], points[0, :, 1]
    assert float(x.min()) > 10
    assert float(x.max()) < 30
    assert float(((x > 13) & (x < 27) & (y > 13) & (y < 27)).float().mean()) > 0.55
    assert not bool(sample_points(Random(0, CPU), torch.zeros(1, 1, 8, 8), 1)[1].any())


def test_corrupted_priors_still_resemble_their_objects() -> None:
    mask = (((sampling_grid(96, CPU) - 48) ** 2).sum(0) < 20**2).float()[None, None].expand(40, -1, -1, -1)
    soft = corrupt(Random(2, CPU), mask)
    assert 0.0 <= float(soft.min()) <= float(soft.max()) <= 1.0
    hard = (soft > 0.5).float()
    dice = 2 * (hard * mask).sum((1, 2, 3)) / (hard + mask).sum((1, 2, 3))
    assert 0.55 < float(dice.median()) < 0.97
    assert float(dice.std()) > 0.03


def test_targets_and_registered_priors_belong_together() -> None:
    scenes = make_scenes(Random(4, CPU), 8, SceneParameters(size=96))
    target, prior = choose_objects(scenes, np.random.default_rng(1))
    assert target.shape == prior.shape == (16, 1, 96, 96)
    there = (target.sum((1, 2, 3)) > 50) & (prior.sum((1, 2, 3)) > 50)
    dice = 2 * (target * prior).sum((1, 2, 3)) / (target + prior).sum((1, 2, 3)).clamp_min(1)
    assert float(dice[there].median()) > 0.6


def test_the_mask_loss_is_least_at_the_truth_and_silent_about_dice_of_absent_objects() -> None:
    target = torch.zeros(1, 1, 16, 16)
    target[..., 4:12, 4:12] = 1
    right = mask_loss((target * 2 - 1) * 12, target)
    assert float(right) < 0.01
    assert float(mask_loss((target * 2 - 1) * -12, target)) > 2.0
    empty = torch.zeros_like(target)
    assert float(mask_loss(torch.full_like(target, -12.0), empty)) < 0.01


def test_the_correspondence_loss_rewards_features_that_tell_labels_apart() -> None:
    scenes = make_scenes(Random(7, CPU), 3, SceneParameters(size=64))
    labels = scenes.labels.flatten(0, 1)[:, 2::4, 2::4]
    telling = torch.nn.functional.one_hot(labels.clamp(max=127), 128).permute(0, 3, 1, 2).float()
    torch.manual_seed(0)
    noise = torch.nn.functional.normalize(torch.randn_like(telling), dim=1)
    assert float(correspondence_loss(telling, scenes, Random(0, CPU))) < float(
        correspondence_loss(noise, scenes, Random(0, CPU))
    )


def test_an_unknown_key_in_a_recipe_is_named() -> None:
    with pytest.raises(ValidationError, match=r"learning_rat\b"):
        Recipe(**(shipped_recipe("tiny.yaml") | {"learning_rat": 1.0}))


def test_a_run_lowers_its_loss(tmp_path: Path) -> None:
    train(recipe(steps=40, learning_rate=1e-3, checkpoint_every=1000, log_every=10), tmp_path)
    log = (tmp_path / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["mask"] for line in log if '"mask"' in line]
    assert load_tiny(tmp_path / "tiny.safetensors").input_size == 64
    assert len(losses) == 4
    assert losses[-1] < 0.9 * losses[0]


def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = train(recipe(), tmp_path / "whole")
    train(recipe(), tmp_path / "parts", stop_at=3)
    resumed = train(recipe(), tmp_path / "parts")
    one, two = (load_tiny(path).model.state_dict() for path in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
