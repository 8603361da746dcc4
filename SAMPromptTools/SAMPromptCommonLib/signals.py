"""A small signal for plain Python: deriving from Qt's own crashes inside Slicer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

Slot = Callable[..., Any]


class Signal:
    """Tells whoever connected; in the order of connecting, on the thread that emits.

    A slot that raises is logged with its traceback and does not keep the others from being told: one broken table must
    not stop a run. Connecting and disconnecting while it emits is allowed; a slot that was disconnected meanwhile is
    no longer called.

    >>> told = []
    >>> changed = Signal("str")
    >>> changed.connect(told.append)
    >>> changed.emit("busy")
    >>> told
    ['busy']
    """

    def __init__(self, arguments: str = "") -> None:
        self.arguments = arguments  # what is emitted, in words: for a reader and for repr()
        self._slots: list[Slot] = []

    def __repr__(self) -> str:
        return f"Signal({self.arguments!r}, {len(self._slots)} connected)"

    def connect(self, slot: Slot) -> None:
        """Call ``slot`` with everything that is emitted from now on; connecting the same slot twice calls it once."""
        if not callable(slot):
            raise TypeError(f"A signal is connected to something that can be called, not to {slot!r}.")
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Slot | None = None) -> bool:
        """Forget ``slot`` (None: all of them); whether there was something to forget."""
        if slot is None:
            had = bool(self._slots)
            self._slots.clear()
            return had
        if slot not in self._slots:
            return False
        self._slots.remove(slot)
        return True

    def emit(self, *arguments: Any) -> None:
        """Call every connected slot with ``arguments``."""
        for slot in tuple(self._slots):
            if slot not in self._slots:
                continue
            try:
                slot(*arguments)
            except Exception:
                logging.getLogger(__name__).exception("%r failed in a slot", self)
