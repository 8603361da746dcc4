"""The models that can be named: where each comes from, its licence, its size; read from ``catalogue.toml``."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from samprompt import resources
from samprompt.contract.errors import EnvironmentProblem, ParameterError


@dataclass(frozen=True)
class CatalogueEntry:
    """One model. ``size`` is in bytes (0: unknown), ``input_size`` the side of the model's input square in pixels.

    ``file`` is the name of the weights in the models folder; for a built-in model its name in Resources/models, for a
    model that a user added its whole path. ``url`` is the official address; with ``manual`` it has to be fetched by
    hand as ``instructions`` say. ``sha256`` and ``md5`` are empty where the publisher's sum is not known for sure.
    ``base``: the file is an adapter, a small change of the model of this name (or "ARCHITECTURE:PATH").
    """

    name: str
    architecture: str
    file: str
    title: str = ""
    aliases: tuple[str, ...] = ()
    url: str = ""
    page: str = ""
    sha256: str = ""
    md5: str = ""
    size: int = 0
    licence: str = ""
    input_size: int = 1024
    trained_on: str = ""
    manual: bool = False
    instructions: str = ""
    builtin: bool = False
    user: bool = False
    base: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All entries; a model is found by its name or an alias, in any case of letters."""

    entries: tuple[CatalogueEntry, ...]

    def __iter__(self) -> Iterator[CatalogueEntry]:
        return iter(self.entries)

    def names(self) -> tuple[str, ...]:
        """Names in the order of the file."""
        return tuple(entry.name for entry in self.entries)

    def get(self, name: str) -> CatalogueEntry | None:
        """The entry called ``name`` or None."""
        wanted = name.casefold()
        for entry in self.entries:
            if wanted in (entry.name.casefold(), *(alias.casefold() for alias in entry.aliases)):
                return entry
        return None

    def find(self, name: str) -> CatalogueEntry:
        """The entry called ``name``.

        Raises:
            ParameterError: there is none; the hint names the nearest ones.
        """
        entry = self.get(name)
        if entry is not None:
            return entry
        known = [word for entry in self.entries for word in (entry.name, *entry.aliases)]
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known models: {', '.join(self.names())}."
        raise ParameterError(f'There is no model called "{name}".', hint)


def read_catalogue(path: Path | None = None, user: Path | None = None) -> Catalogue:
    """Read the catalogue (by default the one in Resources) and, where it exists, a user's own behind it.

    Raises:
        EnvironmentProblem: a file is missing or is no catalogue; the message names the entry and the field.
    """
    path = resources.root() / "models" / "catalogue.toml" if path is None else path
    entries = _read(path, user=False)
    if user is not None and user.is_file():
        taken = {word.casefold() for entry in entries for word in (entry.name, *entry.aliases)}
        # A name that a later version of the catalogue took: the official one wins, the user's stays in the file.
        entries += [entry for entry in _read(user, user=True) if entry.name.casefold() not in taken]
    return Catalogue(tuple(entries))


def _read(path: Path, user: bool) -> list[CatalogueEntry]:
    """Entries of one file, in its order."""
    hint = "Correct or delete that file." if user else "Reinstall SAMPromptTools."
    try:
        tables: Any = tomllib.loads(path.read_text(encoding="utf-8")).get("model", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EnvironmentProblem(f"The catalogue of models {path} cannot be read ({error}).", hint) from error
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise EnvironmentProblem(f"{path} is no catalogue of models: [[model]] tables were expected.", hint)
    return [_entry(table, path, user, hint) for table in tables]


def _entry(table: dict[str, Any], path: Path, user: bool, hint: str) -> CatalogueEntry:
    """One table as an entry; wrong types are said with the entry's name."""
    name = table.get("name", "?")
    kinds = {field.name: field for field in fields(CatalogueEntry)}
    values = dict(table, user=user)
    for key, value in table.items():
        if key not in kinds:
            raise EnvironmentProblem(f'{path}: the model "{name}" has an unknown field "{key}".', hint)
        kind: type = {"tuple[str, ...]": list, "int": int, "bool": bool}.get(str(kinds[key].type), str)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise EnvironmentProblem(f'{path}: "{key}" of the model "{name}" is not a {kind.__name__}.', hint)
        if isinstance(value, list):
            values[key] = tuple(str(item) for item in value)
    missing = [key for key, field in kinds.items() if field.default is MISSING and not values.get(key)]
    if missing:
        raise EnvironmentProblem(f'{path}: the model "{name}" lacks {", ".join(missing)}.', hint)
    return CatalogueEntry(**values)
