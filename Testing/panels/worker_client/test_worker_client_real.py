"""The client with the real worker, started as Slicer starts it."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import psutil
import pytest
from fake_workers import MARK, Ended
from samprompt.contract.version import VERSION
from samprompt.contract.worker import (
    DownloadJob,
    GridMessage,
    PropagateJob,
    SamplePatientJob,
    StructureMessage,
    VisitMessage,
    VolumeMessage,
)
from SAMPromptCommonLib import python
from SAMPromptCommonLib.client import WorkerClient


@pytest.fixture
def real(client_of: Any, workers: Any) -> WorkerClient:
    """A client of the real worker; its process carries the mark by which what is left would be found."""

    def launch() -> Any:
        found = python.workerLaunch()
        return dataclasses.replace(found, environment={**found.environment, MARK: workers.mark})

    client: WorkerClient = client_of(launch)
    return client


@pytest.fixture
def propagate_job(tmp_path: Path) -> Callable[[], PropagateJob]:
    """A small but real propagation: a bright ball in noise, carried to a shifted copy."""
    rng = numpy.random.default_rng(3)
    k, j, i = numpy.ogrid[:24, :64, :64]
    ball = (k - 12) ** 2 * 4 + (j - 30) ** 2 + (i - 34) ** 2 < 100
    grid = GridMessage((24, 64, 64), (1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 3.0, 0, 0, 0, 0, 1))
    for name, shift in (("first", 0), ("second", 2)):
        body = numpy.where(numpy.roll(ball, shift, 1), 60, -80) + rng.normal(0, 8, ball.shape)
        numpy.save(tmp_path / f"{name}.npy", body.astype(numpy.int16))
    numpy.save(tmp_path / "ball.npy", ball.astype(numpy.uint8))
    structure = StructureMessage(
        "Segment_1", "Läsion", (1.0, 0.0, 0.0), str(tmp_path / "ball.npy"), (0, 0, 0), ball.shape
    )

    def volume(name: str) -> VolumeMessage:
        return VolumeMessage(name, str(tmp_path / f"{name}.npy"), grid, key=name, modality="CT")

    def make() -> PropagateJob:
        (tmp_path / "out").mkdir(exist_ok=True)
        return PropagateJob(
            VisitMessage(volume("first"), (structure,)), (volume("second"),), str(tmp_path / "out"), device="cpu"
        )

    return make


def test_the_worker_says_who_it_is(host: Any, real: WorkerClient) -> None:
    real.start()
    assert host.wait_until(lambda: real.state == "ready", 90)
    assert real.hello is not None
    assert real.hello.version == VERSION
    process = psutil.Process(real.hello.pid)
    assert process.is_running()
    assert "samprompt.worker" in process.cmdline()
    assert real.hello.device
    assert real.hello.missing == ()


def test_the_demo_patient_comes_from_the_worker(host: Any, real: WorkerClient, tmp_path: Path) -> None:
    folder = tmp_path / "Größe 中"
    folder.mkdir()
    ended = Ended(real.submit("sample-patient", SamplePatientJob(str(folder), followups=1)))
    assert host.wait_until(lambda: ended.job.isOver, 180)
    assert ended.result.value, ended.told
    assert list(folder.glob("**/*.npy"))


def test_a_propagation_runs_cancels_and_runs_again_warm(
    host: Any, real: WorkerClient, propagate_job: Callable[[], PropagateJob]
) -> None:
    first = Ended(real.submit("propagate", propagate_job()))
    assert host.wait_until(lambda: first.job.isOver, 240)
    assert first.job.state == "done", first.told[-1]
    assert first.names.count("visitReady") == 1
    outcome = next(message for name, message in first.told if name == "visitReady").outcomes[0]
    assert outcome.structure.id == "Segment_1"
    assert outcome.structure.name == "Läsion"
    assert real.hello is not None
    pid = real.hello.pid

    second = Ended(real.submit("propagate", propagate_job()))
    assert host.wait_until(lambda: "progressed" in second.names, 10)
    began = time.monotonic()
    second.job.cancel()
    assert host.wait_until(lambda: second.job.isOver, 5)
    assert second.failure.code == "cancelled"
    assert time.monotonic() - began < 4.0

    third = Ended(real.submit("propagate", propagate_job()))
    assert host.wait_until(lambda: third.job.isOver, 240)
    assert third.job.state == "done", third.told[-1]
    assert real.hello is not None
    assert real.hello.pid == pid


def test_a_model_that_does_not_exist_is_said_by_the_worker(
    host: Any, real: WorkerClient, propagate_job: Callable[[], PropagateJob]
) -> None:
    ended = Ended(real.submit("propagate", dataclasses.replace(propagate_job(), model="no such model")))
    assert host.wait_until(lambda: ended.job.isOver, 90)
    assert ended.failure.code == "parameter"
    assert "no such model" in ended.failure.message
    assert ended.failure.hint
    assert real.state == "ready"
    ended = Ended(real.submit("download", DownloadJob("no such model")))
    assert host.wait_until(lambda: ended.job.isOver, 30)
    assert ended.failure.code == "parameter"


def test_a_killed_worker_is_replaced(host: Any, real: WorkerClient, propagate_job: Callable[[], PropagateJob]) -> None:
    ended = Ended(real.submit("propagate", propagate_job()))
    assert host.wait_until(lambda: "progressed" in ended.names, 120)
    assert real.hello is not None
    os.kill(real.hello.pid, signal.SIGKILL)
    assert host.wait_until(lambda: ended.job.isOver, 5)
    assert "SIGKILL" in ended.failure.message
    again = Ended(real.submit("propagate", propagate_job()))
    assert host.wait_until(lambda: again.job.isOver, 240)
    assert again.job.state == "done", again.told[-1]


def test_ending_slicer_in_the_middle_of_native_code_leaves_nothing(
    host: Any, real: WorkerClient, workers: Any, propagate_job: Callable[[], PropagateJob]
) -> None:
    ended = Ended(real.submit("propagate", propagate_job()))
    assert host.wait_until(lambda: "progressed" in ended.names, 120)
    began = time.monotonic()
    real.shutDown()
    assert time.monotonic() - began < 4.0
    assert ended.failure.code == "cancelled"
    assert not workers.alive()


def test_the_memory_is_released_and_the_next_job_still_runs(
    host: Any, real: WorkerClient, propagate_job: Callable[[], PropagateJob]
) -> None:
    released: list[Any] = []
    real.released.connect(released.append)
    ended = Ended(real.submit("propagate", propagate_job()))
    assert host.wait_until(lambda: ended.job.isOver, 240)
    assert real.release()
    assert host.wait_until(lambda: bool(released), 10)
    again = Ended(real.submit("propagate", propagate_job()))
    assert host.wait_until(lambda: again.job.isOver, 240)
    assert again.job.state == "done", again.told[-1]


SLICER_THAT_CRASHES = """
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-m", "samprompt.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
time.sleep(600)
"""


def test_the_worker_ends_within_five_seconds_when_slicer_crashes(workers: Any) -> None:
    environment = {**python.workerLaunch().environment, MARK: workers.mark}
    crashing = subprocess.Popen(
        [sys.executable, "-c", SLICER_THAT_CRASHES], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert crashing.stdout is not None
    worker = psutil.Process(int(crashing.stdout.readline()))
    assert worker.is_running()
    crashing.kill()
    crashing.wait()
    crashing.stdout.close()
    until = time.monotonic() + 5.0
    while workers.alive() and time.monotonic() < until:
        time.sleep(0.05)
    assert not workers.alive()
