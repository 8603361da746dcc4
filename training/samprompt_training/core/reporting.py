"""What a run says while it runs: the log, TensorBoard, progress events."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from samprompt.contract.errors import Cancelled, EnvironmentProblem, OutputError
from samprompt.contract.progress import Progress

_REPORT_SECONDS = 1.0  # between two progress events


def finite(value: Any) -> Any:
    """The same structure with None for every number that is none, since JSON knows neither NaN nor infinity."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


class Log:
    """``log.jsonl`` and TensorBoard's files of one run; what a resumed run repeats is cut away first."""

    def __init__(self, out: Path, length: int, step: int, tensorboard: bool) -> None:
        self._path = out / "log.jsonl"
        try:
            self._stream = self._path.open("ab")
            if self._stream.tell() > length:
                self._stream.truncate(length)
        except OSError as error:
            raise self._error(error) from error
        try:
            self._board = _board(out / "tensorboard", step) if tensorboard else None
        except BaseException:
            self._stream.close()
            raise

    def write(self, entry: dict[str, Any]) -> None:
        """Add one line, and its numbers to TensorBoard.

        Raises:
            OutputError: it cannot be written.
        """
        line = (json.dumps(finite(entry), allow_nan=False) + "\n").encode()
        try:
            self._stream.write(line)
            self._stream.flush()
            if self._board is not None:
                for name, value in _scalars(entry):
                    self._board.add_scalar(name, value, entry["step"])
                self._board.flush()
        except OSError as error:
            raise self._error(error) from error

    def to_disk(self) -> int:
        """Have the lines on the disk before a checkpoint counts on them; how many bytes they are.

        Raises:
            OutputError: they cannot be written.
        """
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise self._error(error) from error
        return self._stream.tell()

    def close(self) -> None:
        """Close the files; on a full disk that fails as well, and must not hide the error that was first."""
        with suppress(OSError):
            self._stream.close()
        if self._board is not None:
            with suppress(OSError):
                self._board.close()

    def _error(self, error: OSError) -> OutputError:
        return _unwritable(self._path, error)


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"{path} cannot be written: {reason}.", "Free some space or choose another folder.")


def _board(folder: Path, step: int) -> Any:
    """TensorBoard's writer; what an earlier run wrote after ``step`` is hidden by it."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise EnvironmentProblem(
            "The package tensorboard is missing.", "pip install tensorboard, or train without it."
        ) from error
    try:
        return SummaryWriter(str(folder), purge_step=step + 1)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _scalars(entry: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "step":
            yield prefix + name, float(value)


class Events:
    """Progress as dictionaries that are valid JSON, about once a second."""

    def __init__(self, report: Callable[[dict[str, Any]], None] | None, step: int, steps: int) -> None:
        self._report, self._first, self._steps = report, step, steps
        self._began = time.monotonic()
        self._told = -math.inf

    def tell(self, step: int, loss: float | None, rate: float, best: dict[str, Any] | None, now: bool = False) -> None:
        """Report step, loss, learning rate, seconds left (from the speed so far) and the best metric."""
        time_now = time.monotonic()
        if self._report is None or not (now or time_now - self._told >= _REPORT_SECONDS):
            return
        self._told = time_now
        done = step - self._first
        left = (time_now - self._began) / done * (self._steps - step) if done else None
        self._report(
            finite(
                {
                    "event": "progress",
                    "step": step,
                    "steps": self._steps,
                    "loss": loss,
                    "rate": rate,
                    "seconds_left": left if left is None else round(left, 1),
                    "metric": best["metric"] if best else None,
                }
            )
        )


def cancelled_by(progress: Progress, step: int, steps: int) -> bool:
    """Say where the run is; whether it was asked to stop."""
    try:
        progress.step("training", step, steps)
    except Cancelled:
        return True
    return False
