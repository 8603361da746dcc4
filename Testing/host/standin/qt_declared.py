"""How a stand-in widget written in Python declares what its C++ original has.

    from standin.qt_declared import declared, emit

    @declared("slicer.qMRMLNodeComboBox")          # properties, signals, slots, other names: from slicer_api.json
    class qMRMLNodeComboBox(qt.QWidget):           # a mannered class of the qt module, or another declared class
        def __init__(self, parent=None):
            super().__init__(parent)
            self._in_scene = None                  # inside names begin with `_in_`: only those may be set freely

        def setCurrentNode(self, node):            # a slot or an invokable: must be in the json, else TypeError at once
            ...
            emit(self, "currentNodeChanged(vtkMRMLNode*)", node)
            emit(self, "currentNodeChanged(bool)", node is not None)

        def currentNode(self): ...                 # same

        def _in_get_currentNodeID(self): ...       # reading a property: without it the stored value (or the default)
        def _in_set_currentNodeID(self, value): ...  # writing a property (value already checked and converted)
        def _in_changed_noneEnabled(self, value): ...  # after a stored property was written with another value

What the decorator does
- every property of the json (own and inherited from the json entries between this class and the qt base) is an
  attribute: stored and typed unless `_in_get_`/`_in_set_` are there; "read only" ones refuse writing; a wrong type
  raises PythonQt's AttributeError. `widget.property("x")` and `setProperty("x", v)` reach them as well; a loader
  written in C++ (QUiLoader) leaves dynamic properties instead: `adopt_dynamic_properties(widget)` takes them over.
  Defaults: `_in_defaults = {"decimals": 2}` in the class, else by type.
- every slot `setX(type)` of a property `x` that the class does not define sets the property; every other slot or
  invokable of the json that the class does not define raises NotImplementedError when called (never a silent pass).
- `store(widget, "x", value)` sets the stored value of a read-only property from the inside.
- a property that the *qt base* already has (`text`, `checked`, `value` of a QSpinBox...) stays the base's own unless
  `_in_get_`/`_in_set_` redefine it.
- signals of the json: `w.connect("sig(args)", f)`, `w.sig.connect(f)`, `disconnect`; emitted with `emit(w, sig, *args)`
  (arguments of any type, MRML nodes included; slots get as many as they declare; an exception in a slot is printed and
  does not stop the others; blockSignals is heeded). A signal of the qt base
  (`toggled(bool)`) stays the base's own and is emitted by Qt.
- a public method that the json does not know is a TypeError when the class is made. Qt's virtual methods
  (`sizeHint`, `paintEvent`, ...) may be defined.
- outside code that sets or reads any other name gets PythonQt's AttributeError.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from PySide6 import QtCore, QtGui

from standin.api import argumentTypes
from standin.qt_calls import Slot, refuse_keywords
from standin.qt_convert import Mismatch, for_property, manner
from standin.qt_manners import Manners
from standin.qt_names import Names, names_of
from standin.qt_older import OLDER_SIGNALS
from standin.qt_properties import refused
from standin.qt_raw_classes import raw_class_named
from standin.qt_registry import from_pyside, names_for, qt_has_property, qt_has_signal, raw_class, register
from standin.qt_signals import emit

QObject = QtCore.QObject


def declared(full_name: str, names: Names | None = None) -> Callable[[type], type]:
    """Class decorator, see the module's page. `full_name`: "ctk.ctkSliderWidget", "slicer.qMRMLNodeComboBox".

    `names` stands in for slicer_api.json where it does not list the class. KeyError when neither knows it, TypeError
    for a public method that the original does not have.
    """
    name = full_name.rpartition(".")[2]
    known = names or names_of(name)
    if known is None:
        raise KeyError(f"slicer_api.json has no class {full_name}")

    def declare(cls: type) -> type:
        raw = next(one for one in cls.__mro__ if from_pyside(one))
        for own, value in vars(cls).items():
            if not own.startswith("_") and known.kind(own) is None and not hasattr(raw, own):
                raise TypeError(f"{full_name} has no {own}: inside names of a stand-in begin with _in_ ({value!r})")
        cls._in_declared_properties = {
            own: detail
            for own, detail in known.properties.items()
            if _redefined(cls, own) or not qt_has_property(raw, own)
        }
        cls._in_declared_signals = frozenset(
            one
            for one in known.all_signals()
            if not qt_has_signal(raw, one) and not any((base, one) in OLDER_SIGNALS for base in raw.__mro__)
        )
        register(cls, known, raw)
        return cls

    return declare


def _redefined(cls: type, name: str) -> bool:
    return any(
        f"_in_{what}_{name}" in vars(one) for one in cls.__mro__ if issubclass(one, Manners) for what in ("get", "set")
    )


def store(widget: Any, name: str, value: Any) -> None:
    """Set the stored value of a declared property, a read-only one as well; nobody is told."""
    values = widget.__dict__.setdefault("_in_values", {})
    values[name] = value


def adopt_dynamic_properties(widget: Any) -> None:
    """Take over what QUiLoader could only set as dynamic properties on a widget that declares them."""
    for raw_name in QObject.dynamicPropertyNames(widget):
        name = bytes(raw_name.data()).decode()
        if name in getattr(type(widget), "_in_declared_properties", {}):
            value = QObject.property(widget, name)
            QObject.setProperty(widget, name, None)
            write(widget, name, value)


def read(widget: Any, name: str) -> Any:
    """A declared property's value; NotImplemented when the class does not declare it."""
    cls = type(widget)
    if name not in cls._in_declared_properties:
        return NotImplemented
    getter = getattr(cls, f"_in_get_{name}", None)
    if getter is not None:
        return manner(getter(widget))
    if qt_has_property(raw_class(widget), name):
        return manner(QObject.property(widget, name))
    return manner(_stored(widget, name))


def _stored(widget: Any, name: str) -> Any:
    values = widget.__dict__.setdefault("_in_values", {})
    if name not in values:
        values[name] = _default(type(widget), name)
    return values[name]


def _default(cls: type, name: str) -> Any:
    for one in cls.__mro__:
        if name in vars(one).get("_in_defaults", {}):
            return vars(one)["_in_defaults"][name]
    type_name = cls._in_declared_properties[name][0]
    simple = {"bool": False, "int": 0, "uint": 0, "double": 0.0, "float": 0.0, "QString": "", "QStringList": ()}
    if type_name in simple:
        return simple[type_name]
    if type_name.endswith("*") or type_name in ("QVariant",):
        return None
    raw = raw_class_named(type_name)
    if raw in (QtGui.QColor, QtGui.QIcon, QtGui.QPixmap, QtGui.QFont, QtCore.QSize, QtCore.QPoint, QtCore.QRect):
        return raw()
    return 0 if raw is None or "::" in type_name else None


def write(widget: Any, name: str, value: Any, force: bool = False) -> Any:
    """Set a declared property, PythonQt's errors included; NotImplemented when the class does not declare it.

    `force` writes a read-only property (its C++ setter does so).
    """
    cls = type(widget)
    if name not in cls._in_declared_properties:
        return NotImplemented
    type_name, read_only = cls._in_declared_properties[name]
    if read_only and not force:
        raise AttributeError(f"Property '{name}' of {cls.__name__} object is not writable")
    try:
        converted = for_property(type_name, value, raw_class_named)
    except Mismatch:
        raise refused(name, type_name, value) from None
    setter = getattr(cls, f"_in_set_{name}", None)
    if setter is not None:
        setter(widget, manner(converted))
        return True
    if qt_has_property(raw_class(widget), name):
        return QObject.setProperty(widget, name, converted)
    before = _stored(widget, name)
    stored = tuple(converted) if isinstance(converted, list) else converted
    store(widget, name, stored)
    changed = getattr(cls, f"_in_changed_{name}", None)
    if changed is not None and before != stored:
        changed(widget, stored)
    return True


def method(widget: Any, name: str, ordinary: Callable[[str], Any]) -> Any:
    """A slot or native method of a declared class; NotImplemented where the qt base has it."""
    names = names_for(widget)
    if any(name in vars(one) for one in type(widget).__mro__ if _written_in_python(one)):
        found = ordinary(name)
        if hasattr(raw_class(widget), name):
            # Perhaps it is Qt that asks for a method to call in place of its own: it must see a method of Python.
            return found
        return Slot(name, widget, _counted(found, names.slots.get(name, []))) if callable(found) else found
    if hasattr(raw_class(widget), name):
        return NotImplemented
    wanted = name[3:4].lower() + name[4:] if name.startswith("set") else ""
    if wanted in type(widget)._in_declared_properties:
        return Slot(name, widget, lambda value: _set_by_slot(widget, name, wanted, value))
    raise NotImplementedError(f"{type(widget).__name__}.{name} exists in Slicer; the stand-in does not have it yet")


def _written_in_python(cls: type) -> bool:
    return "_in_made_by_standin" not in vars(cls) and not from_pyside(cls) and cls.__module__ != "builtins"


def _set_by_slot(widget: Any, slot: str, name: str, value: Any) -> None:
    try:
        write(widget, name, value, force=True)
    except AttributeError as error:
        raise ValueError(f"Called {slot} with wrong arguments: ({value!r},)") from error


def _counted(function: Any, signatures: list[str]) -> Any:
    """The method, refusing any other number of arguments than its C++ signatures have; no keywords."""
    if not signatures:
        return function
    counts = {len(argumentTypes(one)) for one in signatures}

    def run(*arguments: Any, **keywords: Any) -> Any:
        refuse_keywords(signatures[0], keywords)
        if len(arguments) not in counts:
            raise ValueError(f"Called {signatures[0]} with wrong number of arguments: {arguments!r}")
        return manner(function(*arguments))

    plain = getattr(function, "__func__", None)
    if isinstance(plain, FunctionType):
        run._in_counts = counts
    return run


__all__ = ["adopt_dynamic_properties", "declared", "emit", "store"]
