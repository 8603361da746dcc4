"""One propagation from what is read to what is written: the same for the command line and for the panels.

Reading and writing are the two ends that differ (files there, arrays here); everything between is ``run``.
"""

from __future__ import annotations

import gc
import platform
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Protocol

import torch

from samprompt.contract.errors import OutOfMemory, ParameterError
from samprompt.contract.memory import is_out_of_memory
from samprompt.contract.messages import JobEvent
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import METHODS, METHODS_WITHOUT_MODEL, PropagationParameters
from samprompt.contract.version import VERSION
from samprompt.io.summary import InputFile, Provenance
from samprompt.models.backbone import Backbone
from samprompt.models.device import choose_device, release_cached_memory
from samprompt.models.refiner import load_refiner
from samprompt.models.registry import load_backbone
from samprompt.propagation.patient import PropagateVisits, propagate_visits
from samprompt.propagation.result import VisitResult
from samprompt.worker.inputs import Inputs

ON_THE_CPU = "The GPU's memory ran out; this visit was computed on the CPU."


class LoadModel(Protocol):
    """What gives the model: ``models.registry.load_backbone``, or a store that keeps it."""

    def __call__(self, name_or_path: str, device: str, progress: Progress | None) -> Backbone:
        """The model on the device."""
        ...


class Results(Protocol):
    """The end that writes."""

    def begin(self, inputs: Inputs, provenance: Provenance, seconds: dict[str, float]) -> None:
        """Everything is read and the model is there; ``seconds`` that took."""
        ...

    def add(self, number: int, result: VisitResult, began: float) -> None:
        """Keep follow-up ``number`` (from 1), whole or not at all; ``began`` is its start (``time.perf_counter``)."""
        ...


@dataclass(frozen=True)
class Choices:
    """How to propagate: a name of the catalogue or a checkpoint, the device, CPU threads (0: as the libraries like)."""

    model: str
    device: str
    threads: int
    parameters: PropagationParameters


def check_choices(choices: Choices, followups: int) -> None:
    """Refuse what can be refused before anything is opened.

    Raises:
        ParameterError: an unknown method, no follow-up, or a senseless number of threads.
    """
    if choices.parameters.method not in METHODS:
        raise ParameterError(
            f"There is no method {choices.parameters.method!r}.", f"Choose one of {', '.join(METHODS)}."
        )
    if not followups:
        raise ParameterError("No follow-up was given.", "Give at least one follow-up image.")
    if choices.threads < 0:
        raise ParameterError(f"{choices.threads} threads make no sense.", "Give 0 (automatic) or more.")


def run(
    choices: Choices,
    read: Callable[[Progress], Inputs],
    results: Results,
    progress: Progress,
    on_event: Callable[[JobEvent], None] | None = None,
    propagate: PropagateVisits = propagate_visits,
    load: LoadModel = load_backbone,
    cache: MutableMapping[object, object] | None = None,
) -> None:
    """Read everything, load the model, then compute and write follow-up after follow-up.

    Raises:
        SamPromptError: an input, a parameter, the weights, the device or the output cannot be used, or it was
            cancelled; what ``results`` was given before is finished.
    """
    if choices.threads:
        torch.set_num_threads(choices.threads)
    inputs = read(progress)
    loading = time.perf_counter()
    backbone = None
    if choices.parameters.method not in METHODS_WITHOUT_MODEL:
        progress.step(f"loading the model {choices.model}")
        backbone = load(choices.model, choices.device, progress)
    device = backbone.device if backbone is not None else _refiner_device(choices)
    seconds = {"reading": inputs.seconds, "model": time.perf_counter() - loading}
    results.begin(inputs, provenance_of(choices, backbone, inputs.files, device), seconds)
    tell = on_event or (lambda _event: None)
    count = len(inputs.followups)

    def visits_from(first: int) -> Iterator[VisitResult]:
        followups = inputs.followups[first:]
        return propagate(
            inputs.baseline, followups, backbone, choices.parameters, progress, inputs.references, cache=cache,
            device=device,
        )  # fmt: skip

    visits = visits_from(0)
    notes: tuple[str, ...] = ()
    for number, followup in enumerate(inputs.followups, 1):
        tell(JobEvent("visit-started", followup.name, number, count))
        began = time.perf_counter()
        result = None
        try:
            result = next(visits)
        except Exception as error:
            if not _is_gpu_full(error, device):
                raise
        if result is None:  # outside of the handler, whose traceback keeps the tensors on the GPU alive
            with_model, device = backbone is not None, torch.device("cpu")
            del visits
            backbone = None
            if cache is not None:
                cache.clear()
            gc.collect()  # frames that hold their own exception, and with it tensors, go no sooner
            release_cached_memory()
            if with_model:
                progress.step(f"loading the model {choices.model} on the CPU")
                backbone = load(choices.model, "cpu", progress)
            visits, notes = visits_from(number - 1), (ON_THE_CPU,)
            result = next(visits)
        result = replace(result, notes=(*result.notes, *notes))
        progress.step("writing")
        results.add(number, result, began)
        tell(JobEvent("visit-finished", followup.name, number, count, time.perf_counter() - began))


def _refiner_device(choices: Choices) -> torch.device:
    """Where the prior refiner computes when there is no model beside it; the CPU where nothing needs another."""
    return choose_device(choices.device) if choices.parameters.uses_refiner else torch.device("cpu")


def _is_gpu_full(error: Exception, device: torch.device) -> bool:
    """Whether it was the GPU's memory that ran out: then the CPU's may do."""
    full = isinstance(error, OutOfMemory) or is_out_of_memory(error)
    return full and device.type != "cpu"


def provenance_of(
    choices: Choices, backbone: Backbone | None, files: Sequence[InputFile], device: torch.device
) -> Provenance:
    """What made the results of this run, ``device`` first of all."""
    parameters = asdict(choices.parameters)
    name, fingerprint = (backbone.name, backbone.fingerprint) if backbone is not None else ("", "")
    if choices.parameters.uses_refiner:
        parameters["refiner_fingerprint"] = load_refiner().fingerprint
    if choices.parameters.method == "refiner":
        name, fingerprint = "refiner", load_refiner().fingerprint
    return Provenance(
        VERSION,
        choices.parameters.method,
        name,
        fingerprint,
        str(device),
        f"{platform.system()} {platform.machine()}",
        ".".join(str(n) for n in sys.version_info[:3]),
        datetime.now().astimezone().isoformat(timespec="seconds"),
        parameters,
        tuple(files),
    )
