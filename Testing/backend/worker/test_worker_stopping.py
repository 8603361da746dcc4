"""How a worker stops: a job when it is cancelled, the process when nobody is left to compute for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from samprompt.contract.wire import to_data, to_line
from samprompt.contract.worker import (
    CancelRequest,
    Failure,
    JobRequest,
    PropagateJob,
    QuitRequest,
    Result,
    SamplePatientJob,
    VisitMessage,
)

# One piece of native code that does not come back for half a minute, in place of a job, with a file half written.
NATIVE = """
import samprompt.worker.jobs as jobs
def do(self, context):
    import pathlib, numpy
    from samprompt.worker.arrays_out import ResultFolder
    folder = ResultFolder(context.data["folder"])
    context.close_in_the_end(folder)
    folder.write(numpy.ones(1000))
    context.progress.step("native")
    {native}
    context.progress.step("back")
    folder.write(numpy.ones(1000))
jobs.Jobs.do = do
"""
SLEEPS = "import ctypes; ctypes.CDLL(None).sleep(30)"
COMPUTES = "big = numpy.ones((4000, 4000)); [numpy.linalg.svd(big) for _ in range(100)]"
WITHOUT_TORCH = {"torch": "raise ImportError('not here')"}


@pytest.fixture
def light(tmp_path: Path) -> Path:
    """Makes workers that start in a moment, since they have no torch."""
    folder = tmp_path / "shadow"
    for name, text in WITHOUT_TORCH.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(text, encoding="utf-8")
    return folder


COLD = ("starting", "reading", "loading the model", "rigid", "deformable", "encoding")
WARM = ("learning", "prompting", "choosing", "writing")  # what comes before them may be known from the test before


@pytest.mark.parametrize("stage", [*COLD, *WARM])
def test_a_cancel_is_felt_within_a_second_at_every_stage_and_leaves_no_file(
    worker, handover, phantom, files_of, tmp_path, stage, a_second
):
    visits = [phantom.draw(name=name, seed=seed) for seed, name in enumerate(("first", "one", "two"))]
    folder = tmp_path / "results"
    folder.mkdir()
    key = str(tmp_path) if stage in COLD else "the same patient"
    volumes = [handover.volume(v, key=f"{key} {v.name}") for v in visits]
    job = handover.job(*visits, method="p2sam3d", window="lung" if stage == "learning" else "auto")
    baseline = VisitMessage(volumes[0], job.baseline.structures)
    job = replace(job, baseline=baseline, followups=tuple(volumes[1:]), folder=str(folder))
    name = worker.start("propagate", job)
    before = worker.wait_for_stage(stage)
    after, seconds = worker.cancel(name)
    answer = after[-1]
    assert isinstance(answer, Failure)
    assert answer.code == "cancelled"
    assert seconds < a_second()
    assert {p.name for p in folder.iterdir()} == files_of([*before, *after])


def test_a_finished_visit_is_kept_when_a_later_one_is_cancelled(worker, fresh_handover, phantom, files_of, visits_of):
    later = [phantom.draw(name=f"later {n}", seed=n) for n in range(5)]
    name = worker.start("propagate", fresh_handover.job(phantom.draw(), *later, method="deformable"))
    before = []
    while len(visits_of(before)) < 1:
        before.append(worker.next())
    after, _ = worker.cancel(name)
    assert after[-1].code == "cancelled"
    assert 1 <= len(visits_of([*before, *after])) < 5
    assert set(fresh_handover.left()) == files_of([*before, *after])
    assert fresh_handover.left()


def test_a_job_that_waits_is_cancelled_at_once_and_never_begins(worker, fresh_handover, phantom, a_second):
    first = worker.start(
        "propagate", fresh_handover.job(phantom.draw(), phantom.draw(name="later"), method="deformable")
    )
    worker.wait_for_stage("rigid")
    second = worker.start("sample-patient", SamplePatientJob(str(fresh_handover.results)))
    began = time.monotonic()
    worker.send(CancelRequest(second))
    messages = []
    while not any(isinstance(m, (Result, Failure)) for m in messages):
        messages.append(worker.next())
    assert time.monotonic() - began < a_second()
    assert (messages[-1].id, messages[-1].code) == (second, "cancelled")
    rest = worker.finish(first)
    assert isinstance(rest[-1], Result)


def test_the_sample_patient_is_cancelled_within_a_second(worker, handover, a_second):
    name = worker.start("sample-patient", SamplePatientJob(str(handover.results), followups=10))
    worker.wait_for_stage("making")
    after, seconds = worker.cancel(name)
    assert after[-1].code == "cancelled"
    assert seconds < a_second()
    time.sleep(2.5)  # the visit that was being made is finished meanwhile
    assert handover.left() == []


def test_a_job_deep_in_native_code_is_given_up_and_never_heard_of_again(start_worker, light, handover, a_second):
    worker = start_worker(change=NATIVE.format(native="import ctypes; ctypes.CDLL(None).sleep(3)"), shadow=light)
    name = worker.start("sample-patient", SamplePatientJob(str(handover.results)))
    worker.wait_for_stage("native")
    assert len(handover.left()) == 1
    after, seconds = worker.cancel(name)
    assert after[-1].code == "cancelled"
    assert seconds < a_second()
    assert handover.left() == []
    time.sleep(3.0)
    worker.send(CancelRequest("nobody"))
    worker.raw(b"are you there?\n")
    assert worker.next().code == "protocol"  # and no word of the job that came back meanwhile
    assert handover.left() == []


@pytest.mark.parametrize("native", [SLEEPS, COMPUTES], ids=["sleeping", "computing"])
def test_the_end_of_the_input_ends_the_process_within_a_second_even_in_native_code(
    start_worker, light, handover, native, a_second
):
    worker = start_worker(change=NATIVE.format(native=native), shadow=light)
    worker.start("sample-patient", SamplePatientJob(str(handover.results)))
    worker.wait_for_stage("native")
    time.sleep(0.3)
    assert len(handover.left()) == 1
    assert worker.end_of_input() < a_second()
    assert worker.process.returncode == 0
    assert handover.left() == []


def test_the_end_of_the_input_ends_the_process_while_it_is_still_starting(start_worker, a_second):
    worker = start_worker()
    time.sleep(0.6)  # deep in the import of torch
    assert worker.end_of_input() < a_second()
    assert worker.process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_process_and_tidies(start_worker, light, handover, number, a_second):
    worker = start_worker(change=NATIVE.format(native=SLEEPS), shadow=light)
    worker.start("sample-patient", SamplePatientJob(str(handover.results)))
    worker.wait_for_stage("native")
    began = time.monotonic()
    worker.process.send_signal(number)
    assert worker.process.wait(10) == 143
    assert time.monotonic() - began < a_second()
    assert handover.left() == []
    assert "Traceback" not in worker.said()


def test_quit_ends_the_process_and_what_was_answered_before_still_arrives(start_worker, light):
    worker = start_worker(shadow=light)
    assert worker.hello
    worker.raw(b"rubbish\n" * 200 + to_line(QuitRequest()).encode() + b"rubbish behind it\n")
    for _ in range(200):
        assert worker.next().code == "protocol"
    assert worker.process.wait(5) == 0
    with pytest.raises(AssertionError, match="ended with 0"):
        worker.next(1)


def test_a_panel_that_stops_reading_ends_the_worker(light):
    paths = os.pathsep.join([str(light), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "samprompt.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    try:
        assert b"hello" in process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"anything\n")
        process.stdin.flush()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_a_job_class_of_another_version_is_refused_before_anything_is_read(worker, handover, phantom):
    job = to_data(handover.job(phantom.draw(), phantom.draw(name="later")))
    job["parameters"]["future"] = 1
    worker.send(JobRequest("newer", "propagate", job))
    answer = worker.finish("newer")[-1]
    assert isinstance(answer, Failure)
    assert answer.code == "parameter"
    assert "parameters.future" in answer.message
    assert PropagateJob.__name__ in answer.message
