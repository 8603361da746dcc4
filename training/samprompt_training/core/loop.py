"""The loop that every training uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from samprompt.contract.errors import ParameterError
from samprompt.contract.progress import Progress
from samprompt.models.device import out_of_memory_guard

from samprompt_training.core.outcome import Outcome, Status
from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.core.run import Run
from samprompt_training.core.task import Task

__all__ = ["Outcome", "Status", "train"]

# the same training in smaller pieces is another recipe
_SMALLER_PIECES = "In a new folder, halve batch and double accumulate: that trains the same. A last checkpoint is kept."


def train(
    task: Task,
    recipe: LoopRecipe,
    out: Path,
    *,
    progress: Progress | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    stop_at: int | None = None,
    stop_after_minutes: float | None = None,
    tensorboard: bool = True,
    device: str = "auto",
) -> Outcome:
    """Train, going on from ``out/checkpoint.pt`` where there is one.

    ``out`` gets checkpoint.pt, recipe.yaml, log.jsonl, tensorboard/, best.safetensors and last.safetensors. A run that
    is stopped in any way and then goes on ends, on the CPU, with the same weights as one in a piece. ``stop_at`` (a
    step) and ``stop_after_minutes`` pause this call, with a checkpoint and an unchanged schedule. A cancel is felt
    after the step under way. ``report`` gets about one dictionary a second, on the main process. ``device`` is a name
    that ``samprompt.models.device.choose_device`` knows.

    Launched with several processes (``accelerate launch``, ``torchrun``), each calls this with the same arguments.

    Raises:
        Cancelled: ``progress`` was cancelled; a checkpoint is written.
        TrainingError: loss or gradient is no number, or the task is wrong; the last checkpoint is kept.
        ParameterError: the folder belongs to another recipe or model, or ``stop_after_minutes`` leaves no time.
        UnreadableFileError: the checkpoint is damaged.
        OutputError: something cannot be written; the checkpoint before survives.
        EnvironmentProblem: a device or a package is missing.
        OutOfMemory: the batch does not fit; the last checkpoint is kept.
    """
    if stop_after_minutes is not None and not stop_after_minutes > 0:
        raise ParameterError(
            f"stop_after_minutes={stop_after_minutes:g} leaves no time.", "Give a number above 0, or None for no limit."
        )
    what = f"The training with batch: {recipe.batch}"
    with _settings(recipe), out_of_memory_guard(what, _SMALLER_PIECES):
        run = Run(task, recipe, Path(out), tensorboard, device)
        try:
            return run.go(progress or Progress(), report, stop_at, stop_after_minutes)
        finally:
            run.close()


@contextmanager
def _settings(recipe: LoopRecipe) -> Iterator[None]:
    """The recipe's threads, and no denormal numbers: Adam's small moments slow a CPU severalfold; put back after."""
    threads = torch.get_num_threads()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
