"""The core that command line and worker share: what it does when the GPU's memory runs out."""

from __future__ import annotations

import gc
import weakref
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

    def propagate(self, baseline, followups, backbone, parameters, progress, references=(), cache=None, device=None):
        assert device == backbone.device
        for followup in followups:
            if backbone.device.type == self.device and len(self.done) >= self.fits:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            self.done.append((followup.name, backbone.device.type))
            yield VisitResult(followup, (), {}, 1.0, ("a note",))

    def begin(self, inputs, provenance, seconds) -> None:
        self.provenance = provenance

    def add(self, number: int, result: VisitResult, began: float) -> None:
        assert number == len(self.results) + 1
        self.results.append(result)

    def run(self, cache: dict | None = None, choices: Choices = CHOICES) -> None:
        inputs = Inputs(visit("baseline"), [visit(n) for n in ("one", "two", "three")], [], [], [])
        run(choices, lambda _p: inputs, self, Progress(), propagate=self.propagate, load=self.load, cache=cache)


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


def test_tensors_that_a_failed_frame_holds_are_gone_before_the_cpu_begins() -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    seen: list[bool] = []

    class Holding(Machine):
        def propagate(
            self, baseline, followups, backbone, parameters, progress, references=(), cache=None, device=None
        ):
            def encode() -> None:
                tensor = torch.zeros(10)
                held.append(weakref.ref(tensor))
                try:
                    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
                except RuntimeError as error:
                    kept = error  # its traceback holds this frame, and the frame holds it
                raise kept

            if backbone.device.type == "cuda":
                encode()
            yield from super().propagate(baseline, followups, backbone, parameters, progress, device=device)

        def load(self, name: str, device: str, progress: object) -> SimpleNamespace:
            if device == "cpu":
                seen.append(held[0]() is not None)
            return super().load(name, device, progress)

    gc.disable()  # or a collection of its own might come between
    try:
        Holding("cuda", fits=9).run()
    finally:
        gc.enable()
    assert seen == [False]


class RefinerAlone(Machine):
    """The method that needs no promptable model."""

    def __init__(self, fits: int) -> None:
        super().__init__("cuda", fits)
        self.asked: list[str] = []

    def choose(self, name: str) -> torch.device:
        self.asked.append(name)
        return torch.device("cuda:1" if name == "cuda:1" else "cpu")

    def load(self, name: str, device: str, _progress: object) -> SimpleNamespace:
        raise AssertionError("no model is needed")

    def propagate(self, baseline, followups, backbone, parameters, progress, references=(), cache=None, device=None):
        assert backbone is None
        yield from super().propagate(
            baseline, followups, SimpleNamespace(device=device), parameters, progress, device=device
        )


def test_the_refiner_computes_on_the_device_that_was_chosen_and_on_the_cpu_when_it_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = RefinerAlone(fits=1)
    monkeypatch.setattr("samprompt.worker.pipeline.choose_device", machine.choose)
    machine.run(choices=Choices("tiny", "cuda:1", 0, PropagationParameters(method="refiner")))
    assert machine.done == [("one", "cuda"), ("two", "cpu"), ("three", "cpu")]
    assert [ON_THE_CPU in result.notes for result in machine.results] == [False, True, True]
    assert machine.provenance.device == "cuda:1"
    assert machine.asked == ["cuda:1"]


def test_a_method_that_only_moves_contours_asks_for_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = RefinerAlone(fits=9)
    monkeypatch.setattr("samprompt.worker.pipeline.choose_device", machine.choose)
    machine.run(choices=Choices("tiny", "cuda:1", 0, PropagationParameters(method="deformable")))
    assert machine.done == [("one", "cpu"), ("two", "cpu"), ("three", "cpu")]
    assert machine.provenance.device == "cpu"
    assert machine.asked == []


def test_when_the_cpus_memory_runs_out_it_is_an_error() -> None:
    machine = Machine("cpu", fits=1)
    with pytest.raises((OutOfMemory, RuntimeError), match="out of memory"):
        machine.run()
    assert [name for name, _device in machine.done] == ["one"]
