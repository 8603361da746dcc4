"""Fixtures of the evaluation tests: rows, and the module with small patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from module_by_path import module_by_path
from samprompt.evaluation.rows import Row


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """Small patients and methods whose results are known beforehand."""
    return module_by_path("small_patients", Path(__file__).with_name("small_patients.py"))


@pytest.fixture
def a_row() -> Callable[..., Row]:
    """``a_row(dice=0.8, ...)``: a computed row with everything else ordinary."""

    def make(patient: str = "A", visit: str = "density-1", structure: str = "gtv", **values: Any) -> Row:
        dice = values.get("dice", 0.8)
        ordinary: dict[str, Any] = {
            "method": "p2sam3d", "state": "both", "cnr": 2.0, "cnr_of": "follow-up", "dice": dice,
            "surface_dice_3mm": 0.9, "trust": 0.9,
        }  # fmt: skip
        kind, _, seed = visit.partition("-")
        return Row("visits", patient, visit, kind, int(seed), structure, **{**ordinary, **values})

    return make
