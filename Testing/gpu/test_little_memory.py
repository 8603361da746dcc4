"""When memory really runs out: smaller batches, then a word of what to do, then the CPU; nothing stays taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from samprompt.contract.errors import OutOfMemory
from samprompt.contract.progress import Progress
from samprompt.models.device import with_smaller_batches
from samprompt.worker.inputs import Inputs
from samprompt.worker.pipeline import ON_THE_CPU, Choices, run
from small_visits import QUICK, first_visit, later_visit

_PROGRAM = Path(__file__).with_name("little_memory.py")
MIB = 1 << 20
Build = Callable[[str, torch.device], Any]


@pytest.fixture
def encode_with(repository: Path, real: torch.device) -> Callable[[float], dict[str, Any]]:
    """``encode_with(images)``: what ``little_memory.py`` says when memory for so many of six images is left."""
    if real.type == "cpu" and sys.platform != "linux":
        pytest.skip("no other system holds a process to so much memory")

    def program(images: float) -> dict[str, Any]:
        sources = os.pathsep.join([str(repository / "SAMPromptTools"), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": sources, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(_PROGRAM), str(real), str(images)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said

    return program


def test_images_that_do_not_fit_together_are_encoded_in_smaller_batches(
    encode_with: Callable[[float], dict[str, Any]], real: torch.device
) -> None:
    said = encode_with(2.3)
    assert said["same"], said
    assert said["asked"][0] == 6
    assert said["asked"][-1] < 6
    assert said["asked"][1] == 3
    # what is kept is an answer's own; on the CPU the process also keeps what its allocator does
    assert said["after"] <= said["before"] + (0 if real.type == "cuda" else 120 * MIB)
    assert said["again"]


def test_one_image_that_does_not_fit_is_an_error_that_says_what_to_do(
    encode_with: Callable[[float], dict[str, Any]], real: torch.device
) -> None:
    said = encode_with(0.2)
    assert said["asked"] == [6, 3, 1]
    assert "batch of one" in said["message"]
    assert "--model tiny" in said["hint"]
    assert "--device cpu" in said["hint"]
    assert said["after"] <= said["before"] + (0 if real.type == "cuda" else 120 * MIB)
    assert said["again"], "after the memory came back the same images are encoded"


def test_tensors_of_a_failed_batch_are_gone_before_the_next_is_tried(
    place: torch.device,
) -> None:
    made: list[weakref.ref[torch.Tensor]] = []
    held: list[int] = []

    def greedy(batch: torch.Tensor) -> torch.Tensor:
        held.append(sum(tensor() is not None for tensor in made))
        large = torch.zeros(len(batch), 4 * MIB, dtype=torch.uint8, device=place)
        made.append(weakref.ref(large))
        if len(batch) > 2:
            torch.empty(2**60, dtype=torch.uint8)  # fails, really
        return batch.to(place) * 2 + int(large[0, 0])

    found = with_smaller_batches(greedy, torch.arange(7), 7)
    assert torch.cat(found).tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert held == [0] * len(held)
    assert len(held) > 4
    with pytest.raises(OutOfMemory, match="batch of one"):
        with_smaller_batches(lambda _batch: torch.empty(2**60), torch.arange(2), 2)


@contextmanager
def starved(place: torch.device, backbone: Any) -> Iterator[None]:
    """No image fits on the device: its encoder takes more than there is."""

    def greedy(*_: object) -> None:
        torch.empty(2**60, dtype=torch.uint8, device=place)

    hook = backbone.model.image_encoder.register_forward_pre_hook(greedy)
    try:
        yield
    finally:
        hook.remove()


def test_a_visit_that_does_not_fit_is_computed_on_the_cpu_and_says_so(
    build: Build, phantom: Any, accelerator: torch.device
) -> None:
    full = build("small SAM", accelerator)
    loaded: list[str] = []

    def load(_name: str, device: str, _progress: Progress | None) -> Any:
        loaded.append(device)
        return full if device != "cpu" else build("small SAM", torch.device("cpu"))

    results: list[Any] = []
    writing: Any = SimpleNamespace(begin=lambda *_: None, add=lambda _number, result, _began: results.append(result))
    inputs = Inputs(first_visit(phantom), [later_visit(phantom)], [], [], [])
    choices = Choices("small SAM", str(accelerator), 0, QUICK)
    with starved(accelerator, full):
        run(choices, lambda _progress: inputs, writing, Progress(), load=load)
    assert loaded == [str(accelerator), "cpu"]
    (result,) = results
    assert ON_THE_CPU in result.notes
    assert result.outcomes[0].structure.mask.any()
