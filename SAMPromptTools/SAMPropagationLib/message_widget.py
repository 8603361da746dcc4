"""The box in which the panel says what went wrong or what was done: instead of dialogs that pop up."""

import qt
import slicer
from slicer.i18n import tr as _

from SAMPropagationLib.panel_section import PanelSection

# Half transparent over whatever the theme has below: readable in light and dark.
_STYLES = {
    "error": "#messageFrame { background-color: rgba(214, 69, 69, 36); border: 1px solid rgba(214, 69, 69, 150);"
    " border-radius: 4px; }",
    "note": "#messageFrame { background-color: rgba(70, 130, 200, 30); border: 1px solid rgba(70, 130, 200, 130);"
    " border-radius: 4px; }",
}


class MessageBox(PanelSection):
    """Message, hint, and details that can be unfolded and copied."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        self.kind = ""
        self.ui.messageDetailsButton.connect("toggled(bool)", self.onDetails)
        self.ui.messageCopyButton.connect("clicked()", self.onCopy)
        self.ui.messageCloseButton.connect("clicked()", self.clear)

    def showError(self, message, hint="", details="") -> None:
        """Say that something went wrong, and what to do about it."""
        self._show("error", message, hint, details)

    def showNote(self, message, hint="", details="") -> None:
        """Say something that the user asked for or should know."""
        self._show("note", message, hint, details)

    def clear(self) -> None:
        """Say nothing."""
        self.kind = ""
        self.ui.messageFrame.visible = False

    def onDetails(self, shown) -> None:
        """Unfold or fold the details."""
        self.ui.messageDetails.visible = bool(shown)

    def onCopy(self) -> None:
        """Put everything the box says on the clipboard."""
        slicer.app.clipboard().setText(self.text())

    def text(self) -> str:
        """All that the box says, as plain text."""
        parts = (self.ui.messageLabel.text, self.ui.messageHintLabel.text, self.ui.messageDetails.plainText)
        return "\n\n".join(part for part in parts if part)

    def _show(self, kind, message, hint, details) -> None:
        self.kind = kind
        self.ui.messageFrame.setStyleSheet(_STYLES[kind])
        for label, text in ((self.ui.messageLabel, message), (self.ui.messageHintLabel, hint)):
            label.textFormat = qt.Qt.PlainText  # a message may hold a file's or a patient's name with < in it
            label.text = text
        self.ui.messageHintLabel.visible = bool(hint)
        self.ui.messageDetails.plainText = details
        self.ui.messageDetailsButton.checked = False
        self.ui.messageDetailsButton.visible = bool(details)
        self.ui.messageDetailsButton.toolTip = _("Show or hide the details.")
        self.ui.messageFrame.visible = True
