"""A panel's jobs: their order, their end, their cancelling; the worker's coming and going."""

from __future__ import annotations

import os
import time
import weakref
from typing import Any

import psutil
import pytest
from fake_workers import DEAF, GOOD, STUBBORN, Ended
from samprompt.contract.worker import DownloadJob, SamplePatientJob
from SAMPromptCommonLib.client import WorkerClient


def submit(client: Any, folder: str = "/nowhere") -> Ended:
    return Ended(client.submit("sample-patient", SamplePatientJob(folder)))


def test_a_job_is_told_from_start_to_end(host: Any, client_of: Any) -> None:
    client = client_of(GOOD)
    states: list[str] = [client.state]
    client.stateChanged.connect(states.append)
    ended = submit(client, "/a/ä 中")
    assert ended.job.state == "waiting"
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert ended.names == ["progressed", "progressed", "finished"]
    assert [message.done for name, message in ended.told if name == "progressed"] == [1, 2]
    assert ended.result.value["folder"] == "/a/ä 中"
    assert ended.result.value["pid"] == client.hello.pid != os.getpid()
    assert ended.job.state == "done"
    assert ended.job.result is ended.result
    assert states == ["stopped", "starting", "ready", "busy", "ready"]


def test_a_panel_has_time_to_connect_after_submitting(host: Any, client_of: Any) -> None:
    client = client_of(lambda: pytest.fail("started from inside submit"))
    client._chooseLaunch = lambda: (_ for _ in ()).throw(AssertionError)  # would raise here if it were called at once
    job = client.submit("sample-patient", SamplePatientJob("/x"))
    job.cancel()
    assert job.state == "waiting", "cancel emitted before the panel could connect"
    ended = Ended(job)
    client.stop()
    assert host.wait_until(lambda: job.isOver, 2)
    assert ended.failure.code == "cancelled"


def test_jobs_run_one_after_the_other_in_their_order(host: Any, client_of: Any) -> None:
    client = client_of(GOOD)
    ends = [submit(client, str(n)) for n in range(20)]
    order: list[str] = []
    for ended in ends:
        ended.job.finished.connect(lambda result: order.append(result.value["folder"]))
    assert host.wait_until(lambda: all(ended.job.isOver for ended in ends), 10)
    assert order == [str(n) for n in range(20)]
    assert len({ended.result.value["pid"] for ended in ends}) == 1


def test_a_job_that_its_predecessors_end_submits_is_done_as_well(host: Any, client_of: Any) -> None:
    client = client_of(GOOD)
    seconds: list[Ended] = []
    first = submit(client)
    first.job.finished.connect(lambda _: seconds.append(submit(client, "second")))
    assert host.wait_until(lambda: bool(seconds) and seconds[0].job.isOver, 10)
    assert seconds[0].result.value["folder"] == "second"


def test_a_kind_and_a_description_that_do_not_belong_together_are_refused(client_of: Any) -> None:
    client = client_of(GOOD)
    with pytest.raises(TypeError, match="DownloadJob"):
        client.submit("sample-patient", DownloadJob("tiny"))
    with pytest.raises(TypeError, match="no such kind"):
        client.submit("no such kind", SamplePatientJob("/x"))
    assert client.state == "stopped"


def test_a_description_that_cannot_be_sent_fails_and_the_next_job_runs(host: Any, client_of: Any) -> None:
    client = client_of(GOOD)
    bad = Ended(client.submit("sample-patient", SamplePatientJob("/x", followups=float("nan"))))  # type: ignore[arg-type]
    good = submit(client)
    assert host.wait_until(lambda: good.job.isOver, 10)
    assert "followups" in bad.failure.message
    assert good.job.state == "done"


def test_a_waiting_job_that_is_cancelled_is_never_sent(host: Any, client_of: Any) -> None:
    client = client_of("""
hello()
seen = []
for request in requests():
    seen.append(request["id"])
    if request["type"] == "job":
        time.sleep(0.2)
        result(request, seen=seen)
""")
    first, second, third = submit(client), submit(client), submit(client)
    assert host.wait_until(lambda: first.job.state == "running", 10)
    second.job.cancel()
    second.job.cancel()
    assert host.wait_until(lambda: third.job.isOver, 10)
    assert second.failure.code == "cancelled"
    assert second.job.state == "cancelled"
    assert third.result.value["seen"] == [first.job.id, third.job.id]


def test_a_running_job_is_cancelled_by_a_message_and_the_worker_stays_warm(host: Any, client_of: Any) -> None:
    client = client_of("""
hello()
for request in requests():
    if request["type"] == "job":
        progress(request, 1)
        if request["job"]["folder"] == "next":
            result(request, pid=os.getpid())
    elif request["type"] == "cancel":
        progress(request, 2)
        say(type="error", id=request["id"], code="cancelled", message="Cancelled.")
""")
    ended = submit(client)
    assert host.wait_until(lambda: "progressed" in ended.names, 10)
    pid = client.hello.pid
    ended.job.cancel()
    assert host.wait_until(lambda: ended.job.isOver, 2)
    assert ended.names == ["progressed", "failed"], "nothing but the end may follow a cancel"
    assert ended.job.state == "cancelled"
    following = submit(client, "next")
    assert host.wait_until(lambda: following.job.isOver, 10)
    assert following.result.value["pid"] == pid


def test_a_worker_that_does_not_hear_a_cancel_is_killed_with_its_children(
    host: Any, client_of: Any, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerClient, "cancelGrace", 0.5)
    client = client_of("""
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
hello()
for request in requests():
    if request["type"] == "job" and request["job"]["folder"] == "next":
        result(request)
child.kill()
""")
    ended = submit(client)
    following = submit(client, "next")
    assert host.wait_until(lambda: ended.job.state == "running", 10)
    old = workers.alive()
    assert len(old) == 2
    ended.job.cancel()
    began = time.monotonic()
    assert host.wait_until(lambda: ended.job.isOver, 3)
    assert 0.4 < time.monotonic() - began < 1.5
    assert ended.failure.code == "cancelled"
    assert host.wait_until(lambda: following.job.isOver, 10)
    assert following.job.state == "done"
    assert not [one for one in old if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_a_result_that_crosses_a_cancel_counts_as_cancelled(host: Any, client_of: Any) -> None:
    client = client_of("""
hello()
for request in requests():
    if request["type"] == "job":
        progress(request, 1)
    elif request["type"] == "cancel":
        result(request)
""")
    ended = submit(client)
    assert host.wait_until(lambda: ended.names == ["progressed"], 10)
    ended.job.cancel()
    assert host.wait_until(lambda: ended.job.isOver, 2)
    assert ended.failure.code == "cancelled"
    assert client.state == "ready"


def test_two_panels_share_one_worker(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of(GOOD)
    left, right = object(), object()
    client.addUser(left)
    client.addUser(right)
    one, two = submit(client, "left"), submit(client, "right")
    assert host.wait_until(lambda: one.job.isOver and two.job.isOver, 10)
    assert one.result.value["pid"] == two.result.value["pid"]
    assert [one.result.value["folder"], two.result.value["folder"]] == ["left", "right"]
    assert len(workers.alive()) == 1


def test_the_worker_stays_warm_while_a_panel_uses_it_and_is_ended_when_nobody_does(
    host: Any, client_of: Any, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panel:
        pass

    monkeypatch.setattr(WorkerClient, "idleTimeout", 0.2)
    client = client_of(GOOD)
    left, right, forgetful = object(), object(), Panel()
    for panel in (forgetful, left, right, left):
        client.addUser(panel)
    client.start()
    assert host.wait_until(lambda: client.state == "ready", 10)
    gone = weakref.ref(forgetful)
    del forgetful  # closed without saying so
    assert gone() is None
    client.removeUser(left)
    host.process_events(0.6)
    assert client.state == "ready"
    client.removeUser(right)
    assert client.state == "ready"
    assert host.wait_until(lambda: client.state == "stopped", 3)
    assert not workers.alive()


def test_a_script_that_opens_no_panel_gets_the_idle_time_out_after_its_job(
    host: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerClient, "idleTimeout", 0.3)
    client = client_of(GOOD)
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert host.wait_until(lambda: client.state == "stopped", 3)
    again = submit(client)
    assert host.wait_until(lambda: again.job.isOver, 10)
    assert again.result.value["pid"] != ended.result.value["pid"]


def test_a_long_job_is_not_taken_for_idleness(host: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerClient, "idleTimeout", 0.1)
    client = client_of("hello()\nfor request in requests():\n    time.sleep(0.8)\n    result(request)\n")
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert ended.job.state == "done"


def test_the_gpu_is_released_on_demand(host: Any, client_of: Any) -> None:
    client = client_of(GOOD)
    freed: list[float] = []
    client.released.connect(lambda message: freed.append(message.freed_mib))
    assert client.release() is False, "there is no worker yet"
    client.start()
    assert host.wait_until(lambda: client.state == "ready", 10)
    assert client.release() is True
    assert host.wait_until(lambda: bool(freed), 2)
    assert freed == [12.5]
    assert client.state == "ready"


def test_after_packages_were_installed_a_restart_keeps_what_waits(host: Any, client_of: Any) -> None:
    client = client_of(DEAF)
    running, waiting = submit(client), submit(client, "next")
    assert host.wait_until(lambda: running.job.state == "running", 10)
    old = client.hello.pid
    client.restart()
    assert host.wait_until(lambda: waiting.job.state == "running", 10)
    assert running.failure.code == "cancelled"
    assert client.hello.pid != old


def test_a_worker_that_lacked_packages_is_not_asked_again(host: Any, client_of: Any) -> None:
    client = client_of("""
hello(missing=["torch"])
for request in requests():
    say(type="error", id=request["id"], code="environment", message=str(os.getpid()), hint="Install torch.")
""")
    first = submit(client)
    assert host.wait_until(lambda: first.job.isOver, 10)
    assert (first.failure.code, first.failure.hint) == ("environment", "Install torch.")
    second = submit(client)
    assert host.wait_until(lambda: second.job.isOver, 10)
    assert first.failure.message != second.failure.message, "a fresh process would see packages installed meanwhile"


def test_stopping_ends_all_jobs_and_the_worker(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of(DEAF)
    running, waiting = submit(client), submit(client)
    assert host.wait_until(lambda: running.job.state == "running", 10)
    client.stop()
    assert (running.failure.code, waiting.failure.code) == ("cancelled", "cancelled")
    assert host.wait_until(lambda: client.state == "stopped", 3)
    assert not workers.alive()
    host.process_events(0.1)
    assert client.state == "stopped", "nobody asked for a new one"


def test_a_worker_that_does_not_end_by_itself_is_killed_after_the_grace(
    host: Any, client_of: Any, workers: Any
) -> None:
    client = client_of(STUBBORN)
    client.start()
    assert host.wait_until(lambda: client.state == "ready", 10)
    client.stop(graceSeconds=0.3)
    assert client.state == "stopping"
    assert workers.alive()
    assert host.wait_until(lambda: client.state == "stopped", 3)
    assert not workers.alive()


def test_starting_and_stopping_in_one_breath_leaves_nothing(host: Any, client_of: Any, workers: Any) -> None:
    client = client_of(GOOD)
    for _ in range(3):
        client.start()
        client.stop()
        client.restart()
    assert host.wait_until(lambda: client.state in ("stopped", "ready"), 5)
    client.start()
    client.stop()
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert ended.job.state == "done"
    assert len(workers.alive()) == 1
