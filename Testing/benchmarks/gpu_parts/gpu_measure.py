"""What every part of the GPU benchmark shares: its settings, a clock that waits for the device, peaks of memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from samprompt.contract.errors import EnvironmentProblem, OutOfMemory
from samprompt.contract.memory import is_out_of_memory
from samprompt.models.device import release_cached_memory

_STATUS = Path("/proc/self/statm")
Figures = dict[str, Any]  # what a piece found, as JSON has it
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Settings:
    """What is measured, and how much of it.

    ``models`` empty: those of the part. ``batches`` are images per call of an encoder, ``slices`` those of a visit,
    ``structures`` how many of them a visit carries, ``visits`` later ones that share a baseline, ``adapt_batch`` images
    per step of an adaptation. ``rounds`` of at least ``least`` seconds are timed, and the median counts.
    """

    device: torch.device
    precision: str
    small: bool
    models: tuple[str, ...]
    batches: tuple[int, ...]
    slices: int
    structures: tuple[int, ...]
    visits: int
    adapt_batch: int
    adapt_steps: int
    rounds: int
    least: float

    @property
    def dtype(self) -> torch.dtype:
        """Of the products that are compared with the matrix rate."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32


@dataclass(frozen=True)
class Piece:
    """Something that is measured in one go, in well under ten minutes; ``name`` is its row's."""

    name: str
    run: Callable[[], Figures]


def now(device: torch.device) -> float:
    """Seconds, when the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_of(work: Callable[[], object], settings: Settings) -> list[float]:
    """Seconds of one call of ``work``, one value per round; the first call, which chooses kernels, is not counted."""
    work()
    found = []
    for _ in range(settings.rounds):
        calls, began = 0, now(settings.device)
        while True:
            work()
            calls += 1
            took = now(settings.device) - began
            if took >= settings.least:
                break
        found.append(took / calls)
    return found


def casting(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The precision of a forward pass with weights in fp32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


class Peak:
    """Most memory in use inside the block: allocated on CUDA; on a CPU the resident set, looked at each 10 ms."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.gib = device, 0.0
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        gc.collect()
        if self.device.type == "cuda":
            release_cached_memory()
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has it
                ctypes.CDLL(None).malloc_trim(0)  # what was freed before, and is kept for later, is not this block's
            self._watching.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.device.type == "cuda":
            self.gib = torch.cuda.max_memory_allocated(self.device) / 2**30
        else:
            self._ended.set()
            self._watching.join()

    def _watch(self) -> None:
        while True:
            last = self._ended.wait(0.01)
            self.gib = max(self.gib, resident() / 2**30)
            if last:
                return


def resident() -> int:
    """Bytes of the process that lie in memory; 0 where neither Linux nor psutil says."""
    with contextlib.suppress(OSError):
        return int(_STATUS.read_text().split()[1]) * mmap.PAGESIZE
    with contextlib.suppress(ImportError):
        import psutil

        return int(psutil.Process().memory_info().rss)
    return 0


@contextlib.contextmanager
def problems(figures: Figures) -> Iterator[None]:
    """What stops one row and no other is said in it: memory that ran out, a package that is missing."""
    try:
        yield
    except EnvironmentProblem as error:
        figures["problem"] = error.message
    except ImportError as error:
        figures["problem"] = f"needs a package that is missing ({error})"
    except Exception as error:
        if not (isinstance(error, OutOfMemory) or is_out_of_memory(error)):
            raise
        figures["problem"] = OUT_OF_MEMORY
    if "problem" in figures:
        gc.collect()  # outside of the handler, whose traceback keeps tensors alive
        release_cached_memory()


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown lines; the first column is text, the others numbers."""
    ruler = "| --- |" + " ---: |" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", ruler, *("| " + " | ".join(row) + " |" for row in rows)]
