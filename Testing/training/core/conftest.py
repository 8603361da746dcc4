"""Fixtures of the loop's tests; ``small_task.py`` lies beside this file and is loaded by path."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from module_by_path import module_by_path
from safetensors.torch import load_file
from torch import Tensor

_SMALL_TASK = Path(__file__).with_name("small_task.py")
_TRAINING = Path(__file__).parents[3] / "training"


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """The module with the small task."""
    return module_by_path("loop_small_task", _SMALL_TASK)


def _command(jobs: tuple[dict[str, Any], ...], before: tuple[str, ...]) -> dict[str, Any]:
    """Arguments for ``subprocess`` that run the small task as a program."""
    sources = (str(_TRAINING.parent / "SAMPromptTools"), str(_TRAINING), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sources), "OMP_NUM_THREADS": "1"}
    command = [*before, str(_SMALL_TASK), *(json.dumps(job) for job in jobs)]
    return {"args": command, "text": True, "env": environment}


@pytest.fixture(scope="session")
def launch() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``launch({"out": ...}, ..., before=[...])`` runs the small task as processes of their own."""

    def run(*jobs: dict[str, Any], before: tuple[str, ...] = (sys.executable,)) -> subprocess.CompletedProcess[str]:
        return subprocess.run(**_command(jobs, before), capture_output=True, timeout=240, check=False)

    return run


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """``started({"out": ...}, before=[...])``: the same, under way in a process group of its own."""
    running: list[subprocess.Popen[str]] = []

    def run(*jobs: dict[str, Any], before: tuple[str, ...] = (sys.executable,)) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(**_command(jobs, before), **pipes, start_new_session=True))
        return running[-1]

    yield run
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


def checkpoint_of(out: Path) -> dict[str, Any]:
    """A checkpoint as torch reads it."""
    content: dict[str, Any] = torch.load(out / "checkpoint.pt", weights_only=True)
    return content


def tensors_in(value: Any, path: str = "") -> dict[str, Tensor]:
    """All tensors of a nested structure, by the way to them."""
    if isinstance(value, Tensor):
        return {path: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {name: tensor for key, entry in pairs for name, tensor in tensors_in(entry, f"{path}/{key}").items()}


@pytest.fixture(scope="session")
def same_end() -> Callable[[Path, Path], None]:
    """``same_end(a, b)``: both runs ended with the same bits: weights, average, optimiser and exported files."""

    def compare(one: Path, two: Path) -> None:
        first, second = checkpoint_of(one), checkpoint_of(two)
        assert first["state"]["step"] == second["state"]["step"]
        assert first["state"]["best"] == second["state"]["best"]
        here, there = tensors_in(first), tensors_in(second)
        assert here.keys() == there.keys()
        assert len(here) > 15
        assert [name for name in here if not torch.equal(here[name], there[name])] == []
        for name in ("best.safetensors", "last.safetensors"):
            exported = [load_file(out / name) for out in (one, two)]
            assert [n for n in exported[0] if not torch.equal(exported[0][n], exported[1][n])] == []

    return compare


def read_log(out: Path) -> list[dict[str, Any]]:
    """Lines of a run's log."""
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def log_of() -> Callable[[Path], list[dict[str, Any]]]:
    """``log_of(out)``: the lines of a run's log."""
    return read_log


@pytest.fixture
def trained(small: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """``trained("name", task=..., recipe={...}, ...)`` trains the small task into ``tmp_path / "name"``."""
    from samprompt_training.core.loop import train

    def run(name: str, options: dict[str, Any] | None = None, recipe: dict[str, Any] | None = None, **how: Any) -> Any:
        chosen = small.recipe(**(recipe or {}))
        task = how.pop("task", None) or small.SmallTask(chosen, **(options or {}))
        return train(task, chosen, tmp_path / name, **({"tensorboard": False, "device": "cpu"} | how))

    return run
