"""The clock of the encoder's benchmark runs while the device computes, and not before."""

from __future__ import annotations

import time

import pytest
import torch
from encoder_speed import seconds_of

WARM_UP, CALL = 0.3, 0.01  # seconds


class Queue:
    """A device that is asked at once and computes later, its first call long: as CUDA, which chooses kernels then."""

    def __init__(self) -> None:
        self.waiting, self.calls = 0.0, 0

    def work(self) -> None:
        self.waiting += CALL if self.calls else WARM_UP
        self.calls += 1

    def synchronize(self, _device: torch.device | None = None) -> None:
        time.sleep(self.waiting)
        self.waiting = 0.0


def test_the_first_call_is_over_before_the_clock_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue()
    monkeypatch.setattr(torch.cuda, "synchronize", queue.synchronize)
    found = seconds_of(queue.work, 0.0, torch.device("cuda"))
    assert queue.calls == 3
    assert queue.waiting == 0.0
    assert CALL <= found < 0.5 * WARM_UP / 2  # two calls shared the first one's time when it was not waited for
