"""Processes that load data: a signal to all of them is a cancel, and one that dies costs no finished step."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from samprompt.contract.errors import OutOfMemory, OutputError, TrainingError, UnreadableFileError
from samprompt_training.core.order import sample_batches
from samprompt_training.refiner.recipe import RefinerRecipe
from samprompt_training.refiner.task import RefinerTask
from samprompt_training.scenes import SceneParameters
from samprompt_training.stream import SceneStream

if sys.platform == "win32":
    pytest.skip("Windows sends no signals to groups of processes", allow_module_level=True)

HARD = {"iterations": 3, "dropout": 0.3}
LONG = {"steps": 40, "workers": 2, "validate_every": 20, "checkpoint_every": 20}


@pytest.fixture
def whole(small, trained, tmp_path: Path) -> Path:
    """The run in a piece, loaded by the process itself."""
    changes = LONG | {"workers": 0}
    trained("whole", task=small.LoadedTask(small.recipe(**changes), **HARD), recipe=changes)
    return tmp_path / "whole"


def wait_for_lines(out: Path, lines: int, process: Any) -> None:
    until = time.monotonic() + 120
    log = out / "log.jsonl"
    while not log.exists() or len(log.read_bytes().splitlines()) < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_is_a_cancel_with_a_checkpoint(
    small, started, trained, same_end, whole: Path, tmp_path: Path, number: int
) -> None:
    out = tmp_path / "signalled"
    process = started({"out": str(out), "recipe": LONG, "options": HARD, "loaded": 0.02, "signals": True})
    wait_for_lines(out, 3, process)
    os.killpg(process.pid, number)
    said, told = process.communicate(timeout=60)
    assert said.startswith("Cancelled: Cancelled after step "), told
    assert told.count("stopping after this step") == 1  # said by the main process alone
    step = torch.load(out / "checkpoint.pt")["state"]["step"]
    assert 3 <= step < 20  # before the first checkpoint of the rhythm
    trained("signalled", task=small.LoadedTask(small.recipe(**LONG), **HARD), recipe=LONG)
    same_end(whole, out)


def test_a_signal_to_the_launcher_of_two_processes_leaves_a_checkpoint(started, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    job = {"out": str(out), "recipe": LONG | {"steps": 400}, "loaded": 0.02, "signals": True}
    process = started(job, before=before)
    wait_for_lines(out, 3, process)
    process.send_signal(signal.SIGTERM)
    said, told = process.communicate(timeout=100)
    assert said.count("Cancelled after step ") == 2, told
    assert torch.load(out / "checkpoint.pt")["state"]["step"] >= 3


@pytest.fixture
def loading() -> Callable[[], list[Any]]:
    """The loading processes that are alive, beside those of other tests."""
    before = set(multiprocessing.active_children())
    return lambda: [p for p in multiprocessing.active_children() if p not in before]


@pytest.mark.parametrize(
    ("number", "kind", "why"),
    [(signal.SIGKILL, OutOfMemory, "memory runs out"), (signal.SIGUSR1, TrainingError, "SIGUSR1")],
)
def test_a_loading_process_that_dies_costs_no_finished_step(
    small, trained, same_end, loading, whole: Path, tmp_path: Path, number: int, kind: type, why: str
) -> None:
    task = small.LoadedTask(small.recipe(**LONG), **HARD)
    small.while_computing(task, 4, lambda: os.kill(loading()[0].pid, number))
    with pytest.raises(kind, match=why) as told:
        trained("died", task=task, recipe=LONG)
    step = torch.load(tmp_path / "died" / "checkpoint.pt")["state"]["step"]
    assert 5 <= step < 20  # batches that were there already are used
    assert f"The checkpoint of step {step} in {tmp_path / 'died'} is kept." in told.value.hint
    assert loading() == []
    trained("died", task=small.LoadedTask(small.recipe(**LONG), **HARD), recipe=LONG)
    same_end(whole, tmp_path / "died")


def test_an_error_of_the_computing_is_not_taken_for_a_death_of_a_loading_process(small, trained, loading) -> None:
    def fail() -> None:
        raise RuntimeError("a shape is wrong")

    task = small.LoadedTask(small.recipe(**LONG))
    small.while_computing(task, 5, fail)
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        trained("out", task=task, recipe=LONG)
    assert loading() == []


def test_a_loading_process_that_hangs_does_not_outlive_the_run(small, trained, loading, monkeypatch) -> None:
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.5)
    task = small.LoadedTask(small.recipe(**LONG | {"workers": 1}))
    sample, late = task.samples.sample, list(islice(numbers(small, LONG), 12))[-1]

    def hanging(index: int, rng: Any) -> Any:
        time.sleep(100 if index == late else 0)
        return sample(index, rng)

    task.samples.sample = hanging
    trained("out", task=task, recipe=LONG | {"workers": 1}, stop_at=1)
    assert loading() == []


def test_a_sample_that_cannot_be_read_leaves_a_checkpoint_of_the_step_before(
    small, trained, same_end, whole: Path, tmp_path: Path
) -> None:
    task = small.LoadedTask(small.recipe(**LONG), **HARD)
    sample, order = task.samples.sample, list(islice(numbers(small, LONG), 40))
    late = next(index for index in range(20) if index not in order[:12])

    def broken(index: int, rng: Any) -> Any:
        if index == late:
            raise UnreadableFileError("image_7.png cannot be read.", "Copy it again.")
        return sample(index, rng)

    task.samples.sample = broken
    with pytest.raises(UnreadableFileError, match=r"image_7\.png cannot be read") as told:
        trained("out", task=task, recipe=LONG)
    step = order.index(late) // 4
    assert told.value.hint == f"Copy it again. The checkpoint of step {step} in {tmp_path / 'out'} is kept."
    trained("out", task=small.LoadedTask(small.recipe(**LONG), **HARD), recipe=LONG)
    same_end(whole, tmp_path / "out")


def numbers(small: Any, changes: dict[str, Any]) -> Iterator[int]:
    """The samples of a run in their order."""
    chosen = small.recipe(**changes)

    class Own:
        def __len__(self) -> int:
            return 20

        def sample(self, index: int, _rng: Any) -> int:
            return index

    for batch in sample_batches(Own(), chosen.batch, chosen.seed, workers=0):
        yield from batch.tolist()


def test_a_checkpoint_that_cannot_be_written_then_does_not_hide_why_the_loading_ended(
    small, trained, monkeypatch
) -> None:
    task = small.LoadedTask(small.recipe(**LONG | {"workers": 0}))
    sample = task.samples.sample

    def broken(index: int, rng: Any) -> Any:
        if len(written) == 0 and task.trained.seen >= 3:
            raise UnreadableFileError("image_7.png cannot be read.", "Copy it again.")
        return sample(index, rng)

    written: list[int] = []

    def full(*_: Any) -> None:
        written.append(1)
        raise OutputError("checkpoint.pt cannot be written: No space left on device.", "Free some space.")

    task.samples.sample = broken
    monkeypatch.setattr("samprompt_training.core.run.write_checkpoint", full)
    with pytest.raises(UnreadableFileError, match=r"image_7\.png") as told:
        trained("out", task=task, recipe=LONG | {"workers": 0})
    assert written == [1]
    assert "There is no checkpoint yet." in told.value.hint


def test_a_loading_process_on_one_of_two_that_dies_ends_both_with_a_checkpoint(launch, log_of, tmp_path: Path) -> None:
    before = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    job = {"out": str(tmp_path / "out"), "recipe": LONG, "options": HARD, "loaded": 0.0, "dies": [1, 5]}
    ended = launch(job, before=before)
    one, two = (line for line in ended.stdout.splitlines() if line.startswith("OutOfMemory"))
    assert one == two, ended.stderr
    step = torch.load(tmp_path / "out" / "checkpoint.pt")["state"]["step"]
    assert step >= 5
    assert f"The checkpoint of step {step} " in one
    assert [e["step"] for e in log_of(tmp_path / "out") if "loss" in e] == list(range(1, step + 1))


def scenes() -> Any:
    return iter(SceneStream(1, 2, SceneParameters(size=48)).loader())


def pairs() -> Any:
    recipe = {"seed": 3, "steps": 4, "batch": 2, "learning_rate": 2e-3, "weight_decay": 0.01, "validate_every": 4}
    short = {"checkpoint_every": 2, "workers": 1, "size": 48, "widths": (8, 16, 16, 16), "validation_scenes": 16}
    return RefinerTask(RefinerRecipe(**recipe, **short)).batches(0, 0, 1)


@pytest.mark.parametrize("stream", [scenes, pairs])
def test_the_process_that_makes_data_does_not_hear_what_cancels_the_run(stream, loading) -> None:
    batches = stream()
    next(batches)
    (process,) = loading()
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGINT)
    assert len(list(islice(batches, 8))) == 8  # more than are made ahead
    assert process.is_alive()
    del batches
