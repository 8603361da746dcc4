"""What a job function is given: where to report, how it is stopped, where its files go. Standard library only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from samprompt.contract.progress import Progress
from samprompt.contract.wire import Message
from samprompt.contract.worker import Failure, ProgressMessage, Result

_OFTEN = 0.1  # seconds between two messages of one stage


class Closing(Protocol):
    """Something to be tidied when a job does not finish."""

    def close(self) -> None:
        """Remove what was not finished."""
        ...


class Context:
    """One job on its way. Messages go out until the job is answered, and it is answered once."""

    def __init__(self, job: str, kind: str, data: dict[str, Any], send: Callable[[Message], None]) -> None:
        self.id, self.kind, self.data = job, kind, data
        self.progress = Progress(self._report)
        self.changed = threading.Event()  # cancelled or finished
        self.finished = threading.Event()
        self.cancelled = self.started = False
        self.visit: tuple[str, int, int] = ("", 0, 0)
        self._send = send
        self._answered = False
        self._lock = threading.Lock()
        self._last: tuple[str, tuple[str, int, int], float] = ("", self.visit, 0.0)
        self._closing: Closing | None = None

    def start(self) -> bool:
        """Whether the job is still to be done: it may have been cancelled and answered while it waited."""
        with self._lock:
            self.started = not self._answered
            return self.started

    def cancel(self) -> None:
        """Ask the job to stop at its next step."""
        self.cancelled = True
        self.progress.cancel()
        self.changed.set()

    def send(self, message: Message) -> None:
        """Send a message of this job, unless it was answered already."""
        with self._lock:
            if not self._answered:
                self._send(message)

    def answer(self, message: Result | Failure) -> bool:
        """The last message of the job; whether this was the first answer."""
        with self._lock:
            if self._answered:
                return False
            self._send(message)
            self._answered = True
            return True

    def close_in_the_end(self, closing: Closing) -> None:
        """Tidy ``closing`` when the job fails, is cancelled or the process ends."""
        self._closing = closing

    def close(self) -> None:
        """Remove what the job did not finish."""
        if self._closing is not None:
            self._closing.close()

    def _report(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if (stage, self.visit) == self._last[:2] and now - self._last[2] < _OFTEN:
            return
        self._last = (stage, self.visit, now)
        name, number, count = self.visit
        self.send(ProgressMessage(self.id, stage, done, total, name, number, count))
