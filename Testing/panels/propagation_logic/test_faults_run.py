"""Whatever happens during a run: it ends once, says why, and the scene holds nothing half done."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from panel_patient import SHIFT, SPACING, STRUCTURES, Patient, mask_of, names_in_scene, result_nodes, voxels
from samprompt.contract.errors import EnvironmentProblem


def computing(host: Any, logic: Any, client: Any, **keywords: Any) -> Any:
    """A run whose job lies with the worker."""
    jobs = len(client.jobs)
    run = logic.propagate(**keywords)
    assert host.wait_until(lambda: run.isOver or len(client.jobs) > jobs, 10)
    assert run.state == "computing", run.error
    return run


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class EndsOnce:
    """Counts how often the end of a run was told."""

    def __init__(self, logic: Any) -> None:
        self.runs: list[Any] = []
        logic.runEnded.connect(self.runs.append)

    def __call__(self, run: Any) -> bool:
        return self.runs == [run]


# --- cancel -----------------------------------------------------------------------------------------------------------
def test_cancelling_after_any_step_of_writing_the_images_leaves_no_file_and_no_node(
    host: Any, logic: Any, client: Any, chosen: Any, tmp_path: Path, one_step_per_turn: None
) -> None:
    before, turns = names_in_scene(), 0
    while True:
        ended = EndsOnce(logic)
        run = logic.propagate()
        for _turn in range(turns):
            host.qt.QApplication.processEvents()
        if run.state != "preparing":
            break
        logic.cancel()
        assert (run.state, run.error.code, logic.isRunning, ended(run)) == ("cancelled", "cancelled", False, True)
        host.process_events(0.01)
        assert client.jobs == []
        assert names_in_scene() == before
        assert not [path for path in files_in(tmp_path) if "propagate" in str(path) or path.suffix == ".part"]
        turns += 1
    assert turns > 8
    logic.cancel()
    client.say_failed("cancelled")


def test_cancelling_while_the_worker_computes_ends_at_once_and_asks_the_worker_to_stop(
    host: Any, logic: Any, client: Any, chosen: Any, tmp_path: Path
) -> None:
    ended, before = EndsOnce(logic), names_in_scene()
    run = computing(host, logic, client)
    client.say_progress(1, "rigid", 1, 3)
    folder = Path(client.job.request.folder)
    logic.cancel()
    assert (run.state, [visit.state for visit in run.visits]) == ("cancelled", ["cancelled", "cancelled"])
    assert client.cancelled == [client.job]
    assert folder.is_dir()  # the worker may be writing into it
    client.say_visit(1)  # what was on its way
    client.say_failed("cancelled")
    host.process_events(0.1)
    assert not folder.exists()
    assert ended(run)
    assert names_in_scene() == before


def test_cancelling_between_two_visits_keeps_the_finished_one(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    run = computing(host, logic, client)
    client.say_visit(1)
    assert host.wait_until(lambda: run.visits[0].state == "done", 10)
    logic.cancel()
    client.say_failed("cancelled")
    assert [visit.state for visit in run.visits] == ["done", "cancelled"]
    assert [node.GetName() for node in result_nodes()] == ["Contours on March"]
    logic.undo()
    assert result_nodes() == []


def test_cancelling_after_any_turn_of_an_import_leaves_the_visit_whole_or_not_at_all(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, one_step_per_turn: None
) -> None:
    before, turns, whole = names_in_scene(), 0, 0
    while not whole:
        run = computing(host, logic, client, followUps=patient.followups[:1])
        client.say_visit(1)
        for _turn in range(turns):
            host.qt.QApplication.processEvents()
        whole = run.visits[0].state == "done"
        logic.cancel()
        client.say_failed("cancelled")
        host.process_events(0.01)
        if whole:
            assert [node.GetName() for node in result_nodes()] == ["Contours on March"]
            assert len(logic.results()) == 2
        else:
            assert (run.visits[0].state, names_in_scene()) == ("cancelled", before)
        turns += 1
    assert turns > 5


def test_a_step_of_the_import_that_is_cancelled_takes_back_what_it_made(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    from SAMPromptCommonLib.grids import frameOf
    from SAMPropagationLib import importing, provenance
    from SAMPropagationLib.undo import UndoStep

    run = computing(host, logic, client)
    outcome = client.outcome(client.job.request.baseline.structures[0], 1, SHIFT, False)
    facts, before = provenance.runFacts("p2sam3d", "auto", "tiny"), names_in_scene()
    steps = 0
    while True:  # stop after 0, 1, 2... steps until it runs through
        volume, undo = patient.followups[0], UndoStep()
        work = importing.importVisit([outcome], volume, patient.contours, frameOf(volume), facts, run.id, {}, undo)
        try:
            for _step in range(steps):
                next(work)
        except StopIteration:
            break
        work.close()
        assert names_in_scene() == before, f"after {steps} steps"
        assert (undo.made, undo.replaced) == ([], {})
        steps += 1
    assert steps > 3
    logic.cancel()
    client.say_failed("cancelled")


def test_a_run_can_be_started_right_after_a_cancel(
    host: Any, logic: Any, client: Any, chosen: Any, run_to_end: Callable
) -> None:
    first = computing(host, logic, client)
    job = client.job
    logic.cancel()
    assert run_to_end().state == "done"
    assert first.state == "cancelled"
    job.state = "failed"
    job.failed.emit(first.error)


def test_cancelling_twice_or_after_the_end_does_nothing(
    host: Any, logic: Any, client: Any, chosen: Any, run_to_end: Callable
) -> None:
    logic.cancel()
    ended = EndsOnce(logic)
    run = run_to_end()
    logic.cancel()
    assert (run.state, ended(run), client.cancelled) == ("done", True, [])


# --- nodes that go ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["baseline", "contours"])
@pytest.mark.parametrize("when", ["preparing", "computing", "importing"])
def test_deleting_the_baseline_ends_the_run_with_its_name(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, what: str, when: str
) -> None:
    ended = EndsOnce(logic)
    run = logic.propagate() if when == "preparing" else computing(host, logic, client)
    if when == "importing":
        client.say_visit(1)
    node = getattr(patient, what)
    name = node.GetName()
    slicer.mrmlScene.RemoveNode(node)
    assert host.wait_until(lambda: run.isOver, 5)
    assert (run.state, run.error.code, ended(run)) == ("failed", "node-removed", True)
    assert name in run.error.message
    assert run.error.hint
    if client.jobs:
        assert client.cancelled == [client.job]
        client.say_failed("cancelled")
    host.process_events(0.1)
    assert result_nodes() == []


@pytest.mark.parametrize("when", ["preparing", "computing", "importing"])
def test_deleting_one_followup_leaves_it_out_and_finishes_the_other(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, when: str
) -> None:
    run = logic.propagate() if when == "preparing" else computing(host, logic, client)
    if when == "importing":
        client.say_visit(1)
    slicer.mrmlScene.RemoveNode(patient.followups[0])
    assert host.wait_until(lambda: client.jobs, 5)
    names = [volume.name for volume in client.job.request.followups]
    assert names == (["June"] if when == "preparing" else ["March", "June"])
    if when == "computing":
        client.say_visit(1)
    client.say_visit(len(names))
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, [visit.state for visit in run.visits]) == ("done", ["failed", "done"])
    assert "March" in run.visits[0].message
    assert [node.GetName() for node in result_nodes()] == ["Contours on June"]
    np.testing.assert_array_equal(
        mask_of(result_nodes()[0], patient.ids["Node"], patient.followups[1]),
        np.roll(STRUCTURES["Node"], SHIFT, (0, 1, 2)),
    )


def test_deleting_every_followup_ends_the_run(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    run = computing(host, logic, client)
    for node in patient.followups:
        slicer.mrmlScene.RemoveNode(node)
    assert host.wait_until(lambda: run.isOver, 5)
    assert (run.state, run.error.code) == ("failed", "node-removed")
    client.say_failed("cancelled")


def test_deleting_a_result_during_the_run_is_the_users_right(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    run = computing(host, logic, client)
    client.say_visit(1)
    assert host.wait_until(lambda: run.visits[0].state == "done", 10)
    slicer.mrmlScene.RemoveNode(result_nodes()[0])
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert run.state == "done"
    assert [row.visit for row in logic.results()] == ["June", "June"]
    assert logic.undo() == ["Contours on June was removed."]


def test_deleting_the_parameter_node_does_not_stop_the_run(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    run = computing(host, logic, client)
    slicer.mrmlScene.RemoveNode(chosen.parameterNode)
    client.say_visit(1)
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert run.state == "done"
    assert len(result_nodes()) == 2


@pytest.mark.parametrize("when", ["preparing", "computing", "importing"])
def test_closing_the_scene_ends_the_run_and_the_next_scene_is_empty(
    host: Any, logic: Any, client: Any, chosen: Any, when: str, tmp_path: Path
) -> None:
    ended = EndsOnce(logic)
    run = logic.propagate() if when == "preparing" else computing(host, logic, client)
    if when == "importing":
        client.say_visit(1)
    host.clear_scene()
    assert (run.state, run.error.code, ended(run)) == ("cancelled", "cancelled", True)
    assert "scene" in run.error.message
    if client.jobs:
        assert client.cancelled == [client.job]
        client.say_visit(2)
        client.say_failed("cancelled")
    host.process_events(0.2)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert (logic.run, logic.isRunning, logic.canUndo, logic.results()) == (None, False, False, [])
    assert logic.runState()["state"] == ""
    assert files_in(tmp_path) == []


def test_a_new_patient_can_be_carried_after_the_scene_was_closed(
    host: Any, logic: Any, client: Any, chosen: Any, run_to_end: Callable
) -> None:
    from panel_patient import add_contours, add_volume

    run_to_end()
    host.clear_scene()
    baseline, follow = add_volume("B", voxels()), add_volume("F", voxels(SHIFT))
    contours = add_contours("C", baseline, STRUCTURES)
    run = run_to_end(baselineVolume=baseline, baselineSegmentation=contours, followUps=[follow])
    assert run.state == "done"
    assert [node.GetName() for node in result_nodes()] == ["C on F"]


# --- the worker and the machine ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", ["memory", "weights-missing", "weights", "environment", "output", "structure"])
def test_what_the_worker_reports_is_shown_with_its_hint_and_finished_visits_stay(
    host: Any, logic: Any, client: Any, chosen: Any, code: str
) -> None:
    ended = EndsOnce(logic)
    run = computing(host, logic, client)
    client.say_visit(1)
    assert host.wait_until(lambda: run.visits[0].state == "done", 10)
    client.say_failed(code, "It went wrong.", "Do something.")
    assert (run.state, run.error.code, run.error.message, run.error.hint) == (
        "failed", code, "It went wrong.", "Do something.",
    )  # fmt: skip
    assert [visit.state for visit in run.visits] == ["done", "failed"]
    assert ended(run)
    assert len(result_nodes()) == 1
    assert logic.runState()["hint"] == "Do something."


def test_the_failure_of_one_visit_on_its_way_into_the_scene_does_not_cost_the_others(
    host: Any, logic: Any, client: Any, chosen: Any
) -> None:
    run = computing(host, logic, client)
    client.say_visit(1)
    for path in Path(client.job.request.folder).glob("1-*.npy"):
        path.write_bytes(b"not an array")
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, [visit.state for visit in run.visits]) == ("done", ["failed", "done"])
    assert run.visits[0].message
    assert [node.GetName() for node in result_nodes()] == ["Contours on June"]


def test_masks_that_do_not_fit_the_visit_are_refused(host: Any, logic: Any, client: Any, chosen: Any) -> None:
    before = names_in_scene()
    run = computing(host, logic, client)
    client.say_visit(1, shift=(0, 0, 1000))
    client.say_visit(2, shift=(-50, 0, 0))
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, [visit.state for visit in run.visits]) == ("failed", ["failed", "failed"])
    assert run.error.message
    assert names_in_scene() == before


def test_a_client_that_cannot_take_the_job_fails_the_run(host: Any, logic: Any, client: Any, chosen: Any) -> None:
    client.refuse = EnvironmentProblem("No Python was found.", "Install one.")
    run = logic.propagate()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, run.error.code, run.error.hint) == ("failed", "environment", "Install one.")


def test_a_full_disk_is_said_in_words_and_leaves_nothing(
    host: Any, logic: Any, client: Any, chosen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SAMPromptCommonLib import volumes

    def full(stream: Any, data: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(volumes, "writeAll", full)
    run = logic.propagate()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, run.error.code) == ("failed", "output")
    assert "No space left" in run.error.message
    assert "disk space" in run.error.hint
    assert not [path for path in files_in(tmp_path) if path.suffix == ".npy" or path.name.endswith(".part")]
    monkeypatch.undo()
    assert not logic.isRunning


def test_a_temporary_folder_that_is_not_there_is_said_in_words(
    host: Any, logic: Any, chosen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SAMPromptCommonLib import folders

    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setattr(folders, "rootFolder", lambda: blocked / "below")
    run = logic.propagate()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, run.error.code) == ("failed", "output")
    assert run.error.hint


def test_declining_the_installation_starts_nothing_and_changes_nothing(
    host: Any, client: Any, patient: Patient
) -> None:
    from SAMPromptCommonLib.packages import Answer
    from SAMPropagationLib.logic import SAMPropagationLogic

    declined = Answer(False, "PyTorch is not installed.", "Press Apply again to install it.")
    logic = SAMPropagationLogic(client=client, ensurePackages=lambda group: declined)
    logic.setFields(baselineVolume=patient.baseline, baselineSegmentation=patient.contours, followUps=patient.followups)
    before = names_in_scene()
    try:
        with pytest.raises(EnvironmentProblem, match="PyTorch") as caught:
            logic.propagate()
        assert caught.value.hint == "Press Apply again to install it."
        assert (logic.run, logic.isRunning, client.jobs, names_in_scene()) == (None, False, [], before)
    finally:
        logic.cleanup()


@pytest.mark.parametrize(
    ("fields", "group"),
    [
        ({"model": "tiny"}, "core"),
        ({"model": "sam2.1_hiera_tiny"}, "sam2"),
        ({"weightsPath": "/weights/mine.pth"}, "core"),
    ],
)
def test_only_who_chooses_a_sam_2_model_is_asked_for_its_package(
    fields: dict[str, str], group: str, host: Any, client: Any, patient: Patient
) -> None:
    from SAMPromptCommonLib import catalogue
    from SAMPromptCommonLib.packages import Answer
    from SAMPropagationLib.logic import SAMPropagationLogic

    if "model" in fields:
        assert catalogue.model(fields["model"]) is not None
    asked = []
    later = Answer(False, "Not now.", "Later.")
    logic = SAMPropagationLogic(client=client, ensurePackages=lambda group: asked.append(group) or later)
    logic.setFields(baselineVolume=patient.baseline, baselineSegmentation=patient.contours, followUps=patient.followups)
    try:
        with pytest.raises(EnvironmentProblem, match="Not now"):
            logic.propagate(**fields)
        assert asked == [group]
    finally:
        logic.cleanup()


def test_the_end_of_the_panel_during_a_run_cancels_it_and_removes_the_patients_files(
    host: Any, logic: Any, client: Any, chosen: Any, tmp_path: Path
) -> None:
    run = computing(host, logic, client)
    logic.cleanup()
    assert run.state == "cancelled"
    client.say_failed("cancelled")
    assert files_in(tmp_path) == []
    slicer.mrmlScene.RemoveNode(chosen.baselineVolume)  # nobody listens any more


# --- geometry ---------------------------------------------------------------------------------------------------------
def test_parent_transforms_are_part_of_what_the_worker_sees_and_are_not_touched(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Turned")
    turn = vtk.vtkTransform()
    turn.Translate(12, -7, 30)
    turn.RotateZ(25)
    transform.SetMatrixTransformToParent(turn.GetMatrix())
    march = patient.followups[0]
    march.SetAndObserveTransformNodeID(transform.GetID())
    run = computing(host, logic, client, followUps=[march])
    sent = np.array(client.job.request.followups[0].grid.ijk_to_ras).reshape(4, 4)
    own = vtk.vtkMatrix4x4()
    march.GetIJKToRASMatrix(own)
    world = slicer.util.arrayFromVTKMatrix(turn.GetMatrix()) @ slicer.util.arrayFromVTKMatrix(own)
    np.testing.assert_allclose(sent, world, atol=1e-9)
    client.say_visit(1)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    node = result_nodes()[0]
    assert march.GetParentTransformNode() is transform
    assert node.GetParentTransformNode() is transform
    np.testing.assert_array_equal(
        mask_of(node, patient.ids["Lesion"], march), np.roll(STRUCTURES["Lesion"], SHIFT, (0, 1, 2))
    )
    center = node.GetSegmentCenterRAS(patient.ids["Lesion"])
    k, j, i = (np.argwhere(np.roll(STRUCTURES["Lesion"], SHIFT, (0, 1, 2))).mean(axis=0)).tolist()
    np.testing.assert_allclose(center, (world @ [i, j, k, 1])[:3], atol=max(SPACING))
    (row,) = [row for row in logic.results() if row.structure == "Lesion"]
    np.testing.assert_allclose(row.checkSlices[0].ras_mm, (world @ [i, j, k, 1])[:3], atol=2 * max(SPACING))
