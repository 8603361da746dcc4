"""ctkPushButton, ctkMenuButton and ctkMessageBox."""

from __future__ import annotations

from typing import ClassVar

import qt
from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_declared import declared


@declared("ctk.ctkPushButton")
class ctkPushButton(qt.QPushButton):
    """A push button that elides a long text and places text and icon as told."""

    _in_defaults: ClassVar = {"buttonTextAlignment": 0x84, "iconAlignment": 0x81, "elideMode": 3}

    def _in_changed_elideMode(self, mode) -> None:
        # An elided button may become narrow; an explicit minimum goes before the one its text asks for.
        elided = _enumValue(mode) not in (0, 3)
        QtWidgets.QWidget.setMinimumWidth(self, 48 if elided else 0)
        QtWidgets.QWidget.update(self)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        QtWidgets.QPushButton.initStyleOption(self, option)
        text, option.text = option.text, ""
        icon, option.icon = option.icon, QtGui.QIcon()
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButton, option)
        room = option.rect.adjusted(8, 0, -8, 0)
        if not icon.isNull():
            side = option.iconSize
            icon.paint(
                painter, QtCore.QRect(room.left(), room.center().y() - side.height() // 2, side.width(), side.height())
            )
            room.setLeft(room.left() + side.width() + 4)
        mode = QtCore.Qt.TextElideMode(_enumValue(self.elideMode))
        flags = _enumValue(self.buttonTextAlignment)
        painter.drawItemText(
            room,
            flags | QtCore.Qt.TextFlag.TextShowMnemonic.value,
            option.palette,
            QtWidgets.QWidget.isEnabled(self),
            option.fontMetrics.elidedText(text, mode, room.width()),
            QtGui.QPalette.ColorRole.ButtonText,
        )


def _enumValue(value) -> int:
    return int(getattr(value, "value", value) or 0)


@declared("ctk.ctkMenuButton")
class ctkMenuButton(qt.QPushButton):
    """A push button with a small arrow at its right that opens the menu; the rest of it is clicked as usual."""

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        menu = QtWidgets.QPushButton.menu(self)
        if menu is not None and QtGui.QMouseEvent.position(event).x() < QtWidgets.QWidget.width(self) - 20:
            # QPushButton would open the menu wherever it is pressed.
            QtWidgets.QPushButton.setMenu(self, None)
            QtWidgets.QPushButton.mousePressEvent(self, event)
            QtWidgets.QPushButton.setMenu(self, menu)
        else:
            QtWidgets.QPushButton.mousePressEvent(self, event)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        QtWidgets.QPushButton.initStyleOption(self, option)
        option.features &= ~QtWidgets.QStyleOptionButton.ButtonFeature.HasMenu
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButton, option)
        arrow = QtWidgets.QStyleOption(option)
        arrow.rect = QtCore.QRect(option.rect.right() - 18, option.rect.center().y() - 5, 10, 10)
        painter.drawPrimitive(QtWidgets.QStyle.PrimitiveElement.PE_IndicatorArrowDown, arrow)


@declared("ctk.ctkMessageBox")
class ctkMessageBox(qt.QMessageBox):
    """A message box that can offer "don't show this message again" and remembers the answer in the settings."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._in_again = qt.QCheckBox("Don't show this message again", self)
        self._in_again.hide()
        self._in_key = ""
        QtCore.QObject.connect(self, QtCore.SIGNAL("finished(int)"), self.onFinished)

    def _in_get_dontShowAgain(self) -> bool:
        return self._in_again.checked

    def _in_set_dontShowAgain(self, checked: bool) -> None:
        self._in_again.checked = checked

    def _in_changed_dontShowAgainVisible(self, shown: bool) -> None:
        QtWidgets.QMessageBox.setCheckBox(self, self._in_again if shown else None)
        self._in_again.setVisible(shown)

    def _in_get_dontShowAgainSettingsKey(self) -> str:
        return self._in_key

    def _in_set_dontShowAgainSettingsKey(self, key: str) -> None:
        self._in_key = key
        self.dontShowAgainVisible = bool(key)
        stored = qt.QSettings().value(key) if key else None
        if stored is not None:
            self._in_again.checked = str(stored).lower() not in ("", "0", "false")

    def onFinished(self, result: int) -> None:
        """Keep the answer."""
        if self._in_key:
            qt.QSettings().setValue(self._in_key, self._in_again.checked)
