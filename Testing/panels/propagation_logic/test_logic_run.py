"""A run from Apply to its end, with a worker that answers when the test lets it: states, nodes, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from panel_patient import (
    SHIFT,
    STRUCTURES,
    FakeClient,
    Patient,
    add_contours,
    make_patient,
    mask_of,
    names_in_scene,
    result_nodes,
    voxels,
)
from samprompt.contract.errors import InputError
from samprompt.contract.propagation import PropagationParameters
from samprompt.contract.version import VERSION
from SAMPromptCommonLib.packages import Answer
from SAMPropagationLib import provenance
from SAMPropagationLib.logic import SAMPropagationLogic
from SAMPropagationLib.parameters import visitOf

TERMINOLOGY = "Segmentation category and type~SCT^49755003^Morphology~SCT^4147007^Mass~^^~Anatomic codes~^^~^^"


def text_tag(segment: Any, name: str) -> str:
    value = vtk.mutable("")
    segment.GetTag(name, value)
    return str(value)


def started(host: Any, logic: Any, client: Any, **keywords: Any) -> Any:
    """A run that the worker has just been asked for."""
    run = logic.propagate(**keywords)
    count = len(client.jobs)
    assert host.wait_until(lambda: run.isOver or (run.state == "computing" and len(client.jobs) >= max(1, count)), 10)
    assert not run.isOver, run.error
    return run


def test_a_run_goes_from_preparing_to_done_and_tells_every_change_once(
    host: Any, logic: Any, client: Any, chosen: Any
) -> None:
    states, ends = [], []
    logic.runChanged.connect(lambda run: states.append(run.state))
    logic.runEnded.connect(ends.append)
    run = logic.propagate()
    assert (run.state, logic.isRunning) == ("preparing", True)
    assert [visit.name for visit in run.visits] == ["March", "June"]
    assert host.wait_until(lambda: run.state == "computing", 10)
    client.say_progress(1, "rigid", 2, 4)
    assert (run.visits[0].state, run.visits[0].stage, run.visits[0].done, run.visits[0].total) == (
        "computing", "rigid", 2, 4,
    )  # fmt: skip
    client.say_visit(1)
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, run.error, logic.isRunning, ends) == ("done", None, False, [run])
    assert list(dict.fromkeys(states)) == ["preparing", "computing", "importing", "done"]
    assert [visit.state for visit in run.visits] == ["done", "done"]


def test_progress_grows_from_nothing_to_one_and_never_shrinks(host: Any, logic: Any, client: Any, chosen: Any) -> None:
    told: list[float] = []
    logic.runChanged.connect(lambda run: told.append(run.progress))
    run = started(host, logic, client)
    for number in (1, 2):
        for stage in ("rigid", "local rigid", "deformable", "encoding", "prompting Lesion", "judging"):
            for step in range(5):
                client.say_progress(number, stage, step, 5)
        assert told[-1] < number / 2 + 0.05
        client.say_visit(number)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert told == sorted(told)
    assert told[0] < 0.1
    assert told[-1] == 1.0


def test_the_worker_gets_the_images_and_contours_voxel_by_voxel(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    logic.setFields(model="sam-vit-b", device="cpu", threads=2, preset="lung", method="p2sam")
    started(host, logic, client)
    job = client.job.request
    assert (job.model, job.device, job.threads) == ("sam-vit-b", "cpu", 2)
    assert (job.parameters.method, job.parameters.window) == ("p2sam", "lung")
    assert job.parameters.align == PropagationParameters().align
    assert [volume.name for volume in job.followups] == ["March", "June"]
    np.testing.assert_array_equal(np.load(job.baseline.volume.array), voxels())
    np.testing.assert_array_equal(np.load(job.followups[0].array), voxels(SHIFT))
    for structure in job.baseline.structures:
        whole = np.zeros(voxels().shape, bool)
        whole[tuple(slice(o, o + n) for o, n in zip(structure.offset, structure.size, strict=True))] = np.load(
            structure.array
        )
        np.testing.assert_array_equal(whole, STRUCTURES[structure.name])
    logic.cancel()
    client.say_failed("cancelled")


def test_an_own_weights_file_goes_before_the_chosen_model(host: Any, logic: Any, client: Any, chosen: Any) -> None:
    logic.setFields(model="sam-vit-b", weightsPath="  /weights/mine.pth ")
    started(host, logic, client)
    assert client.job.request.model == "/weights/mine.pth"
    logic.cancel()
    client.say_failed("cancelled")


def test_only_chosen_structures_are_carried(
    host: Any, logic: Any, client: Any, chosen: Any, run_to_end: Callable
) -> None:
    run = run_to_end(segments=["Node"])
    assert [structure.name for structure in client.job.request.baseline.structures] == ["Node"]
    node = slicer.mrmlScene.GetNodeByID(run.visits[0].resultId)
    assert [node.GetSegmentation().GetSegment(each).GetName() for each in node.GetSegmentation().GetSegmentIDs()] == [
        "Node"
    ]


def test_an_empty_structure_is_left_out_with_a_note(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    patient.contours.GetSegmentation().AddEmptySegment("", "Not drawn yet")
    run = run_to_end()
    assert [structure.name for structure in client.job.request.baseline.structures] == ["Lesion", "Node"]
    assert any("Not drawn yet" in note for note in run.notes)


def test_two_structures_of_one_name_reach_the_worker_under_two_names_and_come_back_under_theirs(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    patient.contours.GetSegmentation().GetSegment(patient.ids["Node"]).SetName("Lesion")
    run = run_to_end()
    assert [structure.name for structure in client.job.request.baseline.structures] == ["Lesion", "Lesion (2)"]
    segmentation = slicer.mrmlScene.GetNodeByID(run.visits[0].resultId).GetSegmentation()
    assert [segmentation.GetSegment(each).GetName() for each in segmentation.GetSegmentIDs()] == ["Lesion", "Lesion"]


def test_results_lie_where_the_structures_moved_with_name_colour_and_terminology(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    lesion = patient.contours.GetSegmentation().GetSegment(patient.ids["Lesion"])
    lesion.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), TERMINOLOGY)
    run = run_to_end()
    for visit, volume in zip(run.visits, patient.followups, strict=True):
        node = slicer.mrmlScene.GetNodeByID(visit.resultId)
        for name, mask in STRUCTURES.items():
            found = mask_of(node, patient.ids[name], volume)
            np.testing.assert_array_equal(found, np.roll(mask, SHIFT, (0, 1, 2)))
        segment = node.GetSegmentation().GetSegment(patient.ids["Lesion"])
        assert segment.GetName() == "Lesion"
        np.testing.assert_allclose(segment.GetColor(), (0.9, 0.3, 0.1))
        assert text_tag(segment, slicer.vtkSegment.GetTerminologyEntryTagName()) == TERMINOLOGY


def test_results_are_linked_to_visit_and_baseline_and_stand_under_the_visits_study(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    from SAMPromptCommonLib.segmentations import BASELINE_ROLE

    run = run_to_end()
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    for visit, volume in zip(run.visits, patient.followups, strict=True):
        node = slicer.mrmlScene.GetNodeByID(visit.resultId)
        assert node.GetName() == f"Contours on {volume.GetName()}"
        assert visitOf(node) is volume
        assert node.GetNodeReference(BASELINE_ROLE) is patient.contours
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        assert node.GetNodeReference(role) is volume
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == hierarchy.GetItemParent(
            hierarchy.GetItemByDataNode(volume)
        )


def test_every_segment_says_what_made_it(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    client.reasons = ("a reason with | and : and ü",)
    run = run_to_end(preset="lung", method="p2sam")
    node = slicer.mrmlScene.GetNodeByID(run.visits[0].resultId)
    segment = node.GetSegmentation().GetSegment(patient.ids["Lesion"])
    tags = {
        name: provenance.tag(segment, name)
        for name in ("Use", "Version", "Method", "Preset", "Model", "ModelHash", "Level")
    }
    assert tags == {
        "Use": "research use only", "Version": VERSION, "Method": "p2sam", "Preset": "lung", "Model": "tiny",
        "ModelHash": "abc123", "Level": "high",
    }  # fmt: skip
    assert provenance.tag(segment, "Date") == node.GetAttribute(provenance.DATE) == run.started
    assert provenance.jsonTag(segment, "Reasons") == ["a reason with | and : and ü"]
    assert provenance.numberTag(segment, "Trust") == 0.9
    (check,) = provenance.jsonTag(segment, "CheckSlices")
    assert isinstance(check["k"], int)
    assert "|" not in "".join(
        text_tag(segment, provenance.PREFIX + name) for name in ("Reasons", "CheckSlices", "Prior", "Content")
    )
    record = json.loads(node.GetAttribute(provenance.PROVENANCE))
    assert record["parameters"]["method"] == "p2sam"
    assert record["baselineVolume"] == "Baseline"
    assert node.GetAttribute(provenance.RUN) == run.id


def test_what_is_gone_becomes_an_empty_segment_that_is_flagged(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    run = started(host, logic, client, followUps=patient.followups[:1])
    client.say_visit(1, gone=("Node",))
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    rows = {row.structure: row for row in logic.results()}
    assert (rows["Node"].gone, rows["Node"].flagged, rows["Node"].volume_ml, rows["Node"].level) == (
        True, True, 0.0, "low",
    )  # fmt: skip
    node = slicer.mrmlScene.GetNodeByID(run.visits[0].resultId)
    assert not mask_of(node, patient.ids["Node"], patient.followups[0]).any()
    assert (rows["Lesion"].gone, rows["Lesion"].flagged) == (False, False)


def test_a_visit_is_in_the_scene_before_the_next_is_computed(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    run = started(host, logic, client)
    client.say_visit(1)
    assert host.wait_until(lambda: run.visits[0].state == "done", 10)
    assert (run.state, run.visits[1].state) == ("computing", "waiting")
    assert [visitOf(node) for node in result_nodes()] == [patient.followups[0]]
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert len(result_nodes()) == 2


def test_the_second_run_of_a_patient_writes_no_image_again(
    host: Any, logic: Any, client: Any, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    first = client.job.request
    run_to_end()
    assert client.job.request is not first
    assert client.job.request.baseline.volume == first.baseline.volume
    assert client.job.request.followups == first.followups


def test_a_changed_image_is_written_anew(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    before = client.job.request.followups[0]
    array = slicer.util.arrayFromVolume(patient.followups[0])
    array[:] += 5
    slicer.util.arrayFromVolumeModified(patient.followups[0])
    run_to_end()
    after = client.job.request.followups[0]
    assert after.key != before.key
    np.testing.assert_array_equal(np.load(after.array), voxels(SHIFT) + 5)


def test_waiting_for_the_end_lets_events_run(host: Any, logic: Any, client: Any, patient: Patient, chosen: Any) -> None:
    import qt

    def answer() -> None:
        if not client.jobs:
            timer.start(20)
            return
        for number in (1, 2):
            client.say_visit(number)
        client.say_done()

    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", answer)
    timer.start(20)
    run = logic.propagate(waitForFinished=True, timeout=20)
    assert run.state == "done"
    assert len(result_nodes()) == 2


def test_waiting_ends_after_the_given_time_and_cancels(host: Any, logic: Any, client: Any, chosen: Any) -> None:
    with pytest.raises(TimeoutError, match=r"0\.5 seconds"):
        logic.propagate(waitForFinished=True, timeout=0.5)
    assert logic.run.state == "cancelled"
    client.say_failed("cancelled")


def test_a_run_works_without_a_main_window(host_without_main_window: Any, tmp_path: Path) -> None:
    host, client, patient = host_without_main_window, FakeClient(), make_patient()
    logic = SAMPropagationLogic(client=client, ensurePackages=lambda group: Answer(True))
    run = logic.propagate(
        baselineVolume=patient.baseline, baselineSegmentation=patient.contours, followUps=patient.followups
    )
    assert host.wait_until(lambda: client.jobs, 10)
    client.say_visit(1)
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, len(logic.results())) == ("done", 4)
    row = logic.results()[0]
    assert logic.jumpTo(row)
    logic.showPrompts(row, True)
    assert logic.showBaselineContour(row, True)
    logic.editInSegmentEditor(row)
    assert logic.showVolumeChart().GetNumberOfPlotSeriesNodes() == 2
    assert logic.export(row, "seg.nrrd", tmp_path)
    logic.cleanup()


# --- what was made before ---------------------------------------------------------------------------------------------
def test_a_repeated_run_replaces_what_nobody_touched_in_the_same_node(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    first = run_to_end()
    before = names_in_scene()
    node = slicer.mrmlScene.GetNodeByID(first.visits[0].resultId)
    run = started(host, logic, client)
    client.say_visit(1, shift=(0, 0, 0))
    client.say_visit(2, shift=(0, 0, 0))
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert run.visits[0].resultId == first.visits[0].resultId
    assert slicer.mrmlScene.GetNodeByID(run.visits[0].resultId) is node
    assert names_in_scene() == before
    np.testing.assert_array_equal(mask_of(node, patient.ids["Lesion"], patient.followups[0]), STRUCTURES["Lesion"])
    assert node.GetAttribute(provenance.RUN) == run.id


def edit(node: Any, segment_id: str, volume: Any) -> np.ndarray:
    """Paint a block, as an effect of the Segment Editor does; the mask afterwards."""
    mask = mask_of(node, segment_id, volume)
    mask[2:4, 5:9, 5:9] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment_id, volume)
    return mask


def test_an_edited_result_is_kept_and_the_new_one_gets_a_number(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    march = patient.followups[0]
    first = slicer.mrmlScene.GetNodeByID(run_to_end().visits[0].resultId)
    edited = edit(first, patient.ids["Lesion"], march)
    second = slicer.mrmlScene.GetNodeByID(run_to_end().visits[0].resultId)
    assert second is not first
    assert first.GetName() == "Contours on March"
    assert second.GetName() != first.GetName()
    assert second.GetName().startswith("Contours on March")
    np.testing.assert_array_equal(mask_of(first, patient.ids["Lesion"], march), edited)
    np.testing.assert_array_equal(
        mask_of(second, patient.ids["Lesion"], march), np.roll(STRUCTURES["Lesion"], SHIFT, (0, 1, 2))
    )


@pytest.mark.parametrize("change", ["rename", "recolour", "add", "remove"])
def test_renaming_recolouring_adding_and_removing_segments_count_as_edits(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable, change: str
) -> None:
    first = slicer.mrmlScene.GetNodeByID(run_to_end().visits[0].resultId)
    segmentation = first.GetSegmentation()
    {
        "rename": lambda: segmentation.GetSegment(patient.ids["Lesion"]).SetName("Tumour"),
        "recolour": lambda: segmentation.GetSegment(patient.ids["Lesion"]).SetColor(0, 0, 1),
        "add": lambda: segmentation.AddEmptySegment("", "New"),
        "remove": lambda: segmentation.RemoveSegment(patient.ids["Node"]),
    }[change]()
    assert run_to_end().visits[0].resultId != first.GetID()


def test_a_node_of_the_users_with_the_results_name_is_left_alone(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    mine = add_contours("Contours on March", patient.followups[0], {"Mine": STRUCTURES["Node"]})
    run = run_to_end()
    assert run.visits[0].resultId != mine.GetID()
    assert mine.GetSegmentation().GetNumberOfSegments() == 1
    assert slicer.mrmlScene.GetNodeByID(run.visits[0].resultId).GetName() != "Contours on March"


def test_opening_and_looking_at_a_result_is_no_edit(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    first = slicer.mrmlScene.GetNodeByID(run_to_end().visits[0].resultId)
    first.CreateClosedSurfaceRepresentation()
    first.GetDisplayNode().SetVisibility(False)
    logic.jumpTo(logic.results()[0])
    logic.showBaselineContour(logic.results()[0], True)
    assert not any(row.stale for row in logic.results())
    assert run_to_end().visits[0].resultId == first.GetID()


# --- undo -------------------------------------------------------------------------------------------------------------
def test_undo_takes_away_what_the_run_made_and_nothing_else(
    host: Any, logic: Any, chosen: Any, run_to_end: Callable
) -> None:
    before = names_in_scene()
    assert not logic.canUndo
    run_to_end()
    assert logic.canUndo
    assert len(logic.undo()) == 2
    assert names_in_scene() == before
    assert not logic.canUndo
    assert logic.undo() == []


def test_undo_restores_what_a_run_replaced(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    first = run_to_end()
    rows = logic.results()
    run = started(host, logic, client)
    client.say_visit(1, gone=("Lesion",))
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert logic.results() != rows
    logic.undo()
    assert logic.results() == rows
    node = slicer.mrmlScene.GetNodeByID(first.visits[0].resultId)
    np.testing.assert_array_equal(
        mask_of(node, patient.ids["Lesion"], patient.followups[0]), np.roll(STRUCTURES["Lesion"], SHIFT, (0, 1, 2))
    )
    logic.undo()
    assert result_nodes() == []


def test_undo_keeps_what_was_edited_and_says_so(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run = run_to_end()
    node = slicer.mrmlScene.GetNodeByID(run.visits[0].resultId)
    edited = edit(node, patient.ids["Lesion"], patient.followups[0])
    told = logic.undo()
    assert result_nodes() == [node]
    assert any("Contours on March was edited" in each for each in told)
    np.testing.assert_array_equal(mask_of(node, patient.ids["Lesion"], patient.followups[0]), edited)


def test_undo_waits_for_the_end_of_a_run(host: Any, logic: Any, client: Any, chosen: Any, run_to_end: Callable) -> None:
    run_to_end()
    started(host, logic, client)
    assert not logic.canUndo
    assert logic.undo() == []
    assert len(result_nodes()) == 2
    logic.cancel()
    client.say_failed("cancelled")


def test_a_second_apply_is_refused_and_the_first_run_goes_on(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    run = started(host, logic, client)
    with pytest.raises(InputError, match="already"):
        logic.propagate(preset="lung", followUps=patient.followups[:1])
    assert chosen.preset == "auto"
    assert logic.run is run
    assert len(client.jobs) == 1
    client.say_visit(1)
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert run.state == "done"
