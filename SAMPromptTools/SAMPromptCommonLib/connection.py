"""A worker from its start to its end: greeting, rubbish, silence, crash, and a certain end; nothing about jobs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from samprompt.contract.errors import SamPromptError
from samprompt.contract.wire import to_line
from samprompt.contract.worker import (
    PROTOCOL_VERSION,
    CancelRequest,
    Failure,
    Hello,
    JobRequest,
    QuitRequest,
    ReleaseRequest,
)

from SAMPromptCommonLib import failures
from SAMPromptCommonLib.process import Launch, WorkerProcess
from SAMPromptCommonLib.signals import Signal
from SAMPromptCommonLib.soon import Soon, milliseconds, timer
from SAMPromptCommonLib.translate import Rubbish

LOG_LINES = 200
RUBBISH_IN_A_ROW = 20  # lines that are no message; a library that prints a banner is forgiven
KILLS = 5  # times, one second apart, until a process that cannot be killed is left to the operating system
START_TIMEOUT = 180.0  # seconds; importing torch from a cold network disk takes a minute
_abandoned: list[WorkerProcess] = []  # kept: Qt would wait half a minute for them where they were deleted


class WorkerConnection:
    """Opens, keeps and closes the connection to one worker at a time; can be opened again after it was closed.

    ``state``: "stopped", "starting", "ready", "stopping". Emits ``opened(Hello)``, ``received(message)`` for every
    message behind the greeting, ``lost(Failure, starting)`` when the worker is of no more use (``starting``: it never
    greeted), ``closed()`` when no process is left, ``noted(str)`` for every line of the log.
    """

    def __init__(self, launch: Callable[[], Launch]) -> None:
        self.state = "stopped"
        self.hello: Hello | None = None
        self.startTimeout = START_TIMEOUT
        self.opened = Signal("Hello")
        self.received = Signal("message")
        self.lost = Signal("Failure, starting: bool")
        self.closed = Signal()
        self.noted = Signal("str")
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._chooseLaunch = launch
        self._launch = Launch("")
        self._process: WorkerProcess | None = None
        self._rubbish = self._kills = 0
        self._soon = Soon()
        self._startTimer = timer(self._onStartTimeout)
        self._killTimer = timer(self._kill)

    def open(self) -> None:
        """Start the worker, unless it is there already; ``opened`` or ``lost`` follows."""
        if self.state == "stopped":
            self.state = "starting"
            self._soon.do(self._start)

    def send(self, message: JobRequest | CancelRequest | ReleaseRequest) -> None:
        """Send a message to a worker that is ready.

        Raises:
            WireError: the message holds something that cannot be sent.
        """
        line = to_line(message)
        if self._process is not None and self.state == "ready":
            self._process.write(line)

    def close(self, graceSeconds: float) -> None:
        """Ask the worker to end, after ``graceSeconds`` kill it; ``closed`` follows."""
        if self.state in ("stopped", "stopping"):
            return
        self.state = "stopping"
        self._startTimer.stop()
        if self._process is None:  # not even started
            self._soon.do(self._end)
            return
        self._process.write(to_line(QuitRequest()))
        self._process.closeInput()
        self._killTimer.start(milliseconds(graceSeconds))

    def breakOff(self, failure: Failure) -> None:
        """Kill the worker, because of ``failure``; ``lost`` is emitted at once, ``closed`` follows."""
        if self._process is None or self.state == "stopping":
            return
        starting, self.state = self.state == "starting", "stopping"
        self._startTimer.stop()
        self._kill()
        self.lost.emit(failure, starting)

    def closeAndWait(self, seconds: float) -> None:
        """End the worker and wait until it is gone, at most ``seconds``; ``closed`` is not emitted. It blocks."""
        process = self._process
        self.state = "stopping"
        if process is not None:
            process.write(to_line(QuitRequest()))
            process.closeInput()
            if not process.wait(seconds / 2):
                process.kill()
                if not process.wait(seconds / 2):
                    _abandoned.append(process)
        self._forget()
        self._soon.stop()
        self.state = "stopped"

    def dispose(self) -> None:
        """Let go of Qt's timers, after ``closeAndWait``."""
        self._soon.dispose()
        for one in (self._startTimer, self._killTimer):
            one.stop()
            one.deleteLater()

    # --- the process --------------------------------------------------------------------------------------------------
    def _start(self) -> None:
        if self.state != "starting" or self._process is not None:
            return
        try:
            self._launch = self._chooseLaunch()
        except SamPromptError as error:
            self._lose(failures.ofError(error))
            return
        process = self._process = WorkerProcess()
        process.received.connect(lambda message: self._onMessage(process, message))
        process.logReceived.connect(self._note)
        process.choked.connect(lambda reason: self._onChoked(process, reason))
        process.failedToStart.connect(lambda reason: self._onFailedToStart(process, reason))
        process.ended.connect(lambda code, crashed: self._onEnded(process, code, crashed))
        self._rubbish = self._kills = 0
        self.log.clear()
        self._startTimer.start(milliseconds(self.startTimeout))
        process.start(self._launch)

    def _onFailedToStart(self, process: WorkerProcess, reason: str) -> None:
        if process is self._process:
            self._lose(failures.didNotStart(reason, self._launch.program, self._launch.hint))

    def _onEnded(self, process: WorkerProcess, exitCode: int, crashed: bool) -> None:
        if process is not self._process:
            return
        if self.state == "starting":
            self._lose(failures.endedAtStart(exitCode, crashed, self._launch.hint, self.log))
        else:
            self._lose(failures.crashed(exitCode, crashed, self.log))

    def _lose(self, failure: Failure) -> None:
        """The process is gone; unless that was wanted, say why."""
        before, self.state = self.state, "stopping"
        if before != "stopping":
            self.lost.emit(failure, before == "starting")
        self._end()

    def _end(self) -> None:
        """No process is left."""
        if self.state != "stopping":
            return
        self._forget()
        self.state = "stopped"
        self.closed.emit()

    def _forget(self) -> None:
        self._startTimer.stop()
        self._killTimer.stop()
        self._process = None
        self.hello = None

    def _kill(self) -> None:
        """Kill it, and look after it until it is gone."""
        if self._process is None:
            return
        if self._kills < KILLS:
            self._kills += 1
            self._process.kill()
            self._killTimer.start(1000)
            return
        # It hangs in the operating system (a network disk, a GPU's driver), where nothing can end it.
        logging.error("SAMPromptTools' computing process %s cannot be ended.", self._process.pid)
        _abandoned.append(self._process)
        self._end()

    def _onStartTimeout(self) -> None:
        if self.state == "starting":
            self.breakOff(failures.startTookTooLong(self.startTimeout, self._launch.hint, self.log))

    def _onChoked(self, process: WorkerProcess, reason: str) -> None:
        if process is self._process:
            self.breakOff(failures.choked(reason, self.log))

    # --- what it says -------------------------------------------------------------------------------------------------
    def _onMessage(self, process: WorkerProcess, message: Any) -> None:
        if process is not self._process or self.state == "stopping":
            return
        if isinstance(message, Rubbish | JobRequest | CancelRequest | ReleaseRequest | QuitRequest):
            self._onRubbish(message)
            return
        self._rubbish = 0
        if not isinstance(message, Hello):
            if self.state == "ready":
                self.received.emit(message)
        elif message.protocol != PROTOCOL_VERSION:
            self.breakOff(failures.otherProtocol(message.protocol, self._launch.hint))
        elif self.state == "starting":
            self._startTimer.stop()
            process.setRealPid(message.pid)
            self.hello = message
            self.state = "ready"
            self.opened.emit(message)

    def _onRubbish(self, message: Any) -> None:
        """A line that is no message, or one that only a panel may send (from a worker that echoes what it gets)."""
        if isinstance(message, Rubbish) and message.protocol not in (None, PROTOCOL_VERSION):
            self.breakOff(failures.otherProtocol(message.protocol, self._launch.hint))
            return
        self._note(f"Not understood: {getattr(message, 'reason', message)}")
        self._rubbish += 1
        if self._rubbish >= RUBBISH_IN_A_ROW:
            self.breakOff(failures.rubbish(self._launch.hint, self.log))

    def _note(self, line: str) -> None:
        """One line for the log."""
        self.log.append(line)
        logging.debug("[samprompt worker] %s", line)
        self.noted.emit(line)
