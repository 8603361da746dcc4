"""The built-in model's losses, task and runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from samprompt.contract.errors import ParameterError
from samprompt.models.tiny import load_tiny
from samprompt.models.tiny_decoder import draw_dense
from samprompt_training.core.loop import train
from samprompt_training.core.recipe import load_recipe
from samprompt_training.core.task import Draws
from samprompt_training.fields import Random
from samprompt_training.scenes import SceneParameters, make_scenes
from samprompt_training.tiny.losses import correspondence_loss, mask_loss
from samprompt_training.tiny.prompting import Given, first_prompts, next_prompts
from samprompt_training.tiny.recipe import PROMPTS, TinyRecipe
from samprompt_training.tiny.task import TinyTask

CPU = torch.device("cpu")


def recipe(**changes) -> TinyRecipe:
    short = {"size": 64, "batch": 2, "steps": 6, "validate_every": 3, "checkpoint_every": 3, "validation_scenes": 8}
    small = {"widths": (8, 16, 32, 64), "blocks": (1, 1, 1, 1), "precision": "fp32", "log_every": 1}
    return TinyRecipe(**(load_recipe("tiny", TinyRecipe).model_dump() | short | small | changes))


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


def disc(size: int = 64, radius: float = 12.0, n: int = 3) -> torch.Tensor:
    axis = torch.arange(size) + 0.5 - size / 2
    return ((axis[None] ** 2 + axis[:, None] ** 2) < radius**2).float().expand(n, 1, size, size)


def test_every_kind_of_prompt_belongs_to_its_object() -> None:
    target = disc()
    for kind in PROMPTS:
        given = first_prompts(Random(3, CPU), kind, target, target, 32)
        assert (given.masks is not None) == ("prior" in kind)
        assert (given.boxes is not None) == kind.startswith("box")
        assert (given.points is not None) == (kind == "click" or "points" in kind)
        if given.points is not None:
            places, labels = given.points
            inside = target[:, 0][torch.arange(3)[:, None], places[..., 1].long(), places[..., 0].long()]
            assert torch.equal(inside[labels == 1], torch.ones_like(inside[labels == 1]))
            assert not bool(inside[labels == 0].any())
        if given.boxes is not None:
            assert float((given.boxes - torch.tensor([20.0, 20.0, 44.0, 44.0])).abs().max()) <= 0.08 * 24 + 1e-4


def test_a_correcting_point_lies_in_an_error_and_says_which_kind() -> None:
    target, wrong = disc(radius=14.0), disc(radius=10.0)
    wrong = torch.roll(wrong, 10, dims=-1)
    logits = torch.nn.functional.avg_pool2d(wrong * 16 - 8, 2)
    seen = set()
    for seed in range(40):
        given = next_prompts(Random(seed, CPU), Given(), logits, target)
        if given.boxes is not None:
            assert given.boxes.tolist() == [[32.0, 22.0, 52.0, 42.0]] * 3
            continue
        assert given.points is not None
        (places, labels) = given.points
        for n in range(3):
            x, y = places[n, 0].long().tolist()
            assert labels[n, 0] == target[n, 0, y, x]
            assert target[n, 0, y, x] != wrong[n, 0, y, x]
            seen.add(int(labels[n, 0]))
    assert seen == {0, 1}


def test_an_object_that_is_gone_gets_the_box_of_its_prior_and_no_positive_point() -> None:
    gone = torch.zeros(3, 1, 64, 64)
    box = first_prompts(Random(0, CPU), "box", gone, disc(), 32).boxes
    assert box is not None
    assert float((box - torch.tensor([20.0, 20.0, 44.0, 44.0])).abs().max()) <= 0.08 * 24 + 1e-4
    points = first_prompts(Random(0, CPU), "click", gone, disc(), 32).points
    assert points is not None
    assert bool((points[1] == -1).all())


def test_the_loss_reaches_every_parameter() -> None:
    r = recipe(objects=12)
    task = TinyTask(r)
    loss, parts, carried = task.trained(make_scenes(Random(1, CPU), 2, SceneParameters(size=64)), Draws(1, 0, 0))
    assert carried is None
    weighted = parts["mask"] + r.score_weight * parts["score"] + r.contrast_weight * parts["contrast"]
    assert float(loss.detach()) == pytest.approx(float(weighted), rel=1e-5)
    loss.backward()
    silent = [name for name, p in task.trained.named_parameters() if p.grad is None or not bool(p.grad.any())]
    # SAM's prompt encoder has embeddings that this model never looks up
    assert all("no_mask_embed" in name or "not_a_point" in name for name in silent), silent


def test_a_misspelt_key_in_a_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\nwidhts: [8, 16, 32, 64]\n")
    with pytest.raises(ParameterError, match="widhts") as caught:
        load_recipe(path, TinyRecipe)
    assert "widths" in caught.value.hint


def test_a_run_lowers_its_loss_and_beats_a_model_that_never_learned(tmp_path: Path) -> None:
    r = recipe(steps=60, learning_rate=2e-3, checkpoint_every=1000, validate_every=60, ema=0.0)
    before = TinyTask(r).validate(TinyTask(r).trained.eval())
    outcome = train(TinyTask(r), r, tmp_path, tensorboard=False)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    masks = [entry["parts"]["mask"] for entry in entries if "parts" in entry]
    assert load_tiny(outcome.weights).input_size == 64
    assert np.mean(masks[-10:]) < 0.8 * np.mean(masks[:10])
    assert outcome.best is not None
    assert outcome.best["metric"] > before["mean"]


def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    r = recipe()
    whole = train(TinyTask(r), r, tmp_path / "whole", tensorboard=False).weights
    train(TinyTask(r), r, tmp_path / "parts", stop_at=3, tensorboard=False)
    resumed = train(TinyTask(r), r, tmp_path / "parts", tensorboard=False).weights
    one, two = (load_tiny(path).model.state_dict() for path in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_without_a_gpu_a_run_is_the_same_wherever_the_recipe_has_its_scenes_made(tmp_path: Path) -> None:
    ends = []
    for place in ("cpu", "device"):
        r = recipe(generator=place, steps=3)
        outcome = train(TinyTask(r), r, tmp_path / place, tensorboard=False, device="cpu")
        ends.append(load_tiny(outcome.weights).model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_validation_says_what_prior_and_ellipse_are_worth_by_themselves() -> None:
    task = TinyTask(recipe(validation_scenes=16))
    figures = task.validate(task.trained.eval())
    assert figures == task.validate(task.trained.eval())
    assert set(PROMPTS) <= set(figures)
    assert 0.5 < figures["ellipse"] < 0.9
    assert 0.5 < figures["prior as given"] < 0.95


def test_a_run_can_start_from_weights_and_first_answers_as_they_did(tmp_path: Path) -> None:
    first = TinyTask(recipe(seed=5))
    first.export(first.trained, tmp_path / "first.safetensors", {})
    wider = TinyTask(recipe(ellipse=True), start=tmp_path / "first.safetensors")
    scenes = make_scenes(Random(1, CPU), 2, SceneParameters(size=64))
    boxes = torch.tensor([[10.0, 12.0, 40.0, 50.0]]).expand(4, 4)
    answers = []
    for model in (load_tiny(tmp_path / "first.safetensors").model, wider.trained.model.eval()):
        with torch.no_grad():
            tokens, _matching, skip4, skip2 = model.encoder(scenes.images.flatten(0, 1))
            answers.append(model.decoder(tokens, skip4, skip2, None, boxes, None)[0])
    assert torch.allclose(answers[0], answers[1], atol=1e-5)
    wider.export(wider.trained, tmp_path / "wider.safetensors", {})
    assert load_tiny(tmp_path / "wider.safetensors").model.config["ellipse"] is True
    with pytest.raises(ParameterError, match="other sizes"):
        TinyTask(recipe(widths=(16, 16, 32, 64)), start=tmp_path / "first.safetensors")


def test_a_box_drawn_as_an_ellipse_is_one_in_its_middle_and_nothing_on_its_edges() -> None:
    boxes = torch.tensor([[8.0, 16.0, 40.0, 32.0]])
    drawn = draw_dense(48, 48.0, None, None, boxes, None, 1, CPU, ellipse=True)[0, 4]
    y, x = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(48) + 0.5, indexing="ij")
    inside = ((x - 24) / 16) ** 2 + ((y - 24) / 8) ** 2 < 1
    assert torch.equal(drawn > 0, inside)
    assert float(drawn.max()) > 0.98
    assert float(drawn.min()) == -1.0
    assert draw_dense(48, 48.0, None, None, boxes, None, 1, CPU).shape[1] == 4
