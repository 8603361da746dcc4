"""Widgets written in Python that stand in for those of C++: exactly what slicer_api.json lists, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pytest
from standin.qt_declared import adopt_dynamic_properties, declared, emit, store


@pytest.fixture
def Sliders(qt):
    """ctkRangeWidget, of which the application's part of the stand-in has no own version."""

    @declared("ctk.ctkRangeWidget")
    class ctkRangeWidget(qt.QWidget):
        _in_defaults: ClassVar = {"decimals": 2, "maximum": 99.0}

        def __init__(self, parent=None):
            super().__init__(parent)
            self._in_changes = []

        def _in_changed_minimumValue(self, value):
            self._in_changes.append(value)
            emit(self, "minimumValueChanged(double)", value)

        def _in_get_maximumValue(self):
            return 42

        def _in_set_maximumValue(self, value):
            store(self, "maximumValue", value)
            emit(self, "valuesChanged(double,double)", self.minimumValue, value)

        def setValues(self, low, high):
            self.minimumValue = low

        def sizeHint(self):
            return qt.QSize(200, 30)

    return ctkRangeWidget


def test_properties_have_defaults_types_and_setters(Sliders):
    widget = Sliders()
    assert (widget.decimals, widget.maximum, widget.minimum, widget.suffix) == (2, 99.0, 0.0, "")
    widget.suffix = "mm"
    widget.setDecimals(3)
    assert (widget.suffix, widget.decimals) == ("mm", 3)
    with pytest.raises(AttributeError, match=r"Property 'decimals' of type 'int' does not accept .* str \('a'\)"):
        widget.decimals = "a"
    with pytest.raises(ValueError, match="Called setDecimals with wrong arguments"):
        widget.setDecimals("a")
    assert widget.property("decimals") == 3
    assert widget.setProperty("decimals", 1)
    assert widget.decimals == 1


def test_getters_setters_and_change_hooks_are_called(Sliders):
    widget, got = Sliders(), []
    assert widget.connect("minimumValueChanged(double)", got.append)
    widget.minimumValue = 3
    widget.minimumValue = 3
    widget.minimumValue = 4.5
    assert got == [3.0, 4.5]
    assert widget.maximumValue == 42
    both = []
    widget.valuesChanged.connect(lambda low, high: both.append((low, high)))
    widget.maximumValue = 7
    assert both == [(4.5, 7.0)]


def test_names_that_the_original_does_not_have_are_refused(Sliders, qt):
    widget = Sliders()
    for name in ("noSuchName", "_row", "currentNode"):
        with pytest.raises(AttributeError):
            getattr(widget, name)
        with pytest.raises(AttributeError):
            setattr(widget, name, 1)
    assert widget.connect("noSuchSignal()", print) is False
    with pytest.raises(ValueError, match="has no signal"):
        emit(widget, "noSuchSignal()")
    with pytest.raises(ValueError, match="wrong number of arguments"):
        widget.setValues(1)
    with pytest.raises(ValueError, match="kwargs"):
        widget.setValues(low=1, high=2)
    with pytest.raises(NotImplementedError, match="does not have it yet"):
        widget.reset()
    with pytest.raises(TypeError, match="has no invented"):
        declared("ctk.ctkRangeWidget")(type("ctkRangeWidget", (qt.QWidget,), {"invented": lambda self: None}))
    with pytest.raises(KeyError):
        declared("ctk.ctkNoSuchWidget")(type("ctkNoSuchWidget", (qt.QWidget,), {}))


def test_types_and_inheritance_are_those_of_cpp(Sliders, qt):
    widget = Sliders()
    assert type(widget) is Sliders
    assert isinstance(widget, Sliders)
    assert not isinstance(widget, qt.QWidget)
    assert widget.inherits("QWidget")
    assert widget.inherits("ctkRangeWidget")
    assert not widget.inherits("ctkSliderWidget")
    box = qt.QWidget()
    layout = qt.QVBoxLayout(box)
    layout.addWidget(widget)
    assert box.findChild("ctkRangeWidget") is widget
    assert box.findChild(Sliders) is widget
    assert layout.sizeHint().width() >= 200  # Qt asks the method written in Python


def test_a_python_class_derived_from_a_stand_in_may_have_attributes(Sliders):
    class Derived(Sliders):
        def __init__(self):
            super().__init__()
            self.mine = 1

    widget = Derived()
    widget.suffix = "cm"
    widget.other = 2
    assert (widget.mine, widget.other, widget.suffix) == (1, 2, "cm")
    assert isinstance(widget, Sliders)
    assert widget.className() == "ctkRangeWidget"


def test_signals_of_the_registry_behave_as_those_of_qt(Sliders, installed_host):
    widget, got = Sliders(), []

    def broken(value):
        raise RuntimeError("broken")

    widget.connect("minimumValueChanged(double)", broken)
    widget.connect("minimumValueChanged(double)", lambda: got.append("none"))
    widget.connect("minimumValueChanged(double)", got.append)
    widget.minimumValue = 1
    assert got == ["none", 1.0]
    assert [str(error) for error in installed_host.errors] == ["broken"]
    installed_host.errors.clear()
    assert widget.disconnect("minimumValueChanged(double)", broken)
    widget.blockSignals(True)
    widget.minimumValue = 2
    widget.blockSignals(False)
    assert got == ["none", 1.0]
    assert widget.disconnect("minimumValueChanged(double)")
    widget.minimumValue = 3
    assert got == ["none", 1.0]


def test_dynamic_properties_of_a_loader_are_adopted(Sliders, qt):
    from PySide6 import QtCore

    widget = Sliders()
    QtCore.QObject.setProperty(widget, "decimals", 5)  # as QUiLoader does it in C++
    QtCore.QObject.setProperty(widget, "SlicerParameterName", "range")
    adopt_dynamic_properties(widget)
    assert widget.decimals == 5
    assert [name.data() for name in widget.dynamicPropertyNames()] == [b"SlicerParameterName"]


def test_no_panel_reaches_into_a_stand_in():
    """Names that begin with `_in_` may be set freely here and do not exist in Slicer."""
    panels = Path(__file__).resolve().parents[3] / "SAMPromptTools"
    files = [path for path in panels.rglob("*.py") if "samprompt" not in path.relative_to(panels).parts]
    assert len(files) > 10
    assert not [str(path) for path in files if re.search(r"\._in_\w", path.read_text(encoding="utf-8"))]
