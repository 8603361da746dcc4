"""The README's "First propagation in five steps", followed literally on the sample patient with the real worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from SAMPropagationLib.parameters import followUps, references
from SAMPropagationLib.results import resultNodes
from screens import PanelTest
from tutorial_pictures import Pictures, colours
from tutorial_steps import HEADING, LABEL, LINE, PICTURE, Reader, section, steps

LARGEST = 300_000  # bytes of a picture in the repository
VISITS = ["visit1-concentric", "visit2-regressive", "visit3-growth"]
CHOICES = ("baselineSection", "followUpsSection", "modelSection")


@pytest.fixture
def reader(panel: PanelTest, host: Any) -> Reader:
    """A user in front of the panel."""
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    def clicked(table: Any, row: int) -> None:
        place = table.visualItemRect(table.item(row, 0)).center()
        button, none = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(table.viewport(), button, none, place)
        host.process_events(0.02)

    return Reader(panel, clicked)


def axial() -> float:
    return float(slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").GetSliceOffset())


def shownVolume() -> str:
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    return str(slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID()).GetName())


def maskOf(row: Any) -> np.ndarray:
    """The voxels of a result on its visit's grid."""
    node, volume = (slicer.mrmlScene.GetNodeByID(each) for each in (row.segmentationId, row.visitId))
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, row.segmentId, volume).astype(np.uint8)


def paint(row: Any) -> np.ndarray:
    """What a person would do in the Segment Editor: one slice more at the lower end, like the one above it."""
    mask = maskOf(row)
    lowest = int(np.flatnonzero(mask.any(axis=(1, 2)))[0])
    mask[lowest - 1] = mask[lowest]
    node, volume = (slicer.mrmlScene.GetNodeByID(each) for each in (row.segmentationId, row.visitId))
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, row.segmentId, volume)
    return mask


def test_the_five_steps_of_the_readme_lead_where_they_say(
    reader: Reader, panel: PanelTest, pictures: Pictures, repository: Path, tmp_path: Path
) -> None:
    first, second, third, fourth, fifth = steps(repository / "README.md")

    reader.follow(first)
    assert panel.parameters.baselineVolume.GetName() == "baseline"
    assert panel.parameters.baselineSegmentation is not None
    assert [node.GetName() for node in followUps(panel.parameters)] == VISITS
    assert panel.ui.applyButton.enabled, panel.ui.reasonLabel.text
    baseline = panel.parameters.baselineSegmentation
    before = {each: baseline.GetSegmentCenterRAS(each) for each in baseline.GetSegmentation().GetSegmentIDs()}

    reader.follow(second)
    assert panel.checked("structuresTable") == [mark.text for mark in second if mark.kind == LINE]
    center = baseline.GetSegmentCenterRAS(baseline.GetSegmentation().GetSegmentIdBySegmentName("GTV"))
    slicer.modules.markups.logic().JumpSlicesToLocation(*center, True)  # in the picture the tumour is to be seen
    pictures.take(panel, "propagation_2_choose.png")

    reader.follow(third)
    assert panel.logic.run.state == "done", panel.panel.messages.text()
    rows = panel.panel.results.rows
    assert [(row.visit, row.structure) for row in rows] == [
        (visit, structure) for visit in VISITS for structure in ("GTV", "Heart", "Liver")
    ]
    assert {baseline.GetSegmentCenterRAS(each) for each in before} == set(before.values()), "the baseline was changed"

    looked: list[tuple[Any, int, str, float]] = []
    reader.afterwards["Next"] = lambda: looked.append(
        (panel.panel.results.row, panel.panel.results.slice, shownVolume(), axial())
    )
    reader.follow(fourth)
    worst, number, shown, height = looked[0]
    assert (worst.trust, worst.level) == (min(row.trust for row in rows), "low")
    assert (worst.visit, worst.structure, worst.gone) == ("visit2-regressive", "Liver", True), "the README says so"
    assert (number, shown) == (1, "visit2-regressive")
    assert height == pytest.approx(worst.checkSlices[1].ras_mm[2], abs=0.1)
    dome = panel.panel.results.row
    assert (dome.visit, dome.structure) == ("visit3-growth", "Liver")
    assert (panel.panel.results.slice, shownVolume()) == (0, "visit3-growth")
    assert axial() == pytest.approx(dome.checkSlices[0].ras_mm[2], abs=0.1)
    assert panel.logic.baselineContourShown(dome)
    pictures.take(panel, "propagation_4_check.png", CHOICES)
    panel.ui.showBaselineCheckBox.click()

    drawn: list[np.ndarray] = []
    reader.afterwards["Correct in Segment Editor"] = lambda: drawn.append(paint(panel.panel.results.row))
    panel.host.answers.append(str(tmp_path))  # the folder that Export asks for
    reader.follow(fifth)
    corrected = panel.panel.results.row
    assert (corrected.visit, corrected.structure) == ("visit1-concentric", "GTV")
    assert corrected.stale
    assert corrected.accepted
    assert np.array_equal(maskOf(corrected), drawn[0]), "the correction was overwritten"
    accepted = slicer.mrmlScene.GetNodeByID(corrected.segmentationId)
    assert [segmentation for _volume, segmentation in references(panel.parameters)] == [accepted]
    assert panel.logic.run.state == "done"
    assert [visit.name for visit in panel.logic.run.visits] == VISITS[1:]
    assert len(resultNodes()) == 3
    written = [path.name for path in tmp_path.glob("*.seg.nrrd")]
    assert written == ["Contours of baseline on visit1-concentric.seg.nrrd"], "the README's table names it"
    chart = slicer.app.layoutManager().activeMRMLPlotViewNode()
    assert chart.GetPlotChartNode() is not None
    panel.panel.messages.clear()  # of the file that was written
    panel.ui.resultsTable.scrollToBottom()  # the corrected line with its remark
    panel.settle()
    pictures.take(panel, "propagation_5_again.png", CHOICES, chart)

    assert panel.host.selected_module == "SAMPropagation"
    named = [
        Path(mark.text).name for step in (first, second, third, fourth, fifth) for mark in step if mark.kind == PICTURE
    ]
    assert [path.name for path in pictures.written] == named, "the README shows other pictures than were taken"
    for path in pictures.written:
        assert path.stat().st_size < LARGEST, path
        assert colours(path) > 200, f"{path} is blank"


def test_every_bold_word_of_the_readmes_section_is_a_word_of_the_panel(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    part = text.partition("\n## In 3D Slicer\n")[2].partition("\n## ")[0]
    after = part.partition(HEADING)[2]
    labels = {" ".join(each.split()) for each in re.findall(r"\*\*([^*]+)\*\*", after)}
    labels |= {"Download", "Delete from this computer"}
    assert all(f"**{each}**" in part for each in labels)
    sources = [*(repository / "SAMPromptTools" / "SAMPropagationLib").glob("*.py")]
    sources += [
        repository / "SAMPromptTools" / name for name in ("Resources/UI/SAMPropagation.ui", "SAMPropagation.py")
    ]
    words = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    headings = {"Trust", "Scripts", "Licences of the weights.", "Research use only"}
    unknown = {each for each in labels - headings if f'"{each}"' not in words and f">{each}<" not in words}
    assert not unknown


def test_the_readmes_steps_are_read_whole(repository: Path) -> None:
    found = steps(repository / "README.md")
    assert len(found) == 5
    labels = [mark.text for step in found for mark in step if mark.kind == LABEL]
    bold = re.findall(r"\*\*([^*]+)\*\*", section(repository / "README.md").partition("\nWith your own patient")[0])
    assert labels == [" ".join(each.split()) for each in bold]
    assert {"Load sample data", "Apply", "Accept as reference", "Propagate again from here"} <= set(labels)


def test_a_label_that_the_panel_does_not_have_stops_the_reader(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="0 times 'Aply'"):
        reader.label("Aply")
    with pytest.raises(AssertionError, match="Apply is disabled"):
        reader.label("Apply")


@pytest.mark.parametrize("text", ["visit1-concentric, Spleen", "visit9, GTV"])
def test_a_line_that_no_table_has_stops_the_reader(reader: Reader, text: str) -> None:
    with pytest.raises(AssertionError, match="0 times"):
        reader.line(text)


def test_the_pictures_of_the_readme_are_small_enough_and_none_is_left_over(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\]\((Resources/Screenshots/[^)]+)\)", text))
    there = {path.relative_to(repository).as_posix() for path in (repository / "Resources/Screenshots").iterdir()}
    assert shown == there
    for name in there - {"Resources/Screenshots/demo_report.png"}:
        assert (repository / name).stat().st_size < LARGEST, name
