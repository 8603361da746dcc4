"""The connectors that Slicer 5.8 and 5.12 share (guiConnectors.py).

QCheckBox, QPushButton, QSlider, QSpinBox, QDoubleSpinBox, ctkSliderWidget, qMRMLSliderWidget, QComboBox, QLineEdit,
QTextEdit, ctkRangeWidget, ctkPathLineEdit, ctkDirectoryButton, qMRMLNodeComboBox. What only newer ones connect is left
out, so that a panel which binds it fails here as it would in 5.8.
"""

from __future__ import annotations

import enum
import logging
from typing import Any

from standin.parameter_gui import GuiConnector, parameterNodeGuiConnector
from standin.parameter_pack import FloatRange
from standin.parameter_serializers import PATHS
from standin.parameter_types import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    RangeBounds,
    SingleStep,
    WithinRange,
    findFirstAnnotation,
    getNodeTypes,
    isNodeOrUnionOfNodes,
    splitAnnotations,
    unannotatedType,
)


def _is(widget: Any, *names: str) -> bool:
    """Whether the widget's class is exactly one of these, named as `qt.QCheckBox`."""
    import ctk
    import qt
    import slicer

    modules = {"qt": qt, "ctk": ctk, "slicer": slicer}
    classes = [getattr(modules[module], name, None) for module, name in (one.split(".") for one in names)]
    return any(type(widget) is one for one in classes if one is not None)


class _WidgetConnector(GuiConnector):
    """A connector of one widget; `signal` is the name of the signal that tells of changes."""

    signal = ""

    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__()
        self._widget = widget
        self._type = unannotatedType(datatype)
        self._annotations = splitAnnotations(datatype)[1]
        self._prepare()

    @classmethod
    def create(cls, widget: Any, datatype: Any) -> Any:
        return cls(widget, datatype) if cls.canRepresent(widget, datatype) else None

    def _prepare(self) -> None:
        """Set the widget up from the annotations."""

    def _find(self, kind: type) -> Any:
        return findFirstAnnotation(self._annotations, kind)

    def _connect(self) -> None:
        getattr(self._widget, self.signal).connect(self.changed)

    def _disconnect(self) -> None:
        getattr(self._widget, self.signal).disconnect(self.changed)

    def widget(self) -> Any:
        return self._widget

    def _steps(self) -> None:
        if (decimals := self._find(Decimals)) is not None:
            self._widget.decimals = decimals.value
        if (step := self._find(SingleStep)) is not None:
            self._widget.singleStep = step.value

    def _bounds(self, lowest: float, highest: float) -> tuple[float, float, bool]:
        """Minimum, maximum, and whether both were given."""
        within, least, most = self._find(WithinRange), self._find(Minimum), self._find(Maximum)
        if within is not None:
            return within.minimum, within.maximum, True
        low = lowest if least is None else least.minimum
        high = highest if most is None else most.maximum
        return low, high, least is not None and most is not None


@parameterNodeGuiConnector
class QCheckBoxToBoolConnector(_WidgetConnector):
    signal = "stateChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) is bool and _is(widget, "qt.QCheckBox")

    def read(self) -> bool:
        return self._widget.checked

    def write(self, value: bool) -> None:
        self._widget.checked = value


@parameterNodeGuiConnector
class QCheckablePushButtonToBoolConnector(_WidgetConnector):
    signal = "toggled"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) is bool and _is(widget, "qt.QPushButton")

    def _prepare(self) -> None:
        if not self._widget.checkable:
            logging.warning("Making push button checkable for conversion to bool: button %s", self._widget)
            self._widget.checkable = True

    def read(self) -> bool:
        return self._widget.checked

    def write(self, value: bool) -> None:
        self._widget.checked = value


@parameterNodeGuiConnector
class QSliderOrSpinBoxToIntConnector(_WidgetConnector):
    signal = "valueChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) is int and _is(widget, "qt.QSlider", "qt.QSpinBox")

    def _prepare(self) -> None:
        self._steps()
        low, high, bounded = self._bounds(-(2**31), 2**31 - 1)
        if not bounded and _is(self._widget, "qt.QSlider"):
            raise RuntimeError("Cannot have a connection to a slider where the type is unbounded.")
        self._widget.setMinimum(low)
        self._widget.setMaximum(high)

    def read(self) -> int:
        return self._widget.value

    def write(self, value: int) -> None:
        self._widget.value = value


@parameterNodeGuiConnector
class QDoubleSpinBoxCtkSliderWidgetToFloatConnector(_WidgetConnector):
    signal = "valueChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        sliders = ("ctk.ctkSliderWidget", "slicer.qMRMLSliderWidget")
        return unannotatedType(datatype) is float and _is(widget, "qt.QDoubleSpinBox", *sliders)

    def _prepare(self) -> None:
        self._steps()
        low, high, bounded = self._bounds(float("-inf"), float("inf"))
        if not bounded and _is(self._widget, "ctk.ctkSliderWidget", "slicer.qMRMLSliderWidget"):
            raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float types is unbounded.")
        self._widget.minimum = low
        self._widget.maximum = high

    def read(self) -> float:
        return self._widget.value

    def write(self, value: float) -> None:
        self._widget.value = value


class _ComboConnector(_WidgetConnector):
    """A combo box that is filled with texts, each of which stands for a value."""

    signal = "currentIndexChanged"

    def _fill(self, values: list, texts: list[str]) -> None:
        self._values = values
        self._widget.clear()
        for text in texts:
            self._widget.addItem(text)

    def read(self) -> Any:
        return self._values[self._widget.currentIndex]

    def write(self, value: Any) -> None:
        for index, one in enumerate(self._values):
            if one == value:
                self._widget.currentIndex = index
                return
        raise ValueError(f"Unable to find value {value} in choices {self._values}")


@parameterNodeGuiConnector
class QComboBoxToStringableConnector(_ComboConnector):
    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) in (int, float, str, bool) and _is(widget, "qt.QComboBox")

    def _prepare(self) -> None:
        choice = self._find(Choice)
        if choice is None:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
        self._fill(list(choice.choices), [str(one) for one in choice.choices])


@parameterNodeGuiConnector
class QComboBoxToEnumConnector(_ComboConnector):
    """The texts are the members' `label()`, where the Enum has one, else their names."""

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        kind = unannotatedType(datatype)
        return isinstance(kind, type) and issubclass(kind, enum.Enum) and _is(widget, "qt.QComboBox")

    def _prepare(self) -> None:
        label = getattr(self._type, "label", lambda member: member.name)
        self._fill(list(self._type), [label(member) for member in self._type])


@parameterNodeGuiConnector
class QLineEditToStrConnector(_WidgetConnector):
    signal = "textChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) is str and _is(widget, "qt.QLineEdit")

    def read(self) -> str:
        return self._widget.text

    def write(self, value: str) -> None:
        self._widget.text = value


@parameterNodeGuiConnector
class QTextEditPlainTextToStrConnector(_WidgetConnector):
    signal = "textChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) is str and _is(widget, "qt.QTextEdit")

    def read(self) -> str:
        return self._widget.toPlainText()

    def write(self, value: str) -> None:
        self._widget.setPlainText(value)


@parameterNodeGuiConnector
class ctkRangeWidgetToRangeConnector(_WidgetConnector):
    signal = "valuesChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) is FloatRange and _is(widget, "ctk.ctkRangeWidget")

    def _prepare(self) -> None:
        self._steps()
        bounds = self._find(RangeBounds)
        if bounds is None:
            raise RuntimeError("Cannot have a connection to ctkRangeWidget where the float is unbounded.")
        self._widget.setRange(bounds.minimum, bounds.maximum)

    def read(self) -> FloatRange:
        return FloatRange(self._widget.minimumValue, self._widget.maximumValue)

    def write(self, value: FloatRange) -> None:
        self._widget.setValues(value.minimum, value.maximum)


@parameterNodeGuiConnector
class ctkPathLineEditToPathConnector(_WidgetConnector):
    signal = "currentPathChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) in PATHS and _is(widget, "ctk.ctkPathLineEdit")

    def read(self) -> Any:
        return self._type(self._widget.currentPath)

    def write(self, value: Any) -> None:
        self._widget.currentPath = str(value)


@parameterNodeGuiConnector
class ctkDirectoryButtonToPathConnector(_WidgetConnector):
    signal = "directoryChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return unannotatedType(datatype) in PATHS and _is(widget, "ctk.ctkDirectoryButton")

    def read(self) -> Any:
        return self._type(self._widget.directory)

    def write(self, value: Any) -> None:
        self._widget.directory = str(value)


@parameterNodeGuiConnector
class qMRMLNodeComboBoxToNodeConnector(_WidgetConnector):
    signal = "currentNodeChanged"

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return isNodeOrUnionOfNodes(datatype) and _is(widget, "slicer.qMRMLNodeComboBox")

    def _prepare(self) -> None:
        self._widget.nodeTypes = getNodeTypes(self._type)

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)
