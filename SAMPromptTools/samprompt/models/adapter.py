"""Adapters: a small file of low-rank changes (LoRA, Hu et al., arXiv 2106.09685) that belongs to one base model.

An adapter file is safetensors. Tensors: ``lora_A/MODULE`` and ``lora_B/MODULE`` for every changed layer, and
``replaced/PARAMETER`` for every parameter that was trained whole (the mask decoder, mostly). The notes say which base
it belongs to: name, SHA-256 of its file, architecture; and rank, alpha and targets of the adaptation. Of SAM 2 they
also say "masks": "single", since the single mask alone was trained and is what the model answers with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from samprompt.contract.errors import WeightsError
from samprompt.models.checkpoint import load_state, safetensors_metadata
from samprompt.models.sam2 import adapted_notes

FORMAT = "samprompt-adapter"
VERSION = "1"
_A, _B, _REPLACED = "lora_A/", "lora_B/", "replaced/"
_NOTES = ("base", "base_sha256", "base_architecture", "rank", "alpha", "targets")


@dataclass(frozen=True)
class Adapter:
    """What changes one base model.

    ``base`` is the base's name, ``base_sha256`` the checksum of its whole file (64 hex digits), ``architecture`` one of
    ``registry.LOADERS``. The weight of layer m becomes W + alpha / rank * B A, with ``lora[m]`` = (A, B): A (r, in) and
    B (out, r) of a linear layer, A (r, in, kh, kw) and B (out, r, 1, 1) of a convolution. ``replaced`` holds parameters
    that take the place of the base's. ``notes`` is whatever else the file says (recipe, data, metrics).
    """

    base: str
    base_sha256: str
    architecture: str
    rank: int
    alpha: float
    targets: tuple[str, ...]
    lora: Mapping[str, tuple[Tensor, Tensor]]
    replaced: Mapping[str, Tensor]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """What B A is multiplied with."""
        return self.alpha / self.rank


def is_adapter(path: Path) -> bool:
    """Whether the file is an adapter (of any version) rather than whole weights."""
    return safetensors_metadata(path).get("format") == FORMAT


def low_rank_change(a: Tensor, b: Tensor) -> Tensor:
    """B A as a change of the layer's weight: (out, in), or (out, in, kh, kw) for a convolution."""
    if a.ndim == 2:
        return b @ a
    return torch.einsum("or,rikl->oikl", b[:, :, 0, 0], a)


def adapter_bytes(adapter: Adapter) -> bytes:
    """The adapter as the content of its file, float32."""
    tensors = {_REPLACED + name: tensor for name, tensor in adapter.replaced.items()}
    for name, (a, b) in adapter.lora.items():
        tensors |= {_A + name: a, _B + name: b}
    plain = {name: t.detach().to("cpu", torch.float32).contiguous().clone() for name, t in tensors.items()}
    return save(
        plain,
        {
            **adapter.notes,
            **adapted_notes(adapter.architecture),
            "format": FORMAT,
            "version": VERSION,
            "base": adapter.base,
            "base_sha256": adapter.base_sha256,
            "base_architecture": adapter.architecture,
            "rank": str(adapter.rank),
            "alpha": str(adapter.alpha),
            "targets": json.dumps(list(adapter.targets)),
        },
    )


def read_adapter(path: Path) -> Adapter:
    """Read an adapter file.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsError: it is damaged, no adapter, or of another version.
    """
    state = load_state(path)
    notes = safetensors_metadata(path)
    if notes.get("format") != FORMAT or notes.get("version") != VERSION:
        found = f"{notes.get('format', 'no adapter')} {notes.get('version', '')}".strip()
        raise WeightsError(
            f"{path} holds {found}, this version reads {FORMAT} {VERSION}.", "Take an adapter made with this version."
        )
    try:
        base, digest, architecture = notes["base"], notes["base_sha256"], notes["base_architecture"]
        rank, alpha = int(notes["rank"]), float(notes["alpha"])
        targets = tuple(str(one) for one in json.loads(notes["targets"]))
        lora = {
            name.removeprefix(_A): (tensor, state[_B + name.removeprefix(_A)])
            for name, tensor in state.items()
            if name.startswith(_A)
        }
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path} is an incomplete adapter ({error}).", "Make it again, or take another copy."
        ) from error
    replaced = {name.removeprefix(_REPLACED): t for name, t in state.items() if name.startswith(_REPLACED)}
    strange = [name for name in state if not name.startswith((_A, _B, _REPLACED))]
    if rank < 1 or strange or len(state) != 2 * len(lora) + len(replaced):
        what = (
            f"a rank of {rank}"
            if rank < 1
            else f"tensors that belong to nothing ({', '.join(strange[:3]) or 'lora_B'})"
        )
        raise WeightsError(f"{path} is a damaged adapter: it has {what}.", "Make it again, or take another copy.")
    rest = {key: value for key, value in notes.items() if key not in (*_NOTES, "format", "version")}
    return Adapter(base, digest, architecture, rank, alpha, targets, lora, replaced, rest)


def check_base(adapter: Adapter, name: str, base: str, sha256: str) -> None:
    """Refuse a base other than the one that was adapted.

    Raises:
        WeightsError: ``sha256`` of the model called ``base`` is not the one the adapter called ``name`` was made on.
    """
    if sha256.lower() != adapter.base_sha256.lower():
        raise WeightsError(
            f'The adapter "{name}" was made on {adapter.base} with SHA-256 {adapter.base_sha256[:16]}...; '
            f"{base} here has {sha256[:16]}....",
            f"Put that version of {adapter.base} in its place, or adapt this one anew: samprompt train adapt.",
        )


@torch.no_grad()
def apply_adapter(adapter: Adapter, model: nn.Module, path: Path) -> None:
    """Change the weights of ``model``, which is the base, in place; afterwards it is an ordinary model.

    Raises:
        WeightsError: the adapter names layers or shapes that the base does not have; ``path`` is named.
    """
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    changes: dict[str, Tensor] = dict(adapter.replaced)
    unknown = [name for name in (*adapter.replaced, *(f"{m}.weight" for m in adapter.lora)) if name not in own]
    _refuse(unknown, path, adapter)
    for name, (a, b) in adapter.lora.items():
        key = f"{name}.weight"
        if a.shape[0] != adapter.rank or b.shape[1] != adapter.rank or a.ndim != b.ndim:
            _refuse([name], path, adapter)
        weight = changes.get(key, own[key])
        change = low_rank_change(a.to(weight.device, torch.float32), b.to(weight.device, torch.float32))
        if change.shape != weight.shape:
            _refuse([name], path, adapter)
        changes[key] = weight.float() + adapter.scale * change
    _refuse([name for name, tensor in changes.items() if tensor.shape != own[name].shape], path, adapter)
    for name, tensor in changes.items():
        own[name].copy_(tensor)


def _refuse(names: Sequence[str], path: Path, adapter: Adapter) -> None:
    if names:
        listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise WeightsError(
            f"{path} does not fit {adapter.base} ({adapter.architecture}): {listed}.",
            "It was made for another model, or is damaged.",
        )
