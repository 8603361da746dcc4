"""Fixtures of the tests of the panel's logic."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # the helper file panel_patient


@pytest.fixture
def patient(host: Any) -> Any:
    """A baseline of January with two structures, and follow-ups of March and June."""
    from panel_patient import make_patient

    return make_patient()


@pytest.fixture
def client(host: Any) -> Any:
    """A worker that does what the test says."""
    from panel_patient import FakeClient

    return FakeClient()


@pytest.fixture
def no_swallowed_errors() -> Iterator[None]:
    """A signal logs the error of a slot and goes on: in a test that is a failure."""
    errors: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(self.format(record))

    keeper = Keeper(logging.ERROR)
    logger = logging.getLogger("SAMPromptCommonLib.signals")
    logger.addHandler(keeper)
    yield
    logger.removeHandler(keeper)
    assert not errors, "\n".join(errors)


@pytest.fixture
def logic(
    host: Any, no_swallowed_errors: None, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The panel's logic with the fake worker; its private folders lie in ``tmp_path``."""
    from SAMPromptCommonLib import folders
    from SAMPromptCommonLib.packages import Answer
    from SAMPropagationLib.logic import SAMPropagationLogic

    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(folders, "rootFolder", lambda: private)
    logic = SAMPropagationLogic(client=client, ensurePackages=lambda group: Answer(True))
    yield logic
    logic.cleanup()
    left = [path for path in private.rglob("*") if path.is_file()]
    assert not left or client.cancelled, f"files of the patient were left: {left}"


@pytest.fixture
def one_step_per_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every turn of the event loop does one step of the work, so that a test can stop after each of them."""
    from SAMPromptCommonLib.steps import Steps
    from SAMPropagationLib import runner

    monkeypatch.setattr(runner, "Steps", functools.partial(Steps, turnSeconds=1e-6))


@pytest.fixture
def chosen(logic: Any, patient: Any) -> Any:
    """The panel's parameters with the whole patient chosen."""
    logic.setFields(baselineVolume=patient.baseline, baselineSegmentation=patient.contours, followUps=patient.followups)
    return logic.getParameterNode()


@pytest.fixture
def run_to_end(host: Any, logic: Any, client: Any) -> Callable:
    """Start a run and let the worker do all of it."""

    def run(**keywords: Any) -> Any:
        jobs = len(client.jobs)
        started = logic.propagate(**keywords)
        assert host.wait_until(lambda: len(client.jobs) > jobs or started.isOver, 10)
        assert not started.isOver, started.error
        for number in range(1, len(client.job.request.followups) + 1):
            client.say_visit(number)
        client.say_done()
        assert host.wait_until(lambda: started.isOver, 10)
        return started

    return run
