"""Small programs in the worker's place, each with one fault, and what a test notes about a client.

A fake worker is a Python script of some lines behind ``PRELUDE``; it runs as a real child process.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from SAMPromptCommonLib.process import Launch

MARK = "SAMPROMPT_TEST_MARK"

PRELUDE = """
import json, os, signal, subprocess, sys, time
def raw(data):
    os.write(1, data)
def say(**message):
    raw(json.dumps(message).encode() + b"\\n")
def hello(**more):
    say(**{"type": "hello", "protocol": 1, "version": "0", "pid": os.getpid(), "python": "3", **more})
def requests():
    for line in sys.stdin:
        request = json.loads(line)
        if request["type"] == "quit":
            return
        yield request
def result(request, **value):
    say(type="result", id=request["id"], value=value)
def progress(request, done, total=3):
    say(type="progress", id=request["id"], stage="Working", done=done, total=total)
"""

# Does every job at once, says which process did it, and what it was.
GOOD = """
hello()
for request in requests():
    if request["type"] == "job":
        progress(request, 1)
        progress(request, 2)
        result(request, pid=os.getpid(), folder=request["job"]["folder"])
    elif request["type"] == "release":
        say(type="released", freed_mib=12.5)
"""

# Reads, but never answers a job.
DEAF = """
hello()
for request in requests():
    pass
"""

# Does not even end when its input does.
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
hello()
time.sleep(600)
"""


class FakeWorkers:
    """Writes the scripts, and finds every process that came of them, wherever it hangs in the tree of processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.clients: list[Any] = []
        self.begun = len(psutil.Process().children())

    def launch(self, script: str, *arguments: str) -> Launch:
        """How to start ``script``; the later tries take what the file holds then."""
        path = self.folder / f"worker_{len(list(self.folder.glob('worker_*.py')))}.py"
        path.write_text(PRELUDE + script, encoding="utf-8")
        return Launch(sys.executable, (str(path), *arguments), self.environment(), "Look after the worker.")

    def environment(self) -> dict[str, str]:
        """This process's environment, with a mark by which the children are known."""
        return {**os.environ, MARK: self.mark, "PYTHONUTF8": "1"}

    def alive(self) -> list[psutil.Process]:
        """The marked processes that still run."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found


class Ended:
    """Notes everything that a job emits, in order."""

    def __init__(self, job: Any) -> None:
        self.job = job
        self.told: list[tuple[str, Any]] = []
        for name in ("progressed", "visitReady", "finished", "failed"):
            getattr(job, name).connect(lambda message, name=name: self.told.append((name, message)))

    @property
    def names(self) -> list[str]:
        """Names of what was emitted."""
        return [name for name, _ in self.told]

    @property
    def failure(self) -> Any:
        """The failure, once there is exactly one end and it is one."""
        ends = [told for told in self.told if told[0] in ("finished", "failed")]
        assert [name for name, _ in ends] == ["failed"], self.told
        assert ends[0][1] is self.job.failure
        return ends[0][1]

    @property
    def result(self) -> Any:
        """The result, once there is exactly one end and it is one."""
        ends = [told for told in self.told if told[0] in ("finished", "failed")]
        assert [name for name, _ in ends] == ["finished"], self.told
        return ends[0][1]
