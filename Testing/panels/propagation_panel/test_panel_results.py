"""The table of results: what it shows, what a click does, correcting, accepting, going on, undoing, exporting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from SAMPropagationLib.parameters import references
from SAMPropagationLib.results import ResultRow
from SAMPropagationLib.results_table import BY_VISIT, WORST_FIRST, inOrder, remarks, signed, wrappable
from screens import PanelTest

FOUND = {
    "Lung lesion": {"trust": 0.31, "change": -62.0, "reasons": ("the contrast to the surroundings is low",)},
    "Lymph node": {"trust": 0.93, "change": 14.0},
}


@pytest.fixture
def done(panel: PanelTest) -> PanelTest:
    """Two visits computed; the lesion of the second one is the worst."""
    panel.choosePatient()
    job = panel.startRun()
    job.sayVisit(1, by={"Lung lesion": {"trust": 0.66, "change": -20.0}, "Lymph node": {"trust": 0.9}})
    job.sayVisit(2, by=FOUND)
    job.end()
    panel.until(lambda: not panel.logic.isRunning)
    panel.settle(0.5)
    return panel


def lines(panel: PanelTest) -> list[list[str]]:
    """The lines with figures."""
    return [line for line in panel.texts("resultsTable") if line[5]]


def offset(name: str = "Red") -> float:
    return float(slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}").GetSliceOffset())


# --- what it shows ----------------------------------------------------------------------------------------------------
def test_the_worst_result_stands_on_top_with_a_word_beside_the_colour_and_its_reason_below(done: PanelTest) -> None:
    shown = done.texts("resultsTable")
    assert shown[0][:2] == ["CT 2021-06-07", "Lung lesion"]
    assert shown[0][3] == "−62"
    assert shown[0][5] == "● low"
    assert "0.31" in done.ui.resultsTable.item(0, 5).toolTip()
    assert "contrast to the surroundings is low" in shown[1][0]
    assert [line[5].removeprefix("● ") for line in lines(done)] == ["low", "medium", "high", "high"]
    color = done.ui.resultsTable.item(0, 5).foreground().color()
    assert (color.red(), color.green()) == (0xD6, 0x45)
    done.panel.results.table.select(0)
    done.settle()
    done.picture("results")


def test_by_visit_the_worst_of_each_visit_comes_first(done: PanelTest) -> None:
    done.ui.orderComboBox.currentIndex = 1
    done.settle()
    assert [line[:2] for line in lines(done)] == [
        ["CT 2021-03-08", "Lung lesion"],
        ["CT 2021-03-08", "Lymph node"],
        ["CT 2021-06-07", "Lung lesion"],
        ["CT 2021-06-07", "Lymph node"],
    ]


def row(**changes: Any) -> ResultRow:
    """A row that only the table sees."""
    known = {
        "segmentationId": "s1", "segmentationName": "Contours on March", "visitId": "v1", "visit": "March", "date": "",
        "segmentId": "a", "structure": "Lesion", "color": (1.0, 0.0, 0.0), "volume_ml": 1.25, "baseline_ml": 2.5,
        "change_percent": -50.0, "shift_mm": 3.0, "trust": 0.9, "level": "high", "flagged": False, "reasons": (),
        "checkSlices": (), "prompts": (), "notes": (), "gone": False, "stale": False, "accepted": False,
    }  # fmt: skip
    return ResultRow(**{**known, **changes})


def test_rows_are_ordered_by_flag_then_trust_whatever_order_they_come_in() -> None:
    rows = [
        row(segmentId="a", trust=0.6),
        row(segmentId="b", trust=0.7, flagged=True),
        row(segmentationId="s0", segmentId="c", trust=0.1, flagged=True),
        row(segmentId="d", trust=0.95),
    ]
    assert [each.segmentId for each in inOrder(rows, WORST_FIRST)] == ["c", "b", "a", "d"]
    assert [each.segmentId for each in inOrder(rows, BY_VISIT)] == ["b", "a", "d", "c"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"flagged": True}, "Check before use."),
        ({"flagged": True, "reasons": ("alignment is poor.",)}, "Check: alignment is poor."),
        ({"gone": True, "flagged": True}, "Not found on this visit. Check before use."),
        ({"stale": True}, "Edited since the run: volume and change are of what is there now."),
        ({"accepted": True}, "Accepted as reference."),
        ({"reasons": ("low contrast",), "notes": ("smaller mass", "Cut.")}, "Low contrast. Smaller mass. Cut."),
    ],
)
def test_the_line_below_the_figures_says_what_to_look_at(changes: dict, said: str) -> None:
    assert remarks(row(**changes)) == said


def test_missing_figures_are_a_dash_and_signs_are_shown() -> None:
    assert [signed(value) for value in (None, 12.4, -62.0, 0.0)] == ["–", "+12", "−62", "+0"]


def test_names_without_spaces_are_broken_into_lines_and_not_cut() -> None:
    assert wrappable("ct_lung.nii") == "ct_\u200blung.\u200bnii"
    assert wrappable("CT 2021-03-08 post-op") == "CT 2021\u201103\u201108 post-op"
    assert wrappable("Visit 2.") == "Visit 2."


# --- looking ----------------------------------------------------------------------------------------------------------
def test_a_click_shows_the_visit_at_the_slice_to_check_first(done: PanelTest, mouse: Any) -> None:
    mouse(done.ui.resultsTable, 0, 1)
    chosen = done.panel.results.row
    assert (chosen.visit, chosen.structure) == ("CT 2021-06-07", "Lung lesion")
    assert offset() == pytest.approx(chosen.checkSlices[0].ras_mm[2], abs=0.1)
    composite = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == chosen.visitId
    assert done.ui.sliceLabel.text == "Slice 1 of 3 to check"


def test_a_click_on_the_reason_does_the_same(done: PanelTest, mouse: Any) -> None:
    mouse(done.ui.resultsTable, 1, 0)
    assert done.panel.results.row.structure == "Lung lesion"
    assert offset() == pytest.approx(done.panel.results.row.checkSlices[0].ras_mm[2], abs=0.1)


def test_the_arrow_keys_go_from_result_to_result(done: PanelTest, press: Any, mouse: Any) -> None:
    mouse(done.ui.resultsTable, 0, 0)
    first = done.panel.results.row
    press(done.ui.resultsTable, "Down")  # the reason of the first
    press(done.ui.resultsTable, "Down")
    done.settle()
    second = done.panel.results.row
    assert second.trust > first.trust
    composite = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == second.visitId


def test_next_and_previous_walk_over_the_slices_to_check(done: PanelTest, mouse: Any) -> None:
    mouse(done.ui.resultsTable, 0)
    places = [each.ras_mm[2] for each in done.panel.results.row.checkSlices]
    assert not done.ui.previousSliceButton.enabled
    done.click("nextSliceButton")
    assert offset() == pytest.approx(places[1], abs=0.1)
    done.click("nextSliceButton")
    assert offset() == pytest.approx(places[2], abs=0.1)
    assert done.ui.sliceLabel.text == "Slice 3 of 3 to check"
    assert not done.ui.nextSliceButton.enabled
    done.click("previousSliceButton")
    assert offset() == pytest.approx(places[1], abs=0.1)


def test_prompts_and_baseline_contour_are_shown_on_demand_and_taken_away_again(done: PanelTest, mouse: Any) -> None:
    mouse(done.ui.resultsTable, 0)
    markups = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")
    segmentations = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    for box in (done.ui.showPromptsCheckBox, done.ui.showBaselineCheckBox):
        assert box.enabled
        box.click()
        done.settle()
        assert box.checked
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") > markups
    assert done.panel.messages.kind != "error", done.panel.messages.text()
    mouse(done.ui.resultsTable, 2)
    assert not done.ui.showPromptsCheckBox.checked, "they are of another result"
    mouse(done.ui.resultsTable, 0)
    assert done.ui.showPromptsCheckBox.checked
    done.ui.showPromptsCheckBox.click()
    done.ui.showBaselineCheckBox.click()
    done.settle()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == markups
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == segmentations


def test_the_chart_button_makes_a_chart(done: PanelTest) -> None:
    done.click("chartButton")
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 1
    assert done.panel.messages.kind != "error", done.panel.messages.text()


# --- correcting and going on ------------------------------------------------------------------------------------------
def test_correct_opens_the_segment_editor_on_that_result(done: PanelTest, host: Any, mouse: Any) -> None:
    mouse(done.ui.resultsTable, 0)
    chosen = done.panel.results.row
    done.click("editButton")
    assert host.selected_module == "SegmentEditor"
    editor = slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode")[0]
    assert editor.GetSegmentationNode().GetID() == chosen.segmentationId
    assert editor.GetSelectedSegmentID() == chosen.segmentId


def test_an_edited_result_says_so_and_shows_the_new_volume(done: PanelTest, host: Any) -> None:
    table = done.panel.results.table
    table.select(0)
    chosen = done.panel.results.row
    volume = slicer.mrmlScene.GetNodeByID(chosen.visitId)
    node = slicer.mrmlScene.GetNodeByID(chosen.segmentationId)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, chosen.segmentId, volume).copy()
    mask[:, :, mask.any(axis=(0, 1)).argmax() :][:, :, :2] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, chosen.segmentId, volume)
    done.until(lambda: any("Edited since the run" in line[0] for line in done.texts("resultsTable")), 5)
    spacing = np.prod(volume.GetSpacing())
    now = done.panel.results.row
    assert now.segmentId == chosen.segmentId, "the line stays selected"
    assert now.volume_ml == pytest.approx(mask.sum() * spacing / 1000, rel=1e-3)


def test_accepting_makes_it_a_reference_for_the_next_run(done: PanelTest, mouse: Any) -> None:
    done.ui.orderComboBox.currentIndex = 1
    done.settle()
    mouse(done.ui.resultsTable, 0)
    chosen = done.panel.results.row
    done.click("acceptButton")
    assert [node.GetID() for _volume, node in references(done.parameters)] == [chosen.segmentationId]
    assert done.ui.acceptButton.text == "Accepted as reference"
    assert any("Accepted as reference" in line[0] for line in done.texts("resultsTable"))
    assert any("reference" in line[1] for line in done.texts("followUpsTable"))
    done.picture("accepted")
    done.click("acceptButton")
    assert references(done.parameters) == []
    assert done.ui.acceptButton.text == "Accept as reference"


def test_propagating_again_from_here_computes_the_later_visits_with_the_reference(done: PanelTest, mouse: Any) -> None:
    done.ui.orderComboBox.currentIndex = 1
    done.settle()
    mouse(done.ui.resultsTable, 0)
    assert done.panel.results.row.visit == "CT 2021-03-08"
    done.click("againButton")
    done.until(lambda: len(done.worker.jobs) == 2, 10)
    job = done.worker.job
    assert [each.name for each in job.request.followups] == ["CT 2021-06-07"]
    assert [each.volume.name for each in job.request.references] == ["CT 2021-03-08"]
    assert done.ui.applyButton.text == "Cancel"
    job.sayVisit(1, trust=0.95)
    job.end()
    done.until(lambda: not done.logic.isRunning)


def test_the_last_visit_has_nothing_after_it_and_says_so(done: PanelTest, mouse: Any) -> None:
    mouse(done.ui.resultsTable, 0)
    assert done.panel.results.row.visit == "CT 2021-06-07"
    done.click("againButton")
    assert done.panel.messages.kind == "error"
    assert "CT 2021-06-07" in done.ui.messageLabel.text
    assert len(done.worker.jobs) == 1


def test_undo_takes_the_results_back_and_the_panel_is_empty_again(done: PanelTest) -> None:
    assert done.ui.undoButton.enabled
    done.click("undoButton")
    done.settle(0.5)
    assert not done.ui.resultsFrame.visible
    assert done.ui.resultsHintLabel.visible
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert done.panel.messages.kind == "note"


def test_deleting_a_result_by_hand_takes_it_off_the_table(done: PanelTest) -> None:
    done.panel.results.table.select(0)
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetNodeByID(done.panel.results.row.segmentationId))
    done.until(lambda: len(lines(done)) == 2, 5)
    assert done.panel.results.row is None
    assert not done.ui.editButton.enabled
    assert done.ui.sliceLabel.text == "Click a line to look at it"


# --- export -----------------------------------------------------------------------------------------------------------
def test_export_lists_what_this_slicer_can_write_and_says_what_is_missing(
    done: PanelTest, tmp_path: Path, mouse: Any
) -> None:
    assert not done.ui.exportButton.enabled
    mouse(done.ui.resultsTable, 0)
    menu = done.panel.results.export
    menu.menu.aboutToShow.emit()
    kinds = done.logic.exportChoices()
    assert [action.enabled for action in menu.actions] == [choice.available for choice in kinds]
    for action, choice in zip(menu.actions, kinds, strict=True):
        assert choice.title in action.text
        if not choice.available:
            assert choice.hint in action.text
    done.host.answers.append(str(tmp_path))
    next(each for each, choice in zip(menu.actions, kinds, strict=True) if choice.kind == "seg.nrrd").trigger()
    done.settle()
    written = list(tmp_path.glob("*.seg.nrrd"))
    assert len(written) == 1
    assert written[0].stat().st_size > 100
    assert str(written[0]) in done.ui.messageHintLabel.text


def test_no_folder_chosen_writes_nothing(done: PanelTest, mouse: Any) -> None:
    mouse(done.ui.resultsTable, 0)
    menu = done.panel.results.export
    menu.fill()
    done.host.answers.append("")
    menu.actions[0].trigger()
    done.settle()
    assert not done.ui.messageFrame.visible
