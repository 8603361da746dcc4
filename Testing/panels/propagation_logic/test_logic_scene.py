"""Saving and loading the scene during and after a run: results and parameters are back, an interrupted run says so."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from panel_patient import SHIFT, STRUCTURES, Patient, mask_of, result_nodes
from SAMPropagationLib import ondemand, parameters


def save(folder: Path) -> str:
    """Save every node to a file of its own beside the scene, as File > Save does."""
    folder.mkdir()
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
        ending = {"vtkMRMLScalarVolumeNode": ".nrrd", "vtkMRMLSegmentationNode": ".seg.nrrd"}.get(node.GetClassName())
        if ending is not None and node.GetSaveWithScene():
            assert slicer.util.saveNode(node, str(folder / f"{node.GetName()}{ending}"))
    path = str(folder / "scene.mrml")
    assert slicer.util.saveScene(path)
    return path


def load(path: str) -> None:
    slicer.mrmlScene.Clear(False)
    assert slicer.util.loadScene(path)


def test_results_and_parameters_are_back_after_saving_and_loading(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable, tmp_path: Path
) -> None:
    client.reasons = ('a reason with | and : and "quotes" and ü \\ backslash',)
    run = run_to_end(preset="lung", threads=2)
    logic.acceptAsReference(next(row for row in logic.results() if row.visit == "June"))
    before = logic.results()
    ids = dict(patient.ids)
    load(save(tmp_path / "saved"))
    after = logic.results()
    assert [(row.visit, row.date, row.structure) for row in after] == [(r.visit, r.date, r.structure) for r in before]
    for old, new in zip(before, after, strict=True):
        for name in ("volume_ml", "change_percent", "shift_mm", "trust", "level", "flagged", "reasons", "checkSlices",
                     "prompts", "stale", "accepted", "gone"):  # fmt: skip
            assert getattr(old, name) == getattr(new, name), name
    p = logic.getParameterNode()
    assert (p.preset, p.threads) == ("lung", 2)
    assert [volume.GetName() for volume, _segmentation in parameters.references(p)] == ["June"]
    state = logic.runState()
    assert (state["state"], state["id"], [visit["state"] for visit in state["visits"]]) == (
        "done", run.id, ["done", "done"],
    )  # fmt: skip
    (march,) = [row for row in after if (row.visit, row.structure) == ("March", "Lesion")]
    node, volume = slicer.mrmlScene.GetNodeByID(march.segmentationId), slicer.mrmlScene.GetNodeByID(march.visitId)
    np.testing.assert_array_equal(mask_of(node, ids["Lesion"], volume), np.roll(STRUCTURES["Lesion"], SHIFT, (0, 1, 2)))
    assert logic.showBaselineContour(march, True)
    (overlay,) = ondemand.all_()
    np.testing.assert_array_equal(mask_of(overlay, ids["Lesion"], volume), STRUCTURES["Lesion"])
    assert not logic.canUndo


def test_an_edit_before_saving_is_an_edit_after_loading_and_is_kept_by_the_next_run(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable, tmp_path: Path
) -> None:
    run_to_end()
    node, lesion = result_nodes()[0], patient.ids["Lesion"]
    mask = mask_of(node, lesion, patient.followups[0])
    mask[2:4, 5:9, 5:9] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, lesion, patient.followups[0])
    load(save(tmp_path / "saved"))
    assert [(row.visit, row.structure) for row in logic.results() if row.stale] == [("March", "Lesion")]
    names = sorted(node.GetName() for node in result_nodes())
    run_to_end()
    assert len(result_nodes()) == 3  # June's was replaced, March's is kept beside the new one
    kept = slicer.util.getNode("Contours on March")
    assert "Contours on March" in names
    np.testing.assert_array_equal(mask_of(kept, lesion, slicer.util.getNode("March")), mask)


def test_a_scene_saved_during_a_run_says_that_it_was_interrupted(
    host: Any, logic: Any, client: Any, chosen: Any, tmp_path: Path
) -> None:
    run = logic.propagate()
    assert host.wait_until(lambda: client.jobs, 10)
    client.say_visit(1)
    assert host.wait_until(lambda: run.visits[0].state == "done", 10)
    path = save(tmp_path / "saved")
    assert logic.runState()["state"] == "computing"  # saving does not disturb it
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, len(result_nodes())) == ("done", 2)
    load(path)
    state = logic.runState()
    assert state["state"] == "interrupted"
    assert "cannot be resumed" in state["hint"]
    assert (logic.isRunning, logic.run) == (False, None)
    assert [node.GetName() for node in result_nodes()] == ["Contours on March"]
    assert [problem for problem in logic.problems() if problem.blocking] == []


def test_an_interrupted_run_can_be_computed_again(
    host: Any, logic: Any, client: Any, chosen: Any, run_to_end: Callable, tmp_path: Path
) -> None:
    logic.propagate()
    assert host.wait_until(lambda: client.jobs, 10)
    path = save(tmp_path / "saved")
    logic.cancel()
    client.say_failed("cancelled")
    load(path)
    assert logic.runState()["state"] == "interrupted"
    assert run_to_end().state == "done"
    assert logic.runState()["state"] == "done"
    assert len(result_nodes()) == 2


@pytest.mark.parametrize("shown", [True, False])
def test_what_is_shown_on_demand_is_not_saved(
    host: Any, logic: Any, chosen: Any, run_to_end: Callable, tmp_path: Path, shown: bool
) -> None:
    run_to_end()
    row = logic.results()[0]
    logic.showPrompts(row, shown)
    logic.showBaselineContour(row, shown)
    load(save(tmp_path / "saved"))
    assert ondemand.all_() == []
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode") == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsDisplayNode") == 0
    assert len(result_nodes()) == 2
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 3


def test_loading_another_scene_while_a_run_is_on_its_way_keeps_it_going(
    host: Any, logic: Any, client: Any, chosen: Any, tmp_path: Path
) -> None:
    """Adding a scene to the open one closes nothing."""
    other = tmp_path / "other"
    path = save(other)
    run = logic.propagate()
    assert host.wait_until(lambda: client.jobs, 10)
    assert slicer.util.loadScene(path)
    client.say_visit(1)
    client.say_visit(2)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, run.error) == ("done", None)


def test_a_replaced_and_a_restored_result_are_shown_and_are_there_to_be_saved(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable, tmp_path: Path
) -> None:
    # A node that is given another segmentation says nothing of it: the views go on showing the one before, and saving
    # finds nothing that changed.
    run_to_end()
    node, lesion, other = result_nodes()[0], patient.ids["Lesion"], patient.ids["Node"]
    save(tmp_path / "first")
    assert not node.GetModifiedSinceRead()
    told: list[tuple[str, str]] = []

    def tell(name: str, _caller: Any, _event: Any, segment_id: str) -> None:
        told.append((name, segment_id))

    for name in ("SegmentAdded", "SegmentRemoved", "SegmentModified"):
        slot = functools.partial(tell, name)
        slot.CallDataType = vtk.VTK_STRING  # type: ignore[attr-defined]
        node.AddObserver(getattr(slicer.vtkSegmentation, name), slot)
    node.AddObserver(slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, lambda *_: told.append(("Display", "")))
    run = logic.propagate(segments=["Lesion"])
    assert host.wait_until(lambda: len(client.jobs) == 2, 10)
    client.say_visit(1)
    assert host.wait_until(lambda: run.visits[0].state == "done", 10)
    logic.cancel()
    assert list(node.GetSegmentation().GetSegmentIDs()) == [lesion]
    assert node.GetModifiedSinceRead()
    assert {("SegmentRemoved", other), ("SegmentModified", lesion), ("Display", "")} <= set(told)
    save(tmp_path / "second")
    assert not node.GetModifiedSinceRead()
    told.clear()
    logic.undo()
    assert set(node.GetSegmentation().GetSegmentIDs()) == {lesion, other}
    assert node.GetModifiedSinceRead()
    assert {("SegmentAdded", other), ("SegmentModified", lesion), ("Display", "")} <= set(told)
