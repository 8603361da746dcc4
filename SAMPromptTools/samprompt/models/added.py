"""Models that a user gave a name: kept in a catalogue of their own in the models folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

from samprompt.contract.catalogue import CatalogueEntry, read_catalogue
from samprompt.contract.errors import OutputError, ParameterError, WeightsMissingError
from samprompt.contract.places import catalogue, user_catalogue_path, weights_path
from samprompt.models.adapter import is_adapter, read_adapter
from samprompt.models.registry import LOADERS, load_entry, noted_architecture, wherever

_FIELDS = ("name", "architecture", "file", "title", "size", "sha256", "licence", "input_size", "trained_on", "base")


def add_model(
    name: str, path: Path, architecture: str = "", licence: str = "", trained_on: str = "", base: str = ""
) -> CatalogueEntry:
    """Give the weights at ``path`` a name; they are loaded once to prove that they fit, and stay where they are.

    ``architecture`` may be left out for files that say it. An adapter's ``base`` is what its file says, or another name
    or "ARCHITECTURE:PATH" of the same weights, which is noted in full.

    Raises:
        ParameterError: the name is taken or cannot be one, or the architecture is unknown.
        WeightsError: the file is missing or does not fit the architecture, or an adapter does not fit its base.
        OutputError: the models folder cannot be written.
    """
    check_name(name)
    path = path.expanduser().resolve()
    if not path.is_file():
        raise WeightsMissingError(f"There are no weights at {path}.", "Check the path.")
    architecture = architecture or noted_architecture(path)
    if not architecture:
        raise ParameterError(
            f"{path} does not say which architecture it is.", f"Add --architecture: one of {', '.join(LOADERS)}."
        )
    if architecture not in LOADERS:
        raise ParameterError(f'"{architecture}" is not an architecture.', f"One of: {', '.join(LOADERS)}.")
    if is_adapter(path):
        base = base or read_adapter(path).base
    elif base:
        raise ParameterError(f"{path} is not an adapter, so it has no base.", "Leave --base out.")
    entry = CatalogueEntry(
        name=name,
        architecture=architecture,
        file=str(path),
        size=path.stat().st_size,
        licence=licence,
        trained_on=trained_on,
        user=True,
        base=base,
    )
    backbone = load_entry(entry, "cpu")
    # the base was found from here; it has to be found from other folders too
    entry = replace(entry, input_size=backbone.input_size, base=wherever(base) if base else "")
    _write([*_added(), entry])
    return entry


def check_name(name: str) -> None:
    """Whether a model can be called so.

    Raises:
        ParameterError: not a name, or taken.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ParameterError(f'"{name}" cannot be a name.', "Use letters, digits, dots, dashes and underscores.")
    taken = catalogue().get(name)
    if taken is not None or name in LOADERS:
        raise ParameterError(
            f'The name "{name}" is taken.',
            f"Choose another one, or first: samprompt models remove {name}."
            if taken and taken.user
            else "Choose another one.",
        )


def remove_model(name: str) -> str:
    """Forget a model the user added (the file stays), or delete downloaded weights; says in words what was done.

    Raises:
        ParameterError: no such model, the built-in one, or nothing to remove.
    """
    entry = catalogue().find(name)
    if entry.user:
        _write([other for other in _added() if other.name != entry.name])
        return f"{entry.name} was forgotten; its weights stay at {entry.file}."
    if entry.builtin:
        raise ParameterError("The built-in model belongs to SAMPromptTools and is not removed.", "")
    path = weights_path(entry)
    found = [file for file in (path, path.with_name(path.name + ".partial")) if file.is_file()]
    if not found:
        raise ParameterError(f"{entry.name} is not on this machine.", "See: samprompt models list.")
    for file in found:
        try:
            file.unlink()
        except OSError as error:
            raise OutputError(
                f"{file} cannot be deleted ({error.strerror or error}).", "Check its permissions."
            ) from error
    return f"Deleted {', '.join(str(file) for file in found)}."


def _added() -> list[CatalogueEntry]:
    path = user_catalogue_path()
    return list(read_catalogue(path)) if path.is_file() else []


def _write(entries: list[CatalogueEntry]) -> None:
    """Replace the user's catalogue. JSON's strings and numbers are TOML's, when other characters are not escaped."""
    lines = ["# Models added with: samprompt models add"]
    for entry in entries:
        values = ((field, getattr(entry, field)) for field in _FIELDS)
        lines += [
            "",
            "[[model]]",
            *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values if value),
        ]
    path = user_catalogue_path()
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(f"{path} cannot be written ({error.strerror or error}).", "Check its permissions.") from error
