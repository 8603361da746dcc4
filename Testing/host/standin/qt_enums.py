"""Qt's enums as PythonQt shows them: each a subclass of int without members, its values names of the owning class.

`qt.Qt.WaitCursor` is an int of the type `CursorShape`; `qt.Qt.CursorShape.WaitCursor` does not exist; `a | b` is a
plain int. PySide6 wants members of its own enum classes instead: `to_member` and the calls in `qt_calls` translate.
"""

from __future__ import annotations

import enum
from typing import Any

PYTHONQT_MODULES = {"QtWidgets": "QtGui", "QtPrintSupport": "QtGui"}

_types: dict[type[enum.Enum], type[int]] = {}
_raw: dict[type[int], type[enum.Enum]] = {}


def pythonqt_module(module: str) -> str:
    """`PySide6.QtWidgets` -> `PythonQt.QtGui`: PythonQt has the widgets in QtGui."""
    last = module.rpartition(".")[2]
    return f"PythonQt.{PYTHONQT_MODULES.get(last, last)}"


def enum_type(raw: type[enum.Enum]) -> type[int]:
    """The int subclass that stands for PySide6's enum class."""
    if raw not in _types:
        _types[raw] = free_enum_type(raw.__name__, raw.__module__)
        _raw[_types[raw]] = raw
    return _types[raw]


def free_enum_type(name: str, module: str) -> type[int]:
    """An enum type without a counterpart in PySide6 (types of flags, enums that Qt 6 dropped)."""
    return type(name, (int,), {"__slots__": (), "__module__": pythonqt_module(module)})


def to_int(member: enum.Enum) -> int:
    """PySide6's member -> the int of PythonQt's manner."""
    return enum_type(type(member))(member.value)


def to_member(value: int) -> Any:
    """An int of an enum type -> PySide6's member; any other int as it is."""
    raw = _raw.get(type(value))
    if raw is None:
        return value
    try:
        return raw(int(value))
    except ValueError:
        return int(value)


def enums_of(raw_class: type) -> dict[str, type[enum.Enum]]:
    """The enum classes that PySide6 has in a class or its bases, by name."""
    found = {}
    for name in dir(raw_class):
        if not name.startswith("_"):
            candidate = getattr(raw_class, name, None)
            if isinstance(candidate, type) and issubclass(candidate, enum.Enum):
                found[name] = candidate
    return found
