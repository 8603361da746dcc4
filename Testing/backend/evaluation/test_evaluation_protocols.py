"""Comparisons with methods whose results are known: what is measured, what is skipped, what becomes of errors."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from samprompt.contract.errors import Cancelled, EnvironmentProblem, StructureError
from samprompt.contract.progress import Progress
from samprompt.evaluation.oracle2d import OracleSlices, PromptedSlices, copied_slices, pair_by_middle
from samprompt.evaluation.plan import PlannedVisit, VisitPlan, simulated
from samprompt.evaluation.protocol3d import WholeVisits
from samprompt.evaluation.rows import read_rows
from samprompt.evaluation.runner import run
from samprompt.evaluation.store import Store
from samprompt.models.tiny import load_tiny
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from scipy import ndimage

PLAN = VisitPlan(visits=2, seed=1, kinds=("density", "growth"))
SETTINGS = {"protocol": "visits"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out", SETTINGS)


def test_every_method_is_measured_on_every_visit_and_structure(small, store: Store):
    fake = small.FakePropagation({"p2sam3d": 0, "rigid": 2, "copied": None}, {"rigid": 0.2})
    cases = [small.case("A", ("gtv", "lung")), small.case("B")]
    protocol = WholeVisits(None, propagate=fake)
    run(cases, PLAN, ("p2sam3d", "rigid", "copied"), protocol, store, simulate=small.same_again)
    rows = {(r.patient, r.kind, r.structure, r.method): r for r in store.rows}
    assert len(rows) == len(store.rows) == (2 + 1) * 2 * 3
    right, moved = rows["A", "growth", "lung", "p2sam3d"], rows["B", "density", "gtv", "rigid"]
    assert (right.dice, right.hd95_mm, right.added_path_mm, right.flagged, right.trust) == (1.0, 0.0, 0.0, False, 0.9)
    assert moved.dice == pytest.approx(0.8)
    assert (moved.centroid_distance_mm, moved.flagged, moved.trust) == (pytest.approx(2.0), True, 0.2)
    assert rows["B", "growth", "gtv", "copied"].state == "missed"
    assert {r.cnr_of for r in rows.values()} == {"follow-up"}
    # The visit's alignment is found in the cache by the later methods; each is told its true cost all the same.
    first = store.rows[0].kind
    assert {(r.seconds, r.alignment_seconds) for r in rows.values() if r.patient == "A" and r.kind == first} == {(3, 7)}


def test_a_structure_that_is_gone_counts_as_invented_or_as_a_true_negative(small, store: Store):
    fake = small.FakePropagation({"copied": 0, "p2sam3d": None})
    plan = VisitPlan(visits=1, kinds=("disappearance",))
    run([small.case("A")], plan, ("copied", "p2sam3d"), WholeVisits(None, propagate=fake), store,
        simulate=small.same_again)  # fmt: skip
    copied, ours = store.rows
    assert (copied.state, copied.dice, copied.cnr_of) == ("invented", 0.0, "baseline")
    assert ours.state == "true negative"
    assert math.isnan(ours.dice)


def test_a_failing_visit_becomes_a_row_and_the_next_visit_is_computed(small, store: Store):
    fake = small.FakePropagation(
        {"rigid": 0, "copied": 0},
        broken={
            ("rigid", "density"): StructureError("It is empty.", "Contour it."),
            ("copied", "growth"): ValueError("a, \"b\"\nc"),
        },
    )  # fmt: skip
    run([small.case("A")], PLAN, ("rigid", "copied"), WholeVisits(None, propagate=fake), store,
        simulate=small.same_again)  # fmt: skip
    found = {(r.method, r.kind): r for r in store.rows}
    assert len(found) == 4
    assert found["rigid", "growth"].ok
    assert found["copied", "density"].ok
    assert found["rigid", "density"].message == "structure: It is empty. Contour it."
    assert found["copied", "growth"].message == 'ValueError: a, "b" c'
    assert read_rows(store.folder / "results.csv")[0].key == store.rows[0].key


def test_a_visit_that_cannot_be_simulated_and_a_patient_that_cannot_be_read_are_rows(small, store: Store):
    def simulate(baseline, seed, kind):
        if kind == "growth":
            raise StructureError("Too small to grow.")
        return small.same_again(baseline, seed, kind)

    def damaged():
        raise OSError("the disk is on fire")

    fake = small.FakePropagation({"rigid": 0})
    cases = [small.Case("broken", damaged), small.case("A")]
    run(cases, PLAN, ("rigid",), WholeVisits(None, propagate=fake), store, simulate=simulate)
    assert [(r.patient, r.kind, r.structure, r.status) for r in store.rows] == [
        ("broken", "", "*", "error"), ("A", "growth", "gtv", "error"), ("A", "density", "gtv", "ok"),
    ]  # fmt: skip
    assert "the disk is on fire" in store.rows[0].message


def test_what_is_there_already_is_not_computed_again(small, store: Store):
    def again(methods: tuple[str, ...], fake) -> list[tuple[str, str]]:
        protocol = WholeVisits(None, propagate=fake)
        run([small.case("A")], PLAN, methods, protocol, Store(store.folder, SETTINGS), simulate=small.same_again)
        return [(method, name.split("-")[1]) for method, name in fake.calls]

    broken = {("rigid", "growth"): ValueError("once")}
    first = again(("rigid",), small.FakePropagation({"rigid": 0}, broken=broken))
    assert sorted(first) == [("rigid", "density"), ("rigid", "growth")]
    second = again(("rigid", "copied"), small.FakePropagation({"rigid": 0, "copied": 1}))
    assert sorted(second) == [("copied", "density"), ("copied", "growth"), ("rigid", "growth")]
    assert again(("rigid", "copied"), small.FakePropagation({})) == []
    assert len(read_rows(store.folder / "results.csv")) == 4


def test_a_stopped_run_keeps_what_it_had(small, store: Store):
    fake = small.FakePropagation({"rigid": 0}, broken={("rigid", "A-growth"): Cancelled("Cancelled.")})
    with pytest.raises(Cancelled):
        run([small.case("B"), small.case("A")], PLAN, ("rigid",), WholeVisits(None, propagate=fake), store,
            simulate=small.same_again)  # fmt: skip
    kept = read_rows(store.folder / "results.csv")
    assert {r.patient for r in kept} >= {"B"}
    assert all(r.ok for r in kept)


def test_a_missing_model_stops_everything(small, store: Store):
    with pytest.raises(EnvironmentProblem, match="needs a model"):
        run([small.case("A")], PLAN, ("p2sam",), WholeVisits(None), store, simulate=small.same_again)
    assert store.rows == []


def test_only_the_wanted_structure_is_measured_and_the_visit_is_the_same(small, store: Store):
    seen = []

    def simulate(baseline, seed, kind):
        seen.append([s.name for s in baseline.structures])
        return small.same_again(baseline, seed, kind)

    fake = small.FakePropagation({"rigid": 0})
    cases = [small.case("A", ("gtv", "lung")), small.case("B")]
    protocol = WholeVisits(None, propagate=fake)
    run(cases, PLAN, ("rigid",), protocol, store, ("lung",), simulate=simulate)
    assert {(r.patient, r.structure) for r in store.rows} == {("A", "lung")}
    assert seen == [["gtv", "lung"]] * 2
    with pytest.raises(StructureError, match="No patient has a structure called liver"):
        run(cases, PLAN, ("rigid",), protocol, store, ("liver",), simulate=simulate)


def test_progress_counts_to_the_end_whether_skipped_or_not(small, store: Store):
    def numbers(fake) -> list[tuple[int, int]]:
        events = []
        run([small.case("A"), small.case("B")], PLAN, ("rigid", "copied"), WholeVisits(None, propagate=fake), store,
            on_event=events.append, simulate=small.same_again)  # fmt: skip
        return [(e.number, e.count) for e in events if e.kind == "visit-started"]

    assert numbers(small.FakePropagation({"rigid": 0, "copied": 0})) == [(n, 8) for n in range(1, 9)]
    assert numbers(small.FakePropagation({})) == []


# --- the oracle protocol ----------------------------------------------------------------------------------------------
def slab(planes: range, thickness: float, count: int = 30) -> Structure:
    grid = Grid.from_spacing((count, 4, 4), (1.0, 1.0, thickness))
    mask = np.zeros(grid.shape, bool)
    mask[list(planes), 1:3, 1:3] = True
    return Structure("gtv", mask, grid)


def test_slices_are_paired_by_the_middles_of_both_ranges():
    assert pair_by_middle(slab(range(10, 15), 2.0), slab(range(3, 8), 2.0)) == {3: 10, 4: 11, 5: 12, 6: 13, 7: 14}


def test_beyond_the_ends_of_the_reference_its_last_slice_is_taken():
    assert pair_by_middle(slab(range(10, 13), 2.0), slab(range(3, 8), 2.0)) == {3: 10, 4: 10, 5: 11, 6: 12, 7: 12}


def test_slices_of_another_thickness_are_paired_by_millimetres():
    assert pair_by_middle(slab(range(10, 19), 1.0), slab(range(3, 6), 3.0)) == {3: 11, 4: 14, 5: 17}


def test_a_gap_in_the_reference_is_bridged_by_its_nearest_slice_and_no_slice_gives_no_pair():
    gap = slab(range(10, 15), 2.0)
    gap.mask[12] = False
    assert set(pair_by_middle(gap, slab(range(3, 8), 2.0)).values()) == {10, 11, 13, 14}
    assert pair_by_middle(gap, slab(range(0), 2.0)) == {}


def test_the_oracle_score_is_the_mean_2d_dice_over_labelled_slices_alone(small, store: Store):
    """Right on three of four slices, empty on the fourth, and nonsense everywhere else: 0.75."""

    def segment(baseline, structure, followup, pairs, progress):
        found = np.ones(followup.volume.grid.shape, bool)
        for k, plane in pairs.items():
            found[k] = structure.mask[plane]
        found[min(pairs)] = False
        return found

    oracle = OracleSlices(None, {"mine": segment})
    run([small.case("A")], VisitPlan(visits=1, kinds=("growth",)), ("mine",), oracle, store, simulate=small.same_again)
    (row,) = store.rows
    assert (row.protocol, row.slices, row.dice) == ("oracle2d", 4, pytest.approx(0.75))
    assert math.isnan(row.hd95_mm)


def test_a_follow_up_stored_upside_down_is_paired_slice_by_slice_all_the_same(small):
    """The copied contour of an unmoved patient is right whatever the order of the follow-up's axes."""
    baseline = small.patient("A")
    tapering = baseline.structures[0].mask.copy()
    tapering[3:5, 6:11] = False  # the two ends differ
    baseline = Visit("A", baseline.volume, (Structure("gtv", tapering, small.GRID),))
    matrix = small.GRID.ijk_to_ras.copy()
    matrix[:3, 2] *= -1
    matrix[2, 3] = (small.GRID.shape[0] - 1) * 2.0
    flipped = Grid(small.GRID.shape, matrix)

    def upside_down(visit, seed, kind):
        volume = Volume(visit.volume.array[::-1], flipped)
        return small.Simulated(Visit("later", volume, (Structure("gtv", tapering[::-1], flipped),)))

    visit = simulated(baseline, PlannedVisit("growth", 1), ["gtv"], upside_down)
    ((row,),) = OracleSlices(None).patient(baseline, Progress())("copied", [visit])
    assert row.dice == 1.0


def test_an_absent_structure_has_no_labelled_slice_and_no_score(small):
    baseline = small.patient("A")
    visit = simulated(baseline, PlannedVisit("disappearance", 1), ["gtv"], small.same_again)
    ((row,),) = OracleSlices(None).patient(baseline, Progress())("copied", [visit])
    assert (row.state, row.slices) == ("nothing to segment", 0)
    assert math.isnan(row.dice)


def test_the_published_methods_need_a_model_and_unknown_ones_are_named(small, store: Store):
    with pytest.raises(EnvironmentProblem, match="needs a model"):
        run([small.case("A")], PLAN, ("p2sam",), OracleSlices(None), store, simulate=small.same_again)


def test_the_built_in_model_finds_a_bright_lesion_on_the_labelled_slices(repository: Path):
    """Unmoved, high contrast, one noise against another: the oracle protocol's easiest case."""
    backbone = load_tiny(repository / "Resources" / "models" / "tiny.safetensors", "cpu")
    grid = Grid.from_spacing((5, 96, 96), (2.0, 2.0, 4.0))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    body = (((index[..., 1:] - 47.5) / (38, 44)) ** 2).sum(-1) <= 1
    lesion = (((index - (2, 40, 58)) / (1.8, 10, 12)) ** 2).sum(-1) <= 1

    def draw(name: str, seed: int) -> Visit:
        hu = np.where(body, -20.0, -1000.0)
        hu[lesion] = 160.0
        hu = ndimage.gaussian_filter(hu, (0, 0.7, 0.7)) + np.random.default_rng(seed).normal(0, 12, grid.shape)
        return Visit(name, Volume(hu.astype(np.float32), grid), (Structure("gtv", lesion, grid),))

    baseline, followup = draw("baseline", 1), draw("later", 2)
    pairs = {1: 1, 2: 2, 3: 3}
    structure = baseline.structures[0]
    found = PromptedSlices("p2sam", backbone)(baseline, structure, followup, pairs, Progress())
    assert not found[[0, 4]].any()
    overlap = 2 * (found & lesion)[1:4].sum() / (found[1:4].sum() + lesion[1:4].sum())
    assert overlap > 0.7
    assert np.array_equal(copied_slices(baseline, structure, followup, pairs, Progress())[1:4], lesion[1:4])
