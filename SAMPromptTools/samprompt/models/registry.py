"""From a name or a path to a model: one line per architecture, and the catalogue of names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from samprompt.contract.catalogue import Catalogue, CatalogueEntry
from samprompt.contract.errors import ParameterError, WeightsError, WeightsMissingError
from samprompt.contract.places import catalogue, weights_path
from samprompt.contract.progress import Progress
from samprompt.models import sam, sam2
from samprompt.models.adapter import Adapter, apply_adapter, check_base, is_adapter, read_adapter
from samprompt.models.backbone import Backbone
from samprompt.models.checkpoint import check_sums, file_sha256, safetensors_metadata
from samprompt.models.device import choose_device
from samprompt.models.download import download
from samprompt.models.tiny import ARCHITECTURE as TINY
from samprompt.models.tiny import load_tiny

Loader = Callable[[Path, torch.device, str, str, str], Backbone]


def _load_tiny(path: Path, device: torch.device, architecture: str, name: str, fingerprint: str) -> Backbone:
    backbone = load_tiny(path, device)
    backbone.name, backbone.fingerprint = name, fingerprint
    return backbone


# Architecture -> (path, device, architecture, name, fingerprint) -> Backbone. A new kind of model is one line here.
LOADERS: dict[str, Loader] = {
    "tiny": _load_tiny,
    **dict.fromkeys(sam.ARCHITECTURES, sam.load_sam),
    **dict.fromkeys(sam2.ARCHITECTURES, sam2.load_sam2),
}
_IN_METADATA = {TINY: "tiny"}  # what safetensors files written by the training call an architecture


def ensure_weights(entry: CatalogueEntry, progress: Progress | None = None) -> Path:
    """Path of the weights of ``entry``; downloads them where they are missing.

    Raises:
        WeightsMissingError, WeightsError, OutputError, Cancelled: as ``download``.
    """
    path = weights_path(entry)
    if path.is_file():
        return path
    if entry.builtin:
        raise WeightsMissingError(f"The built-in model is not at {path}.", "Reinstall SAMPromptTools.")
    if entry.user:
        raise WeightsMissingError(
            f'The weights of "{entry.name}" are no longer at {path}.',
            f"Put them back, or: samprompt models remove {entry.name}.",
        )
    return download(entry, path, progress)


def load_backbone(name_or_path: str, device: torch.device | str = "auto", progress: Progress | None = None) -> Backbone:
    """Load a model ready for inference.

    ``name_or_path`` is a name or alias of the catalogue ("tiny", "vit_b", "sam2.1_hiera_tiny", one added by the user;
    downloaded when missing), "ARCHITECTURE:PATH" ("vit_b:/data/mine.pth"), or the path of a safetensors file that says
    its architecture. An adapter is loaded with the base model it belongs to. ``device`` is a torch device or a name for
    ``choose_device``.

    Raises:
        ParameterError: no such name, or a path without its architecture.
        WeightsError, WeightsMissingError: the file is wrong, or missing and cannot be fetched.
        EnvironmentProblem: the device or a package is missing.
        OutOfMemory: the model does not fit.
    """
    where = choose_device(device) if isinstance(device, str) else device
    return _load(find_weights(name_or_path, progress), where, progress)


def load_entry(
    entry: CatalogueEntry, device: torch.device | str = "auto", progress: Progress | None = None
) -> Backbone:
    """Load a model that need not be in the catalogue (yet); otherwise as ``load_backbone``."""
    where = choose_device(device) if isinstance(device, str) else device
    return _load(_weights_of(entry, progress), where, progress)


@dataclass(frozen=True)
class Weights:
    """A file of weights on this machine: ``sha256`` of all of it, ``base`` as in ``CatalogueEntry``."""

    path: Path
    architecture: str
    name: str
    sha256: str
    base: str = ""


def find_weights(name_or_path: str, progress: Progress | None = None) -> Weights:
    """The file that ``load_backbone`` would load, checked against the catalogue's sums; downloads what is missing.

    Raises:
        ParameterError, WeightsError, WeightsMissingError: as ``load_backbone``.
    """
    known = catalogue()
    entry = known.get(name_or_path)
    if entry is not None:
        return _weights_of(entry, progress)
    architecture, path = _split(name_or_path, known)
    if not path.is_file():
        raise WeightsMissingError(f"There are no weights at {path}.", "Check the path.")
    return Weights(path, architecture, f"{architecture}:{path.name}", file_sha256(path, progress))


def _weights_of(entry: CatalogueEntry, progress: Progress | None) -> Weights:
    path = ensure_weights(entry, progress)
    return Weights(path, entry.architecture, entry.name, check_sums(path, entry, progress), entry.base)


def _load(weights: Weights, device: torch.device, progress: Progress | None) -> Backbone:
    """The model of a file; an adapter is put onto its base."""
    if not is_adapter(weights.path):
        if weights.base:
            raise WeightsError(
                f'"{weights.name}" should be an adapter of {weights.base}, but {weights.path} is none.',
                f"Put the adapter back, or: samprompt models remove {weights.name}.",
            )
        load = _loader(weights.architecture)
        return load(weights.path, device, weights.architecture, weights.name, weights.sha256[:16])
    adapter = read_adapter(weights.path)
    base = find_base(weights, adapter, progress)
    if is_adapter(base.path):
        raise WeightsError(
            f'The adapter "{weights.name}" stands on {base.name}, which is an adapter itself.',
            "Merge that one first: samprompt train merge.",
        )
    if weights.architecture != adapter.architecture or base.architecture != adapter.architecture:
        raise WeightsError(
            f'The adapter "{weights.name}" is one of {adapter.architecture}; '
            f"it was called {weights.architecture}, and {base.name} is {base.architecture}.",
            f"Name {adapter.architecture} as its architecture and {adapter.base} as its base.",
        )
    check_base(adapter, weights.name, base.name, base.sha256)
    backbone = _loader(base.architecture)(base.path, device, base.architecture, weights.name, weights.sha256[:16])
    apply_adapter(adapter, cast(Any, backbone).model, weights.path)
    if isinstance(backbone, sam2.Sam2Backbone):  # whatever the notes say: no adapter was trained otherwise
        backbone.answer_with_single_mask()
    return backbone


def find_base(weights: Weights, adapter: Adapter, progress: Progress | None = None) -> Weights:
    """The weights that ``adapter``, which ``weights`` hold, stands on.

    Raises:
        WeightsMissingError: they are not here; adapter and base are named.
        WeightsError: as ``find_weights``.
    """
    wanted = weights.base or adapter.base
    try:
        return find_weights(wanted, progress)
    except ParameterError as error:
        raise WeightsMissingError(
            f'The adapter "{weights.name}" belongs to {adapter.base}, and no model {wanted} is known here.',
            "Add that model first (samprompt models add), then this one with: samprompt models add --base.",
        ) from error
    except WeightsMissingError as error:
        by_path = catalogue().get(wanted) is None
        raise WeightsMissingError(
            f'The base of the adapter "{weights.name}", {wanted}, is missing: {error.message}',
            f"Say where it is: samprompt models add NAME {weights.path} --base ARCHITECTURE:PATH."
            if by_path
            else error.hint,
        ) from error


def wherever(name_or_path: str) -> str:
    """The same model, so written that it is found from every folder: its name, or "ARCHITECTURE:PATH" in full.

    Raises:
        ParameterError, WeightsMissingError: as ``load_backbone``.
    """
    known = catalogue()
    if known.get(name_or_path) is not None:
        return name_or_path
    architecture, path = _split(name_or_path, known)
    return f"{architecture}:{path.resolve()}"


def _split(text: str, known: Catalogue) -> tuple[str, Path]:
    """Architecture and path of "ARCHITECTURE:PATH", or of a file that says its architecture."""
    architecture, colon, rest = text.partition(":")
    if colon and rest and (architecture in LOADERS or len(architecture) > 1):  # C:\file is a path of Windows
        _loader(architecture)
        return architecture, Path(rest).expanduser()
    path = Path(text).expanduser()
    if path.is_file():
        noted = noted_architecture(path)
        if noted in LOADERS:
            return noted, path
        raise ParameterError(
            f"{path} does not say which architecture it is.",
            f"Write it before the path, for example vit_b:{path} (one of {', '.join(LOADERS)}).",
        )
    if path.parent != Path() or path.suffix in (".pth", ".pt", ".safetensors"):
        raise WeightsMissingError(f"There are no weights at {path}.", "Check the path, or see: samprompt models list.")
    known.find(text)  # raises, naming the nearest models
    raise AssertionError("unreachable")


def noted_architecture(path: Path) -> str:
    """The architecture that a safetensors file says it is of (an adapter: of its base), "" where it says none."""
    notes = safetensors_metadata(path)
    noted = notes.get("base_architecture", "") or notes.get("architecture", "")
    return _IN_METADATA.get(noted, noted)


def _loader(architecture: str) -> Loader:
    if architecture not in LOADERS:
        raise ParameterError(
            f'"{architecture}" is not an architecture that can be loaded.', f"One of: {', '.join(LOADERS)}."
        )
    return LOADERS[architecture]
