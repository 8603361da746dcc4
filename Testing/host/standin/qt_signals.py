"""Signals in PythonQt's manner: connect by signature or by attribute, arguments trimmed, errors printed and kept.

Connections hold their callable strongly until the sender is destroyed, as PythonQt's receivers do. Signals that Qt
itself emits run through Qt; those of widgets written in Python (`qt_declared`) through the registry below, because
PySide6 cannot carry MRML types.
"""

from __future__ import annotations

import sys
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import shiboken6
from PySide6 import QtCore

from standin.api import argumentTypes
from standin.qt_calls import Slot
from standin.qt_convert import alive, manner, unmanner
from standin.qt_names import RENAMED
from standin.qt_older import OLDER_SIGNALS
from standin.qt_registry import qt_has_signal, raw_class, signals_of

# Exceptions that slots and overridden Qt methods raised: PythonQt prints them and goes on, tests must not miss them.
errors: list[BaseException] = []


@dataclass
class Connection:
    """One connection; `handle` is Qt's own, None for a signal of the registry."""

    signature: str
    callable: Any
    handle: Any = None


_connections: dict[int, list[Connection]] = {}


def report(error: BaseException) -> None:
    """Print an exception as PythonQt does and keep it in `errors`."""
    errors.append(error)
    traceback.print_exception(error, file=sys.stderr)


def declared_count(target: Any) -> int | None:
    """How many arguments a slot is given at most: None for all of them.

    Only plain functions and bound methods without *args are trimmed; a partial, a class, an object with `__call__` and
    a method of Qt get every argument.
    """
    if isinstance(target, Slot):
        counts = getattr(target._function, "_in_counts", None)
        return max(counts) if counts else None
    function, bound = (target.__func__, 1) if isinstance(target, MethodType) else (target, 0)
    if not isinstance(function, FunctionType):
        return None
    code = getattr(function, "_in_wrapped", function).__code__
    return None if code.co_flags & 0x04 else code.co_argcount - bound


def deliver(target: Any, arguments: tuple[Any, ...]) -> None:
    """Call a slot with as many of the arguments as it declares; an exception is printed and kept, never passed on."""
    try:
        count = declared_count(target)
        target(*(arguments if count is None else arguments[:count]))
    except Exception as error:
        report(error)


class BoundSignal:
    """`widget.clicked`: `connect`, `disconnect`, and emitting by calling it or by `emit`."""

    __slots__ = ("_name", "_owner", "_signatures")

    def __init__(self, owner: Any, name: str, signatures: list[str]) -> None:
        self._owner = owner
        self._name = name
        self._signatures = signatures

    def connect(self, target: Any) -> bool:
        """Connect the first overload."""
        return connect(self._owner, self._signatures[0], target)

    def disconnect(self, target: Any = None) -> bool:
        """Disconnect one callable, or all without one; False when it was not connected."""
        return disconnect(self._owner, self._signatures[0], target)

    def emit(self, *arguments: Any) -> None:
        """Emit the overload with that many arguments."""
        for signature in self._signatures:
            if len(argumentTypes(signature)) == len(arguments):
                emit(self._owner, signature, *arguments)
                return
        raise ValueError(f"Called {self._signatures[0]} with wrong number of arguments: {arguments!r}")

    __call__ = emit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundSignal) and (self._owner, self._name) == (other._owner, other._name)

    def __hash__(self) -> int:
        return hash((id(self._owner), self._name))

    def __repr__(self) -> str:
        return f"<qt signal {self._name} of {type(self._owner).__name__} instance at {hex(id(self._owner))}>"


class Signal:
    """`qt.Signal`. In the real application a class derived from it, or one of its objects, crashed: refused here."""

    __module__ = "QtCore"

    def __init_subclass__(cls, **keywords: Any) -> None:
        raise TypeError("Deriving from qt.Signal crashes the real application: use plain callbacks.")

    def __init__(self, *types: Any) -> None:
        raise TypeError("An object of qt.Signal crashes the real application: use plain callbacks.")


def normalized(signature: str) -> str:
    """The signature as Qt spells it; a leading "2" (SIGNAL in C++) is dropped."""
    text = signature[1:] if signature[:1] == "2" else signature
    return bytes(QtCore.QMetaObject.normalizedSignature(text).data()).decode()


def connect(sender: Any, signature: Any, target: Any, *more: Any) -> bool:
    """`sender.connect(signature, callable)` or `(signature, receiver, "slot(int)")`; False for what does not exist."""
    signature = _text(signature)
    wanted = normalized(signature)
    if more:
        target = _slot_of(target, _text(more[0]))
        if target is None:
            return False
    if not callable(target):
        raise ValueError(f"connect() needs something that can be called, not {target!r}")
    if wanted not in signals_of(sender):
        print(f"signal '{signature}' does not exist", file=sys.stderr)
        return False
    if isinstance(target, BoundSignal):
        target = _forward(target)
    kept = _list_of(sender)
    if is_declared(sender, wanted):
        kept.append(Connection(wanted, target))
        return True
    handle = _connect_native(sender, wanted, target)
    if handle is None:
        raise NotImplementedError(
            f"{type(sender).__name__}.{wanted}: Qt 6, on which the stand-in runs, has no such signal"
        )
    kept.append(Connection(wanted, target, handle))
    return True


def disconnect(sender: Any, signature: Any, target: Any = None, *more: Any) -> bool:
    """Undo `connect`: one connection of that callable, or all of the signal without one."""
    wanted = normalized(_text(signature))
    if more:
        target = _slot_of(target, _text(more[0]))
    kept = _connections.get(_address(sender), [])
    found = [one for one in kept if one.signature == wanted and (target is None or one.callable == target)]
    for one in found if target is None else found[:1]:
        kept.remove(one)
        if one.handle is not None:
            QtCore.QObject.disconnect(one.handle)
    return bool(found)


def emit(sender: Any, signature: str, *arguments: Any) -> None:
    """Emit a signal: through the registry when the sender's class declares it in Python, else through Qt.

    ValueError when the class has no such signal or the number of arguments is not that of the signature.
    """
    wanted = normalized(signature)
    if wanted not in signals_of(sender):
        raise ValueError(f"{type(sender).__name__} has no signal {wanted}")
    if len(arguments) != len(argumentTypes(wanted)):
        raise ValueError(f"{wanted} was emitted with {len(arguments)} arguments")
    if not is_declared(sender, wanted):
        QtCore.QObject.emit(sender, "2" + wanted, *(unmanner(one) for one in arguments))
        return
    if QtCore.QObject.signalsBlocked(sender):
        return
    passed = tuple(manner(one) for one in arguments)
    for one in list(_connections.get(_address(sender), ())):
        if one.signature != wanted or one.handle is not None:
            continue
        if not alive(sender):
            return
        if one in _connections.get(_address(sender), ()):
            deliver(one.callable, passed)


def is_declared(sender: Any, signature: str) -> bool:
    """Whether a Python class declares the signal, so that it runs through the registry."""
    return signature in getattr(type(sender), "_in_declared_signals", ())


def connections_of(sender: Any) -> list[Connection]:
    """What is connected to a sender just now, for tests that look for leaks."""
    return list(_connections.get(_address(sender), ()))


def _text(signature: Any) -> str:
    if isinstance(signature, QtCore.QByteArray):
        signature = signature.data()
    return signature.decode() if isinstance(signature, bytes) else signature


def _address(sender: Any) -> int:
    pointers = shiboken6.getCppPointer(sender)
    return pointers[0]


def _list_of(sender: Any) -> list[Connection]:
    address = _address(sender)
    if address not in _connections:
        _connections[address] = []
        QtCore.QObject.connect(sender, "2destroyed()", lambda *_: _connections.pop(address, None))
    return _connections[address]


def _connect_native(sender: Any, wanted: str, target: Any) -> Any:
    """Connect through Qt; None when Qt 6 has no such signal and no way round it is known."""
    adapt: Callable[..., tuple[Any, ...]] | None = None
    # Qt 6 spells the same type QList.
    wanted = wanted.replace("QVector<", "QList<")
    if not qt_has_signal(raw_class(sender), wanted):
        for raw in type(sender).__mro__:
            if (raw, wanted) in OLDER_SIGNALS:
                wanted, adapt = OLDER_SIGNALS[raw, wanted]
                break
        else:
            return None

    def trampoline(*arguments: Any) -> None:
        if not alive(QtCore.QCoreApplication.instance()):
            return
        passed = tuple(manner(one) for one in arguments)
        deliver(target, passed if adapt is None else adapt(sender_of(), *passed))

    # A strong reference to the sender would keep it alive through its own connection.
    sender_of = weakref.ref(sender)
    return QtCore.QObject.connect(sender, "2" + wanted, trampoline) or None


def _slot_of(receiver: Any, signature: str) -> Any:
    """The receiver's slot, trimmed to the arguments of the signature; None (and a message) when there is none."""
    text = normalized(signature.lstrip("12"))
    name = text.partition("(")[0]
    count = len(argumentTypes(text))
    slot = getattr(receiver, RENAMED.get(name, name), None)
    if isinstance(slot, BoundSignal):
        return _forward(slot)
    if not callable(slot):
        print(f"slot '{signature}' does not exist", file=sys.stderr)
        return None
    return _Receiver(slot, count)


class _Receiver:
    """A slot of a receiver connected by its signature; two of the same slot are equal, so disconnecting finds them."""

    def __init__(self, slot: Any, count: int) -> None:
        self._key = (slot, count)

    def __call__(self, *arguments: Any) -> None:
        slot, count = self._key
        owner = getattr(slot, "__self__", None)
        # Qt drops a connection whose receiver was destroyed.
        if isinstance(owner, shiboken6.Object) and not alive(owner):
            return
        slot(*arguments[:count])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Receiver) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _forward(signal: BoundSignal) -> Any:
    return _Receiver(signal, len(argumentTypes(signal._signatures[0])))
