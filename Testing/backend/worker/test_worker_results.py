"""What a propagation in the worker gives back: the command line's own masks, and figures that can be recomputed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samprompt.cli.main import main
from samprompt.contract.propagation import PropagationParameters
from samprompt.contract.worker import PropagateJob, Result, StructureMessage, VisitMessage
from samprompt.io.images import read_volume, write_volume
from samprompt.io.structures import read_structures, write_structures
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume


def oblique(shape: tuple[int, int, int] = (16, 60, 68)) -> Grid:
    """A grid turned about two axes, slices from head to feet."""
    a, b = np.deg2rad(12.0), np.deg2rad(-7.0)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_x @ np.diag([-4.0, -4.0, -4.4])
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return Grid(shape, matrix)


def by_command(folder: Path, baseline: Visit, followup: Visit, *options: str) -> tuple[dict[str, Structure], dict]:
    """The command line's masks and summary for the same images."""
    folder.mkdir()
    write_volume(baseline.volume, folder / "first.nrrd")
    write_structures(folder / "first.seg.nrrd", baseline.structures, baseline.volume.grid)
    write_volume(followup.volume, folder / "later.nrrd")
    given = ["--baseline", folder / "first.nrrd", "--structures", folder / "first.seg.nrrd", "--followup",
             folder / "later.nrrd", "--out", folder / "out", "--threads", "1", *options]  # fmt: skip
    assert main(["propagate", *map(str, given)]) == 0
    found = read_structures(folder / "out" / "later.seg.nrrd", followup.volume)
    summary = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))
    return {s.name: s for s in found}, summary


def as_read(visit: Visit, path: Path) -> Visit:
    """The visit on the grid that comes back from a file, which keeps some digits fewer."""
    volume = read_volume(path)
    return Visit(visit.name, volume, tuple(s.with_mask(s.mask, volume.grid) for s in visit.structures))


@pytest.mark.parametrize(("method", "window"), [("deformable", "auto"), ("p2sam3d", "bone")])
def test_masks_are_the_command_lines_own_voxel_for_voxel(
    worker, handover, phantom, visits_of, tmp_path, method, window
):
    baseline = phantom.draw(name="first")
    cord = phantom.draw(lesion=9.0, shift=(52.0, 20.0, 0.0)).structures[0]
    if method == "deformable":
        baseline = replace(baseline, structures=(*baseline.structures, replace(cord, name="Node")))
    followup = phantom.bare(phantom.draw(oblique(), lesion=15.0, shift=(4.0, -6.0, 3.0), seed=5, name="later"))
    expected, summary = by_command(tmp_path / "command", baseline, followup, "--window", window, "--method", method)
    baseline, followup = (as_read(v, tmp_path / "command" / f"{v.name}.nrrd") for v in (baseline, followup))
    job = handover.job(baseline, followup)
    job = replace(job, parameters=PropagationParameters(method=method, window=window))
    messages = worker.do("propagate", job)
    assert isinstance(messages[-1], Result), messages[-1]
    (visit,) = visits_of(messages)
    (recorded,) = summary["visits"]
    assert len(visit.outcomes) == len(baseline.structures)
    for outcome, record, sent in zip(visit.outcomes, recorded["structures"], baseline.structures, strict=True):
        mask = handover.mask(outcome.structure, followup.volume.grid.shape)
        assert outcome.structure.name == record["name"] == sent.name
        assert mask.any()
        assert np.array_equal(mask, expected[sent.name].mask)
        assert outcome.volume_ml == record["volume_ml"]
        assert outcome.change_percent == record["change_percent"]
        assert outcome.shift_mm == record["shift_mm"]
        assert outcome.trust == record["trust"]["score"]
        assert outcome.level == record["trust"]["level"]
        assert list(outcome.reasons) == record["trust"]["reasons"]
        assert [(c.k, list(c.ras_mm)) for c in outcome.check_slices] == [
            (c["k"], c["ras_mm"]) for c in record["trust"]["check_slices"]
        ]
    assert visit.alignment_quality == recorded["alignment_quality"]
    mine, theirs = messages[-1].provenance, summary["provenance"]
    for field in ("method", "model_name", "model_fingerprint", "samprompt_version", "device", "parameters"):
        assert mine[field] == theirs[field]
    assert mine["parameters"]["window"] == window
    if method == "p2sam3d":
        plain = worker.do("propagate", handover.job(baseline, followup, method=method))
        other = visits_of(plain)[0].outcomes[0]
        assert (other.trust, other.reasons) != (visit.outcomes[0].trust, visit.outcomes[0].reasons), "no window is used"


MOVED = (5.0, 4.0, 3.0)


@pytest.fixture(scope="module")
def patient(phantom):
    """A lesion that shrinks, on two grids."""
    return phantom.draw(name="first"), phantom.draw(lesion=14.0, shift=MOVED, seed=2, name="later")


@pytest.fixture(scope="module")
def handed(handover_in, tmp_path_factory):
    return handover_in(tmp_path_factory.mktemp("patient") / "private")


@pytest.fixture(scope="module")
def carried(shared_worker, handed, patient, visits_of):
    """One visit as the built-in model carries it."""
    messages = shared_worker.do("propagate", handed.job(patient[0], patient[1], method="p2sam3d"))
    return visits_of(messages)[0].outcomes[0]


def test_points_lie_where_they_say_inside_and_outside_of_the_structure(carried, patient, handed):
    grid = patient[1].volume.grid
    mask = handed.mask(carried.structure, grid.shape)
    assert carried.prompts
    for point in carried.prompts:
        place = grid.to_kji(np.array(point.ras_mm))
        k = round(float(place[0]))
        assert abs(place[0] - k) < 1e-3  # in a slice of the follow-up
        assert mask[k].any()
    positives = [np.rint(grid.to_kji(np.array(p.ras_mm))).astype(int) for p in carried.prompts if p.positive]
    negatives = [np.rint(grid.to_kji(np.array(p.ras_mm))).astype(int) for p in carried.prompts if not p.positive]
    inside = np.mean([mask[tuple(p)] for p in positives])
    assert positives
    assert negatives
    assert inside > 0.6
    assert np.mean([mask[tuple(np.clip(p, 0, np.array(mask.shape) - 1))] for p in negatives]) < 0.1


def test_figures_can_be_recomputed_from_the_masks(carried, patient, handed):
    first, later = patient
    mask = handed.mask(carried.structure, later.volume.grid.shape)
    voxel = abs(np.linalg.det(later.volume.grid.ijk_to_ras[:3, :3])) / 1000.0
    assert carried.volume_ml == pytest.approx(mask.sum() * voxel)
    assert carried.baseline_ml == pytest.approx(first.structures[0].mask.sum() * voxel)
    assert carried.change_percent == pytest.approx(100 * (carried.volume_ml / carried.baseline_ml - 1))
    assert not carried.gone
    for check in carried.check_slices:
        i, j, k, _ = np.linalg.inv(later.volume.grid.ijk_to_ras) @ (*check.ras_mm, 1.0)
        assert k == pytest.approx(check.k, abs=0.01)
        if mask[check.k].any():
            assert (j, i) == pytest.approx(tuple(np.argwhere(mask[check.k]).mean(axis=0)), abs=0.02)


def test_the_prior_is_the_baselines_contour_moved_with_the_patient(carried, patient, handed):
    first, later = patient
    prior = handed.mask(carried.prior, later.volume.grid.shape)
    middles = [
        np.array(grid.to_ras(np.argwhere(mask).mean(axis=0)))
        for mask, grid in ((first.structures[0].mask, first.volume.grid), (prior, later.volume.grid))
    ]
    assert middles[1] - middles[0] == pytest.approx(MOVED, abs=2.5)


def test_a_structure_that_is_gone_says_so_and_has_no_mask(worker, handover, phantom, visits_of):
    job = handover.job(phantom.draw(name="first"), phantom.draw(lesion=0, name="later", seed=4), method="p2sam3d")
    messages = worker.do("propagate", job)
    outcome = visits_of(messages)[0].outcomes[0]
    assert outcome.gone
    assert outcome.structure.array == ""
    assert outcome.structure.size == (0, 0, 0)
    assert outcome.shift_mm is None
    assert outcome.prompts == ()
    assert handover.mask(outcome.prior, job.followups[0].grid.shape).any()


def test_everything_the_panel_calls_a_segment_comes_back_under_the_same_id(worker, handover, phantom, visits_of):
    """Equal names, an empty one between, names like numbered ones: results are told apart by the panel's own ids."""
    visit = phantom.draw(name="first")
    gtv = visit.structures[0]
    other = replace(gtv, mask=np.roll(gtv.mask, 8, axis=2))
    empty = replace(gtv, mask=np.zeros_like(gtv.mask), name="GTV")
    sent = [
        handover.structure(gtv, "GTV (2)", "a"),
        handover.structure(gtv, "GTV", "b"),
        handover.structure(empty, "GTV", "c"),
        handover.structure(other, "GTV", "d"),
        replace(handover.structure(other, "  ", "e"), color=(0.0, 1.0, 0.5), terminology="T~^^~"),
    ]
    job = replace(
        handover.job(visit, phantom.draw(name="later", seed=1)),
        baseline=VisitMessage(handover.volume(visit), tuple(sent)),
    )
    messages = worker.do("propagate", job)
    outcomes = visits_of(messages)[0].outcomes
    assert [(o.structure.id, o.structure.name) for o in outcomes] == [
        ("a", "GTV (2)"), ("b", "GTV"), ("d", "GTV"), ("e", "  "),
    ]  # fmt: skip
    assert (outcomes[3].structure.color, outcomes[3].structure.terminology) == ((0.0, 1.0, 0.5), "T~^^~")
    shape = gtv.grid.shape
    for outcome, mask in zip(outcomes, (gtv.mask, gtv.mask, other.mask, other.mask), strict=True):
        assert np.array_equal(handover.mask(outcome.structure, shape), mask)  # copied: the same grid
    assert "The structure GTV is empty on the baseline and was left out." in messages[-1].notes


def test_a_corrected_visit_as_reference_is_used_and_told_in_the_provenance(worker, handover, phantom, visits_of):
    first, later = phantom.draw(name="reference 1"), phantom.draw(lesion=14.0, seed=2, name="later")
    corrected = phantom.draw(lesion=12.0, seed=3, name="corrected")
    plain = handover.job(first, later, method="p2sam3d")
    with_reference = replace(plain, references=(handover.visit(corrected),))
    one, two = worker.do("propagate", plain), worker.do("propagate", with_reference)
    assert isinstance(two[-1], Result), two[-1]
    assert [f["role"] for f in two[-1].provenance["inputs"]] == ["Baseline", "Follow-up 1", "Reference 1"]
    trusts = [visits_of(m)[0].outcomes[0].trust for m in (one, two)]
    assert trusts[0] != trusts[1]


@pytest.mark.parametrize(
    ("dtype", "modality", "said"), [(np.int16, "", "CT"), (np.float64, "", "CT"), (">i2", "CT", "CT")]
)
def test_any_real_type_of_voxels_will_do(worker, handover, phantom, visits_of, dtype, modality, said):
    first, later = phantom.draw(name="first"), phantom.draw(name="later", seed=1)
    job = handover.job(first, later)
    volume = replace(handover.volume(later, key="", dtype=dtype), modality=modality)
    messages = worker.do("propagate", replace(job, followups=(volume,)))
    assert isinstance(messages[-1], Result), messages[-1]
    assert not any("not a CT" in note for note in messages[-1].notes)


def test_an_mr_is_done_and_said_to_be_not_validated(worker, handover, phantom):
    first, later = phantom.draw(name="first"), phantom.draw(name="later", seed=1)
    job = handover.job(first, later)
    messages = worker.do("propagate", replace(job, followups=(replace(job.followups[0], modality="MR"),)))
    assert any("not a CT" in note for note in messages[-1].notes)


def test_missing_numbers_are_replaced_and_said_also_when_the_image_is_known_already(worker, handover, phantom):
    first, later = phantom.draw(name="first"), phantom.draw(name="later", seed=1)
    array = later.volume.array.copy()
    array[0, 0, :7] = np.nan
    array[1, 2, 3] = np.inf
    job = handover.job(first, Visit("later", Volume(np.zeros_like(array), later.volume.grid)))
    np.save(job.followups[0].array, array)
    for _ in range(2):
        answer = worker.answer("propagate", job)
        assert isinstance(answer, Result)
        assert any("8 voxels are not a number" in note for note in answer.notes)


def test_the_baseline_given_as_follow_up_is_done_and_said(worker, handover, phantom):
    first = phantom.draw(name="first")
    job = handover.job(first, first)
    answer = worker.answer("propagate", job)
    assert any("very same image as the baseline" in note for note in answer.notes)


def test_threads_of_one_job_are_not_those_of_the_next(worker, handover, phantom):
    first, later = phantom.draw(name="first"), phantom.draw(name="later", seed=1)
    for threads in (2, 0):
        assert isinstance(worker.answer("propagate", replace(handover.job(first, later), threads=threads)), Result)


def test_files_of_the_results_are_for_the_user_alone(worker, handover, phantom, files_of):
    messages = worker.do("propagate", handover.job(phantom.draw(), phantom.draw(name="later")))
    assert set(handover.left()) == files_of(messages)
    for name in handover.left():
        assert (handover.results / name).stat().st_mode & 0o077 == 0


def test_a_job_of_the_dataclass_is_what_the_panel_builds():
    """The defaults that a panel relies on."""
    fields = PropagateJob.__dataclass_fields__
    assert fields["model"].default == "tiny"
    assert fields["device"].default == "auto"
    assert StructureMessage("a", "b", (0.0, 0.0, 0.0), "").size == (0, 0, 0)
