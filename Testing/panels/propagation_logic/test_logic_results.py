"""Results in the scene: rows, what is shown on demand, corrections, the chart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer
from panel_patient import (
    SHAPE,
    SHIFT,
    SPACING,
    STRUCTURES,
    Patient,
    add_volume,
    ijk_to_ras,
    mask_of,
    result_nodes,
    voxels,
)
from samprompt.contract.errors import InputError
from SAMPropagationLib import ondemand, parameters

VOXEL_ML = float(np.prod(SPACING)) / 1000


def row_of(logic: Any, structure: str, visit: str) -> Any:
    (row,) = [row for row in logic.results() if (row.structure, row.visit) == (structure, visit)]
    return row


def paint(node: Any, segment_id: str, volume: Any, box: tuple[slice, ...]) -> np.ndarray:
    mask = mask_of(node, segment_id, volume)
    mask[box] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment_id, volume)
    return mask


def composite(name: str) -> Any:
    return slicer.app.applicationLogic().GetSliceLogicByLayoutName(name).GetSliceCompositeNode()


# --- rows -------------------------------------------------------------------------------------------------------------
def test_rows_come_by_visit_and_structure_with_what_the_worker_found(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    logic.setFields(followUps=reversed(patient.followups))
    client.trust, client.reasons = 0.62, ("low contrast", "near the border")
    run_to_end()
    rows = logic.results()
    assert [(row.date, row.visit, row.structure) for row in rows] == [
        ("2021-03-08", "March", "Lesion"),
        ("2021-03-08", "March", "Node"),
        ("2021-06-07", "June", "Lesion"),
        ("2021-06-07", "June", "Node"),
    ]
    lesion = rows[0]
    assert lesion.volume_ml == pytest.approx(STRUCTURES["Lesion"].sum() * VOXEL_ML, rel=1e-4)
    assert (lesion.change_percent, lesion.shift_mm, lesion.trust) == (0.0, 5.5, 0.62)
    assert (lesion.level, lesion.flagged, lesion.reasons) == ("high", False, ("low contrast", "near the border"))
    assert (lesion.stale, lesion.accepted, lesion.gone) == (False, False, False)
    assert lesion.color == pytest.approx((0.9, 0.3, 0.1), abs=0.01)
    assert [point.positive for point in lesion.prompts] == [True, False]


def test_visits_without_dates_come_in_the_order_of_the_followups(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    two, ten = add_volume("Visit 2", voxels(SHIFT)), add_volume("Visit 10", voxels(SHIFT))
    run_to_end(followUps=[two, ten])
    assert list(dict.fromkeys(row.visit for row in logic.results())) == ["Visit 2", "Visit 10"]
    logic.setFields(followUps=[ten, two])
    assert list(dict.fromkeys(row.visit for row in logic.results())) == ["Visit 10", "Visit 2"]


def test_only_results_of_the_chosen_baseline_are_listed(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
    logic.setFields(baselineSegmentation=other)
    assert logic.results() == []
    logic.setFields(baselineSegmentation=None)
    assert len(logic.results()) == 4


def test_an_edit_makes_the_row_stale_with_the_volume_that_is_there_now(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    told: list[bool] = []
    logic.resultsChanged.connect(lambda: told.append(True))
    before = row_of(logic, "Lesion", "March")
    node = slicer.mrmlScene.GetNodeByID(before.segmentationId)
    mask = paint(node, before.segmentId, patient.followups[0], (slice(2, 4), slice(5, 9), slice(5, 9)))
    after = row_of(logic, "Lesion", "March")
    assert (after.stale, after.shift_mm) == (True, None)
    assert after.volume_ml == pytest.approx(mask.sum() * VOXEL_ML)
    assert after.change_percent == pytest.approx(100 * (mask.sum() / STRUCTURES["Lesion"].sum() - 1), abs=0.01)
    assert after.trust == before.trust
    assert not row_of(logic, "Node", "March").stale
    assert not row_of(logic, "Lesion", "June").stale
    assert host.wait_until(lambda: told, 3)


def test_undoing_the_edit_makes_the_row_fresh_again(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Lesion", "March")
    node, volume = slicer.mrmlScene.GetNodeByID(row.segmentationId), patient.followups[0]
    original = mask_of(node, row.segmentId, volume)
    paint(node, row.segmentId, volume, (slice(0, 2), slice(5, 9), slice(5, 9)))
    assert row_of(logic, "Lesion", "March").stale
    slicer.util.updateSegmentBinaryLabelmapFromArray(original.astype(np.uint8), node, row.segmentId, volume)
    assert not row_of(logic, "Lesion", "March").stale


def test_moving_a_contour_by_one_voxel_is_an_edit(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Node", "June")
    node, volume = slicer.mrmlScene.GetNodeByID(row.segmentationId), patient.followups[1]
    moved = np.roll(mask_of(node, row.segmentId, volume), 1, axis=2)
    slicer.util.updateSegmentBinaryLabelmapFromArray(moved.astype(np.uint8), node, row.segmentId, volume)
    assert row_of(logic, "Node", "June").stale


def test_a_deleted_result_leaves_the_list_and_the_panel_is_told(
    host: Any, logic: Any, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    told: list[bool] = []
    logic.resultsChanged.connect(lambda: told.append(True))
    slicer.mrmlScene.RemoveNode(result_nodes()[0])
    assert {row.visit for row in logic.results()} == {"June"}
    assert host.wait_until(lambda: told, 3)


def test_a_deleted_visit_leaves_its_results_under_its_name(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    slicer.mrmlScene.RemoveNode(patient.followups[0])
    row = row_of(logic, "Lesion", "March")
    assert (row.visitId, row.date) == ("", "")
    assert not logic.jumpTo(row)
    with pytest.raises(InputError):
        logic.editInSegmentEditor(row)


def test_tags_that_were_damaged_by_hand_do_not_break_the_table(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    segment = result_nodes()[0].GetSegmentation().GetSegment(patient.ids["Lesion"])
    for name in ("Volume", "Trust", "Reasons", "CheckSlices", "Prompts", "Flagged", "Content", "Prior"):
        for text in ("", "{", "[1]", '[{"ras":[1,2],"k":"x"}]', "NaN", "null", "true"):
            segment.SetTag(f"SAMPromptTools.{name}", text)
            row = row_of(logic, "Lesion", "March")
            assert 0 <= row.trust <= 1
            logic.showPrompts(row, True)
            logic.showPrompts(row, False)
            logic.showBaselineContour(row, True)
            logic.showBaselineContour(row, False)


# --- looking ----------------------------------------------------------------------------------------------------------
def test_a_row_brings_its_visit_into_the_slice_views_at_the_slice_to_check(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Lesion", "June")
    assert logic.jumpTo(row)
    for name in ("Red", "Yellow", "Green"):
        assert composite(name).GetBackgroundVolumeID() == patient.followups[1].GetID()
    red = slicer.app.applicationLogic().GetSliceLogicByLayoutName("Red").GetSliceNode()
    assert red.GetSliceToRAS().GetElement(2, 3) == pytest.approx(row.checkSlices[0].ras_mm[2], abs=SPACING[2])
    shown = {node.GetName(): bool(node.GetDisplayNode().GetVisibility()) for node in result_nodes()}
    assert shown == {"Contours on March": False, "Contours on June": True}
    assert not patient.contours.GetDisplayNode().GetVisibility()


def test_the_baseline_comes_back_into_the_views(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    logic.jumpTo(row_of(logic, "Lesion", "June"))
    logic.showBaseline()
    assert composite("Red").GetBackgroundVolumeID() == patient.baseline.GetID()
    assert patient.contours.GetDisplayNode().GetVisibility()
    assert not any(node.GetDisplayNode().GetVisibility() for node in result_nodes())


def test_a_structure_that_was_not_found_has_no_place_to_jump_to(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any
) -> None:
    run = logic.propagate(followUps=patient.followups[:1])
    assert host.wait_until(lambda: client.jobs, 10)
    client.say_visit(1, gone=("Node",))
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert not logic.jumpTo(row_of(logic, "Node", "March"))
    assert composite("Red").GetBackgroundVolumeID() == patient.followups[0].GetID()


def test_jumping_works_without_a_main_window(host_without_main_window: Any) -> None:
    # the fixtures of a patient belong to the host with a window: the smallest row is enough here
    from samprompt.contract.worker import CheckSliceMessage
    from SAMPropagationLib.logic import SAMPropagationLogic
    from SAMPropagationLib.results import ResultRow

    logic = SAMPropagationLogic(client=object())
    volume = add_volume("V", voxels())
    row = ResultRow(
        "", "", volume.GetID(), "V", "", "", "L", (1, 0, 0), 1.0, 1.0, 0.0, 0.0, 0.9, "high", False, (),
        (CheckSliceMessage(3, (1.0, 2.0, 3.0)),), (), (), False, False, False,
    )  # fmt: skip
    assert logic.jumpTo(row)
    logic.cleanup()


def test_prompts_are_shown_as_points_in_the_world_and_taken_away(
    host: Any, logic: Any, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Lesion", "March")
    assert not logic.promptsShown(row)
    logic.showPrompts(row, True)
    logic.showPrompts(row, True)
    nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert len(nodes) == 2
    assert logic.promptsShown(row)
    assert not logic.promptsShown(row_of(logic, "Node", "March"))
    places = [slicer.util.arrayFromMarkupsControlPoints(node, world=True)[0] for node in nodes]
    for point in row.prompts:
        assert any(np.allclose(point.ras_mm, place, atol=1e-3) for place in places)
    assert all(node.GetLocked() and not node.GetSaveWithScene() for node in nodes)
    logic.showPrompts(row, False)
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode") == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsDisplayNode") == 0


def test_the_baselines_contour_is_shown_where_the_alignment_put_it(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Lesion", "March")
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    assert logic.showBaselineContour(row, True)
    assert logic.baselineContourShown(row)
    (node,) = ondemand.all_()
    # the fake worker's prior lies where the baseline has it
    np.testing.assert_array_equal(mask_of(node, row.segmentId, patient.followups[0]), STRUCTURES["Lesion"])
    assert not node.GetSaveWithScene()
    assert not node.GetDisplayNode().GetVisibility2DFill()
    assert len(result_nodes()) == 2  # it is no result itself
    assert logic.showBaselineContour(row, False)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before
    assert not logic.baselineContourShown(row)


def test_the_overlay_follows_its_volume_under_a_transform(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Later moved")
    patient.followups[0].SetAndObserveTransformNodeID(transform.GetID())
    row = row_of(logic, "Lesion", "March")
    logic.showBaselineContour(row, True)
    (node,) = ondemand.all_()
    assert node.GetParentTransformNode() is transform
    np.testing.assert_array_equal(mask_of(node, row.segmentId, patient.followups[0]), STRUCTURES["Lesion"])


def test_without_an_aligned_contour_nothing_is_shown_and_that_is_said(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    result_nodes()[0].GetSegmentation().GetSegment(patient.ids["Lesion"]).SetTag("SAMPromptTools.Prior", "")
    assert not logic.showBaselineContour(row_of(logic, "Lesion", "March"), True)
    assert ondemand.all_() == []


def test_what_is_shown_for_a_result_goes_with_it(host: Any, logic: Any, chosen: Any, run_to_end: Callable) -> None:
    run_to_end()
    march, june = row_of(logic, "Lesion", "March"), row_of(logic, "Lesion", "June")
    for row in (march, june):
        logic.showPrompts(row, True)
        logic.showBaselineContour(row, True)
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetNodeByID(march.segmentationId))
    assert not logic.promptsShown(march)
    assert not logic.baselineContourShown(march)
    assert logic.promptsShown(june)
    assert len(ondemand.all_()) == 3
    logic.cleanup()
    assert ondemand.all_() == []


# --- corrections ------------------------------------------------------------------------------------------------------
def test_a_result_opens_in_the_segment_editor_with_its_volume_and_segment(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Node", "June")
    logic.editInSegmentEditor(row)
    editor = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    assert editor.GetSegmentationNode().GetID() == row.segmentationId
    assert editor.GetSourceVolumeNode() is patient.followups[1]
    assert editor.GetSelectedSegmentID() == row.segmentId
    assert not editor.GetActiveEffectName()
    assert host.selected_module == "SegmentEditor"
    logic.editInSegmentEditor(row_of(logic, "Lesion", "March"))
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode") == 1


def test_an_accepted_correction_is_handed_to_the_worker_as_a_reference(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Lesion", "March")
    node = slicer.mrmlScene.GetNodeByID(row.segmentationId)
    corrected = paint(node, row.segmentId, patient.followups[0], (slice(2, 4), slice(5, 9), slice(5, 9)))
    logic.acceptAsReference(row)
    assert row_of(logic, "Lesion", "March").accepted
    jobs, run = len(client.jobs), logic.propagate()
    assert host.wait_until(lambda: len(client.jobs) > jobs, 10), run.error
    request = client.job.request
    assert [volume.name for volume in request.followups] == ["June"]
    (reference,) = request.references
    np.testing.assert_array_equal(np.load(reference.volume.array), voxels(SHIFT))
    (lesion,) = [each for each in reference.structures if each.name == "Lesion"]
    whole = np.zeros(SHAPE, bool)
    box = tuple(slice(o, o + n) for o, n in zip(lesion.offset, lesion.size, strict=True))
    whole[box] = np.load(lesion.array)
    np.testing.assert_array_equal(whole, corrected)
    client.say_visit(1)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    np.testing.assert_array_equal(mask_of(node, row.segmentId, patient.followups[0]), corrected)


def test_a_reference_whose_structure_was_renamed_still_is_the_same_structure(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Lesion", "March")
    slicer.mrmlScene.GetNodeByID(row.segmentationId).GetSegmentation().GetSegment(row.segmentId).SetName("Tumour")
    logic.acceptAsReference(row)
    run_to_end()
    (reference,) = client.job.request.references
    assert [each.name for each in reference.structures] == ["Lesion", "Node"]


def test_taking_a_reference_back_makes_the_visit_computable_again(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    row = row_of(logic, "Lesion", "March")
    logic.acceptAsReference(row)
    logic.acceptAsReference(row, False)
    assert not row_of(logic, "Lesion", "March").accepted
    run_to_end()
    assert client.job.request.references == ()
    assert [volume.name for volume in client.job.request.followups] == ["March", "June"]


def test_what_is_empty_cannot_be_a_reference(host: Any, logic: Any, client: Any, patient: Patient, chosen: Any) -> None:
    run = logic.propagate(followUps=patient.followups[:1])
    assert host.wait_until(lambda: client.jobs, 10)
    client.say_visit(1, gone=("Node", "Lesion"))
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    with pytest.raises(InputError, match="no contour"):
        logic.acceptAsReference(logic.results()[0])
    assert parameters.references(chosen) == []


def test_propagating_from_a_corrected_visit_computes_only_the_later_ones(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    jobs = len(client.jobs)
    run = logic.propagateFromHere(row_of(logic, "Lesion", "March"))
    assert [visit.name for visit in run.visits] == ["June"]
    assert host.wait_until(lambda: len(client.jobs) > jobs, 10)
    assert [volume.name for volume in client.job.request.followups] == ["June"]
    assert [visit.volume.name for visit in client.job.request.references] == ["March"]
    client.say_visit(1)
    client.say_done()
    assert host.wait_until(lambda: run.isOver, 10)
    assert [node.GetName() for node in parameters.followUps(chosen)] == ["March", "June"]  # the choice is as it was
    with pytest.raises(InputError, match="June"):
        logic.propagateFromHere(row_of(logic, "Lesion", "June"))


def test_an_accepted_result_is_never_replaced_and_never_undone(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run = run_to_end()
    logic.acceptAsReference(row_of(logic, "Lesion", "March"))
    told = logic.undo()
    assert slicer.mrmlScene.GetNodeByID(run.visits[0].resultId) is not None
    assert slicer.mrmlScene.GetNodeByID(run.visits[1].resultId) is None
    assert len(told) == 2


# --- chart ------------------------------------------------------------------------------------------------------------
def column(chart: Any, name: str) -> list:
    table = chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable()
    values = table.GetColumnByName(name)
    return [values.GetValue(n) for n in range(values.GetNumberOfValues())]


def test_the_chart_has_a_line_per_structure_over_days_since_the_baseline(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    assert logic.showVolumeChart() is None
    run_to_end()
    chart = logic.showVolumeChart()
    assert [chart.GetNthPlotSeriesNode(n).GetName() for n in range(2)] == ["Lesion", "Node"]
    assert column(chart, "x") == [0.0, 63.0, 154.0]
    assert column(chart, "Date") == ["2021-01-04", "2021-03-08", "2021-06-07"]
    assert column(chart, "Visit") == ["Baseline", "March", "June"]
    ml = STRUCTURES["Lesion"].sum() * VOXEL_ML
    assert column(chart, "Lesion (ml)") == pytest.approx([ml, ml, ml], rel=1e-4)
    assert "2021-01-04" in chart.GetXAxisTitle()
    assert chart.GetNthPlotSeriesNode(0).GetColor() == pytest.approx((0.9, 0.3, 0.1), abs=0.01)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 1


def test_the_chart_is_made_once_and_follows_edits_and_structures_that_go(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    first = logic.showVolumeChart()
    row = row_of(logic, "Lesion", "June")
    node = slicer.mrmlScene.GetNodeByID(row.segmentationId)
    mask = paint(node, row.segmentId, patient.followups[1], (slice(2, 4), slice(5, 9), slice(5, 9)))
    for each in result_nodes():
        each.GetSegmentation().RemoveSegment(patient.ids["Node"])
    assert logic.showVolumeChart() is first
    assert first.GetNumberOfPlotSeriesNodes() == 1
    assert column(first, "Lesion (ml)")[2] == pytest.approx(mask.sum() * VOXEL_ML)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotSeriesNode") == 1
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 1


def test_without_dates_the_chart_counts_visits(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    undated = add_volume("Visit 2", voxels(SHIFT))
    run_to_end(followUps=[*patient.followups, undated])
    chart = logic.showVolumeChart()
    assert column(chart, "x") == [0.0, 1.0, 2.0, 3.0]
    assert "Visit" in chart.GetXAxisTitle()


def test_a_result_without_the_structure_is_a_gap_in_its_line(
    host: Any, logic: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    run_to_end()
    result_nodes()[0].GetSegmentation().RemoveSegment(patient.ids["Node"])
    values = column(logic.showVolumeChart(), "Node (ml)")
    assert np.isnan(values[1])
    assert np.isfinite([values[0], values[2]]).all()


def test_a_volume_that_a_scan_cuts_is_a_gap_in_its_line(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    client.cut = {("Lesion", 2)}
    run_to_end()
    chart = logic.showVolumeChart()
    lesion = column(chart, "Lesion (ml)")
    assert np.isfinite(lesion[:2]).all()
    assert np.isnan(lesion[2])
    assert np.isfinite(column(chart, "Node (ml)")).all()


def test_structures_and_visits_without_any_volume_to_compare_are_not_drawn(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    client.cut = {("Node", 1), ("Node", 2), ("Lesion", 2)}
    run_to_end()
    chart = logic.showVolumeChart()
    assert [chart.GetNthPlotSeriesNode(n).GetName() for n in range(chart.GetNumberOfPlotSeriesNodes())] == ["Lesion"]
    assert len(column(chart, "Lesion (ml)")) == 2


def test_an_edit_of_a_structure_that_a_scan_cuts_does_not_make_a_change_of_it(
    host: Any, logic: Any, client: Any, patient: Patient, chosen: Any, run_to_end: Callable
) -> None:
    client.cut = {("Lesion", 2)}
    run_to_end()
    row = row_of(logic, "Lesion", "June")
    assert row.change_percent is None
    node = slicer.mrmlScene.GetNodeByID(row.segmentationId)
    mask = paint(node, row.segmentId, patient.followups[1], (slice(2, 4), slice(5, 9), slice(5, 9)))
    edited = row_of(logic, "Lesion", "June")
    assert edited.stale
    assert edited.volume_ml == pytest.approx(mask.sum() * VOXEL_ML)
    assert edited.change_percent is None


# --- patients ---------------------------------------------------------------------------------------------------------
def test_later_visits_are_those_of_the_patient_after_the_baseline_by_date(
    host: Any, logic: Any, patient: Patient
) -> None:
    march, june = patient.followups
    add_volume("Of another patient", voxels(), "20210401", patient="Miller")
    earlier = add_volume("December", voxels(), "20201201")
    add_volume("Same day", voxels(), "20210104")
    add_volume("Undated", voxels())
    assert logic.laterVolumes(patient.baseline) == [march, june]
    assert logic.laterVolumes(earlier)[0].GetName() in ("Baseline", "Same day")
    assert logic.laterVolumes(june) == []
    assert logic.laterVolumes(None) == []


def test_without_dates_all_other_volumes_come_by_name_as_people_count(host: Any, logic: Any) -> None:
    nodes = {name: add_volume(name, voxels()) for name in ("Visit 10", "Visit 1", "Visit 2")}
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow")
    assert logic.laterVolumes(nodes["Visit 1"]) == [nodes["Visit 2"], nodes["Visit 10"]]


def test_an_mr_of_the_same_patient_is_no_later_ct(host: Any, logic: Any, patient: Patient) -> None:
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    for node, modality in zip((patient.baseline, *patient.followups), ("CT", "MR", "CT"), strict=True):
        hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), "DICOM.Modality", modality)
    assert [node.GetName() for node in logic.laterVolumes(patient.baseline)] == ["June"]


def test_two_scans_of_one_day_are_told_by_their_time(host: Any, logic: Any) -> None:
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    morning, evening = add_volume("Morning", voxels(), "20210104"), add_volume("Evening", voxels(), "20210104")
    for node, time in ((morning, "081500.00"), (evening, "193000")):
        study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        hierarchy.SetItemAttribute(study, "DICOM.StudyTime", time)
    assert logic.laterVolumes(morning) == [evening]
    assert logic.laterVolumes(evening) == []


def sequence(count: int) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D")
    for n in range(count):
        volume = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(volume, voxels((0, n, 0)))
        matrix = slicer.util.vtkMatrixFromArray(ijk_to_ras())
        volume.SetIJKToRASMatrix(matrix)
        node.SetDataNodeAtValue(volume, str(n))
    return node


def test_a_sequence_becomes_volumes_once(host: Any, logic: Any) -> None:
    node = sequence(3)
    volumes = logic.volumesOfSequence(node)
    assert len(volumes) == 3
    assert logic.volumesOfSequence(node) == volumes
    for n, volume in enumerate(volumes):
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), voxels((0, n, 0)))
        assert volume.GetScene() is slicer.mrmlScene
    logic.setFields(followUps=node)
    assert parameters.followUps(logic.getParameterNode()) == volumes
