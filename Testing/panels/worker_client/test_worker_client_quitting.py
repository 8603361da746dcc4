"""When Slicer quits, or a developer reloads a module, nothing is left and nobody waits long."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_workers import DEAF, GOOD, STUBBORN, Ended
from samprompt.contract.worker import SamplePatientJob
from SAMPromptCommonLib import client as client_module
from SAMPromptCommonLib import tree


def submit(client: Any) -> Ended:
    return Ended(client.submit("sample-patient", SamplePatientJob("/nowhere")))


@pytest.fixture
def shared(host: Any, workers: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """The client that all panels share, with a fake worker."""
    import slicer

    def make(script: str) -> Any:
        launch = workers.launch(script)
        client = client_module.WorkerClient.shared()
        client._connection._chooseLaunch = lambda: launch
        return client

    if hasattr(slicer, client_module._SHARED):
        client_module.WorkerClient.shared().dispose()
    yield make
    if hasattr(slicer, client_module._SHARED):
        client_module.WorkerClient.shared().dispose()


@pytest.mark.parametrize("script", [GOOD, DEAF, STUBBORN], ids=["good", "busy", "stubborn"])
def test_quitting_slicer_during_a_job_leaves_no_process_and_takes_no_five_seconds(
    host: Any, workers: Any, shared: Any, script: str
) -> None:
    client = shared(script)
    running, waiting = submit(client), submit(client)
    assert host.wait_until(lambda: client.state in ("busy", "ready") and not waiting.job.isOver, 10) or script is GOOD
    began = time.monotonic()
    host.quit()
    assert time.monotonic() - began < (4.0 if script is STUBBORN else 1.0)
    assert not workers.alive()
    assert client.state == "stopped"
    for ended in (running, waiting):
        assert ended.job.isOver
        assert ended.job.state == "done" or ended.failure.code == "cancelled"


def test_quitting_while_the_worker_is_being_started_leaves_nothing(host: Any, workers: Any, shared: Any) -> None:
    client = shared("time.sleep(600)")
    ended = submit(client)
    host.quit()
    assert ended.failure.code == "cancelled"
    host.process_events(0.2)
    assert not workers.alive()
    ended = submit(client)
    assert host.wait_until(lambda: bool(workers.alive()), 10)
    host.quit()
    assert ended.failure.code == "cancelled"
    assert not workers.alive()


def test_a_panel_that_answers_the_end_with_a_new_job_cannot_restart_the_worker(
    host: Any, workers: Any, shared: Any
) -> None:
    client = shared(DEAF)
    again: list[Ended] = []
    first = submit(client)
    first.job.failed.connect(lambda _: again.append(submit(client)))
    assert host.wait_until(lambda: first.job.state == "running", 10)
    host.quit()
    assert again[0].failure.code == "cancelled"
    host.process_events(0.2)
    assert not workers.alive()


def test_all_panels_get_the_same_client(shared: Any) -> None:
    client = shared(GOOD)
    assert client_module.WorkerClient.shared() is client


def test_reloading_the_module_ends_the_old_client(
    host: Any, workers: Any, shared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = shared(DEAF)
    ended = submit(old)
    assert host.wait_until(lambda: ended.job.state == "running", 10)
    pid = old.hello.pid
    reloaded = type("WorkerClient", (client_module.WorkerClient,), {})
    new = reloaded.shared()
    monkeypatch.setattr(client_module, "WorkerClient", reloaded)
    assert new is not old
    assert ended.failure.code == "cancelled"
    assert pid not in {process.pid for process in workers.alive()}


def test_a_worker_that_nothing_can_kill_is_given_up_without_hanging_slicer(
    host: Any, client_of: Any, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process in uninterruptible sleep (a dead network disk, a GPU driver) survives SIGKILL."""
    from SAMPromptCommonLib import connection, process

    client = client_of(STUBBORN)
    client.start()
    assert host.wait_until(lambda: client.state == "ready", 10)
    immortal = client._connection._process
    with monkeypatch.context() as patch:
        patch.setattr(connection, "KILLS", 1)
        patch.setattr(process.WorkerProcess, "kill", lambda self: None)
        client.stop(graceSeconds=0.1)
        assert host.wait_until(lambda: client.state == "stopped", 4)
    assert connection._abandoned == [immortal]
    assert workers.alive()
    immortal.kill()
    assert host.wait_until(lambda: immortal.isOver, 3)
    connection._abandoned.clear()


def test_a_number_that_was_given_to_another_process_is_not_killed(workers: Any) -> None:
    import subprocess

    launch = workers.launch("time.sleep(600)")
    bystander = subprocess.Popen([launch.program, *launch.arguments], env=launch.environment, start_new_session=True)
    try:
        now = tree.identify(bystander.pid)
        assert now.leads
        tree.killTree(tree.Identity(bystander.pid, started="1", leads=True))
        time.sleep(0.1)
        assert bystander.poll() is None
        tree.killTree(now)
        assert bystander.wait(3) == -9
    finally:
        bystander.kill()
        bystander.wait()


def test_the_process_group_of_slicer_itself_is_never_killed() -> None:
    assert not tree._leadsGroup(os.getpgrp()) or os.getpgrp() != os.getpid()
    assert not tree.identify(os.getpgrp()).leads


def test_descendants_are_found_down_to_grandchildren(workers: Any) -> None:
    import subprocess

    launch = workers.launch("""
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(inner.pid, flush=True)
time.sleep(600)
""")
    outer = subprocess.Popen(
        [sys.executable, *launch.arguments], env=launch.environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert outer.stdout is not None
        inner = int(outer.stdout.readline())
        found = tree.descendants(os.getpid())
        assert found.index(outer.pid) < found.index(inner)
        assert tree.descendants(outer.pid) == [inner]
        assert tree.descendants(inner) == []
    finally:
        tree.killTree(tree.identify(outer.pid))
        outer.wait()
        outer.stdout.close()
