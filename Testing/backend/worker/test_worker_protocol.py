"""The worker's manners: hello first, one answer to every request, nothing but messages on the line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from samprompt.contract.version import VERSION
from samprompt.contract.wire import from_data, to_data, to_line
from samprompt.contract.worker import (
    PROTOCOL_VERSION,
    CancelRequest,
    DownloadJob,
    DownloadValue,
    Failure,
    Hello,
    JobRequest,
    ProgressMessage,
    Released,
    ReleaseRequest,
    Result,
    SamplePatientJob,
    SamplePatientValue,
    VisitReady,
)
from samprompt.synthesis.patient import demo_visits

# Prints as libraries do, from Python and from native code, on every road to file 1.
PRINTING = """
import samprompt.worker.jobs as jobs
inner = jobs.Jobs.do
def do(self, context):
    import ctypes, os, subprocess, sys
    print("printed by Python, größer \\u2028")
    sys.stdout.write("without a line feed")
    sys.__stdout__.flush()
    os.write(1, b"written to file 1\\n")
    library = ctypes.CDLL(None)
    library.puts(b"printed by native code")
    library.fflush(None)
    subprocess.run([sys.executable, "-c", "print('printed by a child'); import sys; assert sys.stdin.read() == ''"])
    return inner(self, context)
jobs.Jobs.do = do
"""


def test_hello_says_who_computes_and_that_it_really_does(worker):
    hello = worker.hello
    assert hello.protocol == PROTOCOL_VERSION
    assert hello.version == VERSION
    assert hello.pid == worker.process.pid
    assert hello.python == ".".join(str(n) for n in sys.version_info[:3])
    assert hello.device in ("cpu", "cuda:0")
    assert 0.0 < hello.kernel_ms < 5_000.0
    assert {"torch", "numpy", "pydantic", "POT"} <= set(hello.packages)
    assert hello.missing == ()
    assert hello.problem == ""


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"hello?",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'{"type": "cancel"}',
        b'{"type": "cancel", "id": 7}',
        b'{"type": "frobnicate", "id": "a"}',
        b"[" * 50_000,
        b'{"type": "released", "freed_mib": NaN}',
    ],
)
def test_a_line_that_is_no_request_is_said_and_survived(worker, line):
    worker.raw(line + b"\n")
    answer = worker.next()
    assert isinstance(answer, Failure)
    assert answer.code == "protocol"
    assert answer.id == ""
    assert "\n" not in answer.message


def test_a_message_in_the_wrong_direction_is_refused(worker):
    worker.send(Hello(1, "", 1, ""))
    answer = worker.next()
    assert isinstance(answer, Failure)
    assert "'hello'" in answer.message


def test_blank_lines_are_nothing(worker):
    worker.raw(b"\n  \r\n\n")
    worker.send(ReleaseRequest())
    assert isinstance(worker.next(), Released)


def test_a_job_of_an_unknown_kind_is_answered_under_its_own_name(worker):
    worker.raw(json.dumps({"type": "job", "id": "mine", "kind": "format-disk", "job": {}}).encode() + b"\n")
    answer = worker.next()
    assert isinstance(answer, Failure)
    assert (answer.id, answer.code) == ("mine", "protocol")
    assert "format-disk" in answer.message


def test_a_request_cut_into_pieces_is_put_together(worker):
    line = to_line(JobRequest("pieces", "download", to_data(DownloadJob("tiny")))).encode()
    for n in range(0, len(line), 7):
        worker.raw(line[n : n + 7])
    assert isinstance(worker.finish("pieces")[-1], Result)


def test_many_requests_in_one_piece_are_answered_one_after_the_other(worker):
    names = [f"together {n}" for n in range(20)]
    worker.raw(b"".join(to_line(JobRequest(n, "download", to_data(DownloadJob("tiny")))).encode() for n in names))
    answers = []
    while len(answers) < len(names):
        message = worker.next()
        if isinstance(message, (Result, Failure)):
            answers.append(message)
    assert [a.id for a in answers] == names
    assert all(isinstance(a, Result) for a in answers)


def test_cancelling_what_is_not_there_does_nothing(worker):
    worker.send(CancelRequest("never heard of"))
    worker.send(ReleaseRequest())
    assert isinstance(worker.next(), Released)


def test_a_name_that_is_in_use_does_not_end_the_job_that_has_it(worker, fresh_handover, phantom):
    job = worker.start("propagate", fresh_handover.job(phantom.draw(), phantom.draw(name="later"), method="deformable"))
    worker.wait_for_stage("rigid")
    worker.send(JobRequest(job, "download", to_data(DownloadJob("tiny"))))
    refused, finished = [], []
    while not finished:
        message = worker.next()
        refused += [message] if isinstance(message, Failure) and message.id == "" else []
        finished += [message] if isinstance(message, (Result, Failure)) and message.id == job else []
    assert isinstance(finished[0], Result)
    assert len(refused) == 1
    assert job in refused[0].message


def test_progress_comes_in_order_and_not_too_often(worker, fresh_handover, phantom):
    messages = worker.do(
        "propagate", fresh_handover.job(phantom.draw(), phantom.draw(name="later"), method="deformable")
    )
    stages = [m.stage for m in messages if isinstance(m, ProgressMessage)]
    assert stages[0] == "starting"
    assert any(s.startswith("reading") for s in stages)
    assert stages[-1] == "writing"
    assert {(m.visit, m.number, m.count) for m in messages if isinstance(m, ProgressMessage)} == {
        ("", 0, 0),
        ("later", 1, 1),
    }
    assert [type(m) for m in messages[-2:]] == [VisitReady, Result]
    assert len(messages) < 60


def test_the_built_in_model_is_found_without_a_download(worker, repository):
    answer = worker.answer("download", DownloadJob("tiny"))
    assert isinstance(answer, Result)
    path = from_data(DownloadValue, answer.value).path
    assert os.path.samefile(path, repository / "Resources" / "models" / "tiny.safetensors")


def test_a_model_that_is_not_in_the_catalogue_is_a_wrong_parameter(worker):
    answer = worker.answer("download", DownloadJob("tinny"))
    assert isinstance(answer, Failure)
    assert answer.code == "parameter"
    assert "tiny" in answer.hint


def test_what_libraries_print_does_not_reach_the_protocol(start_worker, tmp_path):
    worker = start_worker(change=PRINTING, environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    answer = worker.answer("download", DownloadJob("tiny"))
    assert isinstance(answer, Result)
    said = worker.said()
    for text in ("printed by Python, größer", "without a line feed", "written to file 1", "printed by native code",
                 "printed by a child"):  # fmt: skip
        assert text in said
    assert "AssertionError" not in said  # the child found the end of its input, not our requests


def test_a_panel_that_does_not_read_does_not_stop_the_worker_from_listening():
    """The output pipe is full: requests are still taken, and the end of the input still ends the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "samprompt.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        line = b'{"type": "nothing"}\n' * 200

        def flood() -> None:
            for _ in range(50):  # 10,000 answers of 100 bytes and more: far beyond a pipe
                process.stdin.write(line)
            process.stdin.close()

        writer = threading.Thread(target=flood, daemon=True)
        writer.start()
        writer.join(20)
        assert not writer.is_alive(), "the worker stopped reading"
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_the_sample_patient_has_its_contours_and_known_truth(worker, handover):
    answer = worker.answer("sample-patient", SamplePatientJob(str(handover.results), followups=1, seed=3))
    assert isinstance(answer, Result)
    value = from_data(SamplePatientValue, answer.value)
    for message, visit in zip((value.baseline, *value.followups), demo_visits(3, 1), strict=True):
        assert message.volume.grid.shape == visit.volume.grid.shape
        assert message.volume.modality == "CT"
        assert message.volume.key
        assert np.abs(np.load(message.volume.array) - visit.volume.array).max() <= 0.5
        for structure, truth in zip(message.structures, visit.structures, strict=True):
            assert (structure.name, structure.color, structure.terminology) == (
                truth.name, truth.color, truth.terminology,
            )  # fmt: skip
            assert np.array_equal(handover.mask(structure, visit.volume.grid.shape), truth.mask)
    assert value.baseline.structures[0].name == "GTV"
