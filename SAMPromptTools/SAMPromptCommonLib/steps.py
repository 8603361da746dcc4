"""Long work in small steps on Slicer's own thread, so that its windows stay alive.

Work is a generator: every ``next()`` does a few milliseconds and yields its progress in [0, 1] (or None), the value it
returns is its result. ``Steps`` runs generators one after the other from a timer; ``runNow`` runs one without a timer.

Usage::

    self._steps = Steps([VolumeHandover(volume, folder)], onDone=self._handedOver, onError=self._failed)
    self._steps.start()
    ...
    self._steps.cancel()  # generators are closed and remove what they had begun
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

# One turn of the timer works at most about this long: with a single step of at most 15 ms on top, and what is drawn
# beside it, the thread stays below the 50 ms at which a hand on the mouse feels a delay.
TURN_SECONDS = 0.010


def runNow(work: Iterable[Any]) -> Any:
    """Run a generator to its end without letting events in; for scripts. Returns its result, raises its errors."""
    iterator = iter(work)
    while True:
        try:
            next(iterator)
        except StopIteration as end:
            return end.value


class Steps:
    """Runs generators one after the other, a few milliseconds per turn of a timer.

    ``generators``: generators or objects whose ``iter()`` is one. ``onDone(results)`` gets the list of their results,
    ``onError(exception)`` the first error; exactly one of the two is called, and neither after ``cancel()``.
    ``onProgress(fraction)`` is told the share of all the work that is done, in [0, 1].
    """

    def __init__(
        self,
        generators: Iterable[Iterable[Any]],
        onDone: Callable[[list[Any]], None] | None = None,
        onError: Callable[[BaseException], None] | None = None,
        onProgress: Callable[[float], None] | None = None,
        turnSeconds: float = TURN_SECONDS,
    ) -> None:
        self._waiting = list(generators)
        self._count = max(1, len(self._waiting))
        self._current: Any = None
        self._results: list[Any] = []
        self._onDone, self._onError, self._onProgress = onDone, onError, onProgress
        self._turnSeconds = turnSeconds
        self._timer: Any = None
        self._fraction = 0.0
        self._turning = False
        self.longestTurn = 0.0  # seconds, for tests and benchmarks

    @property
    def isRunning(self) -> bool:
        """Whether there is work left and the timer runs."""
        return self._timer is not None

    @property
    def progress(self) -> float:
        """Share of all the work that is done, in [0, 1]."""
        return min(1.0, (len(self._results) + self._fraction) / self._count)

    def start(self) -> Steps:
        """Begin with the next turn of the event loop; returns itself."""
        import qt

        if self._timer is None:
            self._timer = qt.QTimer()
            self._timer.setInterval(0)
            self._timer.connect("timeout()", self._turn)
            self._timer.start()
        return self

    def cancel(self) -> None:
        """Stop; the generator at work is closed and cleans up. No callback is called. Does nothing when not running."""
        self._stop()
        if not self._turning:  # a step that cancels, or lets events in that do, must come back before it can be closed
            self._close()

    def _turn(self) -> None:
        if self._turning or self._timer is None:
            return  # a step let events in (a message box): one turn at a time
        self._turning = True
        begin = time.perf_counter()
        try:
            finished = self._work(begin + self._turnSeconds)
        except Exception as error:
            cancelled = self._timer is None
            self._stop()
            self._close()
            if cancelled:
                return
            if self._onError is None:
                raise
            self._onError(error)
            return
        finally:
            self._turning = False
            self.longestTurn = max(self.longestTurn, time.perf_counter() - begin)
        if self._timer is None:  # cancelled during the step
            self._close()
            return
        if finished:
            self._stop()
        if self._onProgress is not None:
            self._onProgress(self.progress)
        if finished and self._onDone is not None:
            self._onDone(self._results)

    def _work(self, until: float) -> bool:
        """Steps until the time is over; True when nothing is left."""
        while time.perf_counter() < until:
            if self._current is None:
                if not self._waiting:
                    return True
                self._current = iter(self._waiting.pop(0))
            try:
                done = next(self._current)
            except StopIteration as end:
                self._results.append(end.value)
                self._current, self._fraction = None, 0.0
            else:
                self._fraction = float(done) if done is not None else self._fraction
            if self._timer is None:
                return False
        return False

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.disconnect("timeout()", self._turn)
            timer.deleteLater()

    def _close(self) -> None:
        current, self._current = self._current, None
        self._waiting = []
        if current is not None and hasattr(current, "close"):
            current.close()
