"""Objects of the application that are not widgets: they answer to what the real class has, and refuse everything else.

PythonQt lists Qt objects by their C++ class. A stand-in derives from `CppObject`, names that class in `_in_class`, and
writes the methods it supports. What the real class has besides raises NotImplementedError (so that a panel which begins
to use it is noticed), what it does not have raises the AttributeError that PythonQt raises.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from standin import api
from standin.qt_signals import deliver


class CppObject:
    """A QObject as Python meets it.

    Class attributes of a subclass: `_in_class` the C++ name; `_in_members` names of the real class that the facts file
    does not list (their source is in assumptions_application.md); `_in_signals` its signals where the file lacks them;
    `_in_writable` the properties that may be assigned. Names that begin with `_in_` belong to the stand-in.
    """

    _in_class = "QObject"
    _in_members: frozenset[str] = frozenset()
    _in_signals: tuple[str, ...] = ()
    _in_writable: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._in_slots: dict[str, list[Callable]] = {name: [] for name in self._in_signatures()}
        self._in_blocked = False

    @classmethod
    def _in_signatures(cls) -> tuple[str, ...]:
        """Normalized signatures of all signals."""
        known = api.loadApi()
        listed = known.signals(cls._in_class) if cls._in_class in known else frozenset()
        return (*cls._in_signals, *sorted(listed), "destroyed(QObject*)", "destroyed()", "objectNameChanged(QString)")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if any(api.bareName(signature) == name for signature in self._in_signatures()):
            return BoundSignal(self, name)
        known = api.loadApi()
        real = self._in_class in known and name in known.members(self._in_class)
        if real or name in self._in_members:
            raise NotImplementedError(f"{self._in_class}.{name} exists in Slicer; the stand-in does not have it yet")
        raise AttributeError(f"{self._in_class} has no attribute named '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_in_") and name not in self._in_writable:
            raise AttributeError(
                f"'{name}' does not exist on {self._in_class} and creating new attributes on C++ objects is not allowed"
            )
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"{self._in_class} ({self._in_class})"

    def className(self) -> str:
        """Name of the C++ class."""
        return self._in_class

    def inherits(self, name: str) -> bool:
        """Whether the C++ class derives from that one."""
        known = api.loadApi()
        return name in ("QObject", self._in_class) or (self._in_class in known and known.inherits(self._in_class, name))

    def blockSignals(self, block: bool) -> bool:
        """Hold signals back; answers whether they were held back before."""
        before, self._in_blocked = self._in_blocked, bool(block)
        return before

    def connect(self, signature: str, slot: Callable) -> bool:
        """As PythonQt: a signature that does not exist prints a line and answers False, and raises nothing."""
        wanted = api.normalized(signature if "(" in signature else signature + "()")
        if wanted not in self._in_slots:
            print(
                f"PythonQt: QObject::connect() signal '{signature}' does not exist on {self._in_class}", file=sys.stderr
            )
            return False
        if not callable(slot):
            return False
        self._in_slots[wanted].append(slot)
        return True

    def disconnect(self, signature: str, slot: Callable | None = None) -> bool:
        """Undo `connect`; without a slot, all of that signal. False when there was nothing to undo."""
        wanted = api.normalized(signature if "(" in signature else signature + "()")
        held = self._in_slots.get(wanted, [])
        gone = [one for one in held if slot is None or one == slot]
        for one in gone:
            held.remove(one)
        return bool(gone)

    def _in_emit(self, signature: str, *values: Any) -> None:
        """Call the slots; an exception in one is printed and kept, as for every signal, and stops no other."""
        if self._in_blocked:
            return
        for slot in list(self._in_slots[signature]):
            if slot in self._in_slots[signature]:
                deliver(slot, values)


class BoundSignal:
    """`object.signal`: what `object.signal.connect(f)` and `object.signal.emit()` go through."""

    def __init__(self, owner: CppObject, name: str) -> None:
        self._owner, self._name = owner, name

    def _signature(self) -> str:
        # A signal with several signatures: PythonQt takes the one with most arguments, as moc lists it first.
        return max(
            (one for one in self._owner._in_signatures() if api.bareName(one) == self._name),
            key=lambda one: len(api.argumentTypes(one)),
        )

    def connect(self, slot: Callable) -> bool:
        return self._owner.connect(self._signature(), slot)

    def disconnect(self, slot: Callable | None = None) -> bool:
        return self._owner.disconnect(self._signature(), slot)

    def __repr__(self) -> str:
        return f"<qt signal {self._name} of {self._owner._in_class} instance>"
