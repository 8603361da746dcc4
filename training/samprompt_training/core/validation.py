"""Validation of the weights so far, choice of the best ones, and files with weights for users."""

from __future__ import annotations

import errno
import math
import os
import re
import stat
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from samprompt.contract.errors import TrainingError
from samprompt.io.atomic import replacing

from samprompt_training.core.average import Average
from samprompt_training.core.checkpoint import State
from samprompt_training.core.processes import Processes
from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.core.reporting import finite
from samprompt_training.core.task import Task

BEST, LAST = "best.safetensors", "last.safetensors"


@dataclass(frozen=True)
class Judgement:
    """What a validation came to: all figures, the best one so far, and how many have passed since without gain."""

    figures: dict[str, float]
    best: dict[str, Any] | None
    waited: int
    gained: bool


@dataclass(frozen=True)
class Validation:
    """Validates and exports ``task``'s weights, averaged where the recipe averages; on the main process alone."""

    task: Task
    recipe: LoopRecipe
    out: Path
    average: Average | None
    processes: Processes

    def judge(self, state: State) -> Judgement:
        """Validate the weights after ``state.step`` steps; the best so far are exported.

        Raises:
            TrainingError: the metric to watch is not among the figures.
            OutputError: the weights cannot be written; the best ones before stay.
        """
        name = self.task.monitor
        figures = self._figures()
        if name not in figures:
            raise TrainingError(
                f'The validation gave no "{name}", by which the best weights are chosen; it gave {sorted(figures)}.',
                "Name one of these as the metric to watch.",
            )
        metric = figures[name]
        # a metric that is not a number (no structure in the validation part) is never the best
        if math.isnan(metric) or (state.best is not None and metric <= state.best["metric"]):
            return Judgement(figures, state.best, state.waited + 1, False)
        self.export(BEST, {"step": str(state.step), name: f"{metric:.6g}"})
        best = {"step": state.step, "metric": metric, "metrics": finite(figures)}
        return Judgement(figures, best, 0, True)

    def export(self, name: str, notes: dict[str, str]) -> Path:
        """Write the weights in the form that users load, with notes and recipe, whole or not at all.

        Raises:
            OutputError: they cannot be written.
        """
        path = self.out / name
        with replacing(path) as temporary, torch.no_grad(), self._averaged():
            temporary.touch()
            usual = stat.S_IMODE(temporary.stat().st_mode)  # as the system gives it to new files: umask, folder
            try:
                self.task.export(self.task.trained, temporary, {**notes, "recipe": self.recipe.model_dump_json()})
            except SafetensorError as error:
                raise _as_os_error(error) from error
            temporary.chmod(usual)  # safetensors writes what nobody but the owner may read
        return path

    def _figures(self) -> dict[str, float]:
        trained = self.task.trained
        trained.eval()
        try:
            with torch.no_grad(), self._averaged(), self.processes.accelerator.autocast():
                return {name: float(value) for name, value in self.task.validate(trained).items()}
        finally:
            trained.train()

    def _averaged(self) -> Any:
        return self.average.in_place() if self.average is not None else nullcontext()


def _as_os_error(error: SafetensorError) -> OSError:
    """The operating system's error, which safetensors tells in words only; how, has changed between its versions."""
    found = re.search(r"\b(?:os error|code:) (\d+)", str(error))
    if found is None:
        return OSError(errno.EIO, str(error))
    return OSError(int(found[1]), os.strerror(int(found[1])))
