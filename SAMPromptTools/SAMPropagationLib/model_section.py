"""Section 3, first half: which model, its licence, its weights on this computer, and the preset."""

import qt
from samprompt.contract.errors import SamPromptError
from samprompt.contract.propagation import WINDOW_NAMES
from SAMPromptCommonLib import catalogue
from slicer.i18n import tr as _

from SAMPropagationLib.choice_widget import ChoiceBox
from SAMPropagationLib.download_section import Download
from SAMPropagationLib.licence_widget import acceptedLicence
from SAMPropagationLib.panel_section import PanelSection


class ModelSection(PanelSection):
    """A model of the catalogue, or a file of one's own: the last line of the list."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        self.choices = []
        self._unreadable = ("", "")  # what is wrong with the catalogue, and what to do about it
        self.read()
        self.download = Download(panel, self)
        self._ownFile = False  # "own file" was chosen, though perhaps no file yet
        combo = self.ui.modelComboBox
        for choice in self.choices:
            combo.addItem(choice.title)
        combo.insertSeparator(len(self.choices))
        combo.addItem(_("File of my own..."))
        combo.connect("currentIndexChanged(int)", self.onModel)
        self.ui.weightsPathEdit.connect("currentPathChanged(QString)", self.onPath)
        titles = presetTitles()
        presets = [(titles.get(name, name), name) for name in WINDOW_NAMES]
        self.preset = ChoiceBox(self, self.ui.presetComboBox, "preset", presets)

    @property
    def ownFileIndex(self) -> int:
        """Line of the list that stands for a file of one's own (a separator lies before it)."""
        return len(self.choices) + 1

    @property
    def choice(self):
        """The chosen ``ModelChoice``; None: a file of one's own, or a name that the catalogue does not know."""
        if self.parameters is None or self._ownFile:
            return None
        if not self.choices:
            return None
        found = catalogue.model(self.parameters.model)  # it may be an alias
        return next((each for each in self.choices if found is not None and each.name == found.name), None)

    def read(self) -> None:
        """Read the catalogue."""
        try:
            self.choices = catalogue.models()
            self._unreadable = ("", "")
        except SamPromptError as error:  # a damaged installation: a file of one's own can still be used
            self._unreadable = (error.message, error.hint)

    def reload(self) -> None:
        """Read the catalogue again: weights came or went."""
        self.read()
        self.panel.updateAll()

    # --- what the user does -------------------------------------------------------------------------------------------
    def onModel(self, index) -> None:
        """A line of the list was chosen."""
        if self.parameters is None:
            return
        self.read()  # a file may have been put into its place meanwhile
        self._ownFile = index == self.ownFileIndex
        if 0 <= index < len(self.choices):
            self.parameters.weightsPath = ""
            self.parameters.model = self.choices[index].name
        elif self._ownFile:
            self.parameters.weightsPath = self.ui.weightsPathEdit.currentPath
        self.panel.updateAll()

    def onPath(self, path) -> None:
        """Another file of one's own was chosen."""
        if self.parameters is not None and self._ownFile and path != self.parameters.weightsPath:
            self.parameters.weightsPath = path
            self.panel.updateAll()

    # --- before a run -------------------------------------------------------------------------------------------------
    def problem(self) -> tuple[str, str]:
        """What keeps the chosen model from being used, and what to do about it; empty when nothing does."""
        if self._ownFile and not self.parameters.weightsPath.strip():
            return _("No file with weights is chosen."), _("Choose the file of your model, or another model.")
        if self._unreadable[0] and not self._ownFile:
            return self._unreadable
        choice = self.choice
        if choice is not None and not choice.available:
            if choice.manual:
                return _("{model} is not on this computer.").format(model=choice.title), choice.instructions
            return (
                _("{model} is not on this computer yet.").format(model=choice.title),
                _("Download it under Model, or choose the built-in model."),
            )
        return "", ""

    def licenceAccepted(self) -> bool:
        """Show the chosen model's licence, where it was not accepted yet; whether it is accepted."""
        return self.choice is None or acceptedLicence(self.panel.window(), self.choice)

    # --- what is shown ------------------------------------------------------------------------------------------------
    def update(self) -> None:
        """Show the model of the parameter node, and what is known about it."""
        if self.parameters is None:
            return
        path = self.parameters.weightsPath
        self._ownFile = self._ownFile or bool(path)
        combo = self.ui.modelComboBox
        choice = self.choice
        index = self.ownFileIndex if self._ownFile else -1 if choice is None else self.choices.index(choice)
        combo.blockSignals(True)
        combo.currentIndex = index
        combo.blockSignals(False)
        edit = self.ui.weightsPathEdit
        edit.visible = self._ownFile
        if self._ownFile and edit.currentPath != path:
            edit.blockSignals(True)
            edit.currentPath = path
            edit.blockSignals(False)
        self.ui.modelInfoLabel.textFormat = qt.Qt.PlainText
        self.ui.modelInfoLabel.text = self.description(choice)
        self.ui.modelInfoLabel.visible = bool(self.ui.modelInfoLabel.text)
        self.preset.update()
        self.download.update()

    def description(self, choice) -> str:
        """What a person wants to know before choosing a model."""
        if self._ownFile:
            return ""
        if self._unreadable[0]:
            return self._unreadable[0]
        if choice is None:
            return _('The catalogue of this version has no model "{name}".').format(name=self.parameters.model)
        if choice.builtin:
            where = _("comes with SAMPromptTools")
        elif choice.available:
            where = _("on this computer")
        else:
            where = _("not on this computer yet")
        facts = " · ".join(part for part in (choice.sizeText, where) if part)
        return "\n".join(part for part in (choice.description, facts) if part)

    def cleanup(self) -> None:
        """Cancel a download."""
        self.download.cleanup()


def presetTitles() -> dict:
    """What the presets are called, by the contract's name."""
    return {
        "auto": _("Automatic"),
        "lung": _("Lung"),
        "soft tissue": _("Soft tissue"),
        "bone": _("Bone"),
        "MR/other": _("MR or other"),
    }
