"""A client with a fake worker, and the proof after every test that no process and no timer is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # fake_workers.py


class EventLoop:
    """How long the event loop was away between two ticks of a 2 ms timer, in seconds.

    ``away`` by the clock on the wall, ``worked`` by the processor time of this thread, which other processes on the
    machine do not change.
    """

    def __init__(self) -> None:
        import qt

        self.restart()
        self._timer = qt.QTimer()
        self._timer.setInterval(2)
        self._timer.connect("timeout()", self._tick)
        self._timer.start()

    def _tick(self) -> None:
        wall, cpu = time.monotonic(), time.thread_time()
        self.away, self.worked = max(self.away, wall - self._wall), max(self.worked, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu
        self.ticks += 1

    def restart(self) -> None:
        """Forget what was measured so far."""
        self.away, self.worked, self.ticks = 0.0, 0.0, 0
        self._wall, self._cpu = time.monotonic(), time.thread_time()

    def stop(self) -> None:
        self._timer.stop()
        self._timer.deleteLater()


@pytest.fixture
def workers(host: Any, tmp_path: Path) -> Iterator[Any]:
    """Writes fake workers; at the end none of them may be left."""
    from fake_workers import FakeWorkers

    made = FakeWorkers(tmp_path)
    yield made
    for client in made.clients:
        client.dispose()
    host.process_events(0.01)
    until = time.monotonic() + 5.0
    while made.alive() and time.monotonic() < until:
        time.sleep(0.02)
    left = made.alive()
    for process in left:
        process.kill()
    assert not left, f"processes left behind: {left}"


@pytest.fixture
def client_of(workers: Any) -> Callable[..., Any]:
    """A client whose worker is the script, or what the function returns at every start."""
    from SAMPromptCommonLib.client import WorkerClient

    def make(script: str | Callable[[], Any]) -> Any:
        launch = workers.launch(script) if isinstance(script, str) else None
        client = WorkerClient(script if launch is None else lambda: launch)
        workers.clients.append(client)
        return client

    return make


@pytest.fixture
def event_loop(host: Any) -> Iterator[EventLoop]:
    """Watches the event loop's pauses."""
    loop = EventLoop()
    yield loop
    loop.stop()
