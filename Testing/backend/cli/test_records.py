"""From a result to the record and the pictures: which slices are shown, and beside which slice of the baseline."""

from __future__ import annotations

import math

import numpy as np
import pytest
from samprompt.cli.records import picture_pairs, slices_to_show, visit_record
from samprompt.propagation.result import StructureOutcome, Trust, VisitResult
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume


def grid_along(i, j, k, spacing, shape) -> Grid:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([i, j, k], dtype=float).T * np.array(spacing)
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(shape[::-1]) - 1) / 2
    return Grid(shape, matrix)


AXIAL = grid_along((-1, 0, 0), (0, -1, 0), (0, 0, 1), (2.0, 2.0, 3.0), (21, 40, 40))
UPSIDE_DOWN = grid_along((-1, 0, 0), (0, -1, 0), (0, 0, -1), (1.0, 1.5, 2.0), (31, 60, 80))
SAGITTAL = grid_along((0, -1, 0), (0, 0, -1), (-1, 0, 0), (2.0, 2.0, 4.0), (20, 40, 40))


def ball(grid: Grid, center=(6.0, -4.0, 3.0), radius: float = 12.0) -> np.ndarray:
    ras = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    return np.linalg.norm(ras - np.array(center), axis=-1) <= radius


def outcome(grid: Grid, mask: np.ndarray, checks: tuple[int, ...], baseline: Grid = AXIAL) -> StructureOutcome:
    prior = Structure("GTV", ball(grid), grid)
    return StructureOutcome(
        prior.with_mask(mask, grid), prior, Structure("GTV", ball(baseline), baseline),
        Trust(0.4, ("a reason",), checks, True, {"x": 1.0}), "model", -10.0, math.nan, 1.0,
    )  # fmt: skip


def visit_of(grid: Grid, found: StructureOutcome) -> VisitResult:
    volume = Volume(np.where(ball(grid), 60.0, -20.0).astype(np.float32), grid)
    return VisitResult(Visit("v", volume, (found.structure,)), (found,), {"alignment": 1.0}, 0.9, ("note",))


def test_trusts_first_slice_comes_first_and_no_slice_twice():
    chosen = slices_to_show(outcome(AXIAL, ball(AXIAL), (13, 8)))
    assert [c.k for c in chosen] == list(dict.fromkeys(c.k for c in chosen))
    assert chosen[0].k == 13
    assert chosen[0].title.startswith("Check first")
    assert {"Middle", "Least conspicuous"} <= {word for c in chosen for word in c.title.split(" · ")}


def test_the_least_conspicuous_slice_is_far_from_those_to_check():
    mask = ball(AXIAL)
    slices = np.flatnonzero(mask.any((1, 2)))
    chosen = slices_to_show(outcome(AXIAL, mask, (int(slices[0]), int(slices[1]))))
    assert next(c.k for c in chosen if "Least" in c.title) == slices[-1]


def test_without_a_named_slice_the_first_is_where_result_and_prior_differ_most():
    mask = ball(AXIAL)
    mask[9] = False
    kept = ball(AXIAL)
    kept[10, :, :20] = False
    assert slices_to_show(outcome(AXIAL, kept, ()))[0].k == 10


def test_an_empty_result_shows_where_the_contour_was_expected():
    found = outcome(AXIAL, np.zeros(AXIAL.shape, bool), (10,))
    pairs = picture_pairs(Volume(np.zeros(AXIAL.shape, np.float32), AXIAL), visit_of(AXIAL, found), found)
    assert pairs
    for pair in pairs:
        assert [what for what, _ in pair.visit.outlines] == ["prior"]
        assert "no result in this slice" in pair.title


def test_a_slice_without_any_contour_shows_the_nearest_one_as_such():
    mask = ball(AXIAL)
    beyond = int(np.flatnonzero(mask.any((1, 2)))[-1]) + 2
    found = outcome(AXIAL, mask, (beyond,))
    pair = picture_pairs(Volume(np.zeros(AXIAL.shape, np.float32), AXIAL), visit_of(AXIAL, found), found)[0]
    assert pair.visit.caption.startswith(f"k {beyond}, ")
    assert [what for what, _ in pair.visit.outlines] == ["nearest"]
    assert [what for what, _ in pair.baseline.outlines] == ["nearest"]


def test_nothing_anywhere_shows_nothing():
    nothing = Structure("GTV", np.zeros(AXIAL.shape, bool), AXIAL)
    found = StructureOutcome(nothing, nothing, nothing, Trust(0.0), "model", None, math.nan, math.nan)
    assert picture_pairs(Volume(np.zeros(AXIAL.shape, np.float32), AXIAL), visit_of(AXIAL, found), found) == []


@pytest.mark.parametrize("followup", [AXIAL, UPSIDE_DOWN, SAGITTAL])
def test_the_baseline_is_shown_at_the_same_height_and_in_the_same_plane(followup):
    mask = ball(followup)
    slices = np.flatnonzero(mask.any((1, 2)))
    wanted = int(slices[1])  # near one end, so that a flipped order would show
    found = outcome(followup, mask, (wanted,))
    baseline = Volume(np.where(ball(AXIAL), 60.0, -20.0).astype(np.float32), AXIAL)
    pair = picture_pairs(baseline, visit_of(followup, found), found)[0]
    assert pair.baseline is not None
    assert pair.visit.plane == pair.baseline.plane == ("sagittal" if followup is SAGITTAL else "axial")
    assert pair.visit.letters == pair.baseline.letters
    assert pair.visit.side_mm == pair.baseline.side_mm
    assert pair.visit.caption.startswith(f"k {wanted}, ")

    def place(caption: str) -> float:
        letter, number, _mm = caption.split(", ")[1].split()
        return float(number) * (1 if letter in "RAS" else -1)

    # both balls lie at the same place, so the same height is the same place, within a slice of either scan
    assert abs(place(pair.visit.caption) - place(pair.baseline.caption)) <= 4.0


def test_the_record_says_where_to_look_in_millimetres():
    mask = ball(UPSIDE_DOWN)
    record = visit_record(
        visit_of(UPSIDE_DOWN, outcome(UPSIDE_DOWN, mask, (12,))), "v.nii", "v.seg.nrrd", {"total": 2.0}
    )
    check = record.structures[0].trust.check_slices[0]
    assert record.seconds == {"alignment": 1.0, "total": 2.0}
    center = np.argwhere(mask[12]).mean(axis=0)
    assert check.ras_mm == pytest.approx(UPSIDE_DOWN.to_ras((12, *center)), abs=0.01)
    assert check.z_mm == pytest.approx(-(12 - 15) * 2.0, abs=0.01)
    assert record.structures[0].trust.level == "low"
