"""An adapter multiplied into its base: one ordinary file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from samprompt.contract.catalogue import CatalogueEntry
from samprompt.contract.errors import OutputError, ParameterError
from samprompt.contract.places import catalogue
from samprompt.io.atomic import replacing
from samprompt.models.adapter import is_adapter, read_adapter
from samprompt.models.added import add_model, check_name
from samprompt.models.registry import find_base, find_weights, load_backbone

from samprompt_training.adapt.files import official_suffix, write_state


def merge(model: str, out: Path, name: str = "") -> tuple[Path, CatalogueEntry | None]:
    """Write the adapted model called ``model`` as whole weights in the base's format, and give them a ``name``.

    ``out`` is a file, or a folder in which the file gets the model's name. The answers are the adapter's own.

    Raises:
        ParameterError: ``model`` is no adapter, or ``name`` is taken.
        OutputError: ``out`` cannot be written, or is there already.
        WeightsError, WeightsMissingError: as ``load_backbone``.
    """
    found = find_weights(model)
    if not is_adapter(found.path):
        raise ParameterError(f'"{model}" is no adapter: its weights are whole already.', "Use it as it is.")
    if name:
        check_name(name)
    adapter = read_adapter(found.path)
    base = find_base(found, adapter)
    suffix = official_suffix(adapter.architecture)
    target = out.expanduser()
    if target.is_dir() or not target.suffix:
        target = target / f"{name or found.path.stem + '-merged'}{suffix}"
    if target.suffix != suffix:
        raise ParameterError(f"{target.name}: weights of {adapter.architecture} end in {suffix}.", "Change --out.")
    if target.exists():
        raise OutputError(f"{target} is there already.", "Give another file with --out, or remove it.")
    network = cast(Any, load_backbone(model, "cpu")).model
    state = {key: tensor.detach().clone().contiguous() for key, tensor in network.state_dict().items()}
    write_state(state, base, target, {**adapter.notes, "merged_from": found.sha256})
    card = found.path.with_suffix(".md")
    if card.is_file():
        with replacing(target.with_suffix(".md")) as temporary:
            text = card.read_text(encoding="utf-8")
            temporary.write_text(f"{text}\nMerged into its base; SHA-256 of the adapter `{found.sha256}`.\n", "utf-8")
    if not name:
        return target, None
    known = catalogue().get(model)
    words = known.trained_on if known is not None else adapter.notes.get("trained_on", "")
    return target, add_model(name, target, adapter.architecture, known.licence if known else "", words)
