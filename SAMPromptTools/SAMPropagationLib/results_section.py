"""Section 4: what was found, looking at it, correcting it, and going on from there."""

from slicer.i18n import tr as _

from SAMPropagationLib.export_widget import ExportMenu
from SAMPropagationLib.panel_section import PanelSection
from SAMPropagationLib.results_table import BY_VISIT, WORST_FIRST, ResultsTable


class ResultsSection(PanelSection):
    """The table and the buttons that act on its selected line."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        ui = self.ui
        self.table = ResultsTable(ui.resultsTable)
        self.table.chosen.connect(lambda row: panel.attempt(lambda: self.onChosen(row)))
        self.slice = 0  # which of the slices to check is shown
        self.rows = []
        self.export = ExportMenu(self)
        ui.orderComboBox.addItem(_("Worst first"))
        ui.orderComboBox.addItem(_("By visit"))
        ui.orderComboBox.connect("currentIndexChanged(int)", self.onOrder)
        ui.showPromptsCheckBox.connect("toggled(bool)", self.onPrompts)
        ui.showBaselineCheckBox.connect("toggled(bool)", self.onBaselineContour)
        self.onClick(ui.previousSliceButton, lambda: self.goTo(self.slice - 1))
        self.onClick(ui.nextSliceButton, lambda: self.goTo(self.slice + 1))
        self.onClick(ui.editButton, lambda: self.logic.editInSegmentEditor(self.row))
        self.onClick(ui.acceptButton, self.onAccept)
        self.onClick(ui.againButton, self.onAgain)
        self.onClick(ui.undoButton, self.onUndo)
        self.onClick(ui.chartButton, self.onChart)
        self.logic.resultsChanged.connect(panel.scheduleUpdate)

    @property
    def row(self):
        """The selected ``ResultRow``, None where none is."""
        return self.table.selected()

    # --- what the user does -------------------------------------------------------------------------------------------
    def onChart(self) -> None:
        """Show the volumes over time, or say why there are none."""
        if self.logic.showVolumeChart(self.parameters) is None:
            self.panel.messages.showNote(
                _("There are no volumes to compare."), _("The border of a scan cuts every structure.")
            )

    def onOrder(self, _index) -> None:
        """Another order was chosen."""
        self.panel.attempt(self.update)

    def onChosen(self, row) -> None:
        """A line of the table was chosen: show the slice to check first."""
        self.slice = 0
        if row is not None:
            self.logic.jumpTo(row, 0)
        self.updateButtons()

    def goTo(self, number) -> None:
        """Show another one of the slices to check."""
        row = self.row
        if row is not None and 0 <= number < len(row.checkSlices):
            self.slice = number
            self.logic.jumpTo(row, number)
            self.updateButtons()

    def onPrompts(self, on) -> None:
        """Show or hide the points the model was given."""
        if self.row is not None:
            self.panel.attempt(lambda: self.logic.showPrompts(self.row, bool(on)))

    def onBaselineContour(self, on) -> None:
        """Show or hide where the alignment expects the baseline's contour."""
        if self.row is not None:
            self.panel.attempt(lambda: self.logic.showBaselineContour(self.row, bool(on)))

    def onAccept(self) -> None:
        """Make the visit a further reference, or no longer."""
        if self.row is not None:
            self.logic.acceptAsReference(self.row, bool(self.ui.acceptButton.checked), self.parameters)
        self.panel.updateAll()

    def onAgain(self) -> None:
        """Carry the contours again to the visits after the selected one."""
        row = self.row
        if row is not None:
            self.panel.runs.start(lambda: self.logic.propagateFromHere(row, self.parameters))

    def onUndo(self) -> None:
        """Take the last run's results back."""
        sentences = self.logic.undo()
        self.panel.messages.showNote(_("The last run was undone."), "\n".join(sentences))
        self.panel.updateAll()

    # --- what is shown ------------------------------------------------------------------------------------------------
    def update(self) -> None:
        """Show the results that the scene holds."""
        self.rows = self.logic.results(self.parameters) if self.parameters is not None else []
        order = BY_VISIT if self.ui.orderComboBox.currentIndex == 1 else WORST_FIRST
        self.table.show(self.rows, order)
        self.ui.resultsFrame.visible = bool(self.rows)
        self.ui.resultsHintLabel.text = _("Nothing yet: the results of Apply are listed here.")
        self.ui.resultsHintLabel.visible = not self.rows
        self.updateButtons()

    def updateButtons(self) -> None:
        """Enable what can be done with the selected line."""
        ui, row, running = self.ui, self.row, self.logic.isRunning
        count = len(row.checkSlices) if row is not None else 0
        self.slice = min(self.slice, max(0, count - 1))
        ui.previousSliceButton.enabled = self.slice > 0
        ui.nextSliceButton.enabled = self.slice + 1 < count
        if row is None:
            ui.sliceLabel.text = _("Click a line to look at it")
        elif count:
            ui.sliceLabel.text = _("Slice {number} of {count} to check").format(number=self.slice + 1, count=count)
        else:
            ui.sliceLabel.text = _("No slice to check")
        self._setChecked(ui.showPromptsCheckBox, row is not None and self.logic.promptsShown(row))
        self._setChecked(ui.showBaselineCheckBox, row is not None and self.logic.baselineContourShown(row))
        ui.showPromptsCheckBox.enabled = row is not None and bool(row.prompts)
        ui.showBaselineCheckBox.enabled = row is not None
        accepted = row is not None and row.accepted
        self._setChecked(ui.acceptButton, accepted)
        ui.acceptButton.text = _("Accepted as reference") if accepted else _("Accept as reference")
        for button in (ui.editButton, ui.acceptButton):
            button.enabled = row is not None
        ui.againButton.enabled = row is not None and not running
        ui.undoButton.enabled = self.logic.canUndo and not running
        ui.chartButton.enabled = bool(self.rows)
        self.export.update(row)

    @staticmethod
    def _setChecked(button, checked) -> None:
        before = button.blockSignals(True)
        button.checked = checked
        button.blockSignals(before)

    def cleanup(self) -> None:
        """No longer hear of results."""
        self.table.cleanup()
        self.logic.resultsChanged.disconnect(self.panel.scheduleUpdate)
