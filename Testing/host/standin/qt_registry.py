"""Which Python class stands for which class of C++, and what names its objects have."""

from __future__ import annotations

import functools
from types import GetSetDescriptorType
from typing import Any

import shiboken6
from PySide6 import QtCore

from standin.qt_names import Names

_names: dict[type, Names] = {}
_raw: dict[type, type] = {}


def register(cls: type, names: Names, raw: type) -> None:
    """Make a class known as one of C++: its objects have these names and no others. `raw` is PySide6's class."""
    _names[cls] = names
    _raw[cls] = raw
    # A class may have been looked at while it was being made.
    cpp_class.cache_clear()
    derived_in_python.cache_clear()


def is_cpp(cls: type) -> bool:
    """Whether the class stands for one of C++, as against one that a user derived in Python."""
    return cls in _names


@functools.cache
def cpp_class(cls: type) -> type:
    """The nearest class in the lineage that stands for one of C++."""
    for one in cls.__mro__:
        if one in _names:
            return one
    raise TypeError(f"{cls.__name__} has no class of Qt among its bases")


def names_of_class(cpp: type) -> Names:
    """The names that objects of a class of C++ have."""
    return _names[cpp]


def names_for(instance: Any) -> Names:
    """The names that an object has."""
    return _names[cpp_class(type(instance))]


def raw_of_class(cpp: type) -> type:
    """PySide6's own class of a class of C++."""
    return _raw[cpp]


def raw_class(instance: Any) -> type:
    """PySide6's own class of an object."""
    return _raw[cpp_class(type(instance))]


def is_declared(cpp: type) -> bool:
    """Whether a class of C++ is stood in for by one written in Python (qt_declared)."""
    return "_in_declared_properties" in vars(cpp)


def from_pyside(cls: type) -> bool:
    """Whether the class is PySide6's own."""
    return cls.__module__.startswith("PySide6.")


@functools.cache
def derived_in_python(cls: type, name: str) -> bool:
    """Whether a class that a user derived, or a mixin beside it, has that attribute."""
    lineage = cls.__mro__
    own = lineage[: lineage.index(cpp_class(cls))]
    mixed_in = [one for one in lineage if not issubclass(one, shiboken6.Object) and one is not object]
    return any(name in vars(one) for one in own) or any(
        name in vars(one) for one in mixed_in if not vars(one).get("_in_made_by_standin")
    )


@functools.cache
def qt_has_property(raw: type, name: str) -> bool:
    """Whether PySide6's class has that property.

    Asked of the class: an object's own `metaObject()` is tied to the object by PySide6 and goes with it, although it
    is the one of all objects of the class.
    """
    return raw.staticMetaObject.indexOfProperty(name) >= 0


@functools.cache
def qt_has_signal(raw: type, signature: str) -> bool:
    """Whether PySide6's class has that signal."""
    return raw.staticMetaObject.indexOfSignal(signature) >= 0


@functools.cache
def meta_names(raw: type) -> dict[str, tuple[str, Any]]:
    """Properties and signals of Qt's own meta object, for classes that slicer_api.json does not list.

    name -> ("property", (C++ type, read only)) or ("signal", [signatures]).
    """
    meta = getattr(raw, "staticMetaObject", None)
    found: dict[str, tuple[str, Any]] = {}
    if meta is None:
        return found
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal:
            name = bytes(method.name().data()).decode()
            found.setdefault(name, ("signal", []))[1].append(bytes(method.methodSignature().data()).decode())
    for index in range(meta.propertyCount()):
        one = meta.property(index)
        found[one.name()] = ("property", (one.typeName(), not one.isWritable()))
    return found


@functools.cache
def is_field(raw: type, name: str) -> bool:
    """Whether the name is a public variable of a C++ structure (`option.rect` of QStyleOption)."""
    return any(isinstance(vars(one).get(name), GetSetDescriptorType) for one in raw.__mro__ if from_pyside(one))


def member(cpp: type, name: str) -> tuple[str | None, Any]:
    """What an object of the class has under a name: (kind, detail).

    kind: "property" (detail: C++ type, read only), "signal" (detail: signatures), "slot", "native", "field" (a variable
    of a C++ structure) or None.
    """
    names = _names[cpp]
    kind = names.kind(name)
    if names.open_properties and kind in (None, "native"):
        if kind is None and is_field(_raw[cpp], name):
            return "field", None
        return meta_names(_raw[cpp]).get(name, (kind, None))
    if kind == "property":
        return kind, names.properties[name]
    return kind, names.signals.get(name) if kind == "signal" else None


def signals_of(sender: Any) -> set[str]:
    """The signatures that may be connected."""
    names = names_for(sender)
    found = names.all_signals()
    if names.open_properties:
        for kind, detail in meta_names(raw_class(sender)).values():
            if kind == "signal":
                found.update(detail)
    return found
