"""The core that command line and worker share: what it does when the GPU's memory runs out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from samprompt.contract.errors import OutOfMemory
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.propagation.result import VisitResult
from samprompt.space.grid import Grid
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.worker.inputs import Inputs
from samprompt.worker.pipeline import ON_THE_CPU, Choices, run

CHOICES = Choices("tiny", "auto", 0, PropagationParameters())


def visit(name: str) -> Visit:
    return Visit(name, Volume(np.zeros((2, 3, 4), np.float32), Grid((2, 3, 4), np.eye(4)), "CT"))


class Machine:
    """A model on a GPU of limited memory, the CPU beside it, and a list of what was computed where."""

    def __init__(self, device: str, fits: int) -> None:
        self.device, self.fits = device, fits
        self.done: list[tuple[str, str]] = []
        self.results: list[VisitResult] = []

    def load(self, name: str, device: str, _progress: object) -> SimpleNamespace:
        where = torch.device(self.device if device == "auto" else device)
        return SimpleNamespace(name=name, fingerprint="0", device=where)

    def propagate(self, baseline, followups, backbone, parameters, progress, references=(), cache=None):
        for followup in followups:
            if backbone.device.type == self.device and len(self.done) >= self.fits:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            self.done.append((followup.name, backbone.device.type))
            yield VisitResult(followup, (), {}, 1.0, ("a note",))

    def begin(self, inputs, provenance, seconds) -> None:
        pass

    def add(self, number: int, result: VisitResult, began: float) -> None:
        assert number == len(self.results) + 1
        self.results.append(result)

    def run(self, cache: dict | None = None) -> None:
        inputs = Inputs(visit("baseline"), [visit(n) for n in ("one", "two", "three")], [], [], [])
        run(CHOICES, lambda _p: inputs, self, Progress(), propagate=self.propagate, load=self.load, cache=cache)


def test_when_the_gpu_is_full_the_rest_is_computed_on_the_cpu_and_said() -> None:
    machine = Machine("cuda", fits=1)
    cache: dict[object, object] = {"embedding": "on the GPU"}
    machine.run(cache)
    assert machine.done == [("one", "cuda"), ("two", "cpu"), ("three", "cpu")]
    assert [result.notes for result in machine.results] == [
        ("a note",),
        ("a note", ON_THE_CPU),
        ("a note", ON_THE_CPU),
    ]
    assert not cache, "what is kept on the GPU is let go of"


def test_when_the_cpus_memory_runs_out_it_is_an_error() -> None:
    machine = Machine("cpu", fits=1)
    with pytest.raises((OutOfMemory, RuntimeError), match="out of memory"):
        machine.run()
    assert [name for name, _device in machine.done] == ["one"]
