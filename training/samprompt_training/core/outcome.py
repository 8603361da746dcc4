"""How a call of the loop ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from samprompt.contract.errors import Cancelled

Status = Literal["finished", "paused", "early stop"]


@dataclass(frozen=True)
class Outcome:
    """How a call of ``train`` ended.

    ``best`` holds "step", "metric" and all "metrics" of the best validation; ``weights`` are the best ones, or the last
    where nothing was validated. ``seconds`` is the time of the whole run; ``data_seconds``, ``compute_seconds`` and
    ``loop_seconds`` are those of this call's loop on the main process, without validations and checkpoints.
    """

    step: int
    status: Status
    best: dict[str, Any] | None
    weights: Path
    seconds: float
    data_seconds: float = 0.0
    compute_seconds: float = 0.0
    loop_seconds: float = 0.0

    @property
    def loop_per_compute(self) -> float:
        """Time of the loop as a multiple of its computing; 1 when data is always there in time."""
        return self.loop_seconds / self.compute_seconds if self.compute_seconds else 1.0


def cancelled_at(step: int, steps: int, out: Path) -> Cancelled:
    """The error of a run that was cancelled after ``step`` of ``steps`` and left a checkpoint in ``out``."""
    if step == 0:
        return Cancelled("Cancelled before the first step.", "There is nothing to go on from: run it again.")
    return Cancelled(
        f"Cancelled after step {step} of {steps}; a checkpoint is written.",
        f"To go on, run it again with the same recipe and the output folder {out}.",
    )
