"""The batches of a run and the processes that load them: what they do not hear, and what is said when one dies."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from typing import Any

from samprompt.contract.errors import OutOfMemory, SamPromptError, TrainingError

_MEMORY = {-int(getattr(signal, name, 0)) for name in ("SIGKILL", "SIGBUS")}  # how a system without memory ends them


def unsignalled(_worker: int) -> None:
    """Have a loading process ignore the signals that cancel a training; ``worker_init_fn`` of its ``DataLoader``.

    A terminal, a launcher and a queueing system signal all processes at once. The main one hears it, finishes its step
    and ends the others; were they gone before, there would be no batch to finish it with.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class Loading:
    """A task's ``batches``, asked for one at a time; ``close`` ends the processes that load them.

    torch tells of a dead loading process by a signal that raises an error wherever the main process is, in the middle
    of an update too. Here it is heard while a batch is waited for and at no other time, so that the weights are always
    those of a whole step.
    """

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self._processes: list[BaseProcess] | None = None
        self._heard = _hear(None)

    def next(self, where: str) -> Any:
        """The next batch; ``where`` is for messages.

        Raises:
            OutOfMemory: a loading process was killed.
            TrainingError: a loading process ended in another way, or there are no more batches.
        """
        before = set(multiprocessing.active_children()) if self._processes is None else set()
        _hear(self._heard)
        try:
            return next(self._batches)
        except StopIteration:
            raise TrainingError(
                f"The data ended {where}.", "Batches must go on without end; see that the training part is not empty."
            ) from None
        except RuntimeError:
            if not self._dead():
                raise
        finally:
            self._heard = _hear(None)
            if self._processes is None:
                self._processes = [p for p in multiprocessing.active_children() if p not in before]
        # outside of the handler: the other error's traceback would keep the other loading processes
        raise _ended(self._dead()[0], where)

    def close(self) -> None:
        """End the loading; a process that is stuck in a sample is killed."""
        with ExitStack() as stack:
            stack.callback(lambda: _hear(self._heard))
            for process in self._processes or ():
                stack.callback(_end, process)
            close = getattr(self._batches, "close", None)
            if close is not None:
                stack.callback(close)

    def _dead(self) -> list[BaseProcess]:
        return [p for p in self._processes or () if p.exitcode is not None]


def _hear(handler: Any) -> Any:
    """Have the deaths of processes told to ``handler``, or to nobody; the handler before, None where there was none."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return None
    before = signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)
    return before if callable(before) else None


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.kill()
        process.join()


def _ended(process: BaseProcess, where: str) -> SamPromptError:
    """What to say of a dead process."""
    code = process.exitcode or 0
    if code in _MEMORY:
        return OutOfMemory(
            f"A process that loads data was killed {where}, as the system does when memory runs out.",
            "Close other programs and run it again, or begin in a new folder with fewer workers.",
        )
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
    return TrainingError(
        f"A process that loads data ended {where} {how}.",
        "Run it again; if it happens again, begin in a new folder with workers: 0.",
    )
