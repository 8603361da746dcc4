"""Reading weights safely: no code is run, and every way a file can be wrong is said in words."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from samprompt.contract.catalogue import CatalogueEntry
from samprompt.contract.errors import WeightsError, WeightsMissingError
from samprompt.contract.memory import is_out_of_memory
from samprompt.contract.progress import Progress

_AGAIN = "Delete the file and fetch it again."
_BLOCK = 1 << 20


def file_sha256(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a file's content as hex digits; ``progress`` is told bytes."""
    return _digest(path, "sha256", progress)


def _digest(path: Path, kind: str, progress: Progress | None) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            if progress is not None:
                progress.step("Checking the weights", done, total)
    return digest.hexdigest()


def check_sums(path: Path, entry: CatalogueEntry, progress: Progress | None = None) -> str:
    """SHA-256 of ``path`` after comparing it with the sums of the catalogue.

    Raises:
        WeightsError: another size or another sum than the official file's.
    """
    size = path.stat().st_size
    if entry.size and size != entry.size:
        word = "truncated" if size < entry.size else "another file"
        raise WeightsError(
            f"{path} has {size:,} bytes, the official file of {entry.name} has {entry.size:,}: it is {word}.", _AGAIN
        )
    found = file_sha256(path, progress)
    wrong = bool(entry.sha256) and found != entry.sha256.lower()
    if not wrong and entry.md5 and not entry.sha256:
        wrong = _digest(path, "md5", progress) != entry.md5.lower()
    if wrong:
        raise WeightsError(
            f"{path} is not the official file of {entry.name}: its checksum is another one (SHA-256 {found[:16]}...).",
            f"{_AGAIN} Weights of your own get a name with: samprompt models add NAME PATH --architecture "
            f"{entry.architecture}.",
        )
    return found


def load_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Read the weights of a ``.safetensors`` or torch file as a flat dictionary of tensors.

    Files that hold the weights under "model" (SAM 2, MedSAM's training) or "state_dict" are unwrapped, the prefix
    "module." of parallel training is taken off. Torch files are read with ``weights_only=True``: a pickle that would
    run code is refused.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsError: empty, truncated, a web page, unsafe, or without weights in it.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsMissingError(f"There are no weights at {path}.", "Check the path, or see: samprompt models list.")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror or error}).", "Check its permissions.") from error
    _refuse_what_is_no_checkpoint(path, head)
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return _load_safetensors(path, device)
    return _unwrap(_load_torch(path, device), path)


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The notes in a safetensors file, {} for a file of another kind."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return {}


def fit_state(module: nn.Module, state: Mapping[str, Tensor], path: Path, architecture: str) -> None:
    """Put ``state`` into ``module``, which must have exactly these tensors.

    Raises:
        WeightsError: tensors are missing, too many, or of another shape; the first few are named.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    found = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    if found:
        raise WeightsError(
            f"{path} does not hold weights of {architecture}: {'; '.join(found)}.",
            "Choose the architecture that the file was trained with (samprompt models list).",
        )
    module.load_state_dict(dict(state))


def _refuse_what_is_no_checkpoint(path: Path, head: bytes) -> None:
    """Say it in words when the first bytes are those of nothing at all, a web page or a pointer."""
    if not head:
        raise WeightsError(f"{path} is empty.", _AGAIN)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise WeightsError(
            f"{path} is a web page, not weights.",
            "The address answered with a page (a login, a confirmation, an error); download the file itself.",
        )
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights.", "Fetch the file itself (git lfs pull).")


def _load_safetensors(path: Path, device: torch.device | str) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt", device=str(device)) as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is a truncated or damaged safetensors file ({error}).", _AGAIN) from error


def _load_torch(path: Path, device: torch.device | str) -> Any:
    try:
        with warnings.catch_warnings():  # torch warns of pickle protocols that it then refuses or reads
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named is None and "allowlist" not in str(error):
            raise WeightsError(f"{path} is damaged or not a file of plain weights.", _AGAIN) from error
        raise WeightsError(
            f"{path} was refused: loading it would run code stored in it ({named[1] if named else 'unknown class'}).",
            "Weights need no code. Take the official file, or ask its author for a plain state dictionary.",
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError, OSError, ... on damaged files
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"{path} is truncated, damaged or not a file of weights.", _AGAIN) from error


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    """The dictionary of tensors inside what was stored."""
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds no weights: a dictionary of tensors was expected.", "Take another file.")
    wrong = next((key for key, value in content.items() if not isinstance(value, Tensor)), None)
    if wrong is not None:
        raise WeightsError(f'{path} holds no plain weights: "{wrong}" is not a tensor.', "Store the state dictionary.")
    prefix = "module." if all(str(key).startswith("module.") for key in content) else ""
    return {str(key)[len(prefix) :]: value for key, value in content.items()}
