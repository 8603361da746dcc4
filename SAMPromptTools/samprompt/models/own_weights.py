"""Weights of our own networks: fp16 safetensors that say which architecture they are of and with which sizes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from samprompt.contract.errors import WeightsError, WeightsMissingError
from samprompt.models.checkpoint import file_sha256

_AGAIN = "Reinstall SAMPromptTools."
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class OwnWeights:
    """What a file holds: ``config`` of the network, ``state`` in fp32, first 16 digits of the file's SHA-256."""

    path: Path
    config: dict[str, Any]
    state: dict[str, Tensor]
    fingerprint: str

    def network(self, make: Callable[[dict[str, Any]], Network]) -> Network:
        """The network that ``make`` gives for ``config``, with these weights.

        Raises:
            WeightsError: configuration and tensors do not belong together.
        """
        try:
            made = make(self.config)
            made.load_state_dict(self.state)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{self.path} does not fit its own configuration.", _AGAIN) from error
        return made


def save_own_weights(
    network: nn.Module,
    config: Mapping[str, Any],
    path: Path,
    architecture: str,
    version: str,
    card: Mapping[str, str] | None = None,
) -> None:
    """Write ``network`` with architecture, version, ``config`` and ``card`` as metadata, whole or not at all."""
    state = {k: v.detach().to("cpu", torch.float16).contiguous() for k, v in network.state_dict().items()}
    metadata = {"architecture": architecture, "version": version, "config": json.dumps(config), **dict(card or {})}
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        save_file(state, str(partial), metadata=metadata)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_own_weights(
    path: Path, architecture: str, versions: Collection[str], name: str, without: str = ""
) -> OwnWeights:
    """Read a file of ``architecture`` in one of ``versions``; messages call it ``name``.

    ``without`` is what a user can do who has no such file, besides installing again.

    Raises:
        WeightsMissingError: the file is absent.
        WeightsError: truncated, without configuration, or of another architecture or version.
    """
    if not path.is_file():
        raise WeightsMissingError(f"{name} is not at {path}.", f"{_AGAIN} {without}".rstrip())
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors ({error}).", _AGAIN) from error
    found, version = metadata.get("architecture", "unknown"), metadata.get("version", "?")
    if found != architecture or version not in versions:
        raise WeightsError(
            f"{path} holds {found} {version}, this version reads {architecture} {' and '.join(sorted(versions))}.",
            "Use the file that came with this version of SAMPromptTools.",
        )
    try:
        config = dict(json.loads(metadata["config"]))
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} does not say which sizes its network has.", _AGAIN) from error
    return OwnWeights(path, config, state, file_sha256(path)[:16])
