"""A small task with everything that makes resuming and spreading hard; also a program that trains it."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from samprompt.contract.errors import SamPromptError
from samprompt.contract.progress import Progress
from samprompt_training.core.loop import train
from samprompt_training.core.order import sample_batches
from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.core.task import Draws, Trained
from samprompt_training.showing import shown
from torch import Tensor, nn


def recipe(**changes: Any) -> LoopRecipe:
    """A run of 12 steps with everything switched on."""
    short = {
        "seed": 3,
        "steps": 12,
        "batch": 4,
        "learning_rate": 1e-2,
        "weight_decay": 0.01,
        "ema": 0.9,
        "log_every": 1,
        "validate_every": 4,
        "checkpoint_every": 4,
    }
    return LoopRecipe(**(short | changes))


class SmallTrained(Trained):
    """Two layers, one of which has a gradient in the first iteration only, and dropout.

    ``broken`` names "step", "iteration" and "place" in the global batch from which on the "loss" or the "gradient" is
    no number.
    """

    def __init__(
        self,
        iterations: int = 1,
        dropout: float = 0.0,
        noise: float = 0.1,
        broken: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.iterations, self.noise, self.broken = iterations, noise, broken
        self.frozen = nn.Linear(6, 6)
        self.frozen.requires_grad_(False)
        self.encoder = nn.Linear(6, 8)
        self.drop = nn.Dropout(dropout)
        self.decoder = nn.Linear(8, 2)
        self.correction = nn.Linear(2, 8)  # used from the second iteration on
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: Any, draws: Draws, carried: Any = None) -> tuple[Tensor, dict[str, Tensor], Any]:
        """Squared error of a noisy regression."""
        x, y = batch
        self.seen += 1
        if carried is None:
            features = torch.tanh(self.encoder(self.frozen(x)))
        else:
            embedding, answer = carried
            features = embedding + self.correction(answer)
        scale = 1.0 + draws.shared.normal(0, self.noise)
        noise = np.stack([draws.of_sample(i).normal(0, self.noise, 2) for i in range(len(x))])
        answer = self.decoder(self.drop(features)) * scale
        error = (answer - y - torch.from_numpy(noise).to(answer)) ** 2
        loss = error.mean()
        at = self.broken
        if at and (draws.step, draws.iteration) == (at["step"], at["iteration"]) and draws.first >= at["place"]:
            slope = torch.sqrt(self.decoder.bias.sum() * 0.0)  # zero, with a gradient that is no number
            loss = loss + (slope if at["what"] == "gradient" else math.nan)
        last = draws.iteration == self.iterations - 1
        return loss, {"first": error[:, 0].mean().detach()}, None if last else (features.detach(), answer.detach())


class SmallTask:
    """Regression on samples that depend on their number in the run alone."""

    monitor = "score"

    def __init__(self, recipe: LoopRecipe, **options: Any) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        self.trained = SmallTrained(**options)
        self.validations = 0
        generator = torch.Generator().manual_seed(99)
        self.truth = torch.randn(6, 2, generator=generator)

    def parameter_groups(self) -> list[dict[str, Any]]:
        trainable = [p for p in self.trained.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trainable if p.ndim > 1]},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0, "lr_scale": 0.5},
        ]

    def sample(self, number: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_000 + number)
        x = torch.randn(6, generator=generator)
        return x, x @ self.truth

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Any]:
        size, number = self.recipe.batch, first_step
        while True:
            first = (number * world + rank) * size
            x, y = zip(*(self.sample(i) for i in range(first, first + size)), strict=True)
            yield torch.stack(x), torch.stack(y)
            number += 1

    def validate(self, trained: Any) -> dict[str, float]:
        assert not trained.training
        self.validations += 1
        x, y = zip(*(self.sample(-1 - i) for i in range(16)), strict=True)
        answer = trained.decoder(torch.tanh(trained.encoder(trained.frozen(torch.stack(x)))))
        return {"score": -float(((answer - torch.stack(y)) ** 2).mean()), "other": 1.0}

    def export(self, trained: Any, path: Path, notes: dict[str, str]) -> None:
        save_file({k: v.contiguous() for k, v in trained.state_dict().items()}, str(path), notes)


class LoadedTask(SmallTask):
    """The same with samples that the recipe's loading processes make; each takes its ``seconds``."""

    def __init__(self, recipe: LoopRecipe, seconds: float = 0.0, **options: Any) -> None:
        super().__init__(recipe, **options)
        self.samples = Slow(self, seconds)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Any]:
        size, seed = self.recipe.batch, self.recipe.seed
        return sample_batches(self.samples, size, seed, first_step, rank, world, self.recipe.workers)


class Slow:
    """Twenty samples that take their time."""

    def __init__(self, task: SmallTask, seconds: float) -> None:
        self.task, self.seconds = task, seconds

    def __len__(self) -> int:
        return 20

    def sample(self, index: int, _rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        time.sleep(self.seconds)
        return self.task.sample(index)


def while_computing(task: SmallTask, step: int, act: Callable[[], None]) -> None:
    """Have ``act`` happen in the middle of a step, counted from 0."""

    def begun(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if (arguments[1].step, arguments[1].iteration) == (step, 0):
            act()
            time.sleep(0.3)  # signals that follow from it arrive while the step is under way

    task.trained.register_forward_pre_hook(begun)


def kill_a_loading_process() -> None:
    """As the system does where memory runs out."""
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)


class Cancelling(Progress):
    """Cancels itself at a step, on one process only."""

    def __init__(self, rank: int, step: int) -> None:
        mine = rank == int(os.environ.get("RANK", "0"))
        super().__init__(lambda _stage, done, _total: self.cancel() if mine and done == step else None)


def run(job: dict[str, Any]) -> None:
    """Train once; with "kill_at" the process dies when that step's batch is asked for.

    "loaded" are the seconds of a sample from a loading process; with "signals" the run is stopped as commands are;
    "dies" are rank and step at which a loading process dies.
    """
    chosen = recipe(**job.get("recipe", {}))
    task = SmallTask(chosen, **job.get("options", {}))
    if "loaded" in job:
        task = LoadedTask(chosen, job["loaded"], **job.get("options", {}))
    if "kill_at" in job:
        inner = task.batches

        def deadly(first_step: int, rank: int, world: int) -> Iterator[Any]:
            for number, batch in enumerate(inner(first_step, rank, world), first_step):
                if number == job["kill_at"]:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield batch

        task.batches = deadly  # type: ignore[method-assign]
    if "dies" in job and job["dies"][0] == int(os.environ.get("RANK", "0")):
        while_computing(task, job["dies"][1], kill_a_loading_process)
    cancelling = Cancelling(*job["cancel"]) if "cancel" in job else None
    how: dict[str, Any] = {"tensorboard": False, "device": "cpu", "stop_at": job.get("stop_at")}
    try:
        with shown(as_json=False) if "signals" in job else nullcontext((cancelling, None)) as (progress, _report):
            said: str = train(task, chosen, Path(job["out"]), progress=progress, **how).status
    except SamPromptError as error:
        said = f"{type(error).__name__}: {error}"
    sys.stdout.write(f"{said}\n")  # in one piece: two processes write at once
    sys.stdout.flush()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        run(json.loads(argument))
