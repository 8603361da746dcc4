"""One line of a comparison: one method's result for one structure on one visit, and the file that holds many."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from samprompt.contract.errors import MissingFileError, UnreadableFileError
from samprompt.evaluation.metrics import StructureMetrics

RowKey = tuple[str, str, str, str, str]
_NONE = float("nan")


@dataclass(frozen=True)
class Row:
    """A structure on a visit by a method; what was not measured is NaN.

    ``visit`` is kind and seed of the simulated change. ``status`` is "ok", or "error" with the cause in ``message``;
    then ``structure`` is "*" where the visit or the patient failed before its structures were known. ``cnr`` is the
    contrast-to-noise ratio of the truth against its ring on the follow-up, or of the baseline's structure where the
    truth is empty: ``cnr_of`` says which ("follow-up" or "baseline"). The measures are those of ``StructureMetrics``;
    with the protocol "oracle2d" ``dice`` is the mean 2D Dice over ``slices`` labelled slices, and there are no others.
    ``seconds`` are those of the whole visit, all its structures together and without alignment, which the methods share
    and which is in ``alignment_seconds``.
    """

    protocol: str
    patient: str
    visit: str
    kind: str
    seed: int
    structure: str
    method: str
    status: str = "ok"
    message: str = ""
    state: str = ""
    cnr: float = _NONE
    cnr_of: str = ""
    dice: float = _NONE
    surface_dice_1mm: float = _NONE
    surface_dice_2mm: float = _NONE
    surface_dice_3mm: float = _NONE
    hd95_mm: float = _NONE
    mean_surface_distance_mm: float = _NONE
    added_path_exact_mm: float = _NONE
    added_path_exact_relative: float = _NONE
    added_path_mm: float = _NONE
    added_path_relative: float = _NONE
    slices_to_delete: int = 0
    slices_to_draw: int = 0
    truth_ml: float = _NONE
    result_ml: float = _NONE
    volume_difference_percent: float = _NONE
    centroid_distance_mm: float = _NONE
    slices: int = 0
    trust: float = _NONE
    flagged: bool = False
    route: str = ""
    seconds: float = _NONE
    alignment_seconds: float = _NONE

    @property
    def key(self) -> RowKey:
        """What makes a row unique."""
        return self.protocol, self.patient, self.visit, self.structure, self.method

    @property
    def ok(self) -> bool:
        """Whether it was computed."""
        return self.status == "ok"

    @property
    def place(self) -> tuple[str, str, str]:
        """Patient, visit and structure: what methods are paired by."""
        return self.patient, self.visit, self.structure


def metric_fields(found: StructureMetrics) -> dict[str, Any]:
    """The measures as fields of a ``Row`` (measured with the tolerances 1, 2 and 3 mm)."""
    return {
        "state": found.state,
        "dice": found.dice,
        "surface_dice_1mm": found.surface_dice[1.0],
        "surface_dice_2mm": found.surface_dice[2.0],
        "surface_dice_3mm": found.surface_dice[3.0],
        "hd95_mm": found.hd95_mm,
        "mean_surface_distance_mm": found.mean_surface_distance_mm,
        "added_path_exact_mm": found.added_path_exact.length_mm,
        "added_path_exact_relative": found.added_path_exact.relative,
        "added_path_mm": found.added_path.length_mm,
        "added_path_relative": found.added_path.relative,
        "slices_to_delete": found.slices_to_delete,
        "slices_to_draw": found.slices_to_draw,
        "truth_ml": found.truth_ml,
        "result_ml": found.result_ml,
        "volume_difference_percent": found.volume_difference_percent,
        "centroid_distance_mm": found.centroid_distance_mm,
    }


def rows_to_text(rows: list[Row]) -> str:
    """CSV with a heading; NaN is an empty cell, floats have six digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [field.name for field in fields(Row)]
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in names])
    return stream.getvalue()


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that ``rows_to_text`` made.

    Raises:
        MissingFileError: there is no such file.
        UnreadableFileError: it is something else, or cut off; the message names the line.
    """
    hint = "Give the folder of an earlier samprompt evaluate, or delete that file."
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"There are no results at {path}.", hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"{path} cannot be read ({error}).", hint) from error
    lines = list(csv.reader(io.StringIO(text)))
    kinds = {field.name: str(field.type) for field in fields(Row)}
    if not lines or lines[0] != list(kinds):
        raise UnreadableFileError(f"{path} is no table of results of this version.", hint)
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(kinds):
            raise UnreadableFileError(f"{path}: line {number} has {len(cells)} cells, not {len(kinds)}.", hint)
        try:
            values = {name: _value(cell, kinds[name]) for name, cell in zip(kinds, cells, strict=True)}
        except ValueError as error:
            raise UnreadableFileError(f"{path}: line {number} holds {error}.", hint) from error
        rows.append(Row(**values))
    return rows


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _value(cell: str, kind: str) -> Any:
    if kind == "float":
        return float(cell) if cell else _NONE
    if kind == "int":
        return int(cell)
    if kind == "bool":
        if cell not in ("yes", "no"):
            raise ValueError(f"{cell!r} where yes or no was expected")
        return cell == "yes"
    return cell
