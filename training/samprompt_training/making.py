"""Where data that are made, not read, are made: beside the training on the CPU, or on the device that trains."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

Generator = Annotated[
    Literal["cpu", "device"],
    Field(description="where data are made: cpu, by a process that works ahead, or device, the one that trains"),
]
"""The key of a recipe. A training without a GPU is the same with either."""


def place_of(generator: Generator, trained: nn.Module) -> tuple[torch.device, bool]:
    """The device to make data on for ``trained``, and whether what a loader brings should lie in pinned memory."""
    here = next(trained.parameters()).device
    return here if generator == "device" else torch.device("cpu"), here.type == "cuda"
