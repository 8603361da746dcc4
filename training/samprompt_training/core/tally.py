"""What is counted between two lines of the log: means of the figures, and where the time went."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

Parts = dict[str, tuple[float, int]]


@dataclass
class Clock:
    """Where the time of the loop went, in seconds: waiting for data, computing, and all of the loop.

    Validations, exports and checkpoints are not the loop's.
    """

    data: float = 0.0
    compute: float = 0.0
    loop: float = 0.0

    def add(self, name: str, seconds: float) -> None:
        """Add to the time called ``name``."""
        setattr(self, name, getattr(self, name) + seconds)

    def entry(self) -> dict[str, float]:
        """Fields of the log."""
        return {f"{name}_seconds": round(value, 4) for name, value in asdict(self).items()}


@dataclass
class Means:
    """Means of loss, gradient norm and parts over some updates; ``last`` is the loss of the last one."""

    updates: int = 0
    loss: float = 0.0  # sums
    norms: int = 0
    norm: float = 0.0
    last: float | None = None
    _sums: dict[str, Tensor] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, loss: float, norm: float, parts: list[dict[str, Tensor]]) -> None:
        """Take in one update. ``parts`` stay on their device, so that nothing waits for them."""
        self.updates, self.loss, self.last = self.updates + 1, self.loss + loss, loss
        if math.isfinite(norm):
            self.norms, self.norm = self.norms + 1, self.norm + norm
        for part in parts:
            for name, value in part.items():
                value = value.detach().float()
                self._sums[name] = self._sums[name].to(value.device) + value if name in self._sums else value
                self._counts[name] = self._counts.get(name, 0) + 1

    def parts(self) -> Parts:
        """Sum and count of every part on this process."""
        return {name: (float(value), self._counts[name]) for name, value in self._sums.items()}

    def load(self, parts: Parts) -> None:
        """Go on from ``parts``."""
        self._sums = {name: torch.tensor(value, dtype=torch.float32) for name, (value, _) in parts.items()}
        self._counts = {name: count for name, (_, count) in parts.items()}


class Tally:
    """Means and times since the last line of the log, also over a pause; ``total`` are the times of this call alone."""

    def __init__(self) -> None:
        self.means, self.total = Means(), Clock()
        self._clock = Clock()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time of the block to ``name``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            self._clock.add(name, seconds)
            self.total.add(name, seconds)

    def line(self, everywhere: list[Parts]) -> dict[str, Any]:
        """Fields of a line, from the parts of all processes; counting begins anew."""
        means, clock = self.means, self._clock
        self.means, self._clock = Means(), Clock()
        return {
            "loss": means.loss / max(1, means.updates),
            "gradient_norm": means.norm / max(1, means.norms),
            "parts": {name: value / count for name, (value, count) in _together(everywhere).items()},
            **clock.entry(),
        }

    def kept(self, everywhere: list[Parts]) -> dict[str, Any]:
        """What a checkpoint keeps, from the parts of all processes."""
        means = {key: getattr(self.means, key) for key in ("updates", "loss", "norms", "norm")}
        return {"means": means, "parts": _together(everywhere), "clock": asdict(self._clock)}

    def load(self, kept: dict[str, Any], main: bool) -> None:
        """Go on from ``kept``; the parts of all processes are counted on by the main one."""
        self.means, self._clock = Means(**kept["means"]), Clock(**kept["clock"])
        if main:
            self.means.load(kept["parts"])


def _together(everywhere: list[Parts]) -> Parts:
    """Sums and counts over the processes."""
    found: Parts = {}
    for parts in everywhere:
        for name, (value, count) in parts.items():
            before, many = found.get(name, (0.0, 0))
            found[name] = before + value, many + count
    return found
