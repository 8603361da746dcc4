"""Fetching and deleting the weights of a model, inside section 3."""

from samprompt.contract.worker import DownloadJob
from SAMPromptCommonLib import catalogue
from slicer.i18n import tr as _

from SAMPropagationLib.panel_section import PanelSection


class Download(PanelSection):
    """One button that downloads and, while it does, cancels; a progress bar; one button that deletes."""

    def __init__(self, panel, model) -> None:
        PanelSection.__init__(self, panel)
        self.model = model
        self.job = None
        self.title = ""
        self.onClick(self.ui.downloadButton, self.onButton)
        self.onClick(self.ui.removeWeightsButton, self.remove)

    def onButton(self) -> None:
        """Start the download of the chosen model, or cancel the one that is on its way."""
        if self.job is not None:
            self.ui.downloadButton.enabled = False
            self.job.cancel()
            return
        choice = self.model.choice
        if choice is None or not self.model.licenceAccepted():
            return
        self.panel.messages.clear()
        self.title = choice.title
        self.ui.downloadBar.maximum = 0  # moves without a number until the size is known
        self.job = self.panel.client.submit("download", DownloadJob(model=choice.name))
        self.job.progressed.connect(self.onProgress)
        self.job.finished.connect(self.onFinished)
        self.job.failed.connect(self.onFailed)
        self.panel.updateAll()

    def onProgress(self, progress) -> None:
        """Bytes may be more than a bar can count: thousandths are shown."""
        if progress.total > 0:
            self.ui.downloadBar.maximum = 1000
            self.ui.downloadBar.value = min(1000, 1000 * progress.done // progress.total)

    def onFinished(self, _result) -> None:
        """The weights are here."""
        self.end()
        self.panel.messages.showNote(_("{model} is on this computer now.").format(model=self.title))

    def onFailed(self, failure) -> None:
        """It did not work, or was cancelled."""
        self.end()
        if failure.code == "cancelled":
            self.panel.messages.showNote(
                _("The download was cancelled."), _("What was fetched is kept: the next download goes on from there.")
            )
        else:
            self.panel.messages.showError(failure.message, failure.hint, failure.detail)

    def end(self) -> None:
        """Nothing is on its way any more."""
        self.job = None
        self.model.reload()

    def remove(self) -> None:
        """Delete the weights of the chosen model."""
        choice = self.model.choice
        if choice is not None:
            freed = catalogue.removeWeights(choice)
            self.model.reload()
            self.panel.messages.showNote(
                _("The weights of {model} were deleted: {size} MB are free again.").format(
                    model=choice.title, size=round(freed / 1e6)
                )
            )

    def update(self) -> None:
        """Show the buttons that make sense for the chosen model."""
        choice = self.model.choice
        busy = self.job is not None
        fetchable = choice is not None and choice.downloadable
        removable = choice is not None and not busy and catalogue.removable(choice)
        self.ui.downloadBar.visible = busy
        self.ui.downloadButton.visible = busy or fetchable
        self.ui.downloadButton.enabled = not (busy and self.job.isCancelling)
        self.ui.downloadButton.text = _("Cancel") if busy else _("Download")
        self.ui.removeWeightsButton.visible = removable
        self.ui.downloadRow.visible = busy or fetchable or removable

    def cleanup(self) -> None:
        """Cancel what is on its way and no longer hear of it."""
        if self.job is not None:
            for signal in (self.job.progressed, self.job.finished, self.job.failed):
                signal.disconnect()
            self.job.cancel()
            self.job = None
