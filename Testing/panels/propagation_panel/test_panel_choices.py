"""Choosing in the panel: baseline, structures, follow-ups, settings; what it says before anything can be done."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import slicer
from samprompt.contract.propagation import METHODS, WINDOW_NAMES, PropagationParameters
from SAMPropagationLib.parameters import chosenSegments, followUps, setFollowUps
from screens import PanelTest, addPatient


# --- nothing there yet ------------------------------------------------------------------------------------------------
def test_an_empty_scene_is_answered_with_a_hint_and_a_button_for_sample_data(panel: PanelTest) -> None:
    assert panel.ui.emptyFrame.visible
    assert "Nothing is loaded yet" in panel.ui.emptyLabel.text
    assert not panel.ui.applyButton.enabled
    assert panel.ui.reasonLabel.visible
    assert "baseline" in panel.ui.reasonLabel.text
    assert "Research use only" in panel.ui.researchLabel.text
    assert panel.ui.researchLabel.visible
    panel.picture("empty")


def test_the_hint_goes_as_soon_as_a_volume_is_there_and_comes_back_with_an_empty_scene(panel: PanelTest) -> None:
    addPatient()
    panel.settle()
    assert not panel.ui.emptyFrame.visible
    panel.host.clear_scene()
    panel.settle()
    assert panel.ui.emptyFrame.visible


def test_the_panel_works_without_a_main_window(host_without_main_window: Any, worker: Any) -> None:
    panel = PanelTest(host_without_main_window, worker)
    panel.choosePatient()
    assert panel.ui.applyButton.enabled
    job = panel.startRun()
    job.sayVisit(1)
    job.sayVisit(2)
    job.end()
    panel.until(lambda: not panel.logic.isRunning)
    panel.settle()
    panel.panel.results.table.select(0)
    panel.click("chartButton")
    assert panel.panel.messages.kind != "error", panel.panel.messages.text()


# --- baseline ---------------------------------------------------------------------------------------------------------
def test_structures_are_listed_with_name_and_colour_and_all_are_carried_at_first(panel: PanelTest) -> None:
    panel.choosePatient()
    assert panel.checked("structuresTable") == ["Lung lesion", "Lymph node"]
    assert chosenSegments(panel.parameters) is None
    icon = panel.ui.structuresTable.item(0, 0).icon()
    color = icon.pixmap(12, 12).toImage().pixelColor(6, 6)
    assert (color.red(), color.green(), color.blue()) == pytest.approx((219, 76, 64), abs=2)
    panel.picture("chosen")


def test_unchecking_a_structure_leaves_it_out_and_the_parameter_node_knows(panel: PanelTest) -> None:
    _baseline, contours, _followups = panel.choosePatient()
    panel.check("structuresTable", 0, False)
    node = contours.GetSegmentation().GetSegmentIdBySegmentName("Lymph node")
    assert chosenSegments(panel.parameters) == (node,)
    assert panel.ui.structuresLabel.text == "Structures: 1 of 2"
    panel.click("allStructuresButton")
    assert chosenSegments(panel.parameters) is None
    panel.click("noStructuresButton")
    assert chosenSegments(panel.parameters) == ()
    assert not panel.ui.applyButton.enabled
    assert "structure" in panel.ui.reasonLabel.text


def test_a_structure_that_is_added_renamed_or_removed_is_seen_at_once(panel: PanelTest) -> None:
    _baseline, contours, _followups = panel.choosePatient()
    segmentation = contours.GetSegmentation()
    added = segmentation.AddEmptySegment("", "Heart")
    panel.settle()
    assert panel.checked("structuresTable") == ["Lung lesion", "Lymph node", "Heart"]
    segmentation.GetSegment(added).SetName("Left atrium")
    panel.settle()
    assert panel.checked("structuresTable")[2] == "Left atrium"
    segmentation.RemoveSegment(added)
    panel.settle()
    assert panel.checked("structuresTable") == ["Lung lesion", "Lymph node"]


def test_choosing_contours_chooses_the_volume_they_were_drawn_on(panel: PanelTest) -> None:
    baseline, contours, _followups = addPatient()
    panel.settle()
    panel.ui.baselineSegmentationSelector.setCurrentNode(contours)
    panel.settle()
    assert panel.parameters.baselineVolume is baseline
    assert panel.ui.baselineVolumeSelector.currentNode() is baseline


def test_a_segmentation_without_structures_is_refused_with_a_reason(panel: PanelTest) -> None:
    panel.choosePatient()
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nothing drawn")
    panel.settle()
    panel.ui.baselineSegmentationSelector.setCurrentNode(empty)
    panel.settle()
    assert panel.ui.structuresHintLabel.visible
    assert not panel.ui.applyButton.enabled
    assert "Nothing drawn" in panel.ui.reasonLabel.text


# --- follow-ups -------------------------------------------------------------------------------------------------------
def test_later_visits_are_listed_by_date_and_added_with_one_click(panel: PanelTest) -> None:
    baseline, _contours, followups = addPatient()
    panel.settle()
    panel.ui.baselineVolumeSelector.setCurrentNode(baseline)
    panel.settle()
    assert panel.texts("followUpsTable") == [["CT 2021-03-08", "2021-03-08"], ["CT 2021-06-07", "2021-06-07"]]
    assert panel.checked("followUpsTable") == []
    assert "(2)" in panel.ui.laterVisitsButton.text
    panel.click("laterVisitsButton")
    assert followUps(panel.parameters) == followups
    assert panel.checked("followUpsTable") == ["CT 2021-03-08", "CT 2021-06-07"]
    assert not panel.ui.laterVisitsButton.enabled


def test_the_baseline_is_not_offered_as_its_own_follow_up_but_one_set_by_a_script_can_be_taken_off(
    panel: PanelTest,
) -> None:
    baseline, _contours, followups = panel.choosePatient()
    assert baseline.GetName() not in [line[0] for line in panel.texts("followUpsTable")]
    setFollowUps(panel.parameters, [baseline, *followups])
    panel.settle()
    assert not panel.ui.applyButton.enabled
    assert "baseline and a follow-up at once" in panel.ui.reasonLabel.text
    row = [line[0] for line in panel.texts("followUpsTable")].index(baseline.GetName())
    panel.check("followUpsTable", row, False)
    assert panel.ui.applyButton.enabled
    assert followUps(panel.parameters) == followups


def test_a_volume_that_is_loaded_renamed_or_deleted_is_seen_in_the_list(panel: PanelTest) -> None:
    _baseline, _contours, followups = panel.choosePatient()
    node = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="Undated")
    panel.settle()
    assert ["Undated", "no date"] in panel.texts("followUpsTable")
    node.SetName("Last one")
    panel.settle()
    assert ["Last one", "no date"] in panel.texts("followUpsTable")
    slicer.mrmlScene.RemoveNode(followups[0])
    panel.settle()
    assert followUps(panel.parameters) == followups[1:]
    assert [line[0] for line in panel.texts("followUpsTable")] == ["CT 2021-06-07", "Last one"]


def test_a_sequence_of_volumes_becomes_follow_ups(panel: PanelTest) -> None:
    baseline, _contours, _followups = panel.choosePatient()
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D CT")
    for phase in range(3):
        sequence.SetDataNodeAtValue(baseline, str(phase))
    panel.settle()
    assert not panel.ui.addSequenceButton.enabled
    panel.ui.sequenceSelector.setCurrentNode(sequence)
    panel.settle()
    before = len(followUps(panel.parameters))
    panel.click("addSequenceButton")
    assert len(followUps(panel.parameters)) == before + 3
    panel.click("addSequenceButton")
    assert len(followUps(panel.parameters)) == before + 3, "the same phases came twice"


# --- settings ---------------------------------------------------------------------------------------------------------
def test_every_preset_and_every_method_of_the_contract_can_be_chosen_in_words(panel: PanelTest) -> None:
    panel.choosePatient()
    for comboBox, member, values in (
        (panel.ui.presetComboBox, "preset", WINDOW_NAMES),
        (panel.ui.methodComboBox, "method", METHODS),
    ):
        assert comboBox.count == len(values)
        chosen = []
        for index in range(comboBox.count):
            comboBox.currentIndex = index
            chosen.append(getattr(panel.parameters, member))
            assert comboBox.currentText not in values or member == "preset"
        assert chosen == list(values)


def test_advanced_fields_show_the_contracts_defaults_reach_the_parameter_node_and_can_be_reset(
    panel: PanelTest,
) -> None:
    defaults = PropagationParameters()
    assert panel.ui.regionMarginSpinBox.value == defaults.region.margin
    assert panel.ui.searchReachSpinBox.value == defaults.align.search_reach
    assert panel.ui.encodeBatchSpinBox.value == defaults.encode_batch
    assert panel.ui.trustLowSpinBox.value == defaults.trust.low
    panel.ui.advancedSection.collapsed = False
    panel.ui.regionMarginSpinBox.value = 35
    panel.ui.threadsSpinBox.value = 2
    panel.settle()
    assert (panel.parameters.regionMargin, panel.parameters.threads) == (35.0, 2)
    assert "2 changed" in panel.ui.advancedSection.text
    panel.picture("advanced")
    panel.click("resetButton")
    assert (panel.parameters.regionMargin, panel.parameters.threads) == (defaults.region.margin, 0)
    assert panel.ui.regionMarginSpinBox.value == defaults.region.margin
    assert not panel.ui.resetButton.enabled


def test_an_unknown_preset_of_another_version_is_shown_and_not_changed(panel: PanelTest) -> None:
    panel.choosePatient()
    panel.parameters.preset = "mammography"
    panel.settle()
    assert panel.ui.presetComboBox.currentText == "mammography"
    assert not panel.ui.applyButton.enabled
    assert panel.parameters.preset == "mammography"


def test_a_ct_preset_on_an_mr_is_refused_with_what_to_do(panel: PanelTest) -> None:
    baseline, _contours, followups = panel.choosePatient()
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    for node in (baseline, *followups):
        hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), "DICOM.Modality", "MR")
    panel.ui.presetComboBox.currentIndex = list(WINDOW_NAMES).index("lung")
    panel.settle()
    assert not panel.ui.applyButton.enabled
    assert "MR" in panel.ui.reasonLabel.text
    assert panel.ui.applyButton.toolTip  # the reason stands on the button as well


def test_all_advanced_members_have_a_widget(panel: PanelTest) -> None:
    from SAMPropagationLib.parameters import ADVANCED

    names = [f"{member}SpinBox" for member in (*ADVANCED, "threads")]
    bound = {getattr(panel.ui, name).property("SlicerParameterName") for name in names}
    assert set(ADVANCED) <= bound
    for name in ("baselineVolume", "baselineSegmentation"):
        assert getattr(panel.ui, f"{name}Selector").property("SlicerParameterName") == name
    assert len(fields(PropagationParameters)) >= 8  # the contract was read, not a stand-in of it
