"""Methods whose form in PythonQt is not PySide6's: those of PythonQt's own, and those that take over from PySide6."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import shiboken6
from PySide6 import QtCore

from standin import qt_signals
from standin.qt_convert import for_variant, manner
from standin.qt_registry import cpp_class, from_pyside, is_cpp, is_declared, names_for, raw_class

QObject = QtCore.QObject

# (class of Qt, name) -> (function, whether it is static)
_functions: dict[tuple[type, str], tuple[Any, bool]] = {}


def special(name: str, raw: type = shiboken6.Object, static: bool = False) -> Callable[[Any], Any]:
    """Register a function as the method of that name; it is given the object first unless it is static."""

    def keep(function: Any) -> Any:
        _functions[raw, name] = (function, static)
        return function

    return keep


def find(raw: type, name: str) -> tuple[Any, bool] | None:
    """The function registered for the class or its nearest base."""
    return next((_functions[one, name] for one in raw.__mro__ if (one, name) in _functions), None)


@special("className")
def _class_name(self: Any) -> str:
    return cpp_class(type(self)).__name__


@special("inherits")
def _inherits(self: Any, name: str) -> bool:
    if not is_cpp(type(self)) and from_pyside(type(self)):
        return QObject.inherits(self, name)
    lineage = {one.__name__ for one in type(self).__mro__ if is_cpp(one) or from_pyside(one)}
    return name in lineage or name in names_for(self).lineage


@special("delete")
def _delete(self: Any) -> None:
    shiboken6.delete(self)


@special("help")
def _help(self: Any) -> None:
    print(f"{type(self).__name__}: see slicer_api.json")


@special("connect", QObject)
def _connect(self: Any, *arguments: Any) -> bool:
    if arguments and isinstance(arguments[0], shiboken6.Object):
        # connect(sender, signal, callable) of the class, called through an object
        return qt_signals.connect(*arguments[:4])
    return qt_signals.connect(self, *arguments[:3])


@special("disconnect", QObject)
def _disconnect(self: Any, *arguments: Any) -> bool:
    if arguments and isinstance(arguments[0], shiboken6.Object):
        return qt_signals.disconnect(*arguments[:4])
    return qt_signals.disconnect(self, *arguments[:3])


@special("children", QObject)
def _children(self: Any) -> tuple[Any, ...]:
    return manner(QObject.children(self))


@special("findChild", QObject)
def _find_child(self: Any, kind: Any, name: str = "") -> Any:
    return next(_descendants(self, kind, name), None)


@special("findChildren", QObject)
def _find_children(self: Any, kind: Any, name: str = "") -> tuple[Any, ...]:
    return tuple(_descendants(self, kind, name))


def _descendants(parent: Any, kind: Any, name: str) -> Iterator[Any]:
    """Children of a type (a class of the module or its name) and object name, children of children included."""
    wanted = kind if isinstance(kind, str) else cpp_class(kind).__name__
    for child in QObject.children(parent):
        mannered = manner(child)
        if (not name or QObject.objectName(child) == name) and _inherits(mannered, wanted):
            yield mannered
        yield from _descendants(child, kind, name)


@special("property", QObject)
def _property(self: Any, name: str) -> Any:
    if is_declared(cpp_class(type(self))):
        from standin import qt_declared

        value = qt_declared.read(self, name)
        if value is not NotImplemented:
            return value
    return manner(QObject.property(self, name))


@special("setProperty", QObject)
def _set_property(self: Any, name: str, value: Any) -> bool:
    if is_declared(cpp_class(type(self))):
        from standin import qt_declared

        done = qt_declared.write(self, name, value)
        if done is not NotImplemented:
            return done
    return QObject.setProperty(self, name, for_variant(value))


@special("metaObject", QObject)
def _meta_object(self: Any) -> Any:
    # That of the class: see qt_registry.qt_has_property.
    return raw_class(self).staticMetaObject
