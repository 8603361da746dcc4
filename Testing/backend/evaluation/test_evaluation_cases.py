"""Which patients, which of their structures, and which simulated visits: all decided beforehand by a stated rule."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from samprompt.contract.errors import MissingFileError, ParameterError, StructureError
from samprompt.evaluation.cases import choose_structures, folder_cases, synthetic_cases
from samprompt.evaluation.plan import PlannedVisit, VisitPlan, simulated
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.synthesis.parameters import ORGAN_KINDS, TUMOUR_KINDS

GRID = Grid.from_spacing((22, 60, 60), (1.0, 1.0, 1.0))


def box(name: str, voxels: int, start: tuple[int, int, int] = (1, 1, 1)) -> Structure:
    """A structure of ``voxels`` voxels, in planes of 2,000, from ``start`` on."""
    mask = np.zeros(GRID.shape, bool)
    plane = np.zeros((40, 50), bool)
    for k in range(start[0], start[0] + -(-voxels // 2000)):
        plane[:] = False
        plane.flat[: min(voxels, 2000)] = True
        mask[k, start[1] : start[1] + 40, start[2] : start[2] + 50] = plane
        voxels -= 2000
    return Structure(name, mask, GRID)


def test_up_to_ten_structures_are_all_taken_but_for_empty_ones():
    small = [box(f"s{n}", 3) for n in range(10)]
    assert choose_structures([*small, box("none", 0)]) == tuple(small)


def test_of_many_structures_ten_are_taken_evenly_over_the_ranks_of_volume():
    order = [7, 2, 15, 0, 11, 4, 9, 13, 1, 6, 3, 14, 10, 5, 12, 8]
    many = [box(f"r{rank}", 2000 + 100 * rank) for rank in order]
    many += [box("too small", 1999), box("at the border", 5000, (0, 1, 1)), box("none", 0)]
    found = [s.name for s in choose_structures(many)]
    # sixteen ranks 0..15 at steps of 15 / 9: 0, 1.67, 3.33, 5, ... rounded
    assert sorted(int(name[1:]) for name in found) == [0, 2, 3, 5, 7, 8, 10, 12, 13, 15]
    assert found == [f"r{rank}" for rank in order if f"r{rank}" in found]


def test_of_many_structures_with_few_eligible_all_eligible_are_taken():
    many = [box(f"s{n}", 5) for n in range(12)] + [box("one", 2000), box("two", 3000)]
    assert [s.name for s in choose_structures(many)] == ["one", "two"]
    with pytest.raises(StructureError):
        choose_structures(many[:12])
    with pytest.raises(StructureError):
        choose_structures([])


def test_the_rule_chooses_ten_of_the_labelled_organs(shared_data: Path):
    """Counted here a second time from the label map itself, with nibabel's array order."""
    (one,) = folder_cases([shared_data / "ct_organs"])
    labels = np.asarray(nibabel.load(shared_data / "ct_organs" / "organs.nii.gz").dataobj).astype(int)
    inner = labels[1:-1, 1:-1, 1:-1]
    eligible = [
        (int((labels == n).sum()), int(n))
        for n in np.unique(labels)[1:]
        if (labels == n).sum() >= 2000 and (labels == n).sum() == (inner == n).sum()
    ]
    ranked = [label for _, label in sorted(eligible)]
    expected = {ranked[round(n * (len(ranked) - 1) / 9)] for n in range(10)}
    visit = one.load()
    assert {int(s.name.rpartition("_")[2]) for s in visit.structures} == expected
    assert len(expected) == 10
    assert visit.name == one.patient == "ct_organs"


def test_real_patients_are_called_like_their_folders(shared_data: Path):
    found = folder_cases([shared_data / "ct_lung_tumour", shared_data / "ct_sarcoma"])
    assert [c.patient for c in found] == [
        "ct_lung_tumour", "STS_002", "STS_003", "STS_010", "STS_012", "STS_024", "STS_028", "STS_050", "STS_051",
    ]  # fmt: skip
    visit = found[1].load()
    assert [s.name for s in visit.structures] == ["gtv"]


def folder(path: Path) -> Path:
    """A patient's folder with an image and a contour."""
    path.mkdir(parents=True)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    mask = np.zeros((12, 11, 8), np.uint8)
    mask[3:8, 3:8, 2:6] = 1
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.int16) * 50 - 100, affine), path / "ct.nii.gz")
    nibabel.save(nibabel.Nifti1Image(mask, affine), path / "gtv.nii.gz")
    return path


def test_folders_of_one_name_are_told_apart_by_the_folder_above(tmp_path: Path):
    folders = [folder(tmp_path / "a" / "p"), folder(tmp_path / "b" / "p"), folder(tmp_path / "b" / "q")]
    found = folder_cases([*folders, folders[0]])
    assert [c.patient for c in found] == ["a-p", "b-p", "q"]
    assert [c.load().name for c in found] == ["a-p", "b-p", "q"]


def test_folders_without_a_patient_are_refused_before_anything_is_read(tmp_path: Path):
    with pytest.raises(MissingFileError, match="does not exist"):
        folder_cases([tmp_path / "absent"])
    with pytest.raises(MissingFileError, match="holds no patient"):
        folder_cases([tmp_path])
    one = folder(tmp_path / "p")
    (one / "gtv.nii.gz").unlink()
    with pytest.raises(MissingFileError, match="holds no patient"):
        folder_cases([one])


def test_contours_may_be_a_folder_of_masks(tmp_path: Path):
    one = folder(tmp_path / "p")
    (one / "masks").mkdir()
    shutil.move(one / "gtv.nii.gz", one / "masks" / "GTV.nii.gz")
    (found,) = folder_cases([one])
    assert [s.name for s in found.load().structures] == ["GTV"]


def test_synthetic_patients_are_numbered_and_none_is_refused():
    assert [c.patient for c in synthetic_cases(3, 5)] == ["synthetic-5", "synthetic-6", "synthetic-7"]
    with pytest.raises(ParameterError):
        synthetic_cases(0)


def named(name: str, structure: str) -> Visit:
    from samprompt.space.volume import Volume

    return Visit(name, Volume(np.zeros(GRID.shape, np.float32), GRID), (box(structure, 10),))


def test_a_tumour_changes_like_a_tumour_and_organs_like_organs():
    plan = VisitPlan(visits=20)
    assert {v.kind for v in plan.of(named("A", "GTV"))} == set(TUMOUR_KINDS)
    assert {v.kind for v in plan.of(named("A", "organs_3"))} == set(ORGAN_KINDS)
    assert {v.kind for v in VisitPlan(kinds=("gas",)).of(named("A", "GTV"))} == {"gas"}


def test_no_kind_of_change_comes_again_before_all_were_used():
    kinds = [v.kind for v in VisitPlan(visits=len(TUMOUR_KINDS)).of(named("A", "GTV"))]
    assert sorted(kinds) == sorted(TUMOUR_KINDS)


def test_the_visits_of_a_patient_depend_on_its_name_and_the_seed_alone():
    plan = VisitPlan(visits=4, seed=3)
    assert plan.of(named("A", "gtv")) == plan.of(named("A", "GTV tumour"))
    orders = {tuple(v.kind for v in plan.of(named(name, "gtv"))) for name in "ABCDEFGH"}
    assert len(orders) > 4
    assert [v.seed for v in plan.of(named("A", "gtv"))] == [3, 4, 5, 6]
    longer = VisitPlan(visits=6, seed=3).of(named("A", "gtv"))
    assert longer[:4] == plan.of(named("A", "gtv"))


def test_senseless_plans_are_refused():
    with pytest.raises(ParameterError, match="0 visits"):
        VisitPlan(visits=0)
    with pytest.raises(ParameterError, match="ageing"):
        VisitPlan(kinds=("ageing",))


def test_contrast_is_that_of_the_truth_or_of_the_baseline_where_the_truth_is_gone(small):
    baseline = small.patient("A", ("gtv", "node"))
    found = simulated(baseline, PlannedVisit("disappearance", 1), ["gtv", "node"], small.same_again)
    assert found.contrast["gtv"][1] == "baseline"
    assert found.contrast["node"][1] == "follow-up"
    assert found.contrast["node"][0] == pytest.approx(10.0, rel=0.15)  # 100 HU over noise of SD 10
    assert found.bare.structures == ()
