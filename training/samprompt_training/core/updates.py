"""The optimiser's side of the loop: one step of the schedule, with all its updates of the weights."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from samprompt.contract.errors import TrainingError
from torch import Tensor

from samprompt_training.core.processes import Processes
from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.core.schedule import rate_at
from samprompt_training.core.tally import Means
from samprompt_training.core.task import Draws, Task


class Updates:
    """Model, optimiser and scaler of one task, spread over the processes."""

    def __init__(self, task: Task, recipe: LoopRecipe, processes: Processes) -> None:
        self._recipe, self._processes = recipe, processes
        self._accelerator = processes.accelerator
        self.module = task.trained
        _check_groups(task)
        # first the model, which may move to another device, then the optimiser, which must see it there
        self._model = self._accelerator.prepare_model(self.module)
        groups = [{"weight_decay": recipe.weight_decay, **group} for group in task.parameter_groups()]
        optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas)
        self.optimiser = self._accelerator.prepare_optimizer(optimiser)
        self._parameters = [p for group in optimiser.param_groups for p in group["params"]]

    def step(self, step: int, batches: Sequence[Any], means: Means, kept: str) -> None:
        """All updates of step ``step`` from its ``accumulate`` batches; ``kept`` says what is left if it fails.

        Raises:
            TrainingError: loss or gradient is not a number; the weights are those before the update at fault.
        """
        self._seed(step)
        rate = rate_at(step, self._recipe)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        self.module.train()
        carried: list[Any] = [None] * len(batches)
        for iteration in range(self.module.iterations):
            loss, norm, parts = self._gradients(step, iteration, batches, carried)
            loss_value, norm_value = self._host(loss, norm)
            if not (math.isfinite(loss_value) and (math.isfinite(norm_value) or self._skipped())):
                raise self._no_number(step, iteration, loss_value, parts, kept)
            self.optimiser.step()
            means.add(loss_value, norm_value, parts)

    def _gradients(
        self, step: int, iteration: int, batches: Sequence[Any], carried: list[Any]
    ) -> tuple[Tensor, Tensor, list[dict[str, Tensor]]]:
        """One forward and backward pass per batch: mean loss, norm of the gradient before clipping, parts."""
        self.optimiser.zero_grad(set_to_none=True)
        losses, parts = [], []
        for number, batch in enumerate(batches):
            first = (number * self._processes.world + self._processes.rank) * self._recipe.batch
            draws = Draws(self._recipe.seed, step, iteration, first)
            last = number == len(batches) - 1
            # processes exchange gradients once per update, with the last batch
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                loss, told, carried[number] = self._model(batch, draws, carried[number])
                self._accelerator.backward(loss)
            losses.append(loss.detach().float())
            parts.append(told)
        norm = self._accelerator.clip_grad_norm_(self._parameters, self._recipe.clip)
        return torch.stack(losses).mean(), norm.detach().float(), parts

    def _host(self, loss: Tensor, norm: Tensor) -> list[float]:
        """Loss and norm as numbers, the same on all processes; the one wait for the device per update."""
        both = torch.stack((loss, norm.to(loss.device)))
        if self._processes.world > 1:
            both = self._accelerator.reduce(both, "mean")
        values: list[float] = both.tolist()
        return values

    def _skipped(self) -> bool:
        """Whether an infinite gradient is only half precision's: the scaler leaves the update out and scales less."""
        scaler = self._accelerator.scaler
        return scaler is not None and scaler.get_scale() >= 1.0

    def _no_number(
        self, step: int, iteration: int, loss: float, parts: list[dict[str, Tensor]], kept: str
    ) -> TrainingError:
        """The error that says where, with the parts of the loss over all processes."""
        told = [{name: float(value) for name, value in part.items()} for part in parts]
        everywhere = [part for process in self._processes.gather(told) for part in process]
        names = dict.fromkeys(name for part in everywhere for name in part)
        means = {n: np.mean([part[n] for part in everywhere if n in part]) for n in names}
        what = "the loss is" if not math.isfinite(loss) else f"the loss is {loss:.4g} but its gradient is"
        where = f"Step {step + 1} of {self._recipe.steps}, update {iteration + 1} of {self.module.iterations}"
        said = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        return TrainingError(
            f"{where}: {what} not a finite number{f' ({said})' if said else ''}.",
            f"{kept} Look at the data of this step, or begin again in another folder with a lower learning_rate"
            f"{'' if self._recipe.precision == 'fp32' else ' or precision: fp32'}.",
        )

    def _seed(self, step: int) -> None:
        """Seed every generator that layers and libraries use by themselves (dropout), so that no state need be kept."""
        state = np.random.SeedSequence((self._recipe.seed, step, 3, self._processes.rank))
        torch_seed, other = (int(v) for v in state.generate_state(2, np.uint64))
        # torch.manual_seed itself costs 0.5 ms and keeps a note of every call for devices that are not in use
        torch.default_generator.manual_seed(torch_seed)
        if self._processes.device.type == "cuda":
            torch.cuda.manual_seed(torch_seed)
        np.random.seed(other & 0xFFFFFFFF)
        random.seed(other)

    def state(self) -> dict[str, Any]:
        """Optimiser and scaler, as a checkpoint keeps them."""
        scaler = self._accelerator.scaler
        return {"optimiser": self.optimiser.state_dict(), "scaler": scaler.state_dict() if scaler is not None else {}}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        self.optimiser.load_state_dict(state["optimiser"])
        if self._accelerator.scaler is not None and state["scaler"]:
            self._accelerator.scaler.load_state_dict(state["scaler"])

    def close(self) -> None:
        """Give the module back as it came, so that it can be used and trained again."""
        self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=False)
        self.module.__dict__.pop("forward", None)
        self.module.__dict__.pop("_is_accelerate_prepared", None)
        self._accelerator.free_memory()


def _check_groups(task: Task) -> None:
    """Every trainable parameter must be in exactly one group: one that is forgotten would silently never learn."""
    names = {id(p): name for name, p in task.trained.named_parameters() if p.requires_grad}
    if not names:
        raise TrainingError("There is nothing to train: no parameter is trainable.", "Unfreeze some part of the model.")
    given = [id(p) for group in task.parameter_groups() for p in group["params"]]
    forgotten = [name for key, name in names.items() if key not in set(given)]
    if forgotten or len(given) != len(set(given)):
        what = f"not in any: {', '.join(forgotten[:5])}" if forgotten else "one parameter is in two"
        raise TrainingError(
            f"The parameter groups are wrong: {what}.", "Every trainable parameter belongs in one group."
        )
