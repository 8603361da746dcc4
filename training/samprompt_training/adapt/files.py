"""Writing adapted weights: an adapter, or whole weights in the base's own format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from samprompt.io.atomic import replacing
from samprompt.models.adapter import Adapter, adapter_bytes
from samprompt.models.checkpoint import safetensors_metadata
from samprompt.models.registry import Weights
from samprompt.models.sam2 import adapted_notes
from torch import Tensor, nn

from samprompt_training.adapt.layers import lora_tensors, merged_state, replaced_tensors
from samprompt_training.adapt.recipe import LoraSettings


def write_adapter(
    network: nn.Module,
    base: Weights,
    settings: LoraSettings,
    layers: tuple[str, ...],
    path: Path,
    notes: Mapping[str, str],
) -> None:
    """What was changed of ``base``, as an adapter file."""
    adapter = Adapter(
        base=base.name,
        base_sha256=base.sha256,
        architecture=base.architecture,
        rank=settings.rank,
        alpha=settings.alpha,
        targets=settings.targets or layers,
        lora=lora_tensors(network),
        replaced=replaced_tensors(network),
        notes=notes,
    )
    content = adapter_bytes(adapter)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_whole(network: nn.Module, base: Weights, path: Path, notes: Mapping[str, str], scale: float = 0.0) -> None:
    """All weights under their official names.

    The file has the form that the base's own tools read, by its suffix: ``.safetensors`` with the base's notes (the
    built-in model), ``.pt`` with the weights under "model" and ``notes`` beside them (SAM 2), ``.pth`` with the weights
    alone (SAM).
    """
    state = {name: t.detach().to("cpu").contiguous().clone() for name, t in merged_state(network, scale).items()}
    write_state(state, base, path, notes)


def write_state(state: dict[str, Tensor], base: Weights, path: Path, notes: Mapping[str, str]) -> None:
    """As ``write_whole``, of weights that have their official names."""
    notes = {**notes, **adapted_notes(base.architecture)}
    with replacing(path) as temporary:
        if path.suffix == ".safetensors":
            said = safetensors_metadata(base.path)
            form: dict[str, str] = {key: said[key] for key in ("architecture", "version", "config") if key in said}
            temporary.write_bytes(save(state, {**notes, "architecture": base.architecture, **form}))
        else:
            content: Any = {"model": state, "notes": notes} if path.suffix == ".pt" else state
            torch.save(content, temporary)


def official_suffix(architecture: str) -> str:
    """How files of this architecture end where they are published."""
    return ".safetensors" if architecture == "tiny" else ".pt" if architecture.startswith("sam2") else ".pth"
