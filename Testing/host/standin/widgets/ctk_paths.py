"""ctkPathLineEdit and ctkDirectoryButton: where a person chooses a file or a folder."""

from __future__ import annotations

import os
from typing import ClassVar

import qt
from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets.enums import DIALOG_OPTIONS, DIRECTORY_FILTERS, PATH_POLICIES, enums

# QDir::AllEntries | NoDotAndDotDot | Readable | Executable, what a new ctkPathLineEdit has in Slicer 5.8.1
DEFAULT_FILTERS = 24663
DIRECTORIES, FILES, WRITABLE = 0x1, 0x2, 0x20
MAXIMUM_HISTORY = 5


@enums(Filters=DIRECTORY_FILTERS, Options=DIALOG_OPTIONS, Option=DIALOG_OPTIONS, SizeAdjustPolicy=PATH_POLICIES)
@declared("ctk.ctkPathLineEdit")
class ctkPathLineEdit(qt.QWidget):
    """An editable combo box with the paths used before, and a button that opens a file dialog."""

    _in_defaults: ClassVar = {
        "filters": DEFAULT_FILTERS,
        "showBrowseButton": True,
        "showHistoryButton": True,
        "sizeAdjustPolicy": 1,
    }

    def __init__(self, *arguments) -> None:
        parent = arguments[-1] if arguments and not isinstance(arguments[-1], str | int) else None
        super().__init__(parent)
        self._in_valid = False
        self._in_combo = qt.QComboBox(self)
        self._in_combo.setEditable(True)
        self._in_combo.setInsertPolicy(qt.QComboBox.NoInsert)
        self._in_combo.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        self._in_combo.setMinimumContentsLength(7)
        self._in_button = qt.QToolButton(self)
        self._in_button.text = "..."
        self._in_button.toolTip = "Open a dialog"
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._in_combo)
        row.addWidget(self._in_button)
        policy = QtWidgets.QSizePolicy.Policy
        QtWidgets.QWidget.setSizePolicy(self, policy.Expanding, policy.Fixed)
        self._in_combo.connect("editTextChanged(QString)", self._in_textChanged)
        self._in_button.connect("clicked()", self.browse)
        if arguments and isinstance(arguments[0], str):
            self.label = arguments[0]
            if len(arguments) > 1 and not hasattr(arguments[1], "children"):
                self.nameFilters = arguments[1]

    def _in_get_currentPath(self) -> str:
        return self._in_combo.currentText

    def _in_set_currentPath(self, path: str) -> None:
        if path != self._in_combo.currentText:
            self._in_combo.setEditText(path)

    def setCurrentDirectory(self, path: str) -> None:
        """Where the dialog opens next."""
        self._in_directory = path

    def _in_textChanged(self, text: str) -> None:
        emit(self, "currentPathChanged(QString)", text)
        self.updateHasValidInput()

    def updateHasValidInput(self) -> None:
        """Say when the path becomes valid (it exists; or its folder does, where files are to be written) or ceases."""
        path, filters = self._in_combo.currentText, int(self.filters)
        valid = bool(path) and os.path.exists(path)
        if valid and not filters & FILES:
            valid = os.path.isdir(path)
        elif valid and not filters & DIRECTORIES:
            valid = os.path.isfile(path)
        elif path and not valid and filters & WRITABLE:
            valid = os.path.isdir(os.path.dirname(path) or ".")
        if valid != self._in_valid:
            self._in_valid = valid
            emit(self, "validInputChanged(bool)", valid)

    def _in_changed_filters(self, filters: int) -> None:
        self.updateHasValidInput()

    def browse(self) -> None:
        """Ask with a file dialog that fits ``filters``: a folder, a file to write, a file to read."""
        filters = int(self.filters)
        title = self.label or ("Select a file to save" if filters & WRITABLE else "Open a file")
        patterns = ";;".join(self.nameFilters)
        start = self.currentPath
        if not filters & FILES:
            chosen = qt.QFileDialog.getExistingDirectory(self, self.label or "Select a folder...", start)
        elif filters & WRITABLE:
            chosen = qt.QFileDialog.getSaveFileName(self, title, start, patterns)
        else:
            chosen = qt.QFileDialog.getOpenFileName(self, title, start, patterns)
        if chosen:
            self.currentPath = chosen

    def comboBox(self):
        return self._in_combo

    def _in_historyKey(self) -> str:
        return "ctkPathLineEdit/" + (self.settingKey or QtCore.QObject.objectName(self))

    def addCurrentPathToHistory(self) -> None:
        """Keep the path for the next time; the last five are kept."""
        path = self.currentPath
        if not path:
            return
        settings = qt.QSettings()
        known = [one for one in _strings(settings.value(self._in_historyKey())) if one != path]
        settings.setValue(self._in_historyKey(), [path, *known][:MAXIMUM_HISTORY])
        self.retrieveHistory()
        self.currentPath = path

    def retrieveHistory(self) -> None:
        """Fill the list with the paths kept before; the newest becomes the current one where none is set."""
        known = _strings(qt.QSettings().value(self._in_historyKey()))
        current = self.currentPath
        wasBlocked = self._in_combo.blockSignals(True)
        self._in_combo.clear()
        self._in_combo.addItems(known)
        self._in_combo.setEditText(current)
        self._in_combo.blockSignals(wasBlocked)
        if not current and known:
            self.currentPath = known[0]

    def _in_changed_showBrowseButton(self, shown: bool) -> None:
        self._in_button.setVisible(shown)

    def _in_changed_nameFilters(self, filters) -> None:
        self.updateHasValidInput()


def _strings(value) -> list[str]:
    """A string list as QSettings gives it back: None, one string or several."""
    if not value:
        return []
    return [value] if isinstance(value, str) else list(value)


@enums(Options=DIALOG_OPTIONS, Option=DIALOG_OPTIONS)
@declared("ctk.ctkDirectoryButton")
class ctkDirectoryButton(qt.QWidget):
    """A push button that shows a folder and asks for another one when it is clicked."""

    _in_defaults: ClassVar = {"elideMode": 3}

    def __init__(self, *arguments) -> None:
        folder = arguments[0] if arguments and isinstance(arguments[0], str) else "."
        parent = arguments[-1] if arguments and not isinstance(arguments[-1], str) else None
        super().__init__(parent)
        self._in_folder = os.path.abspath(folder)
        self._in_text = ""
        self._in_button = qt.QPushButton(self)
        self._in_button.setIcon(QtWidgets.QWidget.style(self).standardIcon(QtWidgets.QStyle.StandardPixmap.SP_DirIcon))
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._in_button)
        self._in_button.connect("clicked()", self.browse)
        self._in_refresh()

    def _in_get_directory(self) -> str:
        return self._in_folder

    def _in_set_directory(self, folder: str) -> None:
        folder = os.path.abspath(folder)
        if folder == self._in_folder:
            return
        self._in_folder = folder
        self._in_refresh()
        emit(self, "directoryChanged(QString)", folder)

    def _in_get_text(self) -> str:
        return self._in_text

    def _in_set_text(self, text: str) -> None:
        self._in_text = text
        self._in_refresh()

    def _in_get_icon(self):
        return QtWidgets.QAbstractButton.icon(self._in_button)

    def _in_set_icon(self, icon: QtGui.QIcon) -> None:
        self._in_button.setIcon(icon)

    def _in_refresh(self) -> None:
        self._in_button.setText(self._in_text or self._in_folder)

    def browse(self) -> None:
        """Ask for a folder; ``directorySelected`` also tells when the same one was chosen again."""
        chosen = qt.QFileDialog.getExistingDirectory(self, self.caption or "Select a folder...", self._in_folder)
        if chosen:
            self.directory = chosen
            emit(self, "directorySelected(QString)", self._in_folder)
