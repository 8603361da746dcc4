"""Apply, watch, cancel, and what the panel says when something goes wrong."""

from __future__ import annotations

import os
from typing import Any

import pytest
import slicer
from samprompt.contract.worker import Hello
from screens import PanelTest


def states(panel: PanelTest) -> list[str]:
    return [line[1] for line in panel.texts("visitsTable")]


def test_apply_becomes_cancel_and_every_visit_has_its_line(panel: PanelTest) -> None:
    panel.choosePatient()
    job = panel.startRun()
    panel.settle(0.2)
    assert panel.ui.applyButton.text == "Cancel"
    assert panel.ui.progressBar.visible
    job.say("Aligning", 2, 5, visit=1)
    panel.settle(0.2)
    assert panel.texts("visitsTable") == [["CT 2021-03-08", "Aligning... 2 of 5"], ["CT 2021-06-07", "waiting"]]
    job.say("rigid", 3, 6, visit=1)
    panel.settle(0.2)
    assert panel.texts("visitsTable")[0][1] == "aligning the visits... 3 of 6"
    before = panel.ui.progressBar.value
    assert 0 < before < 1000
    panel.picture("running")
    job.sayVisit(1)
    panel.until(lambda: states(panel)[0].startswith("done in "))
    assert panel.ui.progressBar.value > before
    job.sayVisit(2)
    job.end()
    panel.until(lambda: not panel.logic.isRunning)
    panel.settle(0.2)
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.applyButton.enabled
    assert not panel.ui.progressBar.visible
    assert [text.startswith("done in ") for text in states(panel)] == [True, True]
    assert "Done" in panel.ui.reasonLabel.text
    panel.picture("done")


def test_what_was_chosen_reaches_the_worker(panel: PanelTest) -> None:
    panel.choosePatient()
    panel.check("structuresTable", 1, False)
    panel.check("followUpsTable", 0, False)
    panel.ui.presetComboBox.currentIndex = 1
    panel.ui.deviceComboBox.currentIndex = 1
    panel.ui.extraSlicesSpinBox.value = 25
    job = panel.startRun()
    assert [each.name for each in job.request.baseline.structures] == ["Lung lesion"]
    assert [each.name for each in job.request.followups] == ["CT 2021-06-07"]
    assert (job.request.model, job.request.device) == ("tiny", "cpu")
    assert job.request.parameters.window == "lung"
    assert job.request.parameters.region.extra_slices == 25
    panel.click("applyButton")
    job.fail("cancelled", "cancelled")


def test_cancel_is_felt_at_once_and_leaves_apply_to_press_again(panel: PanelTest) -> None:
    panel.choosePatient()
    job = panel.startRun()
    job.say("Encoding", 1, 40, visit=1)
    panel.settle(0.2)
    panel.click("applyButton")
    assert "cancel" in panel.worker.calls
    job.fail("cancelled", "The job was cancelled.")
    panel.until(lambda: panel.ui.applyButton.text == "Apply" and panel.ui.applyButton.enabled)
    assert states(panel) == ["cancelled", "cancelled"]
    assert "Cancelled" in panel.ui.reasonLabel.text
    assert not panel.ui.messageFrame.visible, "a cancel is no error"
    second = panel.startRun()
    assert second is not job
    panel.click("applyButton")
    second.fail("cancelled", "")


def test_a_failure_is_said_in_the_panel_with_hint_details_and_copy_and_without_a_popup(panel: PanelTest) -> None:
    panel.choosePatient()
    job = panel.startRun()
    job.sayVisit(1)
    panel.settle(0.3)
    job.fail(
        "memory", "The graphics card has not enough memory for SAM ViT-H.", "Choose SAM ViT-B, or compute on the CPU.",
        "torch.cuda.OutOfMemoryError: tried to allocate 2.5 GiB",
    )  # fmt: skip
    panel.until(lambda: not panel.logic.isRunning)
    panel.settle(0.2)
    assert panel.host.messages == []
    ui = panel.ui
    assert ui.messageFrame.visible
    assert ui.messageLabel.text == "The graphics card has not enough memory for SAM ViT-H."
    assert ui.messageHintLabel.text.startswith("Choose SAM ViT-B")
    assert not ui.messageDetails.visible
    panel.picture("failed")
    panel.click("messageDetailsButton")
    assert ui.messageDetails.visible
    assert "OutOfMemoryError" in ui.messageDetails.plainText
    assert "[worker] loading the model" in ui.messageDetails.plainText
    panel.picture("failed-details")
    panel.click("messageCopyButton")
    copied = slicer.app.clipboard().text()
    for part in ("not enough memory", "Choose SAM ViT-B", "tried to allocate"):
        assert part in copied
    assert states(panel)[0].startswith("done")
    assert states(panel)[1].startswith("failed")
    panel.click("messageCloseButton")
    assert not ui.messageFrame.visible
    assert panel.ui.applyButton.enabled


def test_a_message_with_angle_brackets_is_shown_as_it_is(panel: PanelTest) -> None:
    panel.panel.messages.showError("No <b>bold</b> patient", "<script>")
    assert panel.ui.messageLabel.text == "No <b>bold</b> patient"
    import qt

    assert panel.ui.messageLabel.textFormat == qt.Qt.PlainText


def test_a_bug_in_the_panel_is_shown_with_its_traceback_and_no_popup(panel: PanelTest) -> None:
    panel.panel.attempt(lambda: {}["missing"])
    assert panel.panel.messages.kind == "error"
    assert "KeyError" in panel.ui.messageDetails.plainText
    assert panel.host.messages == []


def test_a_second_start_during_a_run_is_refused_in_words(panel: PanelTest) -> None:
    panel.choosePatient()
    job = panel.startRun()
    panel.panel.attempt(lambda: panel.panel.runs.start(panel.logic.propagate))
    assert panel.panel.messages.kind == "error"
    assert "already" in panel.ui.messageLabel.text
    assert len(panel.worker.jobs) == 1
    panel.click("applyButton")
    job.fail("cancelled", "")


def test_remarks_of_a_run_are_shown_as_a_note(panel: PanelTest) -> None:
    panel.choosePatient()
    job = panel.startRun()
    job.sayVisit(1)
    job.sayVisit(2)
    panel.logic.run.notes.append("Computed on the CPU: the graphics card had not enough memory.")
    job.end()
    panel.until(lambda: not panel.logic.isRunning)
    panel.settle(0.2)
    assert panel.panel.messages.kind == "note"
    assert "Computed on the CPU" in panel.ui.messageHintLabel.text


# --- the worker's line ------------------------------------------------------------------------------------------------
def test_the_worker_starts_when_a_baseline_is_chosen_and_says_what_the_computer_has(panel: PanelTest) -> None:
    assert panel.worker.calls == [], "nothing to compute yet, so nothing is started"
    panel.choosePatient()
    assert panel.worker.calls == ["start"]
    assert panel.ui.deviceLabel.text == "NVIDIA H100 80GB HBM3, 78 GiB free"
    assert "ready" in panel.ui.workerLabel.text


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (Hello(1, "0", 7, "3.11", "cpu", "x86_64", 3.0), f"CPU, {os.cpu_count()} cores"),
        (Hello(1, "0", 7, "3.11", missing=("torch", "pydantic")), "torch, pydantic"),
        (Hello(1, "0", 7, "3.11", "cpu", "x86_64", 3.0, problem="CUDA is too old."), "CUDA is too old."),
    ],
    ids=["cpu", "packages missing", "broken card"],
)
def test_what_hello_says_is_shown_beside_the_device(panel: PanelTest, hello: Hello, said: str) -> None:
    panel.worker.be("ready", hello)
    panel.settle()
    assert said in panel.ui.deviceLabel.text


def test_release_and_stop_do_what_they_say_and_are_enabled_when_they_can(panel: PanelTest) -> None:
    assert not panel.ui.releaseButton.enabled
    assert not panel.ui.stopWorkerButton.enabled
    panel.choosePatient()
    panel.ui.advancedSection.collapsed = False
    panel.settle()
    panel.click("releaseButton")
    assert "2048 MiB" in panel.ui.workerLabel.text
    panel.click("stopWorkerButton")
    assert panel.worker.calls[-2:] == ["release", "stop"]
    assert "not running" in panel.ui.workerLabel.text


def test_a_worker_that_was_stopped_by_hand_stays_stopped_until_apply(panel: PanelTest) -> None:
    panel.choosePatient()
    panel.ui.advancedSection.collapsed = False
    panel.click("stopWorkerButton")
    panel.ui.presetComboBox.currentIndex = 2
    panel.settle(0.2)
    assert panel.worker.state == "stopped"


def test_the_panel_keeps_the_worker_warm_only_while_it_is_open(panel: PanelTest, host: Any) -> None:
    assert panel.worker.users == [panel.panel]
    host.select_module("Data")
    assert panel.worker.users == []
    host.select_module("SAMPropagation")
    assert panel.worker.users == [panel.panel]
