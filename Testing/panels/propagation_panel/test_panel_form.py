"""The form itself: every widget explained, nothing cut off, nothing dangerous on Return."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from screens import NARROW, WIDE, PanelTest

FILE = Path(__file__).parents[3] / "SAMPromptTools" / "Resources" / "UI" / "SAMPropagation.ui"
EDITABLE = (
    "QPushButton", "QCheckBox", "QComboBox", "QSpinBox", "QDoubleSpinBox", "QTableWidget", "QPlainTextEdit",
    "ctkPathLineEdit", "qMRMLNodeComboBox", "ctkCollapsibleButton",
)  # fmt: skip


@pytest.fixture(scope="module")
def form() -> ElementTree.Element:
    return ElementTree.parse(FILE).getroot()


def own(widget: ElementTree.Element, name: str) -> str:
    """Text of a property of the widget itself."""
    found = next((each for each in widget.findall("property") if each.get("name") == name), None)
    return "" if found is None else "".join(found.itertext()).strip()


def test_every_widget_that_can_be_used_has_a_tooltip_and_every_name_is_there_once(form: ElementTree.Element) -> None:
    widgets = list(form.iter("widget"))
    assert len(widgets) > 60
    without = [each.get("name") for each in widgets if each.get("class") in EDITABLE and not own(each, "toolTip")]
    assert without == []
    names = [each.get("name") for each in form.iter() if each.tag in ("widget", "layout", "spacer")]
    assert sorted(names) == sorted(set(names))


def test_every_mrml_widget_hears_of_the_scene(form: ElementTree.Element) -> None:
    selectors = {each.get("name") for each in form.iter("widget") if each.get("class").startswith("qMRML")}
    told = {
        each.findtext("receiver")
        for each in form.iter("connection")
        if (each.findtext("signal"), each.findtext("slot"))
        == ("mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLScene*)")
    }
    assert selectors - {"SAMPropagation"} == told
    assert len(told) == 3


def test_selectors_never_choose_or_make_a_node_by_themselves(panel: PanelTest) -> None:
    for selector in (panel.ui.baselineVolumeSelector, panel.ui.baselineSegmentationSelector, panel.ui.sequenceSelector):
        assert selector.noneEnabled
        assert not selector.selectNodeUponCreation
        assert not selector.addEnabled
        assert not selector.removeEnabled
    panel.choosePatient()
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Another one")
    panel.settle()
    assert panel.parameters.baselineSegmentation.GetName() == "Contours"


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_nothing_is_cut_off_at_this_width(panel: PanelTest, width: int) -> None:
    panel.choosePatient()
    panel.ui.advancedSection.collapsed = False
    widget = panel.panel.widget
    widget.resize(width, 2400)
    panel.settle(0.1)
    assert widget.minimumSizeHint.width() <= width, f"the panel wants {widget.minimumSizeHint.width()} px"
    assert cutTexts(panel) == []


def cutTexts(panel: PanelTest) -> list[str]:
    """Buttons and labels that are narrower than their text."""
    found = []
    named = [each.get("name") for each in ElementTree.parse(FILE).getroot().iter("widget")]
    for name in named:
        widget = getattr(panel.ui, name, None)
        if widget is None or not widget.isVisibleTo(panel.panel.widget):
            continue
        if widget.className() in ("QPushButton", "QCheckBox") and widget.width < widget.sizeHint.width():
            found.append(f"{name}: {widget.text}")
        if widget.className() == "QLabel" and widget.wordWrap and widget.height < widget.heightForWidth(widget.width):
            found.append(f"{name}: {widget.text}")
        if widget.className() == "QLabel" and not widget.wordWrap and widget.width < widget.sizeHint.width():
            found.append(f"{name}: {widget.text}")
    return found


def test_return_does_nothing_dangerous(panel: PanelTest, press: Any) -> None:
    panel.choosePatient()
    for name in ("applyButton", "laterVisitsButton", "noStructuresButton", "stopWorkerButton", "sampleDataButton"):
        button = getattr(panel.ui, name)
        assert not button.autoDefault
        assert not button.default
        button.setFocus()
        press(button, "Return")
        press(button, "Enter")
    panel.settle()
    assert panel.worker.jobs == []
    assert "stop" not in panel.worker.calls
    assert len(panel.checked("structuresTable")) == 2
