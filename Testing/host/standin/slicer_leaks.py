"""What a test leaves behind: windows, running timers and processes, child processes, nodes that keep a closed scene."""

from __future__ import annotations

import gc
import os
from typing import Any


class Belongings:
    """What is there at this moment; `left_behind` tells later what has come on top."""

    def __init__(self) -> None:
        self.objects = {_address(one) for one in _alive()}
        self.children = _children()

    def left_behind(self, host: Any, grace: float = 2.0) -> list[str]:
        """Sentences, one per thing that is left. Processes are given `grace` seconds to end."""
        gc.collect()
        host.process_events()
        host.wait_until(lambda: not (_children() - self.children), grace)
        host.process_events()
        found = [text for one in _alive() if _address(one) not in self.objects and (text := _describe(one))]
        return found + [f"the child process {pid} ({_command(pid)})" for pid in sorted(_children() - self.children)]


def _alive() -> list[Any]:
    """Every Qt object that Python still knows and that C++ has not deleted."""
    import shiboken6

    return list(shiboken6.getAllValidWrappers())


def _address(one: Any) -> int:
    import shiboken6

    return shiboken6.getCppPointer(one)[0]


def _describe(one: Any) -> str:
    """A sentence for a thing that should be gone; empty for what may stay (children of windows are not told twice)."""
    from PySide6.QtCore import QObject, QProcess, QTimer
    from PySide6.QtWidgets import QWidget

    if not isinstance(one, QObject):
        return ""
    name = QObject.objectName(one) or QObject.metaObject(one).className()
    if isinstance(one, QTimer) and QTimer.isActive(one):
        return f"a running timer {name} ({QTimer.interval(one)} ms)"
    if isinstance(one, QProcess) and QProcess.state(one) != QProcess.ProcessState.NotRunning:
        return f"a running process {QProcess.program(one)}"
    if isinstance(one, QWidget) and QWidget.parentWidget(one) is None and QWidget.isVisible(one):
        return f"a window {name} ({QWidget.windowTitle(one)})"
    return ""


def _children() -> set[int]:
    """Process ids below this one; zombies do not count, for they have ended."""
    import psutil

    found = set()
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                found.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def _command(pid: int) -> str:
    import psutil

    try:
        return " ".join(psutil.Process(pid).cmdline())[:120]
    except psutil.Error:
        return "ended meanwhile"
