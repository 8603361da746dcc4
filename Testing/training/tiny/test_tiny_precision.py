"""The built-in model in bfloat16: what needs all digits has them, and the figures are those of full precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from samprompt import resources
from samprompt.models.tiny import load_tiny
from samprompt_training.core.recipe import load_recipe
from samprompt_training.core.task import Draws
from samprompt_training.fields import Random
from samprompt_training.scenes import Scenes, make_scenes
from samprompt_training.tiny import task as tiny_task
from samprompt_training.tiny.prompting import Given
from samprompt_training.tiny.recipe import TinyRecipe
from samprompt_training.tiny.task import TinyTask
from torch import Tensor

LOSS = 0.02  # largest difference of a part of the loss, relative or, of small ones, absolute; measured: 0.005
LEAST_COSINE = 0.98  # of the two gradients; measured: 0.994 and more
FIGURES = 0.01  # largest difference of a validation's figure, a Dice; measured: 0.002


def shipped(**changes: Any) -> TinyTask:
    """The model that is shipped, whose answers are as far from zero as a trained one's, in its own training."""
    path = resources.root() / "models" / "tiny.safetensors"
    config = load_tiny(path).model.config
    same = {name: config[name] for name in ("widths", "blocks", "skips", "ellipse")}
    sizes = {"size": config["input_size"], "decoder_blocks": config["decoder_blocks"] or None}
    short = {"batch": 2, "validation_scenes": 8}
    recipe = TinyRecipe(**(load_recipe("tiny", TinyRecipe).model_dump() | same | sizes | short | changes))
    return TinyTask(recipe, start=path)


def bfloat16(on: bool = True) -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=on)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return make_scenes(Random(4, torch.device("cpu")), 2, shipped().recipe.scenes())


def learnt(task: TinyTask, scenes: Scenes, low: bool) -> tuple[dict[str, float], Tensor]:
    """Parts of the loss, and the gradient of all parameters as one vector."""
    task.trained.zero_grad()
    with bfloat16(low):
        loss, parts, _ = task.trained(scenes, Draws(1, 0, 0))
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in task.trained.parameters() if p.grad is not None])
    return {name: float(value) for name, value in parts.items()} | {"loss": float(loss.detach())}, gradient


@pytest.mark.parametrize("kind", ["prior", "box", "box+prior", "prior+points"])
def test_losses_and_gradients_are_those_of_full_precision(
    scenes: Scenes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(_random: Random, given: Given, logits: Tensor, _target: Tensor) -> Given:
        # a correcting point lies elsewhere as soon as one pixel differs; the answer goes round all the same
        return Given(given.points, given.boxes, logits.detach())

    monkeypatch.setattr(tiny_task, "next_prompts", again)
    task = shipped(prompts={kind: 1.0})
    full, wanted = learnt(task, scenes, low=False)
    low, found = learnt(task, scenes, low=True)
    assert low == pytest.approx(full, rel=LOSS, abs=LOSS)
    assert low != full  # it did compute otherwise
    assert found.isfinite().all()
    assert float(torch.cosine_similarity(found, wanted, dim=0)) > LEAST_COSINE


def test_losses_and_the_next_prompts_get_all_digits(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()

    def watch(name: str, casts: bool) -> None:
        original: Callable[..., Any] = getattr(tiny_task, name)

        def watched(*given: Any, **more: Any) -> Any:
            called.add(name)
            tensors = [one for one in given if isinstance(one, Tensor)]
            assert tensors
            assert all(one.dtype == torch.float32 for one in tensors)
            assert torch.is_autocast_enabled("cpu") == casts
            found = original(*given, **more)
            for one in vars(found).values() if isinstance(found, Given) else [found]:
                for part in one if isinstance(one, tuple) else [one]:
                    assert part is None or part.dtype in (torch.float32, torch.int64)
            return found

        monkeypatch.setattr(tiny_task, name, watched)

    for name in ("mask_loss", "score_loss", "correspondence_loss"):
        watch(name, casts=False)
    watch("next_prompts", casts=True)  # compares and resizes only, in the precision of what it is given
    seen: set[torch.dtype] = set()
    task = shipped(prompts={"click": 1.0})
    task.trained.model.decoder.register_forward_hook(lambda _module, _given, answer: seen.add(answer[0].dtype))
    with bfloat16():
        loss, _, _ = task.trained(scenes, Draws(1, 0, 0))
    assert called == {"mask_loss", "score_loss", "correspondence_loss", "next_prompts"}
    assert seen == {torch.bfloat16}  # the model itself did not
    assert loss.dtype == torch.float32


def test_a_validation_in_bfloat16_gives_the_figures_of_full_precision() -> None:
    task = shipped()
    task.trained.eval()
    with torch.no_grad():
        full = task.validate(task.trained)
        with bfloat16():
            low = task.validate(task.trained)
    assert low == pytest.approx(full, abs=FIGURES)
    assert full["mean"] > 0.6
