"""The whole way of a user on a real CT, with the real worker, as pictures: SAMPROMPT_SCREENSHOTS/scenario-*.png.

A lung tumour with its contour; two later visits are simulated from it, so the truth is known: in one the tumour shrank,
in the other it shrank further.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from SAMPropagationLib.parameters import followUps, references
from SAMPropagationLib.results import resultNodes
from screens import PanelTest

DATES = {"CT January": "20240108", "CT March": "20240304", "CT May": "20240506"}


@pytest.fixture(scope="module")
def visits(shared_data: Path) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Name, voxels, IJK to RAS and tumour of the baseline and of two simulated later visits."""
    from samprompt.io.images import read_volume
    from samprompt.io.structures import read_structures
    from samprompt.space.visit import Visit
    from samprompt.synthesis.visits import simulate_visit

    folder = shared_data / "ct_lung_tumour"
    volume = read_volume(folder / "ct.nii.gz")
    tumour = read_structures(folder / "gtv.nii.gz", volume)[0]
    baseline = Visit("CT January", volume, (tumour,))
    found = [(volume, tumour.mask)]
    for seed, kind in ((5, "concentric"), (8, "eccentric")):
        simulated = simulate_visit(baseline, seed, kind, target=tumour.name)
        found.append((simulated.visit.volume, simulated.exact[0].mask))
    return [
        (name, np.asarray(image.array), np.asarray(image.grid.ijk_to_ras), np.asarray(mask, bool))
        for name, (image, mask) in zip(DATES, found, strict=True)
    ]


def load(visits: list) -> tuple[Any, Any, list]:
    """The patient as after loading from DICOM: one study per visit, the contour on the first."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Lung patient")
    nodes = []
    for name, array, matrix, _mask in visits:
        node = slicer.util.addVolumeFromArray(array, matrix, name)
        study = hierarchy.CreateStudyItem(patient, f"Study of {name}")
        hierarchy.SetItemAttribute(study, "DICOM.StudyDate", DATES[name])
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
        nodes.append(node)
    contours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours of January")
    contours.CreateDefaultDisplayNodes()
    contours.SetReferenceImageGeometryParameterFromVolumeNode(nodes[0])
    segment = contours.GetSegmentation().AddEmptySegment("", "GTV")
    slicer.util.updateSegmentBinaryLabelmapFromArray(visits[0][3].astype(np.uint8), contours, segment, nodes[0])
    contours.GetSegmentation().GetSegment(segment).SetColor(0.85, 0.3, 0.25)
    return nodes[0], contours, nodes[1:]


class Busy:
    """Processor time that this thread took from one turn of a 5 ms timer to the next."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.last = time.thread_time()
        self.timer = qt.QTimer()
        self.timer.connect("timeout()", self.tick)
        self.timer.start(5)

    def tick(self) -> None:
        now = time.thread_time()
        self.gaps.append(now - self.last)
        self.last = now

    def longest(self) -> float:
        self.timer.stop()
        assert len(self.gaps) > 100
        return max(self.gaps)


def dice(node: Any, volume: Any, truth: np.ndarray) -> float:
    """Agreement of a result's only segment with the truth."""
    segment = node.GetSegmentation().GetSegmentIDs()[0]
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume).astype(bool)
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def test_load_choose_apply_watch_click_correct_accept_propagate_again_save_and_reload(
    real_panel: PanelTest, visits: list, tmp_path: Path, mouse: Any
) -> None:
    panel, ui = real_panel, real_panel.ui
    # load two visits and a segmentation, choose
    baseline, contours, later = load(visits)
    panel.settle(0.2)
    ui.baselineSegmentationSelector.setCurrentNode(contours)
    panel.settle()
    assert ui.baselineVolumeSelector.currentNode() is baseline
    panel.click("laterVisitsButton")
    assert followUps(panel.parameters) == later
    panel.until(lambda: panel.worker.state == "ready", 120, "the worker did not start")
    panel.settle()
    panel.picture("scenario-1-chosen")

    # Apply, watch
    panel.click("applyButton")
    seen = set()
    pictured = False

    def watched() -> bool:
        nonlocal pictured
        seen.update(line[1].partition("...")[0] for line in panel.texts("visitsTable"))
        if not pictured and ui.progressBar.visible and ui.progressBar.value > 200:
            pictured = True
            panel.picture("scenario-2-computing")
        return not panel.logic.isRunning

    assert ui.applyButton.text == "Cancel"
    panel.until(watched, 300)
    panel.settle(0.5)
    assert panel.logic.run.state == "done", panel.panel.messages.text()
    assert "waiting" in seen
    assert len(seen) > 4, f"too little was told while computing: {seen}"
    nodes = resultNodes()
    assert len(nodes) == 2
    truths = {node.GetName(): visit[3] for node, visit in zip(later, visits[1:], strict=True)}
    rows = {row.visit: row for row in panel.panel.results.rows}
    for volume in later:
        node = slicer.mrmlScene.GetNodeByID(rows[volume.GetName()].segmentationId)
        assert dice(node, volume, truths[volume.GetName()]) > 0.6
        segment = rows[volume.GetName()].segmentId
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume).astype(bool).sum()
        ml = voxels * np.prod(volume.GetSpacing()) / 1000
        assert rows[volume.GetName()].volume_ml == pytest.approx(ml, rel=1e-3)

    # click the worst slice
    mouse(ui.resultsTable, 0)
    worst = panel.panel.results.row
    assert worst.trust == min(row.trust for row in rows.values())
    place = worst.checkSlices[0].ras_mm
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    assert red.GetSliceOffset() == pytest.approx(place[2], abs=1.6)
    ui.showPromptsCheckBox.click()
    ui.showBaselineCheckBox.click()
    panel.settle()
    assert panel.panel.messages.kind != "error", panel.panel.messages.text()
    panel.picture("scenario-3-results")
    ui.showPromptsCheckBox.click()
    ui.showBaselineCheckBox.click()

    # correct the March visit in the Segment Editor: there it is drawn as it is
    ui.orderComboBox.currentIndex = 1
    panel.settle()
    mouse(ui.resultsTable, 0)
    chosen = panel.panel.results.row
    assert chosen.visit == "CT March"
    panel.click("editButton")
    assert panel.host.selected_module == "SegmentEditor"
    node, volume = slicer.mrmlScene.GetNodeByID(chosen.segmentationId), later[0]
    drawn = truths["CT March"].astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, chosen.segmentId, volume)
    panel.host.select_module("SAMPropagation")
    panel.until(lambda: panel.panel.results.row.stale, 5, "the correction was not seen")

    # accept as reference, propagate again
    panel.click("acceptButton")
    assert [segmentation for _volume, segmentation in references(panel.parameters)] == [node]
    panel.click("againButton")
    busy = Busy()
    panel.until(lambda: not panel.logic.isRunning, 300)
    assert busy.longest() < 0.05, "seconds that the panel's own thread was busy in one go"
    panel.settle(0.5)
    assert panel.logic.run.state == "done", panel.panel.messages.text()
    assert [visit.name for visit in panel.logic.run.visits] == ["CT May"]
    again = next(row for row in panel.panel.results.rows if row.visit == "CT May")
    assert dice(slicer.mrmlScene.GetNodeByID(again.segmentationId), later[1], truths["CT May"]) > 0.6
    assert dice(node, volume, truths["CT March"]) == 1.0, "the correction was overwritten"
    panel.click("chartButton")
    outcome, *remarks = panel.ui.reasonLabel.text.split("\n")
    assert outcome.startswith("Done."), "how it ended stands before what was left out"
    assert any("CT March" in line for line in remarks)
    panel.picture("scenario-4-again")

    # save, reload
    shown = panel.texts("resultsTable")
    file = tmp_path / "patient.mrb"
    assert slicer.util.saveScene(str(file))
    panel.host.clear_scene()
    panel.settle()
    assert ui.emptyFrame.visible
    slicer.util.loadScene(str(file))
    panel.settle(0.5)
    assert panel.texts("resultsTable") == shown
    assert [segmentation.GetName() for _volume, segmentation in references(panel.parameters)] == [node.GetName()]
    assert ui.applyButton.enabled
    mouse(ui.resultsTable, 0)
    assert slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").GetSliceOffset() != 0
    panel.picture("scenario-5-reloaded")
    assert panel.host.messages == [], "nothing popped up on the whole way"
