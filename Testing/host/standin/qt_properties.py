"""Qt's properties as attributes: reading, writing with PythonQt's refusals."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore

from standin.qt_convert import Mismatch, alive, for_property, for_variant, manner
from standin.qt_overrides import asked_by_python
from standin.qt_raw_classes import raw_class_named
from standin.qt_registry import cpp_class, is_declared, qt_has_property, raw_class

QObject = QtCore.QObject

# Properties being read at the moment: (id of the object, name).
_being_read: set[tuple[int, str]] = set()


def value_or_method(self: Any, cpp: type, name: str, ordinary: Any) -> Any:
    """The property's value; PySide6 asking for the virtual method behind it (sizeHint) is told that there is none.

    Reading calls the C++ getter, and a virtual getter makes PySide6 ask for a Python method of that name: the second
    question, which comes while the first is answered, gets PySide6's own method.
    """
    if is_declared(cpp) and name in vars(cpp) and not asked_by_python(depth=5):
        return ordinary(name)  # a stand-in's own method, which Qt is to call
    key = (id(self), name)
    if key in _being_read:
        return ordinary(name)
    _being_read.add(key)
    try:
        if is_declared(cpp):
            from standin import qt_declared

            value = qt_declared.read(self, name)
            if value is not NotImplemented:
                return value
        return read(self, name)
    finally:
        _being_read.discard(key)


def read(self: Any, name: str) -> Any:
    """A property's value. ValueError for a destroyed object, NotImplementedError where Qt 6 dropped the property."""
    if not alive(self):
        raise ValueError(f"Trying to read property '{name}' from a destroyed {cpp_class(type(self)).__name__} object")
    if not qt_has_property(raw_class(self), name):
        raise gone(self, name)
    value = QObject.property(self, name)
    return as_rich_text(value) if name == "toolTip" else manner(value)


def as_rich_text(tip: str) -> str:
    """Slicer shows tool tips as rich text, so that they wrap; what it hands back is wrapped in <p>."""
    return tip if not tip or tip.lstrip().startswith("<") else f"<p>{tip}</p>"


def gone(self: Any, name: str) -> NotImplementedError:
    """The error for a name that Qt 5.15 has and Qt 6 has not: a panel must run with both."""
    return NotImplementedError(
        f"{cpp_class(type(self)).__name__}.{name}: Qt 6, on which the stand-in runs, has no such name"
    )


def write(self: Any, name: str, type_name: str, read_only: bool, value: Any) -> None:
    """Assign a property; AttributeError in PythonQt's words where it refuses."""
    cpp = cpp_class(type(self))
    if is_declared(cpp):
        from standin import qt_declared

        if qt_declared.write(self, name, value) is not NotImplemented:
            return

    if not alive(self):
        raise AttributeError(f"Trying to set property '{name}' on a destroyed {cpp.__name__} object")
    if read_only:
        raise AttributeError(f"Property '{name}' of {type(self).__name__} object is not writable")
    if not qt_has_property(raw_class(self), name):
        raise gone(self, name)
    try:
        if not QObject.setProperty(self, name, for_variant(for_property(type_name, value, raw_class_named))):
            raise Mismatch
    except Mismatch:
        raise refused(name, type_name, value) from None


def refused(name: str, type_name: str, value: Any) -> AttributeError:
    """PythonQt's error for a value of the wrong type."""
    return AttributeError(
        f"Property '{name}' of type '{type_name}' does not accept an object of type {type(value).__name__} ({value!r})"
    )
