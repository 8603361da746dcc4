"""The menu under "Export": what this Slicer can write, and what is missing for the rest."""

import qt
from slicer.i18n import tr as _


class ExportMenu:
    """Fills its menu when it is opened: modules may have been installed meanwhile."""

    def __init__(self, section) -> None:
        self.section = section
        self.button = section.ui.exportButton
        self.menu = qt.QMenu(self.button)
        self.menu.toolTipsVisible = True
        self.menu.connect("aboutToShow()", self.fill)
        self.button.setMenu(self.menu)
        self.actions = []

    def fill(self) -> None:
        """One line per kind of file."""
        self.menu.clear()
        self.actions = []
        for choice in self.section.logic.exportChoices():
            action = self.menu.addAction(choice.title if choice.available else f"{choice.title}: {choice.hint}")
            action.enabled = choice.available
            action.toolTip = choice.hint
            action.connect("triggered()", self._exporter(choice.kind))
            self.actions.append(action)

    def _exporter(self, kind):
        return lambda: self.section.panel.attempt(lambda: self.export(kind))

    def export(self, kind) -> None:
        """Ask for a folder and write the selected visit's contours into it."""
        row = self.section.row
        if row is None:
            return
        panel = self.section.panel
        title = _("Folder for the contours of {visit}").format(visit=row.visit)
        folder = qt.QFileDialog.getExistingDirectory(panel.window(), title)
        if not folder:
            return
        files = self.section.logic.export(row, kind, folder)
        panel.messages.showNote(_("Written:"), "\n".join(files))

    def update(self, row) -> None:
        """Only a selected line can be exported."""
        self.button.enabled = row is not None
