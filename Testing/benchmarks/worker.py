"""How soon a worker starts to work, cold and warm, how soon it stops, and what handing a large CT over costs it.

    python Testing/benchmarks/worker.py [--large] [--threads 2]

Seconds from the request to the first message of a computing stage; ratios are within one run, one worker.
Writes a row to Testing/benchmarks/results/worker.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe_machine, write_row
from samprompt.contract.wire import Message, from_data, from_line, to_data, to_line
from samprompt.contract.worker import (
    CancelRequest,
    Failure,
    GridMessage,
    Hello,
    JobRequest,
    ProgressMessage,
    PropagateJob,
    Result,
    SamplePatientJob,
    SamplePatientValue,
    StructureMessage,
    VisitMessage,
    VolumeMessage,
)

REPOSITORY = Path(__file__).resolve().parents[2]
COMPUTING = ("body", "rigid", "warping", "encoding", "learning", "prompting")
REPEATS = 5


class Worker:
    """A worker process and the clock beside it."""

    def __init__(self) -> None:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "samprompt.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert isinstance(self.read(), Hello)
        self.hello_seconds = time.perf_counter() - began
        self.count = 0

    def read(self) -> Message:
        assert self.process.stdout is not None
        return from_line(self.process.stdout.readline())

    def send(self, message: Message) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(to_line(message).encode())
        self.process.stdin.flush()

    def run(self, kind: str, job: object, stop: bool = False) -> tuple[Result | Failure, float, float]:
        """Do a job: its answer, seconds to its first computing stage and to its end (``stop``: from its cancel)."""
        self.count += 1
        name = f"job {self.count}"
        began = time.perf_counter()
        first = stopping = 0.0
        self.send(JobRequest(name, kind, to_data(job)))  # type: ignore[arg-type]
        while True:
            message = self.read()
            now = time.perf_counter()
            if isinstance(message, ProgressMessage) and message.stage.startswith(COMPUTING) and not first:
                first = now - began
                if stop:
                    self.send(CancelRequest(name))
                    stopping = time.perf_counter()
            if isinstance(message, (Result, Failure)):
                return message, first, now - (stopping or began)

    def end(self) -> float:
        """Seconds from the end of the input to the end of the process."""
        assert self.process.stdin is not None
        began = time.perf_counter()
        self.process.stdin.close()
        self.process.wait()
        return time.perf_counter() - began


def enlarged(visit: VisitMessage, folder: Path) -> VisitMessage:
    """The visit with 200 x 512 x 512 voxels: each one repeated, then cut."""
    grid = visit.volume.grid
    times = tuple(-(-wanted // have) for wanted, have in zip((200, 512, 512), grid.shape, strict=True))
    array = np.load(visit.volume.array)
    for axis, n in enumerate(times):
        array = np.repeat(array, n, axis=axis)
    array = np.ascontiguousarray(array[:200, :512, :512])
    matrix = np.array(grid.ijk_to_ras).reshape(4, 4) @ np.diag([1 / times[2], 1 / times[1], 1 / times[0], 1.0])
    path = folder / f"large-{visit.volume.name}.npy"
    np.save(path, array)
    volume = VolumeMessage(
        visit.volume.name, str(path), GridMessage(array.shape, tuple(float(x) for x in matrix.ravel())),
        f"large {visit.volume.key}", "CT",
    )  # fmt: skip
    return VisitMessage(volume, tuple(_enlarged(s, times, folder) for s in visit.structures))


def _enlarged(structure: StructureMessage, times: tuple[int, ...], folder: Path) -> StructureMessage:
    mask = np.load(structure.array)
    for axis, n in enumerate(times):
        mask = np.repeat(mask, n, axis=axis)
    offset = tuple(o * n for o, n in zip(structure.offset, times, strict=True))
    mask = mask[tuple(slice(0, max(0, end - o)) for o, end in zip(offset, (200, 512, 512), strict=True))]
    path = folder / f"large-{Path(structure.array).name}"
    np.save(path, mask)
    return replace(structure, array=str(path), offset=offset, size=mask.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="200 x 512 x 512 voxels in place of the demo's")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        worker = Worker()
        made, _, _ = worker.run("sample-patient", SamplePatientJob(place, followups=1))
        assert isinstance(made, Result)
        value = from_data(SamplePatientValue, made.value)
        visits = [replace(v, structures=v.structures[:1]) for v in (value.baseline, value.followups[0])]
        if chosen.large:
            visits = [enlarged(v, folder) for v in visits]
        job = PropagateJob(visits[0], (visits[1].volume,), place, threads=chosen.threads)
        answer, cold_first, cold = worker.run("propagate", job)
        assert isinstance(answer, Result), answer
        reading = answer.seconds["reading"]
        warm = [worker.run("propagate", job) for _ in range(2 if chosen.large else REPEATS)]
        assert all(isinstance(a, Result) for a, _, _ in warm)
        stops = [worker.run("propagate", job, stop=True) for _ in range(REPEATS)]
        assert all(isinstance(a, Failure) and a.code == "cancelled" for a, _, _ in stops)
        shape = " x ".join(map(str, visits[0].volume.grid.shape))
        warm_first, warm_total = (statistics.median(w[n] for w in warm) for n in (1, 2))
        row = {
            "voxels": shape,
            "start to hello s": f"{worker.hello_seconds:.2f}",
            "reading both images s": f"{reading:.2f}",
            "request to work, cold s": f"{cold_first:.2f}",
            "request to work, warm s": f"{warm_first:.3f}",
            "warm / cold": f"{warm_first / cold_first:.3f}",
            "whole job, cold s": f"{cold:.1f}",
            "whole job, warm s": f"{warm_total:.1f}",
            "cancel to answer, worst s": f"{max(s[2] for s in stops):.2f}",
            "end of input to end s": f"{worker.end():.2f}",
            "load before": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "",
            "machine": describe_machine(chosen.threads),
        }
    print("\n".join(f"{name}: {text}" for name, text in row.items()))
    title = "The worker: from a request to work, cold and warm"
    write_row(REPOSITORY / "Testing" / "benchmarks" / "results" / "worker.md", title, row)


if __name__ == "__main__":
    main()
