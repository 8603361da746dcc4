"""ctkComboBox (a text for "nothing chosen") and ctkCheckableComboBox (several at once)."""

from __future__ import annotations

from typing import ClassVar

import qt
from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets.enums import SCROLL_EFFECTS, enums

UNCHECKED, PARTLY, CHECKED = 0, 1, 2
CHECK_ROLE = QtCore.Qt.ItemDataRole.CheckStateRole


def paintComboBox(combo: QtWidgets.QComboBox, text: str | None, icon: QtGui.QIcon | None = None) -> None:
    """Draw a combo box with another text (None: its own) and icon than those of the current row."""
    painter = QtWidgets.QStylePainter(combo)
    option = QtWidgets.QStyleOptionComboBox()
    QtWidgets.QComboBox.initStyleOption(combo, option)
    if text is not None:
        option.currentText = text
        option.currentIcon = icon or QtGui.QIcon()
    room = QtWidgets.QWidget.style(combo).subControlRect(
        QtWidgets.QStyle.ComplexControl.CC_ComboBox, option, QtWidgets.QStyle.SubControl.SC_ComboBoxEditField, combo
    )
    elide = QtCore.Qt.TextElideMode.ElideMiddle
    option.currentText = option.fontMetrics.elidedText(option.currentText, elide, max(room.width() - 4, 20))
    painter.drawComplexControl(QtWidgets.QStyle.ComplexControl.CC_ComboBox, option)
    painter.drawControl(QtWidgets.QStyle.ControlElement.CE_ComboBoxLabel, option)


@enums(ScrollEffect=SCROLL_EFFECTS)
@declared("ctk.ctkComboBox")
class ctkComboBox(qt.QComboBox):
    """A combo box that shows ``defaultText`` while nothing is chosen, or always with ``forceDefault``."""

    _in_defaults: ClassVar = {"elideMode": 3, "scrollWheelEffect": 1}

    def _in_changed_defaultText(self, text: str) -> None:
        QtWidgets.QWidget.update(self)

    def _in_changed_forceDefault(self, forced: bool) -> None:
        QtWidgets.QWidget.update(self)

    def _in_get_currentUserDataAsString(self) -> str:
        data = QtWidgets.QComboBox.currentData(self)
        return "" if data is None else str(data)

    def _in_set_currentUserDataAsString(self, text: str) -> None:
        QtWidgets.QComboBox.setCurrentIndex(self, QtWidgets.QComboBox.findData(self, text))

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        unchosen = QtWidgets.QComboBox.currentIndex(self) == -1 or self.forceDefault
        default = self.defaultText
        paintComboBox(self, default if unchosen and default else None)


class _Toggler(QtCore.QObject):
    """Turns a click on a row of the opened list into a change of its check mark; the list stays open."""

    def __init__(self, combo: QtWidgets.QComboBox) -> None:
        super().__init__(combo)
        self._combo = combo
        QtWidgets.QComboBox.view(combo).viewport().installEventFilter(self)

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() != QtCore.QEvent.Type.MouseButtonRelease:
            return False
        index = QtWidgets.QComboBox.view(self._combo).indexAt(QtGui.QMouseEvent.position(event).toPoint())
        if not index.isValid() or not index.flags() & QtCore.Qt.ItemFlag.ItemIsUserCheckable:
            return False
        checked = checkNumber(index.data(CHECK_ROLE)) == CHECKED
        self._combo._in_setCheck(index.row(), UNCHECKED if checked else CHECKED)
        return True


@declared("ctk.ctkCheckableComboBox")
class ctkCheckableComboBox(qt.QComboBox):
    """A combo box with a check mark on every row; it shows the checked ones, "All" or "None"."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_model = None
        self.setCheckableModel(QtWidgets.QComboBox.model(self))
        self._in_toggler = _Toggler(self)

    def checkableModel(self):
        return self._in_model

    def setCheckableModel(self, model) -> None:
        """Watch that model: rows that come get a check mark."""
        if model is self._in_model:
            return
        self._in_model = model
        if QtWidgets.QComboBox.model(self) is not model:
            QtWidgets.QComboBox.setModel(self, model)
        self._in_last = []
        model.rowsInserted.connect(self._in_rowsInserted)
        model.dataChanged.connect(self._in_dataChanged)
        self._in_rowsInserted(QtCore.QModelIndex(), 0, model.rowCount() - 1)

    def _in_rowsInserted(self, parent: QtCore.QModelIndex, first: int, last: int) -> None:
        for row in range(first, last + 1):
            item = self._in_model.item(row)
            if item is not None and item.data(CHECK_ROLE) is None:
                item.setCheckable(True)
                item.setData(UNCHECKED, CHECK_ROLE)

    def _in_dataChanged(self, first, last, roles=()) -> None:
        if not roles or CHECK_ROLE in roles:
            self._in_tellChange()

    def _in_tellChange(self) -> None:
        """As in CTK nothing is told when a checked row goes away; the next change of a mark tells it as well."""
        now = [QtCore.QPersistentModelIndex(item.index()) for item in self._in_checked()]
        if now != self._in_last:
            self._in_last = now
            QtWidgets.QWidget.update(self)
            emit(self, "checkedIndexesChanged()")

    def onDataChanged(self, first, last) -> None:
        self._in_dataChanged(first, last)

    def _in_rows(self) -> list[QtGui.QStandardItem]:
        """The rows that carry a check mark."""
        items = [self._in_model.item(row) for row in range(self._in_model.rowCount())]
        return [item for item in items if item is not None and item.data(CHECK_ROLE) is not None]

    def _in_checked(self) -> list[QtGui.QStandardItem]:
        return [item for item in self._in_rows() if checkNumber(item.data(CHECK_ROLE)) == CHECKED]

    def _in_setCheck(self, row: int, state: int) -> None:
        """Check or uncheck a row; nothing is told when it is so already."""
        item = self._in_model.item(row)
        if item is not None and checkNumber(item.data(CHECK_ROLE)) != state:
            item.setData(state, CHECK_ROLE)

    def checkedIndexes(self) -> tuple:
        return tuple(item.index() for item in self._in_checked())

    def allChecked(self) -> bool:
        return len(self._in_checked()) == len(self._in_rows())  # true of an empty list, as in CTK

    def noneChecked(self) -> bool:
        return all(checkNumber(item.data(CHECK_ROLE)) == UNCHECKED for item in self._in_rows())

    def allPatiallyChecked(self) -> bool:  # CTK spells it so
        return all(checkNumber(item.data(CHECK_ROLE)) == PARTLY for item in self._in_rows())

    def checkState(self, index) -> int:
        return checkNumber(index.data(CHECK_ROLE))

    def setCheckState(self, index, state) -> None:
        self._in_setCheck(index.row(), checkNumber(state))

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        checked = self._in_checked()
        if not checked:
            paintComboBox(self, "None")
        elif len(checked) == len(self._in_rows()):
            paintComboBox(self, "All")
        else:
            icon = checked[0].icon() if len(checked) == 1 else None
            paintComboBox(self, ", ".join(item.text() for item in checked), icon)


def checkNumber(state) -> int:
    """A check state as a number, whether it came as one, as Qt's enumeration or not at all."""
    return UNCHECKED if state is None else int(getattr(state, "value", state))
