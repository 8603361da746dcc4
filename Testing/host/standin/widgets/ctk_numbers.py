"""ctkDoubleSpinBox and ctkSliderWidget: numbers with a unit, and a slider beside them."""

from __future__ import annotations

from typing import ClassVar

import qt
from PySide6 import QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets.enums import DECIMALS, SYNCHRONIZE, enums


def _passedOn(name: str):
    """A property whose reading and writing go to the inner spin box."""

    def read(self):
        return getattr(self._in_spin, name)

    def write(self, value) -> None:
        setattr(self._in_spin, name, value)

    return read, write


@enums(
    DecimalsOption=DECIMALS,
    DecimalsOptions=DECIMALS,
    SetMode={"SetIfDifferent": 0, "SetAlways": 1},
    SizeHintPolicy={"SizeHintByMinMax": 0, "SizeHintByValue": 1},
)
@declared("ctk.ctkDoubleSpinBox")
class ctkDoubleSpinBox(qt.QWidget):
    """A spin box for real numbers; ``valueChanged`` tells both the number and the text."""

    _in_defaults: ClassVar = {"frame": True}

    def __init__(self, parent=None, *rest) -> None:
        super().__init__(rest[-1] if rest else (None if isinstance(parent, int) else parent))
        self._in_spin = qt.QDoubleSpinBox(self)
        self._in_setting = False
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._in_spin)
        QtWidgets.QWidget.setFocusProxy(self, self._in_spin)
        policy = QtWidgets.QSizePolicy.Policy
        QtWidgets.QWidget.setSizePolicy(self, policy.Minimum, policy.Fixed)
        self._in_spin.connect("valueChanged(double)", self._in_valueChanged)
        self._in_spin.connect("editingFinished()", self._in_editingFinished)

    _in_get_alignment, _in_set_alignment = _passedOn("alignment")
    _in_get_maximum, _in_set_maximum = _passedOn("maximum")
    _in_get_minimum, _in_set_minimum = _passedOn("minimum")
    _in_get_prefix, _in_set_prefix = _passedOn("prefix")
    _in_get_suffix, _in_set_suffix = _passedOn("suffix")
    _in_get_readOnly, _in_set_readOnly = _passedOn("readOnly")
    _in_get_singleStep, _in_set_singleStep = _passedOn("singleStep")
    _in_get_decimals, _in_stored_decimals = _passedOn("decimals")
    _in_get_cleanText, _in_stored_cleanText = _passedOn("cleanText")
    _in_get_value, _in_stored_value = _passedOn("value")

    def _in_set_decimals(self, decimals: int) -> None:
        if decimals != self._in_spin.decimals:
            self._in_stored_decimals(decimals)
            emit(self, "decimalsChanged(int)", decimals)

    def _in_set_value(self, value: float) -> None:
        self._in_setting = True
        self._in_stored_value(value)
        self._in_setting = False

    def _in_get_isSettingValue(self) -> bool:
        return self._in_setting

    def setValueIfDifferent(self, value: float) -> None:
        if value != self.value:
            self._in_set_value(value)

    def setValueAlways(self, value: float) -> None:
        before = self.value
        self._in_set_value(value)
        if self.value == before:
            self._in_valueChanged(before)

    def stepUp(self) -> None:
        self._in_spin.stepUp()

    def stepDown(self) -> None:
        self._in_spin.stepDown()

    def _in_valueChanged(self, value: float) -> None:
        emit(self, "valueChanged(double)", value)
        emit(self, "valueChanged(QString)", self._in_spin.text)

    def _in_editingFinished(self) -> None:
        emit(self, "editingFinished()")


STEPS = 10000  # positions of the inner slider, which only knows whole numbers


@enums(SynchronizeSiblings=SYNCHRONIZE)
@declared("ctk.ctkSliderWidget")
class ctkSliderWidget(qt.QWidget):
    """A slider and a spin box that show the same number.

    With ``tracking`` every movement is a ``valueChanged``; without it the movement is ``valueIsChanging`` and letting
    go is ``valueChanged``.
    """

    _in_defaults: ClassVar = {"spinBoxVisible": True, "tracking": True, "synchronizeSiblings": 3, "pageStep": 10.0}

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_slider = qt.QSlider(qt.Qt.Horizontal, self)
        self._in_spin = ctkDoubleSpinBox(self)
        self._in_spin.suffix = ""
        self._in_changing = False
        self._in_before = 0.0
        self._in_slider.maximum = STEPS
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._in_slider)
        row.addWidget(self._in_spin)
        policy = QtWidgets.QSizePolicy.Policy
        QtWidgets.QWidget.setSizePolicy(self, policy.Expanding, policy.Fixed)
        self._in_spin.connect("valueChanged(double)", self._in_spinChanged)
        self._in_spin.connect("decimalsChanged(int)", self._in_decimalsChanged)
        self._in_slider.connect("valueChanged(int)", self._in_sliderMoved)
        self._in_slider.connect("sliderPressed()", self.startChanging)
        self._in_slider.connect("sliderReleased()", self.stopChanging)

    _in_get_decimals, _in_set_decimals = _passedOn("decimals")
    _in_get_prefix, _in_set_prefix = _passedOn("prefix")
    _in_get_suffix, _in_set_suffix = _passedOn("suffix")
    _in_get_singleStep, _in_set_singleStep = _passedOn("singleStep")
    _in_get_spinBoxAlignment, _in_set_spinBoxAlignment = _passedOn("alignment")
    _in_get_maximum, _in_stored_maximum = _passedOn("maximum")
    _in_get_minimum, _in_stored_minimum = _passedOn("minimum")

    def _in_set_maximum(self, maximum: float) -> None:
        self._in_stored_maximum(maximum)
        self._in_moveSlider()

    def _in_set_minimum(self, minimum: float) -> None:
        self._in_stored_minimum(minimum)
        self._in_moveSlider()

    def _in_get_value(self) -> float:
        return self._in_before if self._in_changing else self._in_spin.value

    def _in_set_value(self, value: float) -> None:
        wasChanging, self._in_changing = self._in_changing, False
        self._in_spin.setValue(value)
        self._in_changing = wasChanging

    def reset(self) -> None:
        self.value = 0.0

    def startChanging(self) -> None:
        if not self.tracking:
            self._in_before = self.value
            self._in_changing = True

    def stopChanging(self) -> None:
        if self.tracking:
            return
        self._in_changing = False
        if self.value != self._in_before:
            emit(self, "valueChanged(double)", self.value)

    def _in_spinChanged(self, value: float) -> None:
        self._in_moveSlider()
        if not self.tracking:
            emit(self, "valueIsChanging(double)", value)
        if not self._in_changing:
            emit(self, "valueChanged(double)", value)

    def _in_decimalsChanged(self, decimals: int) -> None:
        emit(self, "decimalsChanged(int)", decimals)

    def _in_moveSlider(self) -> None:
        """Put the slider where the number is, without an echo."""
        low, high = self._in_spin.minimum, self._in_spin.maximum
        wasBlocked = self._in_slider.blockSignals(True)
        self._in_slider.setValue(round((self._in_spin.value - low) / (high - low) * STEPS) if high > low else 0)
        self._in_slider.blockSignals(wasBlocked)

    def _in_sliderMoved(self, position: int) -> None:
        low, high = self._in_spin.minimum, self._in_spin.maximum
        step = self._in_spin.singleStep
        value = low + (high - low) * position / STEPS
        self._in_spin.setValue(min(low + round((value - low) / step) * step, high) if step > 0 else value)

    def _in_changed_spinBoxVisible(self, shown: bool) -> None:
        self._in_spin.setVisible(shown)

    def _in_changed_invertedAppearance(self, inverted: bool) -> None:
        self._in_slider.invertedAppearance = inverted

    def _in_changed_tickInterval(self, interval: float) -> None:
        span = self._in_spin.maximum - self._in_spin.minimum
        self._in_slider.tickInterval = round(interval / span * STEPS) if span > 0 else 0

    def _in_changed_tickPosition(self, position) -> None:
        QtWidgets.QSlider.setTickPosition(self._in_slider, QtWidgets.QSlider.TickPosition(int(position)))

    def setSpinBoxValue(self, value: float) -> None:
        self._in_spin.setValue(value)

    def setSliderValue(self, value: float) -> None:
        self._in_spin.setValue(value)
