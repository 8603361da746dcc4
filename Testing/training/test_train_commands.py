"""``samprompt train tiny`` and ``samprompt train refiner``: the built-in networks from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open
from samprompt.cli.main import main
from samprompt.models.refiner import load_refiner
from samprompt.models.tiny import load_tiny

COMMON = """
seed: 1
steps: 4
batch: 2
learning_rate: 1.0e-3
weight_decay: 0.02
validate_every: 2
checkpoint_every: 2
log_every: 2
size: 64
threads: 1
"""
TINY = COMMON + "widths: [8, 16, 32, 64]\nblocks: [1, 1, 1, 1]\nvalidation_scenes: 8\n"
REFINER = COMMON + "widths: [8, 8, 16, 16]\nvalidation_scenes: 16\n"


@pytest.fixture
def recipe(tmp_path: Path):
    def written(text: str) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return str(path)

    return written


def test_the_built_in_model_is_trained_by_one_command_and_can_be_loaded(recipe, tmp_path: Path, capsys) -> None:
    assert main(["train", "tiny", "--recipe", recipe(TINY), "--out", str(tmp_path / "run"), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "result"
    assert lines[-1]["status"] == "finished"
    assert lines[-1]["step"] == 4
    assert load_tiny(Path(lines[-1]["weights"])).input_size == 64


def test_the_refiner_is_trained_and_then_measured(recipe, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    assert main(["train", "refiner", "--recipe", recipe(REFINER), "--out", str(run)]) == 0
    said = capsys.readouterr().out
    assert str(run / "best.safetensors") in said
    assert load_refiner(run / "best.safetensors").limit_mm == 8.0
    options = ["--recipe", recipe(REFINER), "--measure", str(run / "best.safetensors"), "--scenes", "16"]
    assert main(["train", "refiner", *options]) == 0
    table = capsys.readouterr().out
    assert "unchanged" in table
    assert "| all |" in table


def test_a_run_is_paused_after_its_minutes_and_goes_on(recipe, tmp_path: Path, capsys) -> None:
    options = ["train", "tiny", "--recipe", recipe(TINY), "--out", str(tmp_path / "run")]
    assert main([*options, "--minutes", "0.0001"]) == 0
    assert "Paused after step" in capsys.readouterr().out
    assert main(options) == 0
    assert "Paused" not in capsys.readouterr().out


@pytest.mark.parametrize(("command", "text"), [("tiny", TINY), ("refiner", REFINER)])
@pytest.mark.parametrize("minutes", ["-5", "nan"])
def test_minutes_that_leave_no_time_are_refused_before_anything_is_written(
    recipe, tmp_path: Path, capsys, command: str, text: str, minutes: str
) -> None:
    options = ["train", command, "--recipe", recipe(text), "--out", str(tmp_path / "run")]
    assert main([*options, "--minutes", minutes]) == 2
    assert f"--minutes {minutes} leaves no time." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to groups of processes")
def test_a_shutdown_that_ends_all_processes_leaves_a_checkpoint_to_go_on_from(recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    long = TINY.replace("steps: 4", "steps: 4000").replace("_every: 2", "_every: 2000", 2)
    code = "import sys; from samprompt.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", "tiny", "--recipe", recipe(long), "--out", str(run)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            until = time.monotonic() + 120
            while not (run / "log.jsonl").exists() or (run / "log.jsonl").stat().st_size == 0:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.1)
            os.killpg(process.pid, signal.SIGTERM)
            _, said = process.communicate(timeout=100)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 4, said
    assert "a checkpoint is written" in said
    assert (run / "checkpoint.pt").is_file()


def test_a_stage_that_ends_at_a_step_leaves_weights_that_the_next_one_starts_from(
    recipe, tmp_path: Path, capsys
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["train", "tiny", "--recipe", recipe(TINY), "--json"]
    assert main([*options, "--out", str(first), "--until", "2"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["status"], last["step"]) == ("paused", 2)
    assert main([*options, "--out", str(second), "--start", str(first / "best.safetensors")]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["status"], last["step"]) == ("finished", 4)
    with safe_open(last["weights"], framework="pt") as file:
        assert file.metadata()["started_from"] == load_tiny(first / "best.safetensors").fingerprint


def test_training_or_measuring_has_to_be_chosen(recipe, tmp_path: Path, capsys) -> None:
    assert main(["train", "refiner", "--recipe", recipe(REFINER)]) == 2
    assert "--out" in capsys.readouterr().err


def test_another_recipe_in_the_same_folder_is_refused_with_the_difference(recipe, tmp_path: Path, capsys) -> None:
    out = str(tmp_path / "run")
    assert main(["train", "tiny", "--recipe", recipe(TINY), "--out", out]) == 0
    changed = recipe(TINY.replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"))
    assert main(["train", "tiny", "--recipe", changed, "--out", out]) == 2
    said = capsys.readouterr().err
    assert "learning_rate" in said
    assert "0.001" in said
