"""Models that a user gave a name: kept in a catalogue of their own in the models folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from samprompt.contract.catalogue import CatalogueEntry, read_catalogue
from samprompt.contract.errors import OutputError, ParameterError
from samprompt.contract.places import catalogue, user_catalogue_path, weights_path
from samprompt.models.registry import LOADERS, load_backbone

_FIELDS = ("name", "architecture", "file", "title", "size", "sha256", "licence", "input_size", "trained_on")


def add_model(name: str, path: Path, architecture: str, licence: str = "", trained_on: str = "") -> CatalogueEntry:
    """Give the weights at ``path`` a name; they are loaded once to prove that they fit, and stay where they are.

    Raises:
        ParameterError: the name is taken or cannot be one, or the architecture is unknown.
        WeightsError: the file is missing or does not fit the architecture.
        OutputError: the models folder cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ParameterError(f'"{name}" cannot be a name.', "Use letters, digits, dots, dashes and underscores.")
    if architecture not in LOADERS:
        raise ParameterError(f'"{architecture}" is not an architecture.', f"One of: {', '.join(LOADERS)}.")
    taken = catalogue().get(name)
    if taken is not None or name in LOADERS:
        raise ParameterError(
            f'The name "{name}" is taken.',
            f"Choose another one, or first: samprompt models remove {name}."
            if taken and taken.user
            else "Choose another one.",
        )
    path = path.expanduser().resolve()
    backbone = load_backbone(f"{architecture}:{path}", "cpu")
    entry = CatalogueEntry(
        name=name,
        architecture=architecture,
        file=str(path),
        size=path.stat().st_size,
        licence=licence,
        input_size=backbone.input_size,
        trained_on=trained_on,
        user=True,
    )
    _write([*_added(), entry])
    return entry


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
