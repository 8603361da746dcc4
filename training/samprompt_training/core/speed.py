"""How fast a task trains, and how much of that is waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate.utils import send_to_device

from samprompt_training.core.processes import Processes
from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.core.tally import Means
from samprompt_training.core.task import Task
from samprompt_training.core.updates import Updates


@dataclass(frozen=True)
class Speed:
    """Seconds per step: of the whole loop, and of computing alone on a batch that is there already."""

    loop: float
    compute: float

    @property
    def loop_per_compute(self) -> float:
        """1 when loading never delays computing, neither by waiting nor by taking its processors."""
        return self.loop / self.compute


def measure_speed(task: Task, recipe: LoopRecipe, steps: int = 20, warm: int = 3, device: str = "auto") -> Speed:
    """Time ``steps`` steps twice: on one batch over and over while nothing is loaded, then on fresh batches.

    Unlike the times in the log, where the loading processes may slow the computing itself, this compares with the
    machine left to computing alone. The weights of ``task`` are trained by it: throw it away afterwards.
    """
    processes = Processes(recipe, device)
    updates = Updates(task, recipe, processes)

    def fresh() -> Iterator[Any]:
        return task.batches(0, processes.rank, processes.world)

    def time_steps(batches: Iterator[Any]) -> float:
        began = 0.0
        for step in range(-warm, steps):
            if step == 0:
                began = _now(processes.device)
            given = [next(batches) for _ in range(recipe.accumulate)]
            taken = [send_to_device(batch, processes.device, non_blocking=True) for batch in given]
            updates.step(max(0, step), taken, Means(), "")
        return (_now(processes.device) - began) / steps

    try:
        with closing(cast(Any, fresh())) as batches:
            kept = next(batches)
        compute = time_steps(iter(lambda: kept, None))
        with closing(cast(Any, fresh())) as batches:
            loop = time_steps(batches)
    finally:
        updates.close()
    return Speed(loop, compute)


def _now(device: torch.device) -> float:
    """The time when the device has done everything asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
