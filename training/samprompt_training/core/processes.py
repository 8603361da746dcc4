"""The processes of one training, through accelerate: what they agree on, and what the main one does for all."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast_object_list,
    gather_object,
)
from samprompt.contract.errors import EnvironmentProblem, ParameterError
from samprompt.models.device import choose_device

from samprompt_training.core.recipe import LoopRecipe

# While the main process validates, the others wait; a validation of whole patients can be long.
_WAIT = timedelta(hours=6)

Answer = TypeVar("Answer")


class Processes:
    """This process among ``world``; one alone where nothing else was launched."""

    def __init__(self, recipe: LoopRecipe, device: str = "auto") -> None:
        """Join the other processes.

        Raises:
            ParameterError: the device cannot compute in the recipe's precision.
            EnvironmentProblem: the device is not there, or the launched processes do not find each other.
        """
        # a worker trains more than once, with other precisions and devices; accelerate would keep the first for ever
        AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
        GradientState._reset_state()
        chosen = _choose(device)
        if recipe.precision == "fp16" and chosen.type == "cpu":
            raise ParameterError("precision: fp16 needs a GPU.", "Use precision: fp32 or bf16.")
        self.accelerator = Accelerator(
            # said aloud: without it processes launched on a machine without a GPU would train side by side, each alone
            cpu=chosen.type == "cpu",
            mixed_precision="no" if recipe.precision == "fp32" else recipe.precision,
            gradient_accumulation_steps=recipe.accumulate,
            kwargs_handlers=[
                # prompts of one kind leave the parameters of the others without a gradient
                DistributedDataParallelKwargs(find_unused_parameters=True),
                InitProcessGroupKwargs(timeout=_WAIT),
            ],
        )
        _check_met(self.world)

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.accelerator.process_index)

    @property
    def world(self) -> int:
        """How many processes train together."""
        return int(self.accelerator.num_processes)

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return bool(self.accelerator.is_main_process)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        device: torch.device = self.accelerator.device
        return device

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether any process says yes; every process must ask."""
        if self.world == 1:
            return list(flags)
        told = torch.tensor(flags, dtype=torch.float32, device=self.device)
        return [value > 0 for value in self.accelerator.reduce(told, "sum").tolist()]

    def gather(self, thing: Any) -> list[Any]:
        """What every process gives, in order of their numbers."""
        return [thing] if self.world == 1 else list(gather_object([thing]))

    def on_main(self, work: Callable[[], Answer]) -> Answer:
        """The main process's answer, on every process; an error there is raised everywhere, so that nobody waits."""
        if self.world == 1:
            return work()
        told: list[Any] = [None, None]
        if self.main:
            try:
                told[0] = work()
            except Exception as error:
                told[1] = error
        broadcast_object_list(told)
        if told[1] is not None:
            raise told[1]
        answer: Answer = told[0]
        return answer


def _check_met(world: int) -> None:
    """Refuse to train with fewer processes than were asked for: each would train alone, with a smaller batch."""
    launched = os.environ.get("WORLD_SIZE", "1")
    # `accelerate launch --cpu --num_processes 2` starts one process, told where the others would meet it
    waiting = world == 1 and {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= set(os.environ) and "WORLD_SIZE" not in os.environ
    if launched != str(world) or waiting:
        raise EnvironmentProblem(
            f"{'Several' if waiting else launched} processes were asked for, but {world} found each other.",
            "Start processes on CPUs with `torchrun --nproc-per-node N` or `accelerate launch --multi_gpu`.",
        )


def _choose(device: str) -> torch.device:
    """The device of that name; of several launched processes on one machine each takes its own GPU."""
    local = int(os.environ.get("LOCAL_RANK", "-1"))
    if local >= 0 and torch.cuda.is_available() and device in ("auto", "cuda"):
        torch.cuda.set_device(local % torch.cuda.device_count())
    chosen = (
        torch.device("cpu") if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" else choose_device(device)
    )
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen
