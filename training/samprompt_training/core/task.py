"""What the loop asks of anything that can be trained, and where a task's randomness comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

# The third entry of a seed says what the numbers are for, so that the streams never meet.
_SHARED, _SAMPLE, _PLACE = 0, 1, 2


@dataclass(frozen=True)
class Draws:
    """All randomness of one iteration.

    It depends on the recipe's seed, the step, the iteration and a sample's place in the global batch alone. So it is
    the same for one process and for many, for one large batch and for several accumulated ones, and after a resume.

    ``iteration`` counts the optimiser updates within the step, from 0; ``first`` is the place of this batch's first
    sample in the global batch.
    """

    root: int
    step: int
    iteration: int
    first: int = 0

    @cached_property
    def shared(self) -> np.random.Generator:
        """For choices of the whole batch (the kind of prompt): the same numbers on every process."""
        return np.random.default_rng((self.root, self.step, _SHARED, self.iteration))

    def of_sample(self, i: int) -> np.random.Generator:
        """For the sample at place ``i`` of this process's batch; a new generator at each call."""
        return np.random.default_rng((self.root, self.step, _SAMPLE, self.iteration, self.first + i))

    @cached_property
    def seed(self) -> int:
        """Seed of 63 bits for a ``torch.Generator``; differs between the batches that make up one global batch."""
        state = np.random.SeedSequence((self.root, self.step, _PLACE, self.iteration, self.first))
        return int(state.generate_state(1, np.uint64)[0] >> 1)


class Trained(nn.Module):
    """What is trained: a module whose ``forward`` gives the loss of one iteration.

    ``iterations`` is the number of optimiser updates per batch (11 in the interactive schedule of SAM).
    """

    iterations: int = 1

    def forward(self, batch: Any, draws: Draws, carried: Any = None) -> tuple[Tensor, dict[str, Tensor], Any]:
        """Loss of iteration ``draws.iteration`` of one batch.

        ``carried`` is what the iteration before gave back, None in the first. Returns the loss (scalar, mean over the
        samples), its parts for the log (detached scalars) and what the next iteration needs (detached tensors).
        """
        raise NotImplementedError


class Task(Protocol):
    """Everything the loop needs to know about one kind of training.

    ``monitor`` is the key of ``validate``'s result by which the best weights are chosen; higher is better.
    """

    monitor: str

    @property
    def trained(self) -> Trained:
        """The module that is trained."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for AdamW that hold every trainable parameter once.

        "weight_decay" replaces the recipe's, "lr_scale" multiplies the learning rate; both may be absent.
        """
        ...

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Any]:
        """Batches number ``first_step``, ``first_step + 1``, ... of process ``rank`` of ``world``, without end.

        A batch depends on the recipe's seed, its number, ``rank`` and ``world`` alone, so that a resumed run goes on
        as it would have. Of a task with a set of samples, batch n holds over all ranks the samples
        [n * world * batch, (n + 1) * world * batch) of the run, rank after rank: several processes are the same
        training as one with the larger batch. A task that makes its data need not hold to that: each process may make
        its own, and another number of processes is another training. With accumulation each of a step's ``accumulate``
        batches counts, so the first of step s has the number s * accumulate. Tensors are moved to the device by the
        loop (containers of tensors, and objects with a method ``to(device)``).
        """
        ...

    def validate(self, trained: Any) -> dict[str, float]:
        """Figures on the validation part; called on the main process, without gradients, in evaluation mode and under
        the recipe's precision, with the averaged weights in place where the recipe averages."""
        ...

    def export(self, trained: Any, path: Path, notes: dict[str, str]) -> None:
        """Write the weights to ``path`` in the form that users load; the loop puts the file in its place when whole."""
        ...
