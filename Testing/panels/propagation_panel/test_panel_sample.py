"""The sample patient: one click, nothing downloaded, everything chosen. With the real worker."""

from __future__ import annotations

import pytest
import slicer
from SAMPropagationLib.parameters import followUps
from screens import PanelTest


def test_one_click_makes_the_sample_patient_and_chooses_it(real_panel: PanelTest) -> None:
    panel = real_panel
    panel.click("sampleDataButton")
    panel.settle(0.3)
    assert panel.panel.messages.kind != "error", panel.panel.messages.text()
    assert not panel.ui.emptyFrame.visible
    assert panel.parameters.baselineVolume is not None
    assert len(panel.checked("structuresTable")) >= 1
    assert len(followUps(panel.parameters)) == 3
    assert panel.checked("followUpsTable") == [node.GetName() for node in followUps(panel.parameters)]
    assert panel.ui.applyButton.enabled, panel.ui.reasonLabel.text
    assert slicer.app.layoutManager().sliceWidget("Red") is not None
    panel.picture("sample")


def test_a_sample_patient_that_cannot_be_made_is_said_in_the_panel(
    real_panel: PanelTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPROMPT_PYTHON", "/nowhere/python")
    real_panel.click("sampleDataButton")
    assert real_panel.panel.messages.kind == "error"
    assert "/nowhere/python" in real_panel.ui.messageLabel.text
    assert real_panel.ui.sampleDataButton.enabled
    assert real_panel.ui.sampleDataButton.text == "Load sample data"
