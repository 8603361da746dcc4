"""Stochastic depth (arXiv 1603.09382) for encoders that were published without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def add_drop_path(blocks: Sequence[nn.Module], rate: float) -> None:
    """Let samples skip blocks while training; the chance grows linearly from 0 at the first block to ``rate``.

    A block x + f(x) becomes x + f(x) / (1 - p) or x, so its mean stays. Blocks that change the shape are never skipped.
    """
    if rate <= 0:
        return
    for index, block in enumerate(blocks):
        chance = rate * index / max(len(blocks) - 1, 1)
        if chance > 0:
            block.register_forward_hook(_Skip(chance))


class _Skip:
    """A forward hook (an object, so that a network with it can be copied)."""

    def __init__(self, chance: float) -> None:
        self.chance = chance

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        x = inputs[0]
        if not module.training or not isinstance(x, Tensor) or x.shape != output.shape:
            return None
        shape = (len(x),) + (1,) * (x.ndim - 1)
        keep = torch.rand(shape, device=x.device) >= self.chance
        return x + (output - x) * (keep.to(output.dtype) / (1.0 - self.chance))
