"""Averaged weights: a smoother model than the last one, for validation and for users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential average of the trainable parameters of ``module``; other weights are shared with it.

    The decay grows from 0.1 to ``decay`` as (1 + step) / (10 + step), so that the first weights, which are random, are
    soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._decay = decay
        self.values = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), list(self._parameters.values()), 1.0 - decay)

    def load(self, values: dict[str, Tensor]) -> None:
        """Go on from these values, which carry the names of the parameters."""
        for name, value in values.items():
            self.values[name].copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module has the averaged weights inside the block and its own after it, bit for bit."""
        own = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._put(self.values)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
