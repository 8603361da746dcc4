"""Where and how precisely models compute: choice of device, precision, memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from samprompt.contract.errors import EnvironmentProblem, OutOfMemory, ParameterError
from samprompt.contract.memory import is_out_of_memory


def launch_kernel(device: torch.device) -> str:
    """Multiply two matrices on ``device`` and compare with the CPU; "" when right, else what went wrong in words.

    A driver, card and library that do not fit are only noticed by a real kernel: ``torch.cuda.is_available`` says True
    on a card whose architecture this build of torch has no code for.
    """
    try:
        left = torch.arange(64 * 64, dtype=torch.float32).reshape(64, 64) / 4096.0
        expected = left @ left.T
        moved = left.to(device)
        answer = (moved @ moved.T).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    # TF32 keeps ten bits of mantissa; more than that off means the device computes wrongly.
    if not torch.allclose(answer, expected, rtol=5e-3, atol=5e-3):
        return "a matrix product came back with wrong numbers"
    return ""


def choose_device(name: str = "auto") -> torch.device:
    """Device called ``name``: "auto" (CUDA where it works, else CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        ParameterError: not the name of a device.
        EnvironmentProblem: a device was asked for by name and is absent or fails a real computation. "auto" falls back
            to the CPU instead, with a warning where CUDA is there but broken.
    """
    wanted = name.strip().lower()
    if wanted == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        problem = launch_kernel(torch.device("cuda"))
        if problem:
            warnings.warn(f"CUDA is there but does not work ({problem}); computing on the CPU.", stacklevel=2)
            return torch.device("cpu")
        return torch.device("cuda", torch.cuda.current_device())
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ParameterError(f'"{name}" is not a device.', "Use auto, cpu, cuda, cuda:0, cuda:1, ... or mps.")
    if device.type == "cpu":
        return torch.device("cpu")
    available = torch.cuda.is_available() if device.type == "cuda" else torch.backends.mps.is_available()
    if not available:
        raise EnvironmentProblem(
            f"The device {name} is not available here.", "Use --device cpu, or see: samprompt doctor."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EnvironmentProblem(
            f"There is no {name}: this machine has {torch.cuda.device_count()} CUDA device(s).",
            "Numbers begin at 0; see: samprompt doctor.",
        )
    problem = launch_kernel(device)
    if problem:
        raise EnvironmentProblem(
            f"{name} is there but fails a computation ({problem}).",
            "The driver and this build of torch may not fit each other. Use --device cpu, or see: samprompt doctor.",
        )
    return device


def autocast(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """bfloat16 inside the block on CUDA cards that have it; full precision everywhere else."""
    # where a card only imitates bfloat16, full precision is faster
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return _autocast_bfloat16()
    return contextlib.nullcontext()


@contextlib.contextmanager
def _autocast_bfloat16() -> Iterator[None]:
    with torch.autocast("cuda", dtype=torch.bfloat16):
        yield


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be taken on ``device``, or None where the system does not say.

    On CUDA what torch holds for later is among them.
    """
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held
    if sys.platform == "win32":
        return _free_memory_windows()
    try:  # Linux: MemAvailable counts the caches that give way
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _free_memory_windows() -> int | None:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "page", "page_free", "virtual", "virtual_free")),
            ("extended", ctypes.c_ulonglong),
        )

    status = Status(length=ctypes.sizeof(Status))
    windll = getattr(ctypes, "windll", None)
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.free)


_SMALLER = "Close other programs, use a smaller model (--model tiny), or --device cpu where a GPU is too small."


@contextlib.contextmanager
def out_of_memory_guard(what: str = "The computation", hint: str = _SMALLER) -> Iterator[None]:
    """Context or decorator that turns every form of "memory ran out" into ``OutOfMemory``, naming ``what``."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        release_cached_memory()
        raise OutOfMemory(f"{what} needs more memory than there is.", hint) from error


def release_cached_memory() -> None:
    """Give back what torch keeps for later on the GPU; harmless where there is none."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")


class Sliceable(Protocol[T_co]):
    """A tensor, list or ``Embedding``: has a length and can be cut."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> T_co: ...


def with_smaller_batches(function: Callable[[T_co], R], items: Sliceable[T_co], batch: int) -> list[R]:
    """Call ``function`` on pieces of at most ``batch`` items, in order; halve the batch whenever memory runs out.

    Raises:
        OutOfMemory: a single item does not fit either.
    """
    results: list[R] = []
    start, batch = 0, max(1, batch)
    while start < len(items):
        piece = items[start : start + batch]
        # Only the outcome leaves the handler: the exception's traceback would keep the big tensors alive in the retry.
        result: list[R] = []
        try:
            result.append(function(piece))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        if not result:
            release_cached_memory()
            size = min(batch, len(items) - start)
            if size == 1:
                raise OutOfMemory(
                    "Even a batch of one needs more memory than there is.",
                    "Close other programs, use a smaller model (--model tiny), or --device cpu.",
                )
            batch = size // 2
            continue
        results.append(result[0])
        start += batch
    return results
