"""Ends a process together with all that it started; PythonSlicer is a launcher, killing it leaves the real Python.

Slicer has no psutil. On POSIX a process's children are found in the table of processes, and the worker leads a process
group of its own; on Windows ``taskkill`` follows the tree.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """A process: ``started`` tells it from a later one that was given the same number ("" where it is not known);
    ``leads`` a process group of its own."""

    pid: int
    started: str = ""
    leads: bool = False

    def isAlive(self) -> bool:
        """Whether it still runs; one that ended and only waits to be collected does not."""
        if not sys.platform.startswith("linux"):
            return _exists(self.pid)
        stat = _stat(self.pid)
        return bool(stat) and stat[0] not in "ZX" and (not self.started or stat[19] == self.started)

    def isReplaced(self) -> bool:
        """Whether another process has its number now."""
        stat = _stat(self.pid) if self.started else []
        return stat[19] != self.started if stat else _exists(self.pid)


def identify(pid: int) -> Identity:
    """The process that has the number ``pid`` now."""
    stat = _stat(pid) if sys.platform.startswith("linux") else []
    return Identity(pid, stat[19] if stat else "", sys.platform != "win32" and _leadsGroup(pid))


def killTree(*roots: Identity) -> None:
    """Kill these processes, their descendants and the process groups they lead. Does not wait.

    A process that is dead already is no error, and what is left of its group is still ended: its number is not given to
    another process while the group has members.
    """
    alive = [root for root in roots if root.isAlive()]
    if sys.platform == "win32":
        for root in alive:
            _taskkill(root.pid)
        return
    victims: list[int] = []
    for root in alive:
        victims += [root.pid, *descendants(root.pid)]
    groups = [pid for pid in victims if _leadsGroup(pid)]
    groups += [root.pid for root in roots if root.leads and root not in alive and not root.isReplaced()]
    for pid in dict.fromkeys(victims):  # from the top: nobody is left to start a process anew
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    for pid in dict.fromkeys(groups):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Numbers of the processes that ``pid`` started, and they, and so on; parents before children (POSIX)."""
    children: dict[int, list[int]] = {}
    for child, parent in _table():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    queue = [pid]
    while queue:
        for child in children.get(queue.pop(0), []):
            if child not in found:
                found.append(child)
                queue.append(child)
    return found


def _table() -> list[tuple[int, int]]:
    """(process, its parent) of every process."""
    if sys.platform.startswith("linux"):
        rows = []
        for folder in Path("/proc").iterdir():
            stat = _stat(int(folder.name)) if folder.name.isdigit() else []
            if stat:
                rows.append((int(folder.name), int(stat[1])))
        return rows
    try:  # macOS: some milliseconds, and only when a worker has to be killed
        text = subprocess.run(
            ["/bin/ps", "-axo", "pid=,ppid="], capture_output=True, text=True, timeout=2, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    pairs = (line.split() for line in text.splitlines())
    return [(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat behind the name (which may hold blanks and brackets): state, parent, ...; or none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _leadsGroup(pid: int) -> bool:
    """Whether ``pid`` leads a group of its own; never this process's own group."""
    try:
        return os.getpgid(pid) == pid and pid != os.getpgrp()
    except (ProcessLookupError, PermissionError):
        return False


def _exists(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # taskkill says when it does not; os.kill(pid, 0) would end it on Windows
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _taskkill(pid: int) -> None:
    """End the tree below ``pid`` on Windows, where terminate() does nothing to a process without a window."""
    with contextlib.suppress(OSError):
        subprocess.Popen(
            ["taskkill", "/F", "/T", "/PID", str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
