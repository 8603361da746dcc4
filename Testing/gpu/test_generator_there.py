"""Scenes and pairs that are made on the device that trains; the same seeds give what they give on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from samprompt_training.core.recipe import load_recipe
from samprompt_training.fields import Random
from samprompt_training.lesions import LesionParameters
from samprompt_training.prompts import boxes_of, choose_objects, corrupt, interior, sample_points
from samprompt_training.refiner.pairs import PairParameters, make_pairs
from samprompt_training.refiner.recipe import RefinerRecipe
from samprompt_training.refiner.task import RefinerTask
from samprompt_training.scenes import SceneParameters, make_scenes
from samprompt_training.tiny.recipe import TinyRecipe
from samprompt_training.tiny.task import TinyTask
from standin_device import ELSEWHERE, StandInDevice

CPU = torch.device("cpu")
SHORT: dict[str, Any] = {"batch": 2, "size": 64, "reuse": 2, "workers": 0, "validation_scenes": 16}


def tiny_task(**changes: Any) -> TinyTask:
    small = {"widths": (8, 16, 32, 64), "blocks": (1, 1, 1, 1)}
    return TinyTask(TinyRecipe(**(load_recipe("tiny", TinyRecipe).model_dump() | SHORT | small | changes)))


def refiner_task(**changes: Any) -> RefinerTask:
    small = {"widths": (8, 8, 16, 16)}
    return RefinerTask(RefinerRecipe(**(load_recipe("refiner", RefinerRecipe).model_dump() | SHORT | small | changes)))


Make = Callable[..., Any]
TASKS = pytest.mark.parametrize("make", [tiny_task, refiner_task])


def same(one: torch.Tensor, other: torch.Tensor, place: torch.device) -> None:
    """On the stand-in, whose generator is the CPU's, the same numbers; a GPU draws its own."""
    assert other.device == place
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    if place.type != "cuda":
        torch.testing.assert_close(other.cpu(), one, rtol=1e-3, atol=1e-3, equal_nan=True)


def test_random_fields_and_prompts_are_made_there(place: torch.device) -> None:
    scenes = make_scenes(Random(3, CPU), 2, SceneParameters(size=64))
    masks, _ = choose_objects(scenes, np.random.default_rng(0))
    there, prior = choose_objects(scenes.to(place), np.random.default_rng(0))
    same(masks, there, place)
    same(corrupt(Random(1, CPU), masks), corrupt(Random(1, place), there), place)
    same(boxes_of(masks, Random(2, CPU), 0.08), boxes_of(there, Random(2, place), 0.08), place)
    for one, other in zip(
        sample_points(Random(4, CPU), interior(masks), 3),
        sample_points(Random(4, place), interior(there), 3),
        strict=True,
    ):
        same(one, other, place)
    assert prior.device == place


def test_scenes_are_made_there(accelerator: torch.device) -> None:
    parameters = SceneParameters(size=64, lesions=LesionParameters(transparent=0.5))
    expected = make_scenes(Random(3, CPU), 2, parameters)
    found = make_scenes(Random(3, accelerator), 2, parameters)
    for one in fields(found):
        same(getattr(expected, one.name), getattr(found, one.name), accelerator)
    assert float(found.images.min()) >= 0.0
    assert float(found.images.max()) <= 1.0


def test_pairs_are_made_there(accelerator: torch.device) -> None:
    parameters = PairParameters(size=64)
    expected = make_pairs(Random(3, CPU), 2, parameters)
    found = make_pairs(Random(3, accelerator), 2, parameters)
    for one in fields(found):
        same(getattr(expected, one.name), getattr(found, one.name), accelerator)


def test_nobody_waits_while_scenes_and_their_prompts_are_made() -> None:
    with StandInDevice() as device:
        random = Random(3, ELSEWHERE)
        scenes = make_scenes(random, 2, SceneParameters(size=64, lesions=LesionParameters(transparent=0.5)))
        corrupt(random, (scenes.labels[0][:, None] > 0).float())
        boxes_of((scenes.labels[0][:, None] > 0).float(), random, 0.08)
    # small constants go there, which torch counts as copies; nothing is read and no size depends on what is there
    assert {kind for kind, _where in device.waits} == {"copied to the device"}
    assert {where.partition(":")[0] for _kind, where in device.waits} == {"samprompt_training/fields.py"}


@TASKS
def test_a_training_gets_its_data_from_where_the_recipe_says(make: Make, accelerator: torch.device) -> None:
    expected = list(islice(make().batches(3, 0, 1), 3))
    task = make(generator="device")
    task.trained.to(accelerator)
    for one, other in zip(expected, islice(task.batches(3, 0, 1), 3), strict=True):
        for part in fields(one):
            same(getattr(one, part.name), getattr(other, part.name), accelerator)
    (later,) = islice(task.batches(5, 0, 1), 1)  # as after a resume
    for part in fields(later):
        torch.testing.assert_close(getattr(later, part.name), getattr(other, part.name), equal_nan=True)


@TASKS
def test_data_made_on_the_cpu_are_the_cpus_for_every_device_and_a_gpu_can_copy_them_by_itself(
    make: Make, real: torch.device
) -> None:
    (expected,) = islice(make().batches(3, 0, 1), 1)
    task = make(generator="cpu")
    task.trained.to(real)
    (found,) = islice(task.batches(3, 0, 1), 1)
    for part in fields(expected):
        one, other = getattr(expected, part.name), getattr(found, part.name)
        assert torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
        assert other.is_pinned() == (real.type == "cuda")
        there = getattr(found.to(real, non_blocking=True), part.name)
        same(one, there, real)
