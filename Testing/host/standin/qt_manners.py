"""PythonQt's manners for PySide6's classes: what an object or class answers when an attribute is asked for or set."""

from __future__ import annotations

import functools
import gc
from types import FunctionType, MethodType
from typing import Any

import shiboken6
from PySide6 import QtCore

from standin import qt_properties, qt_special
from standin.qt_calls import Slot, call, call_raw, refuse_keywords
from standin.qt_convert import alive, manner
from standin.qt_names import PYSIDE_NAMES
from standin.qt_overrides import asked_by_python, called_by_qt
from standin.qt_registry import (
    cpp_class,
    derived_in_python,
    from_pyside,
    is_cpp,
    is_declared,
    member,
    raw_class,
    raw_of_class,
)
from standin.qt_signals import BoundSignal
from standin.qt_special import special

__all__ = ["Manners", "MannersType", "describe", "special"]

QObject = QtCore.QObject

# Virtual methods that PySide6 asks its objects for although Slicer's PythonQt does not show them: it would leave an
# error behind when they were refused.
ASKED_BY_PYSIDE = frozenset(
    (
        "connectNotify", "disconnectNotify", "initStyleOption", "initStyleOptionForIndex", "initViewItemOption",
        "itemDelegateForIndex", "clearItemData", "multiData", "skipData", "doSetSource", "closeEvent", "paintEvent",
        "accessibleRoot", "resolveInterface", "getProcAddress",
    )
)  # fmt: skip


class MannersType(type(QObject)):
    """The type of mannered classes: exact isinstance, no names but the class's own."""

    def __instancecheck__(cls, instance: Any) -> bool:
        """The exact class of C++ and Python classes derived from it: `isinstance(button, qt.QWidget)` is False."""
        kind = type(instance)
        if kind is cls:
            return True
        if not isinstance(kind, MannersType):
            return False
        return cls in kind.__mro__[: kind.__mro__.index(cpp_class(kind)) + 1]

    def __getattribute__(cls, name: str) -> Any:
        if name.startswith("_") or name == "mro" or not any(is_cpp(one) for one in cls.__mro__):
            return super().__getattribute__(name)
        nearest = cpp_class(cls)
        if derived_in_python(cls, name) or name in vars(nearest):
            return super().__getattribute__(name)
        if member(nearest, name)[0] is None:
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        return _class_attribute(cls, raw_of_class(nearest), name)


def _class_attribute(cls: type, raw: type, name: str) -> Any:
    """A static or unbound method, or an unbound signal, of a mannered class."""
    own = qt_special.find(raw, name)
    if own is not None:
        return Slot(name, cls, own[0])
    found = getattr(raw, PYSIDE_NAMES.get(name, name), None)
    if found is None:
        raise NotImplementedError(f"{cls.__name__}.{name}: Qt 6, on which the stand-in runs, has no such name")
    if not callable(found) or isinstance(found, type):
        return found
    if type(found).__name__ == "builtin_function_or_method":
        return Slot(name, cls, functools.partial(call, name, found, found))
    return Slot(name, cls, lambda self, *arguments: call(name, functools.partial(found, self), found, *arguments))


class Manners:
    """Mixed into every exported class before PySide6's own."""

    __slots__ = ()
    _in_made_by_standin = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        """A class that a user derives: Qt calls its overridden methods with mannered arguments."""
        super().__init_subclass__(**keywords)
        if "_in_made_by_standin" in vars(cls):
            return
        raw = next((one for one in cls.__mro__ if from_pyside(one)), None)
        for name, function in list(vars(cls).items()):
            if isinstance(function, FunctionType) and not name.startswith("_") and raw and hasattr(raw, name):
                setattr(cls, name, called_by_qt(function, getattr(raw, name)))

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        raw = raw_class(self)
        refuse_keywords(raw.__name__, keywords)
        call_raw(raw.__name__, functools.partial(raw.__init__, self), raw, *arguments)

    def __getattribute__(self, name: str) -> Any:
        if name[:2] == "__" or name[:4] == "_in_":
            return super().__getattribute__(name)
        # Qt may be asking, in the midst of an event of this very object, and hold no reference to it: were garbage
        # collected now, and with it the last owner of the object, it would be destroyed when this function returns.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._in_answer(name)
        finally:
            if collecting:
                gc.enable()

    def _in_answer(self, name: str) -> Any:
        cls = type(self)
        cpp = cpp_class(cls)
        if cls is not cpp and (name in super().__getattribute__("__dict__") or derived_in_python(cls, name)):
            found = super().__getattribute__(name)
            plain = getattr(getattr(found, "__func__", None), "_in_wrapped", None)
            return MethodType(plain, self) if plain is not None and asked_by_python(depth=3) else found
        return _attribute(self, cpp, name, super().__getattribute__)

    def __setattr__(self, name: str, value: Any) -> None:
        # PySide6 keeps names of its own on an object: __METAOBJECT__ once a signal is connected to a method of it.
        if name[:4] == "_in_" or (name[:2] == "__" and name[-2:] == "__"):
            super().__setattr__(name, value)
            return
        _set_attribute(self, name, value, super().__setattr__)

    def __bool__(self) -> bool:
        return alive(self)

    def __repr__(self) -> str:
        return describe(self)

    __str__ = __repr__


def _attribute(self: Any, cpp: type, name: str, ordinary: Any) -> Any:
    raw = raw_of_class(cpp)
    kind, detail = member(cpp, name)
    if name == "name" and kind is None and issubclass(raw, QObject):
        kind, name = "property", "objectName"  # PythonQt's alias
    own = qt_special.find(raw, name) if kind is not None else None
    if own is not None:
        return Slot(name, self, own[0] if own[1] else functools.partial(own[0], self))
    if kind == "property":
        return qt_properties.value_or_method(self, cpp, name, ordinary)
    if kind == "field":
        return manner(ordinary(name))
    if kind == "signal":
        return BoundSignal(self, name, detail)
    if kind is not None:
        return _method(self, cpp, raw, name, ordinary)
    if name in ASKED_BY_PYSIDE and hasattr(raw, name) and not asked_by_python(depth=4):
        return ordinary(name)
    if issubclass(raw, QObject) and alive(self):
        dynamic = QObject.property(self, name)
        if dynamic is not None:
            return manner(dynamic)
        for child in QObject.children(self):
            if QObject.objectName(child) == name:
                return manner(child)
    raise AttributeError(f"{cpp.__name__} has no attribute named '{name}'")


def _method(self: Any, cpp: type, raw: type, name: str, ordinary: Any) -> Any:
    if is_declared(cpp):
        from standin import qt_declared

        found = qt_declared.method(self, name, ordinary)
        if found is not NotImplemented:
            return found
    if name in vars(cpp):
        return ordinary(name)  # an enum or one of its values
    plain = PYSIDE_NAMES.get(name, name)
    signed = getattr(raw, plain, None)
    if signed is None:
        raise qt_properties.gone(self, name)
    return Slot(name, self, functools.partial(call, name, ordinary(plain), signed))


def _set_attribute(self: Any, name: str, value: Any, ordinary: Any) -> None:
    cls = type(self)
    cpp = cpp_class(cls)
    kind, detail = member(cpp, name)
    is_object = issubclass(raw_of_class(cpp), QObject)
    if kind == "property":
        qt_properties.write(self, name, *detail, value)
    elif name == "name" and kind is None and is_object:
        QObject.setObjectName(self, str(value))
    elif kind == "field":
        ordinary(name, value)
    elif kind is not None:
        what = "Signal" if kind == "signal" else "EnumValue" if isinstance(vars(cpp).get(name), int) else "Slot"
        raise AttributeError(f"{what} '{name}' can not be overwritten on {cls.__name__} object")
    elif is_object and alive(self) and QObject.property(self, name) is not None:
        QObject.setProperty(self, name, value)
    elif cls is not cpp:
        ordinary(name, value)
    else:
        raise AttributeError(
            f"'{name}' does not exist on {cls.__name__} and creating new attributes on C++ objects is not allowed"
        )


def describe(instance: Any) -> str:
    """The text of an object as Slicer's PythonQt writes it."""
    kind = type(instance).__name__
    cpp = cpp_class(type(instance)).__name__
    if isinstance(instance, QtCore.QByteArray):
        return bytes(instance.data()).decode(errors="replace")
    if not alive(instance):
        return f"{kind} ({cpp} at: (nil))"
    address = hex(shiboken6.getCppPointer(instance)[0])
    if not issubclass(raw_class(instance), QObject):
        return f"{kind} (C++ object at: {address})"
    if QObject.isWidgetType(instance):
        return f"{kind} {QObject.objectName(instance)}"
    return f"{kind} ({cpp} at: {address})"
