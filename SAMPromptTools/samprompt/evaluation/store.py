"""The folder of a comparison: rows as they come, and the settings they belong to; an interrupted run goes on here."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from samprompt.contract.errors import OutputError, ParameterError, UnreadableFileError
from samprompt.evaluation.rows import Row, RowKey, read_rows, rows_to_text
from samprompt.io.atomic import replacing

RESULTS = "results.csv"
SETTINGS = "settings.json"


class Store:
    """Rows in ``folder/results.csv``, whole after every ``add``; ``settings`` are what they were computed with.

    Rows that are there already are read; those with an error are forgotten, so that they are computed again.

    Raises:
        OutputError: the folder cannot be made or written.
        ParameterError: the folder holds results of other settings.
        UnreadableFileError: what is there is no result.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self._rows: dict[RowKey, Row] = {}
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"The output {folder} is a file, not a folder.", "Give a folder with --out.")
        if (folder / RESULTS).exists():
            found = read_settings(folder)
            self._check(found)
            self.settings = joined(found, self.settings)
            self._rows = {row.key: row for row in read_rows(folder / RESULTS) if row.ok}
        write_text(folder / SETTINGS, json.dumps(self.settings, indent=2) + "\n")
        self._write()

    @property
    def rows(self) -> list[Row]:
        """All rows, in the order they were computed."""
        return list(self._rows.values())

    def holds(self, protocol: str, patient: str, visit: str, method: str, structures: Collection[str]) -> bool:
        """Whether every one of ``structures`` was computed already."""
        keys = [(protocol, patient, visit, structure, method) for structure in structures]
        return bool(keys) and all(key in self._rows and self._rows[key].ok for key in keys)

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in and write the file; a row of the same key is replaced.

        Raises:
            OutputError: the file cannot be written.
        """
        for row in rows:
            self._rows[row.key] = row
        self._write()

    def _write(self) -> None:
        write_text(self.folder / RESULTS, rows_to_text(self.rows))

    def _check(self, found: dict[str, Any]) -> None:
        different = differing(found, self.settings)
        if different:
            raise ParameterError(
                f"{self.folder} holds results of other settings ({', '.join(different)}).",
                "Give another folder with --out, or repeat the command that made it.",
            )


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings beside the results in ``folder``.

    Raises:
        UnreadableFileError: there are none, or they are damaged.
    """
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableFileError(
            f"{folder} holds no settings of a comparison ({error}).", "Give the folder of samprompt evaluate."
        ) from error
    if not isinstance(found, dict):
        raise UnreadableFileError(f"{folder / SETTINGS} holds no settings.", "Delete that folder and run again.")
    return found


def merge(folders: Sequence[Path]) -> tuple[list[Row], dict[str, Any]]:
    """The rows of several folders of the same settings; of a row that is there twice the first computed one counts.

    Raises:
        ParameterError: no folder, or folders of different settings.
        MissingFileError, UnreadableFileError: a folder holds no results.
    """
    if not folders:
        raise ParameterError("There is nothing to merge.", "Name at least one folder with --merge.")
    settings = [read_settings(folder) for folder in folders]
    for (folder, one), (other, two) in itertools.combinations(zip(folders, settings, strict=True), 2):
        if different := differing(one, two):
            raise ParameterError(
                f"{other} was computed with other settings than {folder} ({', '.join(different)}).",
                "Merge only what was computed alike.",
            )
    rows: dict[RowKey, Row] = {}
    for folder in folders:
        for row in read_rows(folder / RESULTS):
            if row.key not in rows or (row.ok and not rows[row.key].ok):
                rows[row.key] = row
    # A visit that failed in one folder and was computed in another has an error for "*" that no longer holds.
    done = {(r.protocol, r.patient, r.visit, r.method) for r in rows.values() if r.ok}
    kept = [r for r in rows.values() if r.ok or (r.protocol, r.patient, r.visit, r.method) not in done]
    return kept, functools.reduce(joined, settings)


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of the settings that are not the same in both; an empty text (no model was needed) fits everything."""
    return sorted(
        key
        for key in one.keys() | other.keys()
        if one.get(key) != other.get(key) and "" not in (one.get(key), other.get(key))
    )


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two settings that do not differ as one: what is an empty text in the one is taken from the other."""
    return {key: other.get(key) if one.get(key) == "" else one[key] for key in one}


def write_text(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
