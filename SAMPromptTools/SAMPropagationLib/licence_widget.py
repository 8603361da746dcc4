"""The licence of a model's weights, shown once before they are used."""

import qt
from SAMPromptCommonLib import catalogue
from slicer.i18n import tr as _


def acceptedLicence(parent, choice) -> bool:
    """Whether the licence of ``choice`` (a ``ModelChoice``) is accepted; asks where it was not yet."""
    if not catalogue.needsLicence(choice):
        return True
    dialog = LicenceDialog(parent, choice)
    accepted = dialog.ask()
    if accepted:
        catalogue.acceptLicence(choice)
    return accepted


class LicenceDialog:
    """Shows the text, with "Accept" and "Decline"; closing the window or pressing Return declines."""

    def __init__(self, parent, choice) -> None:
        self.dialog = qt.QDialog(parent)
        self.dialog.windowTitle = _("Licence of {model}").format(model=choice.title)
        self.dialog.setMinimumSize(480, 360)
        layout = qt.QVBoxLayout(self.dialog)
        title = _("{model} is published under: {licence}").format(model=choice.title, licence=choice.licence)
        heading = qt.QLabel(title)
        heading.wordWrap = True
        layout.addWidget(heading)
        self.text = qt.QPlainTextEdit(choice.licenceText)
        self.text.readOnly = True
        layout.addWidget(self.text)
        buttons = qt.QDialogButtonBox(self.dialog)
        self.acceptButton = buttons.addButton(_("Accept"), qt.QDialogButtonBox.AcceptRole)
        self.declineButton = buttons.addButton(_("Decline"), qt.QDialogButtonBox.RejectRole)
        self.acceptButton.autoDefault = False
        self.declineButton.default = True
        buttons.connect("accepted()", self.dialog.accept)
        buttons.connect("rejected()", self.dialog.reject)
        layout.addWidget(buttons)

    def ask(self) -> bool:
        """Show it and wait for the answer."""
        accepted = self.dialog.exec_() == qt.QDialog.Accepted
        self.dialog.deleteLater()
        return accepted
