"""Checkpoints: all that a run needs to go on bit for bit, in one file that is whole or is the one before."""

from __future__ import annotations

import errno
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from samprompt.contract.errors import ParameterError, UnreadableFileError
from samprompt.io.atomic import replacing
from torch import Tensor, nn

from samprompt_training.core.recipe import differences

_FORMAT = 1


@dataclass
class State:
    """Where a run stands.

    ``step`` is the number of finished steps, ``validated`` the step of the last validation, ``waited`` the validations
    without gain since the best one, ``seconds`` the time of the loop so far, ``log_length`` the bytes of the log that
    belong to the finished steps.
    """

    step: int = 0
    validated: int = 0
    best: dict[str, Any] | None = None
    waited: int = 0
    seconds: float = 0.0
    log_length: int = 0


def own_weights(module: nn.Module) -> dict[str, Tensor]:
    """What training changes: trainable parameters and buffers. Frozen weights come from where they came from."""
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def put_weights(module: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put ``own_weights`` of a checkpoint back.

    Raises:
        ParameterError: they belong to another model.
    """
    here = {name: tuple(value.shape) for name, value in own_weights(module).items()}
    there = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if wrong:
        raise ParameterError(
            f"{path} belongs to another model: {len(wrong)} weights differ, the first is {wrong[0]}.",
            "Use another output folder, or the model that the run was begun with.",
        )
    module.load_state_dict(weights, strict=False)


def write_checkpoint(path: Path, content: dict[str, Any], state: State) -> None:
    """Write ``content`` and ``state``; the checkpoint before stays until this one is on the disk.

    Raises:
        OutputError: it cannot be written, for instance because the disk is full.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save({"format": _FORMAT, "state": asdict(state), **content}, stream)
        except RuntimeError as error:
            # torch's writer hides the reason behind an error of its own
            raise _reason(error) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Any], State]:
    """Content and state of a checkpoint, on the CPU.

    Raises:
        UnreadableFileError: truncated, or not a checkpoint of this loop.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}")
        return content, State(**content["state"])
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnreadableFileError(
            f"The checkpoint {path} cannot be read: it is truncated or no checkpoint of this loop ({first}).",
            "Put a copy of it back, or remove it to begin again.",
        ) from error


def run_identity(recipe: BaseModel, processes: int) -> dict[str, Any]:
    """What must be the same when a run goes on."""
    return {**recipe.model_dump(mode="json"), "number of processes": processes}


def with_later_keys(then: dict[str, Any], recipe: BaseModel) -> dict[str, Any]:
    """A run's recipe from an earlier version, which had fewer keys: what is not in it was what the default says."""
    later = {
        name: field.get_default(call_default_factory=True)
        for name, field in type(recipe).model_fields.items()
        if name not in then and not field.is_required()
    }
    told = recipe.model_copy(update=later).model_dump(mode="json", include=set(later))
    return {**told, **then}


def check_same_run(path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with another recipe.

    Raises:
        ParameterError: what differs, line by line.
    """
    found = differences(then, now)
    if found:
        raise ParameterError(
            f"{path} was begun with another recipe: {'; '.join(found)}.",
            "Go on with the old recipe (recipe.yaml beside it), or use another output folder.",
        )


def _reason(error: BaseException) -> OSError:
    """The operating system's error behind ``error``."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return OSError(errno.EIO, f"{os.strerror(errno.EIO)} ({error})")
