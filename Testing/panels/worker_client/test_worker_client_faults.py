"""Whatever a worker does wrong ends in one clear failure, and the next job gets a fresh worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_workers import DEAF, GOOD, Ended
from samprompt.contract.errors import EnvironmentProblem
from samprompt.contract.worker import SamplePatientJob
from SAMPromptCommonLib.process import Launch


def submit(client: Any, folder: str = "/nowhere") -> Ended:
    return Ended(client.submit("sample-patient", SamplePatientJob(folder)))


def failure_of(host: Any, ended: Ended, seconds: float = 10) -> Any:
    assert host.wait_until(lambda: ended.job.isOver, seconds), "the job did not end"
    assert ended.job.state == "failed"
    return ended.failure


def then_works(host: Any, workers: Any, client: Any, good: str = GOOD) -> None:
    """The same client does its next job, once its worker is in order."""
    launch = workers.launch(good)
    client._connection._chooseLaunch = lambda: launch
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert ended.job.state == "done", ended.told
    assert client.lastFailure is None


@pytest.mark.parametrize("kind", ["absent", "a folder", "not executable", "not a program"])
def test_a_python_that_cannot_be_started_is_named_with_a_hint(
    host: Any, client_of: Any, workers: Any, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "python"
    if kind == "a folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes(b"\x00no program")
        path.chmod(0o755 if kind == "not a program" else 0o644)
    client = client_of(lambda: Launch(str(path), (), workers.environment(), "Look after the worker."))
    first, second = submit(client), submit(client)
    for ended in (first, second):
        failure = failure_of(host, ended)
        assert failure.code == "environment"
        assert str(path) in failure.message
        assert failure.hint == "Look after the worker."
    assert client.state == "stopped"
    assert client.lastFailure is first.failure
    then_works(host, workers, client)


def test_no_python_at_all_is_said_as_it_was_found(host: Any, client_of: Any, workers: Any) -> None:
    def none() -> Launch:
        raise EnvironmentProblem("Slicer's own Python was not found.", "Name one.")

    client = client_of(none)
    failure = failure_of(host, submit(client))
    assert (failure.code, failure.message, failure.hint) == (
        "environment",
        "Slicer's own Python was not found.",
        "Name one.",
    )
    then_works(host, workers, client)


def test_a_worker_that_dies_while_starting_shows_its_last_words(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of("import no_such_package_anywhere\n")
    failure = failure_of(host, submit(client))
    assert failure.code == "environment"
    assert "exit code 1" in failure.message
    assert "No module named 'no_such_package_anywhere'" in failure.detail
    assert any("no_such_package_anywhere" in line for line in client.log)
    then_works(host, workers, client)


def test_a_worker_that_never_greets_is_given_up_and_killed(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of("sys.stderr.write('loading for ever\\n'); sys.stderr.flush(); time.sleep(600)")
    client._connection.startTimeout = 0.6
    failure = failure_of(host, submit(client), 3)
    assert failure.code == "environment"
    assert "0.6 seconds" in failure.message
    assert "loading for ever" in failure.detail
    assert host.wait_until(lambda: client.state == "stopped", 3)
    assert not workers.alive()
    then_works(host, workers, client)


@pytest.mark.parametrize("more", ["", ', news={"unknown": 1}'])
def test_a_worker_of_another_version_is_recognised_even_by_fields_of_the_future(
    host: Any, client_of: Any, workers: Any, more: str
) -> None:
    client = client_of(f'hello(**{{"protocol": 99}}{more})\ntime.sleep(600)')
    failure = failure_of(host, submit(client))
    assert failure.code == "environment"
    assert "99" in failure.message
    assert "another version" in failure.message
    assert host.wait_until(lambda: client.state == "stopped" and not workers.alive(), 3)


def test_a_banner_before_the_greeting_is_forgiven_and_kept_in_the_log(host: Any, client_of: Any) -> None:
    client = client_of('for n in range(19):\n    raw(b"Welcome %d\\n" % n)\n' + GOOD)
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert ended.job.state == "done"
    assert any("Welcome 18" in line for line in client.log)


@pytest.mark.parametrize(
    "line", [b"rubbish", b"\xff\xfe\x00\x80", b"{}", b"[1,2]", b'{"type":"result"}', b'{"type":"quit"}', b"{" * 5000]
)
def test_twenty_lines_of_rubbish_in_a_row_are_a_broken_worker(
    host: Any, client_of: Any, workers: Any, line: bytes
) -> None:
    client = client_of(
        f"hello()\nfor request in requests():\n    raw({line + chr(10).encode()!r} * 20)\n    time.sleep(600)\n"
    )
    ended, following = submit(client), submit(client)
    failure = failure_of(host, ended)
    assert failure.code == "environment"
    assert "cannot be understood" in failure.message
    assert failure.detail
    assert failure_of(host, following) is following.failure, "the waiting job met the same worker anew"
    then_works(host, workers, client)


def test_rubbish_between_good_lines_does_no_harm(host: Any, client_of: Any) -> None:
    client = client_of("""
hello()
for request in requests():
    for n in range(100):
        for _ in range(10):
            raw(b"warning: something\\n")
        progress(request, n)
    result(request)
""")
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert [message.done for name, message in ended.told if name == "progressed"] == list(range(100))
    assert ended.job.state == "done"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("os._exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("os._exit(0)", "exit code 0"),
        ("os._exit(128 + 9)", "SIGKILL"),
        ("os._exit(255)", "exit code 255"),
    ],
)
def test_a_crash_in_a_job_is_said_and_the_waiting_job_runs_on_a_new_worker(
    host: Any, client_of: Any, how: str, said: str
) -> None:
    client = client_of(f"""
hello()
for request in requests():
    if request["job"]["folder"] == "crash":
        progress(request, 1)
        sys.stderr.write("last words"); sys.stderr.flush()
        {how}
    result(request, pid=os.getpid())
""")
    before, crash, after = submit(client), submit(client, "crash"), submit(client)
    failure = failure_of(host, crash)
    assert said in failure.message
    assert failure.hint
    assert "last words" in failure.detail
    assert crash.names == ["progressed", "failed"]
    assert "memory" in failure.hint
    assert ("Somebody ended it" in failure.hint) == (said == "SIGKILL")
    assert host.wait_until(lambda: after.job.isOver, 10)
    assert before.result.value["pid"] != after.result.value["pid"]


def test_a_worker_killed_from_outside_ends_its_job_within_a_second(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of(DEAF)
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.state == "running", 10)
    began = time.monotonic()
    os.kill(client.hello.pid, signal.SIGKILL)
    failure = failure_of(host, ended)
    assert time.monotonic() - began < 1.0
    assert failure.code == "error"
    assert "SIGKILL" in failure.message
    then_works(host, workers, client)


def test_a_worker_that_dies_while_idle_is_replaced_at_the_next_job(host: Any, client_of: Any) -> None:
    client = client_of(GOOD)
    first = submit(client)
    assert host.wait_until(lambda: first.job.isOver, 10)
    os.kill(client.hello.pid, signal.SIGKILL)
    assert host.wait_until(lambda: client.state == "stopped", 3)
    assert client.hello is None
    second = submit(client)
    assert host.wait_until(lambda: second.job.isOver, 10)
    assert second.result.value["pid"] != first.result.value["pid"]


LAUNCHER = """
child = subprocess.Popen([sys.executable, sys.argv[1]])
sys.exit(child.wait())
"""


def launched(workers: Any, script: str) -> Launch:
    """A worker behind a launcher, as PythonSlicer is one: it passes its pipes on and waits."""
    return workers.launch(LAUNCHER, workers.launch(script).arguments[0])


def test_behind_a_launcher_the_real_python_is_ended_too(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of(lambda: launched(workers, "hello()\ntime.sleep(600)"))
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.state == "running", 10)
    assert len(workers.alive()) == 2
    client.stop(graceSeconds=0.2)
    assert host.wait_until(lambda: client.state == "stopped", 3)
    assert host.wait_until(lambda: not workers.alive(), 1)


def test_behind_a_launcher_that_is_still_starting_nothing_is_left(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of(lambda: launched(workers, "time.sleep(600)"))
    client.start()
    assert host.wait_until(lambda: len(workers.alive()) == 2, 10)
    client.stop(graceSeconds=0.2)
    assert host.wait_until(lambda: client.state == "stopped", 3)
    assert host.wait_until(lambda: not workers.alive(), 1)


@pytest.mark.parametrize("victim", ["launcher", "real"])
def test_killing_one_of_launcher_and_real_python_ends_both_and_the_job(
    host: Any, client_of: Any, workers: Any, victim: str
) -> None:
    client = client_of(lambda: launched(workers, "hello()\ntime.sleep(600)"))
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.state == "running", 10)
    real = client.hello.pid
    launcher = psutil.Process(real).ppid()
    assert launcher != os.getpid()
    os.kill(real if victim == "real" else launcher, signal.SIGKILL)
    failure_of(host, ended, 3)
    assert host.wait_until(lambda: not workers.alive(), 3)


def test_what_a_worker_started_in_its_group_ends_with_it(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of(
        """
os.setsid()
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
"""
        + GOOD
    )
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert len(workers.alive()) == 2
    client.stop()
    assert host.wait_until(lambda: client.state == "stopped", 3)
    assert host.wait_until(lambda: not workers.alive(), 1)


def test_a_broken_pipe_to_a_living_worker_is_noticed(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of("hello()\nos.close(0)\ntime.sleep(600)")
    client.start()
    assert host.wait_until(lambda: client.state == "ready", 10)
    time.sleep(0.1)
    ended = submit(client, "x" * 300_000)
    failure = failure_of(host, ended, 5)
    assert "connection to the computing process broke" in failure.message
    assert host.wait_until(lambda: not workers.alive(), 3)
    then_works(host, workers, client)


def test_a_worker_that_closed_its_output_does_not_hang_the_client(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of("hello()\nsys.stdout.flush()\nos.close(1)\nfor request in requests():\n    pass\n")
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.state == "running", 10)
    ended.job.cancel()
    assert host.wait_until(lambda: ended.job.isOver, 5)
    assert host.wait_until(lambda: not workers.alive(), 3)


def test_a_job_that_the_worker_does_not_understand_fails_instead_of_waiting_for_ever(host: Any, client_of: Any) -> None:
    client = client_of("""
hello()
for request in requests():
    say(type="error", id="", code="protocol", message="The line is not JSON.", hint="Update.")
""")
    failure = failure_of(host, submit(client))
    assert (failure.code, failure.message) == ("protocol", "The line is not JSON.")
    assert client.state == "ready"


def test_answers_to_other_jobs_are_ignored(host: Any, client_of: Any) -> None:
    client = client_of("""
hello()
for request in requests():
    result({"id": "somebody else"})
    say(type="error", id="nobody", code="memory", message="no")
    hello(pid=1)
    result(request)
    result(request)
    progress(request, 1)
""")
    first, second = submit(client), submit(client)
    assert host.wait_until(lambda: first.job.isOver and second.job.isOver, 10)
    host.process_events(0.1)
    assert first.names == second.names == ["finished"]
    assert client.hello.pid != 1


def test_a_panel_that_raises_in_a_slot_does_not_stop_the_others(
    host: Any, client_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(GOOD)

    def broken(message: Any) -> None:
        raise ZeroDivisionError("a broken table")

    job = client.submit("sample-patient", SamplePatientJob("/x"))
    job.progressed.connect(broken)
    job.finished.connect(broken)
    client.stateChanged.connect(broken)
    ended, following = Ended(job), submit(client)
    assert host.wait_until(lambda: following.job.isOver, 10)
    assert ended.job.state == following.job.state == "done"
    assert caplog.text.count("a broken table") >= 4
