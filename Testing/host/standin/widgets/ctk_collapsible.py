"""ctkCollapsibleButton and ctkCollapsibleGroupBox: headers that show and hide what is below them.

As in CTK the children are really hidden while collapsed (`child.visible` is False), a child that was hidden on its own
stays hidden after expanding, and `checked` is the opposite of `collapsed`.
"""

from __future__ import annotations

from typing import ClassVar

import qt
from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_declared import declared, emit

HIDDEN_ON_ITS_OWN = "_hiddenOnItsOwn"


class ChildrenKeeper(QtCore.QObject):
    """Hides the children of a collapsed widget and remembers those that were hidden by somebody else."""

    def __init__(self, owner: QtWidgets.QWidget) -> None:
        super().__init__(owner)
        self._owner = owner
        self._collapsed = False
        self._busy = False
        owner.installEventFilter(self)

    def collapse(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        for child in QtCore.QObject.children(self._owner):
            if child.isWidgetType():
                self._apply(child)

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        kind = event.type()
        if watched is self._owner:
            if kind == QtCore.QEvent.Type.ChildAdded and event.child().isWidgetType():
                event.child().installEventFilter(self)
                # The child's own constructor is not through yet: hide it once it is.
                if self._collapsed:
                    QtCore.QTimer.singleShot(0, self, self._applyToAll)
        elif not self._busy and kind == QtCore.QEvent.Type.ShowToParent:
            QtCore.QObject.setProperty(watched, HIDDEN_ON_ITS_OWN, False)
            if self._collapsed:
                self._apply(watched)
        elif not self._busy and kind == QtCore.QEvent.Type.HideToParent:
            QtCore.QObject.setProperty(watched, HIDDEN_ON_ITS_OWN, True)
        return False

    def _applyToAll(self) -> None:
        self.collapse(self._collapsed)

    def _apply(self, child: QtWidgets.QWidget) -> None:
        if QtWidgets.QWidget.isWindow(child):
            return
        hidden = self._collapsed or bool(QtCore.QObject.property(child, HIDDEN_ON_ITS_OWN))
        self._busy = True
        QtWidgets.QWidget.setVisible(child, not hidden)
        self._busy = False


@declared("ctk.ctkCollapsibleButton")
class ctkCollapsibleButton(qt.QAbstractButton):
    """A button over the whole width; its contents are laid out inside it, below the header."""

    _in_defaults: ClassVar = {
        "collapsedHeight": 10,
        "contentsLineWidth": 1,
        "buttonTextAlignment": 0x81,
        "indicatorAlignment": 0x81,
    }

    def __init__(self, *arguments) -> None:
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        super().__init__(*arguments[1 if isinstance(arguments[0], str) else 0 :] if arguments else ())
        self._in_collapsed = False
        self._in_maximumHeight = QtWidgets.QWidget.maximumHeight(self)
        self._in_keeper = ChildrenKeeper(self)
        QtWidgets.QAbstractButton.setText(self, text)
        QtWidgets.QAbstractButton.setCheckable(self, True)
        QtWidgets.QAbstractButton.setChecked(self, True)
        policy = QtWidgets.QSizePolicy.Policy
        QtWidgets.QWidget.setSizePolicy(self, policy.Minimum, policy.Preferred)
        QtWidgets.QWidget.setContentsMargins(self, 0, self._in_header().height(), 0, 0)
        QtWidgets.QWidget.setMinimumHeight(self, self._in_header().height())
        QtWidgets.QWidget.setBackgroundRole(self, QtGui.QPalette.ColorRole.Window)
        QtCore.QObject.connect(self, QtCore.SIGNAL("toggled(bool)"), self.onToggled)

    def _in_get_collapsed(self) -> bool:
        return self._in_collapsed

    def _in_set_collapsed(self, collapsed: bool) -> None:
        if QtWidgets.QAbstractButton.isCheckable(self):
            QtWidgets.QAbstractButton.setChecked(self, not collapsed)
        else:
            self.collapse(collapsed)

    def onToggled(self, checked: bool = True) -> None:
        if QtWidgets.QAbstractButton.isCheckable(self):
            self.collapse(not checked)

    def collapse(self, collapsed: bool) -> None:
        if collapsed == self._in_collapsed:
            return
        self._in_collapsed = collapsed
        # No size hints of its own (PythonQt's property of that name hides them): the layout's, between fixed bounds.
        if collapsed:
            self._in_maximumHeight = QtWidgets.QWidget.maximumHeight(self)
            QtWidgets.QWidget.setMaximumHeight(self, self._in_header().height() + self.collapsedHeight)
        else:
            QtWidgets.QWidget.setMaximumHeight(self, self._in_maximumHeight)
        self._in_keeper.collapse(collapsed)
        QtWidgets.QWidget.updateGeometry(self)
        emit(self, "contentsCollapsed(bool)", collapsed)

    def _in_header(self) -> QtCore.QSize:
        """The size of the header alone."""
        metrics = QtWidgets.QWidget.fontMetrics(self)
        text = QtWidgets.QAbstractButton.text(self) or "XXXX"
        size = metrics.size(QtCore.Qt.TextFlag.TextShowMnemonic, text)
        return QtCore.QSize(size.width() + 32, max(size.height(), 14) + 10)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._in_header().height()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self._in_header().height())
        sunken = QtWidgets.QAbstractButton.isDown(self)
        option.state |= QtWidgets.QStyle.StateFlag.State_Sunken if sunken else QtWidgets.QStyle.StateFlag.State_Raised
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        middle = option.rect.height() // 2
        arrow = QtWidgets.QStyleOption(option)
        arrow.rect = QtCore.QRect(8, middle - 5, 10, 10)
        primitives = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(
            primitives.PE_IndicatorArrowRight if self._in_collapsed else primitives.PE_IndicatorArrowDown, arrow
        )
        flags = QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignVCenter
        painter.drawItemText(
            option.rect.adjusted(26, 0, -4, 0),
            (flags | QtCore.Qt.TextFlag.TextShowMnemonic).value,
            option.palette,
            QtWidgets.QWidget.isEnabled(self),
            QtWidgets.QAbstractButton.text(self),
            QtGui.QPalette.ColorRole.ButtonText,
        )


@declared("ctk.ctkCollapsibleGroupBox")
class ctkCollapsibleGroupBox(qt.QGroupBox):
    """A group box whose check mark is an arrow that folds the contents away."""

    _in_defaults: ClassVar = {"collapsedHeight": 14}

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._in_maximumHeight = QtWidgets.QWidget.maximumHeight(self)
        self._in_keeper = ChildrenKeeper(self)
        QtWidgets.QGroupBox.setCheckable(self, True)
        QtCore.QObject.connect(self, QtCore.SIGNAL("toggled(bool)"), self.expand)

    def _in_get_collapsed(self) -> bool:
        return not QtWidgets.QGroupBox.isChecked(self)

    def _in_set_collapsed(self, collapsed: bool) -> None:
        QtWidgets.QGroupBox.setChecked(self, not collapsed)

    def expand(self, expanded: bool) -> None:
        if expanded:
            QtWidgets.QWidget.setMaximumHeight(self, self._in_maximumHeight)
        else:
            self._in_maximumHeight = QtWidgets.QWidget.maximumHeight(self)
        # A group box enables its children with its check mark; here the mark only folds.
        self._in_keeper.collapse(not expanded)
        if not expanded:
            height = QtWidgets.QWidget.fontMetrics(self).height() + self.collapsedHeight
            QtWidgets.QWidget.setMaximumHeight(self, height)
        QtWidgets.QWidget.updateGeometry(self)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionGroupBox()
        QtWidgets.QGroupBox.initStyleOption(self, option)
        box, part = QtWidgets.QStyle.ComplexControl.CC_GroupBox, QtWidgets.QStyle.SubControl
        style = QtWidgets.QWidget.style(self)
        arrow = QtWidgets.QStyleOption(option)
        arrow.rect = style.subControlRect(box, option, part.SC_GroupBoxCheckBox, self)
        title = style.subControlRect(box, option, part.SC_GroupBoxLabel, self)
        if not self.collapsed:
            frame = QtWidgets.QStyleOptionGroupBox(option)
            frame.subControls = part.SC_GroupBoxFrame
            painter.drawComplexControl(box, frame)
        primitives = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(
            primitives.PE_IndicatorArrowRight if self.collapsed else primitives.PE_IndicatorArrowDown, arrow
        )
        flags = QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.TextFlag.TextShowMnemonic
        enabled = QtWidgets.QWidget.isEnabled(self)
        role = QtGui.QPalette.ColorRole.WindowText
        painter.drawItemText(title, flags.value, option.palette, enabled, option.text, role)
