"""Opening, leaving, closing the scene, saving and loading, reloading the module, quitting."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from SAMPropagationLib.parameters import chosenSegments, followUps
from screens import PanelTest, addPatient


def finish(panel: PanelTest) -> None:
    job = panel.startRun()
    for number in range(1, len(job.request.followups) + 1):
        job.sayVisit(number, trust=0.4, reasons=("the alignment is poor",))
    job.end()
    panel.until(lambda: not panel.logic.isRunning)
    panel.settle(0.5)


def test_choices_and_results_survive_saving_closing_and_loading(panel: PanelTest, tmp_path: Path) -> None:
    panel.choosePatient()
    panel.check("structuresTable", 1, False)
    panel.ui.presetComboBox.currentIndex = 1
    panel.ui.regionMarginSpinBox.value = 33
    finish(panel)
    shown = panel.texts("resultsTable")
    assert len(shown) == 4
    file = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(file))
    panel.host.clear_scene()
    panel.settle()
    assert panel.texts("structuresTable") == []
    assert not panel.ui.resultsFrame.visible
    assert panel.ui.regionMarginSpinBox.value != 33
    slicer.util.loadScene(str(file))
    panel.settle(0.5)
    assert panel.ui.baselineVolumeSelector.currentNode().GetName() == "CT 2021-01-04"
    assert panel.ui.baselineSegmentationSelector.currentNode().GetName() == "Contours"
    assert panel.checked("structuresTable") == ["Lung lesion"]
    assert panel.checked("followUpsTable") == ["CT 2021-03-08", "CT 2021-06-07"]
    assert panel.ui.presetComboBox.currentText == "Lung"
    assert panel.ui.regionMarginSpinBox.value == 33
    assert panel.texts("resultsTable") == shown
    panel.panel.results.table.select(0)
    assert panel.ui.sliceLabel.text == "Slice 1 of 3 to check"
    assert panel.ui.applyButton.enabled


def test_a_scene_closed_during_a_run_ends_it_and_leaves_an_empty_panel(panel: PanelTest) -> None:
    panel.choosePatient()
    job = panel.startRun()
    panel.host.clear_scene()
    job.fail("cancelled", "")
    panel.settle(0.3)
    assert not panel.logic.isRunning
    assert panel.ui.applyButton.text == "Apply"
    assert not panel.ui.applyButton.enabled
    assert panel.ui.emptyFrame.visible
    assert not panel.ui.progressBar.visible
    assert panel.texts("followUpsTable") == []
    panel.choosePatient()
    assert panel.ui.applyButton.enabled


def test_a_scene_saved_during_a_run_says_after_loading_that_the_run_was_interrupted(
    panel: PanelTest, tmp_path: Path
) -> None:
    panel.choosePatient()
    job = panel.startRun()
    file = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(file))
    panel.click("applyButton")
    job.fail("cancelled", "")
    panel.until(lambda: not panel.logic.isRunning)
    panel.host.clear_scene()
    slicer.util.loadScene(str(file))
    panel.settle(0.5)
    assert panel.ui.applyButton.enabled
    assert panel.ui.reasonLabel.text
    assert [line[1] for line in panel.texts("visitsTable")] == ["not finished", "not finished"]


def test_a_follow_up_deleted_during_a_run_fails_alone(panel: PanelTest) -> None:
    _baseline, _contours, followups = panel.choosePatient()
    job = panel.startRun()
    slicer.mrmlScene.RemoveNode(followups[0])
    job.sayVisit(1)
    job.sayVisit(2)
    job.end()
    panel.until(lambda: not panel.logic.isRunning)
    panel.settle(0.5)
    states = [line[1] for line in panel.texts("visitsTable")]
    assert states[0].startswith("failed"), states
    assert states[1].startswith("done"), states
    assert [line[0] for line in panel.texts("resultsTable") if line[5]] == ["CT 2021-06-07"] * 2


def test_another_module_and_back_changes_nothing_and_a_run_goes_on(panel: PanelTest, host: Any) -> None:
    panel.choosePatient()
    job = panel.startRun()
    host.select_module("Data")
    job.sayVisit(1)
    job.sayVisit(2)
    job.end()
    panel.until(lambda: not panel.logic.isRunning)
    host.select_module("SAMPropagation")
    panel.settle(0.3)
    assert len([line for line in panel.texts("resultsTable") if line[5]]) == 4
    assert len(followUps(panel.parameters)) == 2
    for _turn in range(5):
        host.select_module("Data")
        host.select_module("SAMPropagation")
    panel.ui.regionMarginSpinBox.value = 41
    panel.settle()
    assert panel.parameters.regionMargin == 41
    panel.check("structuresTable", 0, False)
    assert len(chosenSegments(panel.parameters)) == 1


def test_changes_by_a_script_are_shown(panel: PanelTest) -> None:
    baseline, contours, followups = addPatient()
    panel.logic.setFields(
        baselineVolume=baseline, baselineSegmentation=contours, followUps=followups[1:], preset="bone", extraSlices=22
    )
    panel.settle()
    assert panel.ui.baselineVolumeSelector.currentNode() is baseline
    assert panel.checked("followUpsTable") == ["CT 2021-06-07"]
    assert panel.ui.presetComboBox.currentText == "Bone"
    assert panel.ui.extraSlicesSpinBox.value == 22
    assert panel.ui.applyButton.enabled


def test_a_scene_that_is_half_loaded_is_left_alone_until_all_of_it_is_there(panel: PanelTest) -> None:
    # While Slicer loads a scene it lets events in: nodes are there without their images and references.
    scene = slicer.mrmlScene
    baseline, contours, _followups = addPatient()
    panel.settle()
    panel.parameters.baselineSegmentation = contours
    panel.settle()
    panel.parameters.baselineVolume = None
    scene.StartState(scene.ImportState)
    try:
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Half")
        panel.settle(0.3)
        assert panel.parameters.baselineVolume is None, "the panel wrote into a parameter node that is being loaded"
    finally:
        scene.EndState(scene.ImportState)
    panel.settle(0.3)
    assert panel.parameters.baselineVolume is baseline


def test_a_scene_with_data_opened_before_the_panel_is_shown_at_once(host: Any, worker: Any) -> None:
    baseline, contours, _followups = addPatient()
    panel = PanelTest(host, worker)
    assert not panel.ui.emptyFrame.visible
    assert panel.texts("followUpsTable")[0][0] == baseline.GetName()
    panel.ui.baselineSegmentationSelector.setCurrentNode(contours)
    panel.settle()
    assert panel.parameters.baselineVolume is baseline


@pytest.fixture
def modules_as_before() -> Iterator[None]:
    """Other tests go on with the files that they imported."""
    ours = ("SAMPropagation", "SAMPropagationLib", "SAMPromptCommonLib")
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ours}
    yield
    for name in [each for each in sys.modules if each.partition(".")[0] in ours]:
        del sys.modules[name]
    sys.modules.update(before)


def test_reload_makes_a_fresh_panel_from_freshly_imported_files(
    modules_as_before: None, panel: PanelTest, host: Any
) -> None:
    panel.choosePatient()
    before = sys.modules["SAMPropagationLib.widget"]
    panel.widget.onReload()
    host.process_events(0.2)
    sys.modules["SAMPromptCommonLib.client"].WorkerClient.shared().dispose()  # a real one, from the fresh file
    assert sys.modules["SAMPropagationLib.widget"] is not before
    assert panel.panel.sections == (), "the old panel was not cleaned up"
    fresh = slicer.modules.sampropagation.widgetRepresentation().self()
    assert fresh is not panel.widget
    assert fresh.panel.isOpen
    assert fresh.panel.ui.baselineSegmentationSelector.currentNode().GetName() == "Contours"


def test_quitting_during_a_run_leaves_no_timer_and_cancels(panel: PanelTest, host: Any) -> None:
    panel.choosePatient()
    panel.startRun()
    host.quit()
    assert "cancel" in panel.worker.calls
    assert panel.panel.sections == ()


def test_leaving_the_panel_leaves_no_observer_and_no_connection_on_the_parameter_node(
    panel: PanelTest, host: Any
) -> None:
    from SAMPropagationLib.binding import Binding

    host.select_module("Data")
    parameters = panel.logic.getParameterNode()
    binding = Binding(parameters, {"regionMargin": panel.ui.regionMarginSpinBox})
    tags = list(binding._tags)
    assert [parameters.parameterNode.GetCommand(tag) is not None for tag in tags] == [True]
    panel.ui.regionMarginSpinBox.value = 44
    assert parameters.regionMargin == 44
    binding.undo()
    assert [parameters.parameterNode.GetCommand(tag) for tag in tags] == [None]
    parameters.regionMargin = 12
    assert panel.ui.regionMarginSpinBox.value == 44
    panel.ui.regionMarginSpinBox.value = 55
    assert parameters.regionMargin == 12


@pytest.mark.parametrize("version", ["5.8", "5.12"])
def test_the_panel_is_bound_in_both_versions_of_slicer(host: Any, worker: Any, version: str) -> None:
    host.restart(version=version)
    panel = PanelTest(host, worker)
    for _turn in range(3):
        host.select_module("Data")
        host.select_module("SAMPropagation")
    panel.ui.regionMarginSpinBox.value = 44
    panel.parameters.extraSlices = 21
    panel.settle()
    assert panel.parameters.regionMargin == 44
    assert panel.ui.extraSlicesSpinBox.value == 21
    host.clear_scene()
    panel.settle()
    assert panel.ui.regionMarginSpinBox.value == panel.parameters.regionMargin != 44
