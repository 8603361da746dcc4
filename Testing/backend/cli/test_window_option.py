"""``--window``: the grey levels that a model is shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
from samprompt.cli.propagate import parameters_for
from samprompt.contract.errors import ParameterError
from samprompt.contract.propagation import WINDOW_NAMES
from samprompt.propagation.knowledge import structure_window
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.space.windows import WINDOWS

GRID = Grid.from_spacing((6, 40, 40), (2.0, 2.0, 3.0))


def lung_nodule(modality: str = "CT") -> Visit:
    """A nodule of 40 HU in lung of -800 HU, on a modality that may be another."""
    mask = np.zeros(GRID.shape, bool)
    mask[2:4, 18:22, 18:22] = True
    array = np.where(mask, 40.0, -800.0) + np.random.default_rng(0).normal(0, 5, GRID.shape)
    return Visit("v", Volume(array.astype(np.float32), GRID, modality), (Structure("GTV", mask, GRID),))


@pytest.mark.parametrize(("choice", "window"), [("lung", "lung"), ("soft tissue", "soft"), ("bone", "bone")])
def test_a_chosen_window_is_taken_whatever_the_structure_looks_like(choice, window):
    for modality in ("CT", "OT"):
        visit = lung_nodule(modality)
        assert structure_window(visit, visit.structures[0], choice) == WINDOWS[window]


def test_auto_looks_at_the_structure_and_mr_at_the_whole_image():
    visit = lung_nodule()
    assert structure_window(visit, visit.structures[0], "auto") == WINDOWS["lung"]
    low, high = np.percentile(visit.volume.array, [1, 99])
    for found in (
        structure_window(visit, visit.structures[0], "MR/other"),
        structure_window(lung_nodule("MR"), visit.structures[0], "auto"),
    ):
        assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize("name", WINDOW_NAMES)
def test_every_window_is_taken_in_any_case_of_letters(name):
    assert parameters_for("P2SAM3D", name.upper()).window == name
    assert parameters_for("p2sam3d", name).method == "p2sam3d"


def test_an_unknown_window_is_refused_with_those_there_are(propagate):
    with pytest.raises(ParameterError, match="liver"):
        parameters_for("p2sam3d", "liver")
    done = propagate("--window", "liver")
    assert done.code == 2
    assert "soft tissue" in done.err


def test_the_window_is_part_of_what_reproduces_a_run(propagate, tmp_path):
    assert propagate("--window", "soft tissue").code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["provenance"]["parameters"]["window"] == "soft tissue"
