"""What a run says: the log, TensorBoard's files, progress events, and the shares of its time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samprompt.contract.errors import Cancelled, OutputError
from samprompt_training.core import reporting
from samprompt_training.core.recipe import load_recipe
from samprompt_training.core.speed import measure_speed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def test_the_log_has_means_between_its_lines(trained, log_of, tmp_path: Path) -> None:
    trained("each", {"iterations": 3})
    trained("fourth", {"iterations": 3}, {"log_every": 4})
    each = [e for e in log_of(tmp_path / "each") if "loss" in e]
    fourth = [e for e in log_of(tmp_path / "fourth") if "loss" in e]
    assert [e["step"] for e in fourth] == [4, 8, 12]
    for n, entry in enumerate(fourth):
        for value in (lambda e: e["loss"], lambda e: e["gradient_norm"], lambda e: e["parts"]["first"]):
            assert value(entry) == pytest.approx(sum(value(e) for e in each[4 * n : 4 * n + 4]) / 4, rel=1e-5)


FIGURES = ("step", "loss", "gradient_norm", "parts")


@pytest.mark.parametrize("how", ["paused", "cancelled", "killed"])
def test_means_go_on_after_a_stop_between_two_lines(small, trained, launch, log_of, tmp_path: Path, how: str) -> None:
    changes = {"log_every": 4, "validate_every": 12, "checkpoint_every": 6}
    options = {"iterations": 3}
    trained("whole", options, changes)
    began = time.perf_counter()
    if how == "killed":
        launch({"out": str(tmp_path / "out"), "recipe": changes, "options": options, "kill_at": 7})
    elif how == "paused":
        trained("out", options, changes, stop_at=6)
    else:
        with pytest.raises(Cancelled):
            trained("out", options, changes, progress=small.Cancelling(0, 5))
    trained("out", options, changes)
    passed = time.perf_counter() - began
    whole, parts = ([e for e in log_of(tmp_path / name) if "loss" in e] for name in ("whole", "out"))
    assert [e["step"] for e in parts] == [4, 8, 12]
    assert [[e[key] for key in FIGURES] for e in parts] == [[e[key] for key in FIGURES] for e in whole]
    assert all(0 < e["compute_seconds"] < e["loop_seconds"] for e in parts)
    assert sum(e["loop_seconds"] for e in parts) < passed


def test_times_of_a_line_count_the_steps_before_a_pause_and_those_of_a_call_do_not(
    small, trained, log_of, tmp_path: Path
) -> None:
    changes = {"log_every": 8, "validate_every": 12, "checkpoint_every": 12}
    trained("out", task=slow(small, 0.05, changes), recipe=changes, stop_at=6)
    outcome = trained("out", task=slow(small, 0.0, changes), recipe=changes)
    line = next(e for e in log_of(tmp_path / "out") if "loss" in e)
    assert line["step"] == 8
    assert line["data_seconds"] > 6 * 0.05
    assert outcome.data_seconds < 0.1


def test_the_last_steps_of_a_run_have_a_line_too(trained, log_of, tmp_path: Path) -> None:
    trained("each")
    changes = {"log_every": 50}
    trained("seldom", recipe=changes)
    each, (line,) = ([e for e in log_of(tmp_path / name) if "loss" in e] for name in ("each", "seldom"))
    assert line["step"] == 12
    assert line["loss"] == pytest.approx(sum(e["loss"] for e in each) / 12, rel=1e-6)
    trained("seldom", recipe=changes)  # of a finished run nothing is repeated
    assert len([e for e in log_of(tmp_path / "seldom") if "loss" in e]) == 1


def test_the_last_steps_before_an_early_stop_have_a_line_too(small, trained, log_of, tmp_path: Path) -> None:
    changes = {"log_every": 3, "validate_every": 2, "patience": 1}
    for _call in range(2):
        task = small.SmallTask(small.recipe(**changes))
        task.validate = lambda _trained: {"score": 0.0}
        assert trained("out", task=task, recipe=changes).status == "early stop"
        assert [e["step"] for e in log_of(tmp_path / "out") if "loss" in e] == [3, 4]


def test_what_a_resumed_run_repeats_is_cut_from_the_log(trained, log_of, tmp_path: Path) -> None:
    trained("out", stop_at=5)
    log = tmp_path / "out" / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 6, "loss": 0}\n{"step": 7, "lo')
    trained("out")
    assert [e["step"] for e in log_of(tmp_path / "out")] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 12]
    assert all(e.get("loss") != 0 for e in log_of(tmp_path / "out"))


def test_lines_of_a_run_that_never_reached_a_checkpoint_are_cut_too(trained, log_of, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.jsonl").write_text('{"step": 1}\n')
    trained("out", stop_at=2)
    assert [e["step"] for e in log_of(tmp_path / "out")] == [1, 2]


def test_tensorboard_reads_the_curves_of_a_run_and_of_its_resumption(trained, log_of, tmp_path: Path) -> None:
    trained("out", stop_at=6, tensorboard=True)
    trained("out", tensorboard=True)
    found = EventAccumulator(str(tmp_path / "out" / "tensorboard"))
    found.Reload()
    for tag, value in (
        ("loss", lambda e: e.get("loss")),
        ("metrics/score", lambda e: e.get("metrics", {}).get("score")),
    ):
        written = {e["step"]: value(e) for e in log_of(tmp_path / "out") if value(e) is not None}
        assert {s.step: s.value for s in found.Scalars(tag)} == pytest.approx(written, rel=1e-5)
    assert {"rate", "gradient_norm", "parts/first", "data_seconds"} <= set(found.Tags()["scalars"])


def test_a_file_where_the_folder_for_tensorboard_should_be_is_said(trained, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tensorboard").write_text("in the way")
    with pytest.raises(OutputError, match="tensorboard cannot be written: File exists") as told:
        trained("out", tensorboard=True)
    assert "choose another folder" in told.value.hint
    (tmp_path / "out" / "tensorboard").unlink()
    assert trained("out", tensorboard=True).status == "finished"


def test_the_recipe_beside_the_weights_is_the_one_that_was_used(trained, small, tmp_path: Path) -> None:
    trained("out", stop_at=1)
    assert load_recipe(tmp_path / "out" / "recipe.yaml", type(small.recipe())) == small.recipe()


def test_progress_is_told_as_lines_of_json(trained, monkeypatch) -> None:
    monkeypatch.setattr(reporting, "_REPORT_SECONDS", 0.0)
    told: list[dict[str, Any]] = []
    trained("out", report=told.append)
    lines = [json.loads(json.dumps(event, allow_nan=False)) for event in told]
    assert lines == told
    assert all(e["event"] == "progress" and e["steps"] == 12 and e["loss"] > 0 for e in told)
    assert {"rate", "seconds_left", "metric"} < set(told[0])
    assert (told[0]["step"], told[0]["metric"]) == (1, None)
    assert (told[-1]["step"], told[-1]["seconds_left"]) == (12, 0.0)
    assert told[-1]["metric"] is not None


def test_progress_is_told_about_once_a_second(trained) -> None:
    told: list[dict[str, Any]] = []
    trained("out", recipe={"validate_every": 100, "steps": 40}, report=told.append)
    assert 1 <= len(told) <= 4  # of 40 steps


def slow(small: Any, seconds: float, changes: dict[str, Any] | None = None) -> Any:
    """A small task whose batches take their time."""
    task = small.SmallTask(small.recipe(**(changes or {})))
    inner = task.batches

    def batches(first_step: int, rank: int, world: int) -> Iterator[Any]:
        for batch in inner(first_step, rank, world):
            time.sleep(seconds)
            yield batch

    task.batches = batches
    return task


def test_the_shares_of_time_tell_waiting_from_computing(small, trained, log_of, tmp_path: Path) -> None:
    quick = trained("quick")
    waiting = trained("slow", task=slow(small, 0.05))
    assert waiting.data_seconds > 12 * 0.05
    assert waiting.data_seconds + waiting.compute_seconds <= waiting.loop_seconds
    assert waiting.loop_per_compute > 2 > quick.loop_per_compute >= 1
    logged = [e for e in log_of(tmp_path / "slow") if "loss" in e]
    assert sum(e["data_seconds"] for e in logged) == pytest.approx(waiting.data_seconds, abs=0.01)


def test_speed_is_measured_against_computing_without_loading(small) -> None:
    measured = measure_speed(slow(small, 0.05), small.recipe(), steps=4, warm=1, device="cpu")
    assert measured.loop - measured.compute == pytest.approx(0.05, rel=0.5)
    assert measured.loop_per_compute > 2
