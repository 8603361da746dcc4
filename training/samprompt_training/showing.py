"""What a training shows while it runs: a bar on a terminal, plain lines elsewhere, or JSON; and how it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from samprompt.contract.progress import Progress as Told

Report = Callable[[dict[str, Any]], None]
_LINE_SECONDS = 30.0  # between two plain lines in a log file


@contextlib.contextmanager
def shown(as_json: bool) -> Iterator[tuple[Told, Report]]:
    """Progress and report for ``core.loop.train``.

    Ctrl-C and SIGTERM cancel, which leaves a checkpoint; a second Ctrl-C ends the process at once.
    """
    display: Any
    if not main_process():
        display = _Nothing()
    else:
        display = _Json() if as_json else _Bar() if Console(stderr=True).is_terminal else _Lines()
    told = Told(display.stage)
    with display, _cancelled_by_signals(told):
        yield told, display.report


def main_process() -> bool:
    """Whether this is the process that speaks and writes; ``accelerate launch`` numbers the others from 1."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def _cancelled_by_signals(told: Told) -> Iterator[None]:
    old: dict[int, Any] = {}

    def stop(number: int, _frame: FrameType | None) -> None:
        told.cancel()
        print("stopping after this step ...", file=sys.stderr, flush=True)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                old[int(number)] = signal.signal(number, stop)
        yield
    finally:
        for which, handler in old.items():
            signal.signal(which, handler)


class _Nothing:
    """The other processes of a training that was launched with several are silent."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_error: object) -> None: ...

    def stage(self, _stage: str, _done: int, _total: int) -> None:
        """Nothing."""

    def report(self, _event: dict[str, Any]) -> None:
        """Nothing."""


class _Json:
    """Every report as a line of JSON on stdout; stages too, each once."""

    def __init__(self) -> None:
        self._stage = ("", -1)

    def __enter__(self) -> None: ...

    def __exit__(self, *_error: object) -> None: ...

    def stage(self, stage: str, done: int, total: int) -> None:
        """Where the work before and between the steps is."""
        if stage == "training" or (stage, done) == self._stage:
            return  # the loop reports its steps itself
        self._stage = (stage, done)
        self.report({"event": "stage", "stage": stage, "done": done, "total": total})

    def report(self, event: dict[str, Any]) -> None:
        """One line."""
        print(json.dumps(event, allow_nan=False), flush=True)


class _Lines:
    """A line now and then on stderr, where it is not a terminal."""

    def __init__(self) -> None:
        self._stage, self._last = "", -_LINE_SECONDS

    def __enter__(self) -> None: ...

    def __exit__(self, *_error: object) -> None: ...

    def stage(self, stage: str, _done: int, _total: int) -> None:
        """Each stage once."""
        if stage not in (self._stage, "training"):
            self._stage = stage
            print(f"{stage} ...", file=sys.stderr, flush=True)

    def report(self, event: dict[str, Any]) -> None:
        """A step."""
        if time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            print(f"step {event['step']} of {event['steps']}, {_figures(event)}", file=sys.stderr, flush=True)


class _Bar:
    """A bar with loss and best figure on the terminal."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[figures]}"),
            console=Console(stderr=True),
        )
        self._task = self._bars.add_task("starting", total=None, figures="")

    def __enter__(self) -> None:
        self._bars.start()

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def stage(self, stage: str, done: int, total: int) -> None:
        """The work before and between the steps."""
        self._bars.update(self._task, description=stage, completed=done, total=total or None)

    def report(self, event: dict[str, Any]) -> None:
        """A step."""
        self._bars.update(
            self._task,
            description="training",
            completed=event["step"],
            total=event["steps"],
            figures=_figures(event),
        )


def _figures(event: dict[str, Any]) -> str:
    loss = "-" if event.get("loss") is None else f"{event['loss']:.3f}"
    return f"loss {loss}" + ("" if event.get("metric") is None else f", best {event['metric']:.3f}")
