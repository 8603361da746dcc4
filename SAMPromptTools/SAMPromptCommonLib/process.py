"""The worker's process as Qt sees it: lines in, messages out, an end; nothing of what the messages mean."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import qt

from SAMPromptCommonLib.lines import LineReader
from SAMPromptCommonLib.signals import Signal
from SAMPromptCommonLib.translate import messagesOf
from SAMPromptCommonLib.tree import Identity, identify, killTree

TURN = 0.010  # seconds of messages at a time; then Slicer's own events have their turn
BACKLOG = 64 << 20  # bytes that may wait: a child that prints faster than it can be read is broken
LOG_BACKLOG = 1 << 20  # bytes of log that may wait; more is left out, and said so
PATIENCE = 0.3  # seconds between a pipe that breaks and complaining about it: mostly the process has just ended


@dataclass(frozen=True)
class Launch:
    """How to start a process: ``program`` is a path, ``environment`` is all that the child gets."""

    program: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    hint: str = ""  # what a user can do when it does not start


class WorkerProcess:
    """One child process, from its start to its end; never used for a second one.

    Emits ``received(message)`` for every line of its output (a message of the contract or ``Rubbish``),
    ``logReceived(str)`` for every line of its log (what it writes to stderr), and at last exactly one of
    ``failedToStart(str)`` and ``ended(exitCode, crashed)``, after all that it had written. ``choked(str)`` says that it
    no longer takes or gives what it should; then kill it. Messages come in turns of at most ``TURN`` seconds.
    """

    def __init__(self) -> None:
        self.received = Signal("message or Rubbish")
        self.logReceived = Signal("str")
        self.failedToStart = Signal("str")
        self.ended = Signal("int, bool")
        self.choked = Signal("str")
        self._lines, self._log = LineReader(), LineReader(LOG_BACKLOG // 4)
        self._translating: Iterator[Any] = iter(())
        self._started = False
        self._end: tuple[int, bool] | None = None  # known, but lines that came before it are still to be handed out
        self._over = False
        self._choked, self._chokedAt = "", 0.0
        self._real: Identity | None = None
        self._launcher: Identity | None = None
        self._turn = qt.QTimer()
        self._turn.setSingleShot(True)
        self._turn.connect("timeout()", self._handOut)
        self._process = qt.QProcess()
        self._process.connect("started()", self._onStarted)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onError)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        self._process.connect("readyReadStandardOutput()", self._read)
        self._process.connect("readyReadStandardError()", self._readLog)

    @property
    def isOver(self) -> bool:
        """Whether it ended, or never started, and that was said."""
        return self._over

    @property
    def pid(self) -> int:
        """The child's number, 0 where it has none (yet)."""
        return self._launcher.pid if self._launcher else 0

    def start(self, launch: Launch) -> None:
        """Start it; what becomes of it is said by the signals, a failure possibly before this returns."""
        environment = qt.QProcessEnvironment()
        for name, value in launch.environment.items():
            environment.insert(name, value)
        self._process.setProcessEnvironment(environment)
        self._process.start(launch.program, list(launch.arguments))

    def setRealPid(self, pid: int) -> None:
        """The number that the worker itself reports: the real Python's, where the child is a launcher."""
        self._real = identify(pid)

    def write(self, line: str) -> None:
        """Send one line; a child that no longer reads is said by ``choked`` or ``ended``."""
        if not self._over and self._end is None:
            self._process.write(line.encode("utf-8"))

    def closeInput(self) -> None:
        """End its input, when all that was written is sent: that ends the worker."""
        if not self._over and self._end is None:
            self._process.closeWriteChannel()

    def kill(self) -> None:
        """Kill it with all that it started; ``ended`` follows."""
        killTree(*(one for one in (self._launcher, self._real) if one is not None))
        if not self._over and self._end is None:
            self._process.kill()

    def wait(self, seconds: float) -> bool:
        """Block until it ended, at most ``seconds``; whether it did. Only for when Slicer quits."""
        if not self._over and self._end is None:
            self._process.waitForFinished(max(1, int(seconds * 1000)))
        if self._end is not None:
            self._conclude(handOut=False)
        return self._over

    # --- what Qt tells ------------------------------------------------------------------------------------------------
    def _onStarted(self) -> None:
        self._started = True
        self._launcher = identify(int(self._process.processId()))

    def _onError(self) -> None:
        # Which error is not asked: in Qt 5 the getter error() is hidden by a signal of that name. An end is said by
        # finished(); what remains is a start that failed, and a pipe that broke while the child lives.
        if not self._started and self._process.state() == qt.QProcess.NotRunning:
            if not self._over:
                self._over = True
                reason = str(self._process.errorString())
                self._release()
                self.failedToStart.emit(reason)
            return
        self._choke(str(self._process.errorString()))

    def _onFinished(self) -> None:
        self._read()
        self._readLog()
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        self._end = (int(self._process.exitCode()), bool(crashed))
        self._turn.start(0)

    def _read(self) -> None:
        self._lines.feed(self._process.readAllStandardOutput().data())
        if len(self._lines) > BACKLOG:
            self._choke("it prints faster than can be read")
        self._turn.start(0)

    def _readLog(self) -> None:
        data = self._process.readAllStandardError().data()
        if len(data) + len(self._log) > LOG_BACKLOG:
            self._log.rest()
            data = b"[a part of the log is left out]\n" + data[-LOG_BACKLOG // 4 :].partition(b"\n")[2]
        self._log.feed(data)
        self._turn.start(0)

    def _choke(self, reason: str) -> None:
        if not self._choked:
            self._choked, self._chokedAt = reason, time.monotonic()
        self._turn.start(0)

    # --- in turns -----------------------------------------------------------------------------------------------------
    def _handOut(self) -> None:
        """One turn; a next one follows where something is left."""
        if self._over:
            return
        until = time.monotonic() + TURN
        if self._handMessages(until) and self._handLog(until):
            if self._end is not None:
                self._conclude(handOut=True)
                return
            if not self._choked:
                return
        if self._over:
            return
        if self._choked and time.monotonic() - self._chokedAt > PATIENCE:
            reason, self._choked = self._choked, ""
            self.choked.emit(reason)
        elif self._choked and not len(self._lines):
            self._turn.start(int(PATIENCE * 1000))
        else:
            self._turn.start(0)

    def _handMessages(self, until: float) -> bool:
        """Hand out messages until the time is over; whether none is left."""
        while not self._over:
            for message in self._translating:
                if message is not None:
                    self.received.emit(message)
                if message is None or time.monotonic() > until:
                    return False
                if self._over:
                    return True
            line = self._lines.next()
            if line is None:
                return True
            self._translating = messagesOf(line)
        return True

    def _handLog(self, until: float) -> bool:
        """Hand out the log until the time is over; whether none is left."""
        while not self._over:
            line = self._log.next()
            if line is None:
                return True
            self._say(line)
            if time.monotonic() > until:
                return False
        return True

    def _say(self, line: bytes) -> None:
        # A progress bar writes over itself with carriage returns: its last state is what is worth a line.
        text = line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace").rstrip()
        if text:
            self.logReceived.emit(text)

    def _conclude(self, handOut: bool) -> None:
        """Say that it ended; what it left behind is killed, a last line without a line feed is handed out."""
        if self._over or self._end is None:
            return
        if handOut:
            last, lastLog = self._lines.rest(), self._log.rest()
            if lastLog:
                self._say(lastLog)
            for message in messagesOf(last) if last else ():
                if message is not None:
                    self.received.emit(message)
        self._over = True
        if self._real is not None:
            killTree(self._real)  # a launcher that died alone leaves the real Python
        self._release()
        self.ended.emit(*self._end)

    def _release(self) -> None:
        """Let go of Qt's objects; deleted later, because one of them may be what is calling."""
        self._turn.stop()
        self._turn.deleteLater()
        self._process.deleteLater()
