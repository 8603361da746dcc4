"""The worker's end of the line: requests from the standard input, messages to the standard output. Standard library."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from samprompt.contract.wire import LONGEST_LINE, Message, to_line
from samprompt.contract.worker import Hello


class Channel:
    """Reads lines and writes messages; written by a thread of its own, so that nobody ever waits for the panel.

    The first line is Hello: whatever is sent before it is written behind it.
    ``on_closed`` is called (on that thread) when nobody reads our messages any more.
    """

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self._reading, self._writing = reading, writing
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._early: list[bytes] | None = []
        self._unwritten = 0
        self._lock = threading.Lock()
        self.on_closed: Callable[[], None] = lambda: None
        threading.Thread(target=self._write, name="messages", daemon=True).start()

    @classmethod
    def of_this_process(cls) -> Channel:
        """Take the standard input and output for the protocol alone.

        What any library prints (from Python or from native code) goes to the standard error from here on, and what it
        reads from the standard input is at once at its end. Texts of this process are UTF-8 whatever the system says.
        """
        _open_missing()
        reading, writing = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        os.environ["PYTHONUTF8"] = "1"  # for processes that libraries start
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        return cls(os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0))

    def lines(self) -> Iterator[bytes]:
        """Every line that comes, without blank ones, until the end of the input."""
        while True:
            try:
                line = self._reading.readline(LONGEST_LINE + 2)
            except OSError:
                return  # the other end is gone
            if not line:
                return
            if line.strip():
                yield line

    def send(self, message: Message) -> None:
        """Put a message on its way; never waits.

        Raises:
            WireError: the message holds what cannot be sent.
        """
        line = to_line(message).encode("ascii")
        with self._lock:
            if self._early is not None and not isinstance(message, Hello):
                self._early.append(line)
                return
            lines, self._early = [line, *(self._early or [])], None
            self._unwritten += len(lines)
            for ready in lines:
                self._lines.put(ready)

    def flush(self, seconds: float) -> bool:
        """Wait until everything is written, at most so long; whether it is."""
        end = time.monotonic() + seconds
        while self._unwritten and time.monotonic() < end:
            time.sleep(0.005)
        return not self._unwritten

    def _write(self) -> None:
        while True:
            line = memoryview(self._lines.get())
            try:
                while line:
                    line = line[self._writing.write(line) or 0 :]
            except (OSError, ValueError):
                self.on_closed()
                return
            with self._lock:
                self._unwritten -= 1


def _open_missing() -> None:
    """Where a standard stream is closed (a process without console), its number must not go to another file."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
