"""A run that was stopped, in whatever way, ends as one in a piece does, or says why it cannot go on."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from samprompt.contract.errors import Cancelled, OutputError, ParameterError, UnreadableFileError
from samprompt.contract.progress import Progress

HARD = {"iterations": 3, "dropout": 0.3}  # several updates per batch, and layers that draw random numbers


def test_a_killed_run_resumes_to_the_same_bits(trained, launch, same_end, log_of, tmp_path: Path) -> None:
    trained("whole", HARD)
    job = {"out": str(tmp_path / "killed"), "options": HARD, "kill_at": 10}
    died = launch(job)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert log_of(tmp_path / "killed")[-1]["step"] == 10  # two steps beyond the checkpoint, which are repeated
    outcome = trained("killed", HARD)
    assert outcome.status == "finished"
    same_end(tmp_path / "whole", tmp_path / "killed")
    told = [
        [(e["step"], e.get("loss"), e.get("metrics")) for e in log_of(tmp_path / name)] for name in ("whole", "killed")
    ]
    assert told[0] == told[1]


def test_a_run_in_many_slices_ends_as_one_in_a_piece(trained, same_end, log_of, tmp_path: Path) -> None:
    changes = {"accumulate": 2, "checkpoint_every": 5}
    trained("whole", HARD, changes)
    for stop in (1, 4, 7):
        assert trained("slices", HARD, changes, stop_at=stop).status == "paused"
        assert (tmp_path / "slices" / "last.safetensors").is_file()
    assert trained("slices", HARD, changes).status == "finished"
    seconds = [e["seconds"] for e in log_of(tmp_path / "slices") if "seconds" in e]
    assert seconds == sorted(set(seconds))  # the time of all slices, without the time between
    same_end(tmp_path / "whole", tmp_path / "slices")


def test_a_pause_by_the_clock_leaves_schedule_and_weights_alone(trained, same_end, log_of, tmp_path: Path) -> None:
    trained("whole", HARD)
    paused = trained("parts", HARD, stop_after_minutes=1e-9)
    assert (paused.step, paused.status, paused.weights.name) == (0, "paused", "last.safetensors")
    slow = Progress(lambda _stage, done, _total: time.sleep(0.06 if done else 0))
    paused = trained("parts", HARD, stop_after_minutes=0.002, progress=slow)
    assert 0 < paused.step < 12
    trained("parts", HARD)
    same_end(tmp_path / "whole", tmp_path / "parts")
    rates = [[e["rate"] for e in log_of(tmp_path / name) if "rate" in e] for name in ("whole", "parts")]
    assert rates[0] == rates[1]


class CancelAt(Progress):
    """Cancels itself when a step is reached, as a signal handler would."""

    def __init__(self, step: int) -> None:
        super().__init__(lambda _stage, done, _total: self.cancel() if done == step else None)


@pytest.mark.parametrize("step", [3, 7])
def test_a_cancel_leaves_a_checkpoint_that_resumes_to_the_same_bits(
    trained, same_end, tmp_path: Path, step: int
) -> None:
    trained("whole", HARD)
    with pytest.raises(Cancelled) as told:
        trained("cancelled", HARD, progress=CancelAt(step))
    assert f"after step {step + 1} of 12" in told.value.message
    assert str(tmp_path / "cancelled") in told.value.hint
    assert torch.load(tmp_path / "cancelled" / "checkpoint.pt")["state"]["step"] == step + 1
    assert trained("cancelled", HARD).status == "finished"
    same_end(tmp_path / "whole", tmp_path / "cancelled")


def test_a_cancel_within_a_validation_is_heard_and_the_validation_made_good(
    small, trained, same_end, tmp_path: Path
) -> None:
    trained("whole", HARD)
    task = small.SmallTask(small.recipe(), **HARD)

    def give_up(_trained: Any) -> dict[str, float]:
        raise Cancelled("Cancelled.", "")

    task.validate = give_up
    with pytest.raises(Cancelled, match="after step 4"):
        trained("cancelled", task=task)
    trained("cancelled", HARD)
    same_end(tmp_path / "whole", tmp_path / "cancelled")


def test_a_cancel_before_the_first_step_writes_no_checkpoint(trained, tmp_path: Path) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled, match="before the first step"):
        trained("out", progress=progress)
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_a_finished_run_is_not_trained_again(trained, tmp_path: Path) -> None:
    first = trained("out")
    before = (tmp_path / "out" / "checkpoint.pt").stat().st_mtime_ns
    again = trained("out")
    assert (again.step, again.status, again.best) == (first.step, "finished", first.best)
    assert (tmp_path / "out" / "checkpoint.pt").stat().st_mtime_ns == before
    assert math.isclose(again.seconds, first.seconds)


def test_resuming_with_another_recipe_is_refused_with_the_differences(trained, tmp_path: Path) -> None:
    trained("out", stop_at=4)
    kept = (tmp_path / "out" / "checkpoint.pt").read_bytes()
    recipe_before = (tmp_path / "out" / "recipe.yaml").read_text()
    with pytest.raises(ParameterError) as told:
        trained("out", recipe={"learning_rate": 0.5, "steps": 20})
    assert "learning_rate: was 0.01, is 0.5" in told.value.message
    assert "steps: was 12, is 20" in told.value.message
    assert "seed" not in told.value.message
    assert (tmp_path / "out" / "checkpoint.pt").read_bytes() == kept
    assert (tmp_path / "out" / "recipe.yaml").read_text() == recipe_before
    assert trained("out").status == "finished"


def test_resuming_with_another_model_is_refused(small, trained, tmp_path: Path) -> None:
    trained("out", stop_at=4)
    task = small.SmallTask(small.recipe())
    task.trained.decoder = torch.nn.Linear(8, 3)
    with pytest.raises(ParameterError, match=r"another model: 2 weights differ, the first is decoder\.bias"):
        trained("out", task=task)


@pytest.mark.parametrize("left", [0, 100, 3000])
def test_a_truncated_checkpoint_is_said(trained, tmp_path: Path, left: int) -> None:
    trained("out", stop_at=4)
    path = tmp_path / "out" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UnreadableFileError, match=r"checkpoint\.pt cannot be read: it is truncated") as told:
        trained("out")
    assert "remove it to begin again" in told.value.hint
    assert path.stat().st_size == left  # not overwritten


def test_a_file_that_is_no_checkpoint_of_the_loop_is_said(trained, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    torch.save({"weights": torch.zeros(3)}, tmp_path / "out" / "checkpoint.pt")
    with pytest.raises(UnreadableFileError, match="no checkpoint of this loop"):
        trained("out")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no permission to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path, but: int = 0) -> Path:
    """Fill a small disk up, but for some bytes; the file that does."""
    filling = disk / "filling"
    filling.write_bytes(b"0" * (shutil.disk_usage(disk).free - but))
    return filling


def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(trained, small_disk: Path, same_end, tmp_path: Path) -> None:
    trained("whole", HARD)
    trained("disk", HARD, stop_at=4)
    kept = (small_disk / "checkpoint.pt").read_bytes()
    filling = fill(small_disk, but=len(kept) // 2 // 4096 * 4096)  # room for half a checkpoint
    with pytest.raises(OutputError, match="No space left") as told:
        trained("disk", HARD)
    assert "Free some space" in told.value.hint
    assert (small_disk / "checkpoint.pt").read_bytes() == kept
    assert [p.name for p in small_disk.iterdir() if p.name.startswith(".tmp")] == []
    filling.unlink()
    trained("disk", HARD)
    same_end(tmp_path / "whole", small_disk)


def test_a_write_error_midway_in_a_checkpoint_leaves_the_one_before(trained, monkeypatch, tmp_path: Path) -> None:
    trained("out", stop_at=4)
    kept = (tmp_path / "out" / "checkpoint.pt").read_bytes()
    real = torch.save

    def half(content: Any, stream: Any) -> None:
        stream.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OutputError, match=r"checkpoint\.pt cannot be written: No space left"):
        trained("out")
    assert (tmp_path / "out" / "checkpoint.pt").read_bytes() == kept
    monkeypatch.setattr(torch, "save", real)
    assert trained("out").status == "finished"


def test_a_full_disk_at_the_best_weights_leaves_the_best_before(
    small, trained, small_disk: Path, tmp_path: Path
) -> None:
    changes = {"validate_every": 4, "checkpoint_every": 12}
    trained("disk", recipe=changes, stop_at=4)
    kept = (small_disk / "best.safetensors").read_bytes()
    task = small.SmallTask(small.recipe(**changes))

    def validate(_trained: Any) -> dict[str, float]:
        fill(small_disk)
        return {"score": 0.0}  # better than any before

    task.validate = validate
    with pytest.raises(OutputError, match=r"best\.safetensors cannot be written: No space left") as told:
        trained("disk", task=task, recipe=changes)
    assert "Free some space" in told.value.hint
    assert (small_disk / "best.safetensors").read_bytes() == kept


@pytest.mark.parametrize(
    ("said", "reason", "hint"),
    [
        ("I/O error: Disk quota exceeded (os error 122)", "Disk quota exceeded", "quota"),
        ('IoError(Os { code: 28, kind: StorageFull, message: "" })', "No space left", "Free some space"),
        ("a shape is wrong", "a shape is wrong", ""),
    ],
)
def test_reasons_that_safetensors_tells_in_words_are_understood(
    small, trained, said: str, reason: str, hint: str
) -> None:
    task = small.SmallTask(small.recipe())

    def failing(_trained: Any, _path: Path, _notes: dict[str, str]) -> None:
        raise SafetensorError(f"Error while serializing: {said}")

    task.export = failing
    with pytest.raises(OutputError, match=reason) as told:
        trained("out", task=task)
    assert hint in told.value.hint


def test_a_checkpoint_of_a_version_that_kept_no_means_is_gone_on_with(trained, same_end, tmp_path: Path) -> None:
    trained("whole", HARD, {"log_every": 4})
    trained("out", HARD, {"log_every": 4}, stop_at=6)
    path = tmp_path / "out" / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    assert content.pop("since_line")["means"]["updates"] == 2 * 3
    torch.save(content, path)
    assert trained("out", HARD, {"log_every": 4}).status == "finished"
    same_end(tmp_path / "whole", tmp_path / "out")


def test_an_output_folder_that_is_a_file_is_said(trained, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="out"):
        trained("out")
