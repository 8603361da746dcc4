"""A real worker process at the other end of two pipes, and a small patient handed over as a panel hands it over."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from module_by_path import module_by_path
from samprompt.contract.prompting import ADAPTED
from samprompt.contract.propagation import PropagationParameters
from samprompt.contract.wire import Message, WireError, from_line, to_data, to_line
from samprompt.contract.worker import (
    CancelRequest,
    Failure,
    GridMessage,
    Hello,
    JobRequest,
    OutcomeMessage,
    ProgressMessage,
    PropagateJob,
    Result,
    StructureMessage,
    VisitMessage,
    VisitReady,
    VolumeMessage,
)
from samprompt.space.grid import Grid

SHAPE = (16, 62, 72)
SOURCES = Path(__file__).resolve().parents[3] / "SAMPromptTools"
# The whole road with one prompt per slice instead of six: a second instead of four.
QUICK = PropagationParameters(prompting=replace(ADAPTED, positive_parts=(1, 1), negative_parts=(1, 1)))
# What ``python -m samprompt.worker`` does, with something changed in between.
PROGRAM = """
from samprompt.worker.channel import Channel
channel = Channel.of_this_process()
{change}
from samprompt.worker.serve import serve
serve(channel)
"""


class WorkerProcess:
    """A worker and the panel's side of the protocol. Every wait has an end."""

    def __init__(
        self,
        change: str = "",
        shadow: Path | None = None,
        environment: dict[str, str] | None = None,
        preexec: Callable[[], None] | None = None,
    ) -> None:
        paths = [str(p) for p in (shadow, SOURCES) if p is not None]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", **(environment or {})}
        variables.pop("PYTHONUTF8", None)
        how = ["-c", PROGRAM.format(change=change)] if change else ["-m", "samprompt.worker"]
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=variables, preexec_fn=preexec,
        )  # fmt: skip
        self.rubbish: list[bytes] = []
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._hello: Hello | None = None

    @property
    def hello(self) -> Hello:
        """The first message, waited for at the first call."""
        if self._hello is None:
            message = self.next(60.0)
            assert isinstance(message, Hello), message
            self._hello = message
        return self._hello

    def next(self, seconds: float = 30.0) -> Message:
        """The next message; a line that is none is an error of the worker."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"nothing came within {seconds} s; the log says:\n{self.said()}") from None
        assert line, f"the worker ended with {self.process.wait(5)}; the log says:\n{self.said()}"
        try:
            return from_line(line)
        except WireError:
            self.rubbish.append(line)
            raise

    def send(self, message: Message) -> None:
        self.raw(to_line(message).encode())

    def raw(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def start(self, kind: str, job: object) -> str:
        """Send a job; its id."""
        assert self.hello
        name = f"job {next(self._numbers)}"
        self.send(JobRequest(name, kind, to_data(job)))  # type: ignore[arg-type]
        return name

    def finish(self, job: str, seconds: float = 60.0) -> list[Message]:
        """All messages of a job until it is answered."""
        found: list[Message] = []
        end = time.monotonic() + seconds
        while True:
            message = self.next(max(0.1, end - time.monotonic()))
            assert getattr(message, "id", job) == job, message
            found.append(message)
            if isinstance(message, (Result, Failure)):
                return found

    def do(self, kind: str, job: object, seconds: float = 60.0) -> list[Message]:
        return self.finish(self.start(kind, job), seconds)

    def answer(self, kind: str, job: object, seconds: float = 60.0) -> Result | Failure:
        """The last message of a job."""
        answer = self.do(kind, job, seconds)[-1]
        assert isinstance(answer, (Result, Failure))
        return answer

    def wait_for_stage(self, beginning: str, seconds: float = 60.0) -> list[Message]:
        """All messages until one of a stage that begins so."""
        found: list[Message] = []
        end = time.monotonic() + seconds
        while True:
            message = self.next(max(0.1, end - time.monotonic()))
            found.append(message)
            assert not isinstance(message, (Result, Failure)), message
            if isinstance(message, ProgressMessage) and message.stage.startswith(beginning):
                return found

    def cancel(self, job: str) -> tuple[list[Message], float]:
        """Cancel a job: what still came, and the seconds until it was answered."""
        began = time.monotonic()
        self.send(CancelRequest(job))
        found = self.finish(job)
        return found, time.monotonic() - began

    def end_of_input(self) -> float:
        """Close the input; seconds until the process was gone."""
        assert self.process.stdin is not None
        began = time.monotonic()
        self.process.stdin.close()
        self.process.wait(20)
        return time.monotonic() - began

    def said(self) -> str:
        """What went to the standard error."""
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")


StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Starts workers of the test's own; all of them are killed in the end."""
    started: list[WorkerProcess] = []

    def start(**options: object) -> WorkerProcess:
        started.append(WorkerProcess(**options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for worker in started:
        worker.close()


@pytest.fixture(scope="session")
def shared_worker() -> Iterator[WorkerProcess]:
    worker = WorkerProcess()
    yield worker
    worker.close()


@pytest.fixture
def worker(shared_worker: WorkerProcess) -> Iterator[WorkerProcess]:
    """One worker for all tests that leave it alive and idle: that it survives each of them is part of the test."""
    assert shared_worker.hello
    yield shared_worker
    assert shared_worker.process.poll() is None, shared_worker.said()
    assert shared_worker.rubbish == []


@pytest.fixture(scope="session")
def phantom() -> ModuleType:
    """The phantom patient of the propagation tests."""
    place = Path(__file__).parents[1] / "propagation" / "phantom.py"
    module = module_by_path("worker_phantom", place)
    # coarse enough to be carried in a second
    module.draw.__defaults__ = (Grid.from_spacing(SHAPE, (3.8, 3.8, 4.6), (-137.0, -117.0, -36.0)),
                                *module.draw.__defaults__[1:])  # fmt: skip
    return module


class Handover:
    """Writes visits as a panel does, and reads what comes back.

    The key of a volume is its content's, so that a warm worker need not align the same phantoms in every test; with
    ``fresh`` nothing is known of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fresh = False
        self.results = folder / "results"
        self.results.mkdir(parents=True)

    def volume(self, visit, key: str | None = None, dtype: object = np.float32) -> VolumeMessage:
        path = self.folder / f"{visit.name}.npy"
        np.save(path, visit.volume.array.astype(dtype))
        grid = visit.volume.grid
        if key is None:
            key = hashlib.sha256(path.read_bytes()).hexdigest() + (str(self.folder) if self.fresh else "")
        return VolumeMessage(
            visit.name,
            str(path),
            GridMessage(grid.shape, tuple(float(x) for x in grid.ijk_to_ras.ravel())),
            key,
            "CT",
        )

    def structure(self, structure, name: str | None = None, segment: str = "Segment_1") -> StructureMessage:
        found = np.argwhere(structure.mask)
        name = structure.name if name is None else name
        if not len(found):
            return StructureMessage(segment, name, structure.color, "")
        low, high = found.min(axis=0), found.max(axis=0) + 1
        path = self.folder / f"{segment}-{len(list(self.folder.iterdir()))}.npy"
        np.save(path, structure.mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.uint8))
        offset, size = tuple(int(x) for x in low), tuple(int(x) for x in high - low)
        return StructureMessage(segment, name, structure.color, str(path), offset, size, structure.terminology)

    def visit(self, visit, **options: object) -> VisitMessage:
        structures = (self.structure(s, segment=f"Segment_{n}") for n, s in enumerate(visit.structures, 1))
        return VisitMessage(self.volume(visit, **options), tuple(structures))

    def job(
        self, baseline, *followups, method: str = "copied", window: str = "auto", **options: object
    ) -> PropagateJob:
        """A job with one CPU thread; ``method`` "copied" needs no model and next to no time."""
        given = {"threads": 1, "parameters": replace(QUICK, method=method, window=window), **options}
        return PropagateJob(self.visit(baseline), tuple(self.volume(f) for f in followups), str(self.results), **given)

    def mask(self, message: StructureMessage, shape: tuple[int, ...]) -> np.ndarray:
        """The whole mask of a result."""
        whole = np.zeros(shape, bool)
        if message.array:
            part = np.load(message.array)
            assert part.dtype == np.uint8
            assert part.shape == message.size
            whole[tuple(slice(o, o + n) for o, n in zip(message.offset, message.size, strict=True))] = part == 1
        return whole

    def left(self) -> list[str]:
        return sorted(p.name for p in self.results.iterdir())


@pytest.fixture(scope="session")
def handover_in() -> type[Handover]:
    """Makes a handover in a folder of one's own."""
    return Handover


@pytest.fixture
def handover(tmp_path: Path) -> Handover:
    return Handover(tmp_path / "private")


@pytest.fixture
def fresh_handover(handover: Handover) -> Handover:
    """Volumes that no worker has seen before."""
    handover.fresh = True
    return handover


@pytest.fixture(scope="session")
def a_second() -> Callable[[], float]:
    """How long a second is here and now: on a machine with more to do than cores, everything takes longer."""

    def measured() -> float:
        waiting = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
        return max(1.0, waiting / (os.cpu_count() or 1))

    return measured


def announced(messages: list[Message]) -> list[VisitReady]:
    """The visits among the messages of a job."""
    return [m for m in messages if isinstance(m, VisitReady)]


@pytest.fixture(scope="session")
def visits_of() -> Callable[[list[Message]], list[VisitReady]]:
    return announced


@pytest.fixture(scope="session")
def files_of() -> Callable[[list[Message]], set[str]]:
    """Names of all files that the visits among some messages speak of."""

    def files(messages: list[Message]) -> set[str]:
        outcomes: list[OutcomeMessage] = [o for visit in announced(messages) for o in visit.outcomes]
        paths = [s.array for o in outcomes for s in (o.structure, o.prior) if s.array]
        return {Path(p).name for p in paths}

    return files
