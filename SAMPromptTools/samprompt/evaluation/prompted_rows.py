"""One line of a measurement with prompts: one answer for one piece; and the files that hold many."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from surface_distance import metrics as surface

from samprompt.evaluation.metrics import volumetric_dice
from samprompt.evaluation.prompted_pieces import Mask
from samprompt.evaluation.statistics import Interval, mean_interval

_NONE = float("nan")


@dataclass(frozen=True)
class PromptedRow:
    """A piece (``k``, ``piece``) of a structure of an image, and what ``who`` made of ``prompt``.

    ``pixels`` is the truth's size; ``crop`` the side of what a model saw, in ``unit`` as ``hd95`` (NaN where nothing
    was found: such rows are "missed" and have Dice 0). ``presence`` is the logit of "the object is there".
    """

    data_set: str
    patient: str
    image: str
    structure: str
    k: int
    piece: int
    pixels: int
    unit: str
    prompt: str
    who: str
    dice: float = _NONE
    hd95: float = _NONE
    crop: float = _NONE
    presence: float = _NONE

    @property
    def place(self) -> tuple[str, str, str, str, int, int]:
        """What answers are paired by."""
        return self.data_set, self.patient, self.image, self.structure, self.k, self.piece

    @property
    def missed(self) -> bool:
        """Whether nothing was found."""
        return math.isnan(self.hd95)


def measured(row: PromptedRow, truth: Mask, result: Mask, spacing: NDArray[np.float64]) -> PromptedRow:
    """``row`` with Dice and HD95 of ``result`` against a ``truth`` (H, W) that is not empty."""
    return replace(row, dice=volumetric_dice(truth, result), hd95=hausdorff95(truth, result, spacing))


def hausdorff95(truth: Mask, result: Mask, spacing: NDArray[np.float64]) -> float:
    """The larger of the two directed 95th percentiles between two outlines (H, W), weighted by length.

    In the unit of ``spacing`` (along y and x); NaN where one is empty. As ``metrics.compare``, in two dimensions.
    """
    if not truth.any() or not result.any():
        return _NONE
    with warnings.catch_warnings():  # the package asks SciPy for functions by their old places
        warnings.simplefilter("ignore", DeprecationWarning)
        found = surface.compute_surface_distances(truth, result, tuple(float(s) for s in spacing))
    return float(surface.compute_robust_hausdorff(found, 95.0))


def by_patient(rows: Sequence[PromptedRow], value: Callable[[PromptedRow], float]) -> Interval:
    """Mean over patients, its interval over patients, of means over structures of means over pieces.

    Values that are NaN are left out. ``count`` is the number of pieces.
    """
    pieces: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if not math.isnan(number := value(row)):
            pieces.setdefault(row.patient, {}).setdefault(row.structure, []).append(number)
    means = {p: float(np.mean([np.mean(v) for v in structures.values()])) for p, structures in pieces.items()}
    count = sum(len(v) for structures in pieces.values() for v in structures.values())
    return replace(mean_interval(list(means.values()), list(means)), count=count)


def rows_to_text(rows: Sequence[PromptedRow]) -> str:
    """CSV with a heading, a line per answer; NaN is an empty cell, floats have five digits."""
    names = [field.name for field in fields(PromptedRow)]
    return _csv(names, [[getattr(row, name) for name in names] for row in rows])


def structures_to_text(rows: Sequence[PromptedRow]) -> str:
    """CSV of the means per structure: pieces, how many were missed, Dice, and HD95 over those that were not."""
    groups: dict[tuple[str, str, str, str, str, str], list[PromptedRow]] = {}
    for row in rows:
        key = (row.data_set, row.patient, row.structure, row.unit, row.prompt, row.who)
        groups.setdefault(key, []).append(row)
    head = ["data_set", "patient", "structure", "unit", "prompt", "who", "pieces", "missed", "dice", "hd95"]
    lines = []
    for key, mine in groups.items():
        found = [row.hd95 for row in mine if not row.missed]
        dice, hd95 = float(np.mean([row.dice for row in mine])), float(np.mean(found)) if found else _NONE
        lines.append([*key, len(mine), len(mine) - len(found), dice, hd95])
    return _csv(head, lines)


def _csv(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(cell) for cell in line] for line in lines)
    return stream.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.5g}"
    return str(value)
