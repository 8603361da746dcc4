"""Doing things from the event loop instead of from inside a panel's call, and timers that call once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import qt


def timer(action: Callable[[], None]) -> Any:
    """A QTimer that calls ``action`` once after each ``start(milliseconds)``."""
    made = qt.QTimer()
    made.setSingleShot(True)
    made.connect("timeout()", action)
    return made


def milliseconds(seconds: float) -> int:
    """Seconds as a QTimer wants them."""
    return max(0, int(seconds * 1000))


class Soon:
    """A queue of actions; each is done when the event loop comes round, in the order of asking."""

    def __init__(self) -> None:
        self._actions: deque[Callable[[], None]] = deque()
        self._timer = timer(self.now)

    def do(self, action: Callable[[], None]) -> None:
        """Do ``action`` when the event loop comes round."""
        self._actions.append(action)
        self._timer.start(0)

    def now(self) -> None:
        """Do what waits; what is added meanwhile waits for the next round."""
        for _ in range(len(self._actions)):
            self._actions.popleft()()
        if self._actions:
            self._timer.start(0)

    def stop(self) -> None:
        """Do not come round any more, until something is added."""
        self._timer.stop()

    def dispose(self) -> None:
        """Let go of Qt's timer."""
        self._timer.stop()
        self._timer.deleteLater()
