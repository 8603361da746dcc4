"""What crosses the border between Python and Qt: results get PythonQt's manners, arguments PySide6's types."""

from __future__ import annotations

import ctypes
import enum
import math
from collections.abc import Callable
from typing import Any

import shiboken6

from standin.qt_enums import to_int, to_member

_increase, _decrease = ctypes.pythonapi.Py_IncRef, ctypes.pythonapi.Py_DecRef
for _function in (_increase, _decrease):
    _function.argtypes, _function.restype = [ctypes.py_object], None

_PLAIN = (type(None), bool, int, float, str, bytes)

# Set by qt_classes: mannered class of values that are copied (QColor, QSize...) -> raw PySide6 class, else None.
variant_class: Callable[[type], type | None] = lambda kind: None  # noqa: E731
# Set by qt_classes: raw PySide6 class -> mannered class, or None where the stand-in exports none.
mannered_class: Callable[[type], type | None] = lambda raw: None  # noqa: E731


def manner(value: Any) -> Any:
    """A result of PySide6 as PythonQt would hand it over.

    Objects and values of Qt become instances of the mannered class (the same Python object: only its class changes),
    lists become tuples, enum members become ints.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, enum.Enum):
        return to_int(value)
    if kind in (list, tuple):
        return tuple(manner(one) for one in value)
    if kind is dict:
        return {key: manner(one) for key, one in value.items()}
    if isinstance(value, shiboken6.Object):
        target = mannered_class(kind)
        if target is not None and target is not kind:
            # Identity, ownership and everything that C++ knows about the object stay as they are. An object of
            # PySide6 holds its class twice, Python moves one of the two references only: move the other as well.
            value.__class__ = target
            _increase(target)
            _decrease(kind)
    return value


def unmanner(value: Any) -> Any:
    """An argument as PySide6 wants it: enum ints become members, tuples of them as well."""
    if isinstance(value, int):
        return to_member(value)
    if type(value) in (tuple, list):
        return [unmanner(one) for one in value]
    return value


def for_variant(value: Any) -> Any:
    """The value as Qt can put it into a QVariant: PySide6 takes its own classes for that, no derived ones.

    A mannered QColor, QSize, QIcon... is copied into PySide6's own class; objects and everything else stay.
    """
    if type(value) in (tuple, list):
        return [for_variant(one) for one in value]
    if isinstance(value, int):
        return value if type(value) is bool else int(value)
    raw = variant_class(type(value))
    return value if raw is None else raw.__copy__(value)


def alive(instance: Any) -> bool:
    """Whether the C++ object behind a Python object still exists.

    `shiboken6.isValid` says no to objects that Qt made itself once their class is a derived one: it takes them for
    objects whose `__init__` was not called. What it knows about the C++ object is only in its dump.
    """
    if shiboken6.isValid(instance):
        return True
    if shiboken6.createdByPython(instance):
        return False
    return "validCppObject.... 1" in shiboken6.dump(instance)


class Mismatch(Exception):
    """A value that PythonQt does not accept for a property of that type."""


def for_property(type_name: str, value: Any, raw_class_named: Callable[[str], type | None]) -> Any:
    """The value as a property of the C++ type takes it; raises Mismatch where PythonQt refuses.

    The rules are those of PythonQtConv::PyObjToQVariant: numbers convert into each other (a float to an int by its
    floor), anything has a text, a text is a sequence of letters for a QStringList, the rest must be of the class.
    """
    if type_name in ("int", "uint", "qlonglong", "qulonglong", "short", "long"):
        return _integer(value)
    if type_name == "bool":
        if isinstance(value, (bool, int, float)):
            return bool(value)
        raise Mismatch
    if type_name in ("double", "float", "qreal"):
        if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
            if hasattr(value, "__index__"):
                return float(value.__index__())
            raise Mismatch
        return float(value)
    if type_name == "QString":
        return value if isinstance(value, str) else str(value)
    if type_name == "QStringList":
        if isinstance(value, (str, tuple, list)):
            return [one if isinstance(one, str) else str(one) for one in value]
        raise Mismatch
    if type_name in ("QVariant", "QVariantList", "QVariantMap"):
        return list(value) if isinstance(value, tuple) else value
    return _of_class(type_name, value, raw_class_named)


def _integer(value: Any) -> int:
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return math.floor(value)
    if hasattr(value, "__index__") and not isinstance(value, (str, bytes)):
        return int(value.__index__())
    raise Mismatch


# What PythonQt converts by itself: handlePythonToQtAutoConversion.
_FROM = {
    "QBrush": ("QColor",),
    "QPen": ("QColor",),
    "QKeySequence": ("str",),
    "QCursor": ("CursorShape",),
    "QColor": ("GlobalColor",),
}


def _of_class(type_name: str, value: Any, raw_class_named: Callable[[str], type | None]) -> Any:
    pointer = type_name.endswith("*")
    raw = raw_class_named(type_name.rstrip("*"))
    if raw is not None and not issubclass(raw, enum.Enum):
        if pointer and value is None:
            return None
        if isinstance(value, raw):
            return value
        accepted = _FROM.get(type_name, ())
        if type(value).__name__ in accepted:
            return raw(unmanner(value))
        raise Mismatch
    if pointer:
        return value
    # An enum or flags: PythonQt takes an int or the text of its keys.
    if isinstance(value, (int, str)):
        return int(value) if isinstance(value, int) else value
    raise Mismatch
