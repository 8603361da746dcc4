"""Models: licence once, download with progress and cancel, a file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from samprompt.contract import places
from SAMPromptCommonLib import catalogue
from screens import PanelTest


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where downloaded weights would lie: an empty folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    built_in = places.weights_path
    monkeypatch.setattr(places, "weights_path", lambda entry: built_in(entry) if entry.builtin else folder / entry.file)
    return folder


def choose(panel: PanelTest, title: str) -> None:
    """A line of the list of models."""
    combo = panel.ui.modelComboBox
    combo.currentIndex = combo.findText(title)
    panel.settle()


def accept(dialog: Any) -> None:
    next(button for button in dialog.findChildren("QPushButton") if button.text == "Accept").click()


def decline(dialog: Any) -> None:
    next(button for button in dialog.findChildren("QPushButton") if button.text == "Decline").click()


def test_the_built_in_model_is_chosen_and_needs_nothing(weights: Path, panel: PanelTest) -> None:
    panel.choosePatient()
    assert panel.ui.modelComboBox.currentText == "Built-in model"
    assert "comes with SAMPromptTools" in panel.ui.modelInfoLabel.text
    assert not panel.ui.downloadRow.visible
    assert not panel.ui.weightsPathEdit.visible
    panel.startRun().fail("cancelled", "")
    assert panel.host.messages == []


def test_every_model_of_the_catalogue_is_offered(weights: Path, panel: PanelTest) -> None:
    combo = panel.ui.modelComboBox
    titles = [combo.itemText(index) for index in range(combo.count)]
    assert titles[: len(catalogue.models())] == [each.title for each in catalogue.models()]
    assert titles[-1] == "File of my own..."


def test_a_model_that_is_not_here_cannot_be_applied_and_says_what_to_do(weights: Path, panel: PanelTest) -> None:
    panel.choosePatient()
    choose(panel, "SAM ViT-B")
    assert panel.parameters.model == "sam_vit_b"
    assert not panel.ui.applyButton.enabled
    assert "SAM ViT-B is not on this computer yet" in panel.ui.reasonLabel.text
    assert panel.ui.downloadButton.isVisibleTo(panel.panel.widget)
    panel.picture("download")
    choose(panel, "MedSAM ViT-B")
    assert not panel.ui.downloadRow.visible
    assert "https://" in panel.ui.reasonLabel.text, "instructions how to fetch it by hand"


def test_the_licence_is_shown_before_a_download_and_declining_downloads_nothing(
    weights: Path, panel: PanelTest
) -> None:
    choose(panel, "SAM ViT-B")
    seen = []

    def look(dialog: Any) -> None:
        seen.append(next(edit.plainText for edit in dialog.findChildren("QPlainTextEdit")))
        panel.host.screenshot(dialog, places_of("licence"))
        decline(dialog)

    panel.host.answers.append(look)
    panel.click("downloadButton")
    assert "Apache-2.0" in seen[0]
    assert panel.worker.jobs == []
    assert catalogue.needsLicence(catalogue.model("sam_vit_b"))


def places_of(name: str) -> Path:
    from screens import screenshotFolder

    return screenshotFolder() / f"{name}.png"


def test_an_accepted_licence_is_not_asked_again_and_the_download_can_be_watched_cancelled_and_finished(
    weights: Path, panel: PanelTest
) -> None:
    panel.choosePatient()
    choose(panel, "SAM ViT-B")
    panel.host.answers.append(accept)
    panel.click("downloadButton")
    job = panel.worker.job
    assert (job.kind, job.request.model) == ("download", "sam_vit_b")
    assert panel.ui.downloadButton.text == "Cancel"
    job.say("Downloading", 3_000_000_000, 6_000_000_000)
    panel.settle()
    assert (panel.ui.downloadBar.value, panel.ui.downloadBar.maximum) == (500, 1000)
    panel.picture("downloading")
    panel.click("downloadButton")
    assert "cancel" in panel.worker.calls
    assert not panel.ui.downloadButton.enabled
    job.fail("cancelled", "cancelled")
    panel.settle()
    assert panel.ui.downloadButton.text == "Download"
    assert "cancelled" in panel.ui.messageLabel.text
    panel.click("downloadButton")  # no question any more: none is queued, an unexpected one fails the test
    second = panel.worker.job
    assert second is not job
    (weights / "sam_vit_b_01ec64.pth").write_bytes(b"x" * 2_000_000)
    second.end(path=str(weights / "sam_vit_b_01ec64.pth"))
    panel.settle()
    assert not panel.ui.downloadButton.visible
    assert panel.ui.applyButton.enabled
    panel.click("removeWeightsButton")
    assert not (weights / "sam_vit_b_01ec64.pth").exists()
    assert "2 MB" in panel.ui.messageLabel.text
    assert not panel.ui.applyButton.enabled


def test_a_failed_download_is_said_with_its_hint(weights: Path, panel: PanelTest) -> None:
    choose(panel, "SAM ViT-B")
    catalogue.acceptLicence(catalogue.model("sam_vit_b"))
    panel.click("downloadButton")
    panel.worker.job.fail("weights-missing", "The address cannot be reached.", "Look after the network.")
    panel.settle()
    assert panel.ui.messageLabel.text == "The address cannot be reached."
    assert panel.ui.downloadButton.text == "Download"


def test_declining_the_licence_on_apply_computes_nothing(weights: Path, panel: PanelTest) -> None:
    (weights / "sam_vit_h_4b8939.pth").write_bytes(b"x")
    panel.choosePatient()
    choose(panel, "SAM ViT-H")
    assert panel.ui.applyButton.enabled
    panel.host.answers.append(decline)
    panel.click("applyButton")
    assert panel.worker.jobs == []
    assert "licence was not accepted" in panel.ui.messageLabel.text


def test_a_file_of_ones_own_is_asked_for_used_and_kept(weights: Path, panel: PanelTest, tmp_path: Path) -> None:
    panel.choosePatient()
    choose(panel, "File of my own...")
    assert panel.ui.weightsPathEdit.isVisibleTo(panel.panel.widget)
    assert not panel.ui.applyButton.enabled
    assert "file" in panel.ui.reasonLabel.text
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"x")
    panel.ui.weightsPathEdit.currentPath = str(own)
    panel.settle()
    assert panel.parameters.weightsPath == str(own)
    assert panel.ui.applyButton.enabled
    panel.picture("own-file")
    job = panel.startRun()
    assert job.request.model == str(own)
    job.fail("cancelled", "")
    choose(panel, "Built-in model")
    assert panel.parameters.weightsPath == ""
    assert not panel.ui.weightsPathEdit.visible


def test_a_damaged_catalogue_is_said_and_a_file_of_ones_own_still_works(
    panel: PanelTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from samprompt.contract.errors import EnvironmentProblem

    def damaged() -> None:
        raise EnvironmentProblem("The catalogue of models cannot be read.", "Reinstall SAMPromptTools.")

    panel.choosePatient()
    monkeypatch.setattr(places, "catalogue", damaged)
    choose(panel, "SAM ViT-B")
    assert not panel.ui.applyButton.enabled
    assert "The catalogue of models cannot be read." in panel.ui.reasonLabel.text
    own = tmp_path / "own.pth"
    own.write_bytes(b"x")
    choose(panel, "File of my own...")
    panel.ui.weightsPathEdit.currentPath = str(own)
    panel.settle()
    assert panel.ui.applyButton.enabled
