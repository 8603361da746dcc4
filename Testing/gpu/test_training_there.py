"""Training on a device: the losses are the CPU's, a run in bfloat16 is finite and goes on, memory comes back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_models
import torch
from safetensors.torch import load_file
from samprompt.models.registry import Weights
from samprompt_training.adapt.interactive import InteractiveAdaptation
from samprompt_training.adapt.task import AdaptTask
from samprompt_training.core.loop import train
from samprompt_training.core.recipe import load_recipe
from samprompt_training.core.task import Draws
from samprompt_training.fields import Random
from samprompt_training.refiner.pairs import make_pairs
from samprompt_training.refiner.recipe import RefinerRecipe
from samprompt_training.refiner.task import RefinerTask
from samprompt_training.scenes import make_scenes
from samprompt_training.tiny.recipe import TinyRecipe
from samprompt_training.tiny.task import TinyTask
from torch import Tensor, nn

CPU = torch.device("cpu")
SHORT: dict[str, Any] = {
    "batch": 2, "steps": 4, "validate_every": 2, "checkpoint_every": 2, "log_every": 1, "threads": 1,
}  # fmt: skip
FAMILIES = ("sam", "sam2", "tiny")
EVERY = ("encoder", "patch_embedding", "neck", "prompt_encoder", "decoder")
FIRST = {"first": ("none", "point", "box", "prior"), "iterations": 4}


def tiny_recipe(**changes: Any) -> TinyRecipe:
    small = {"size": 64, "widths": (8, 16, 32, 64), "blocks": (1, 1, 1, 1), "validation_scenes": 8, "precision": "fp32"}
    return TinyRecipe(**(load_recipe("tiny", TinyRecipe).model_dump() | SHORT | small | changes))


def refiner_recipe(**changes: Any) -> RefinerRecipe:
    small = {"widths": (8, 8, 16, 16), "validation_scenes": 16, "workers": 0, "reuse": 1, "precision": "fp32"}
    return RefinerRecipe(**(load_recipe("refiner", RefinerRecipe).model_dump() | SHORT | small | changes))


def steps(trained: Any, batch: Any, device: torch.device, count: int = 3) -> list[float]:
    """Losses of some steps of AdamW on one batch."""
    trained.to(device).train()
    learning = [p for p in trained.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=1e-3)
    losses = []
    for step in range(count):
        carried: Any = None
        for iteration in range(trained.iterations):
            loss, parts, carried = trained(batch, Draws(5, step, iteration), carried)
            assert loss.device == device
            assert all(isinstance(p, Tensor) and p.device == device for p in parts.values())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
    assert {str(p.device) for p in trained.parameters()} == {str(device)}
    assert any(p.grad is not None for p in learning)
    return losses


def test_the_built_in_model_learns_there_what_it_learns_here(place: torch.device) -> None:
    recipe = tiny_recipe()
    scenes = make_scenes(Random(3, CPU), recipe.batch, recipe.scenes())
    expected = steps(TinyTask(recipe).trained, scenes, CPU)
    found = steps(TinyTask(recipe).trained, scenes.to(place), place)
    if place.type == "cuda":  # a GPU draws other random numbers: other prompts
        assert all(math.isfinite(loss) for loss in found)
    else:
        assert found == pytest.approx(expected, rel=1e-3)


def test_the_refiner_learns_there_what_it_learns_here(place: torch.device) -> None:
    recipe = refiner_recipe()
    pairs = make_pairs(Random(3, CPU), recipe.batch, recipe.pairs())
    expected = steps(RefinerTask(recipe).trained, pairs, CPU)
    assert steps(RefinerTask(recipe).trained, pairs.to(place), place) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("how", ["LoRA", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_adaptation_learns_there_what_it_learns_here(
    accelerator: torch.device, exact: None, family: str, how: str
) -> None:
    changes = {"interaction": FIRST} | ({"lora": None, "parts": EVERY} if how == "full" else {})

    def trained() -> InteractiveAdaptation:
        return InteractiveAdaptation(getattr(small_models, f"{family}_family")(), small_models.recipe(**changes))

    batch = small_models.discs(2)
    expected = steps(trained(), batch, CPU)
    there = {name: tensor.to(accelerator) for name, tensor in batch.items()}
    found = steps(trained(), there, accelerator)
    if accelerator.type == "cuda":  # one pixel more in an answer, and the next click is elsewhere
        assert found[0] == pytest.approx(expected[0], rel=1e-2)
        assert all(math.isfinite(loss) for loss in found)
    else:
        assert found == pytest.approx(expected, rel=1e-3)


class Discs:
    """Two slices as training data."""

    def __init__(self) -> None:
        discs = small_models.discs(2)
        self._items = [{"image": i, "mask": m} for i, m in zip(discs["image"], discs["mask"], strict=True)]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._items[index] | {"patient": "one", "case": "one", "structure": "disc"}

    def sample(self, index: int, _rng: Any) -> dict[str, Any]:
        return self._items[index]


def adaptation(precision: str) -> tuple[Any, Any]:
    recipe = small_models.recipe(
        interaction={"iterations": 3},
        workers=0,
        precision=precision,
        monitor="dice_box",
        ema=0.5,
        threads=1,
        log_every=1,
    )
    base = Weights(Path(), "vit_b", "small", "0" * 64)
    discs: Any = Discs()
    return AdaptTask(small_models.sam_family(), base, recipe, discs, discs), recipe


TASKS: dict[str, Callable[[str], tuple[Any, Any]]] = {
    "tiny": lambda precision: (TinyTask(recipe := tiny_recipe(precision=precision)), recipe),
    "refiner": lambda precision: (RefinerTask(recipe := refiner_recipe(precision=precision)), recipe),
    "adaptation": adaptation,
    "tiny, its scenes made there": lambda precision: (
        TinyTask(recipe := tiny_recipe(precision=precision, generator="device")),
        recipe,
    ),
    "refiner, its pairs made there": lambda precision: (
        RefinerTask(recipe := refiner_recipe(precision=precision, generator="device")),
        recipe,
    ),
}


@pytest.mark.parametrize("which", TASKS)
def test_a_run_in_bfloat16_is_finite_stops_and_goes_on(
    which: str, real: torch.device, tmp_path: Path, allocated: Callable[[torch.device], int]
) -> None:
    if real.type == "cpu" and which.endswith("made there"):
        pytest.skip("on the CPU a run is the same wherever its data are made; the trainings' own tests have that")

    def run(folder: str, **how: Any) -> Any:
        task, recipe = TASKS[which]("bf16")
        return train(task, recipe, tmp_path / folder, tensorboard=False, device=real.type, **how)

    run("warm", stop_at=1)  # libraries take memory of their own at their first use, and keep it
    before = allocated(real)
    assert run("stopped", stop_at=2).status == "paused"
    gone_on = run("stopped")
    whole = run("whole")
    assert gone_on.status == whole.status == "finished"
    assert gone_on.step == whole.step == 4
    logs = []
    for folder in ("stopped", "whole"):
        entries = [json.loads(line) for line in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        logs.append([entry["loss"] for entry in entries if "loss" in entry])
        assert len(logs[-1]) == 4
        assert all(math.isfinite(loss) for loss in logs[-1])
    ends = [load_file(tmp_path / folder / "last.safetensors") for folder in ("stopped", "whole")]
    assert ends[0].keys() == ends[1].keys()
    if real.type == "cpu":
        assert logs[0] == logs[1]
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    else:  # sums on a GPU have no fixed order
        assert logs[0][0] == pytest.approx(logs[1][0], rel=0.02)
        assert allocated(real) == before
    kept = torch.load(tmp_path / "stopped" / "checkpoint.pt", weights_only=True)["updates"]["optimiser"]["state"]
    counts = {int(state["step"]) for state in kept.values()}
    assert max(counts) == 4 * TASKS[which]("bf16")[0].trained.iterations  # the moments went on, too


def test_the_weights_really_compute_in_bfloat16(real: torch.device, tmp_path: Path) -> None:
    task, recipe = TASKS["refiner"]("bf16")
    seen: set[torch.dtype] = set()

    def note(_module: nn.Module, _given: Any, answer: Tensor) -> None:
        seen.add(answer.dtype)

    task.trained.network.stem.register_forward_hook(note)
    train(task, recipe, tmp_path, tensorboard=False, device=real.type, stop_at=1)
    assert torch.bfloat16 in seen
