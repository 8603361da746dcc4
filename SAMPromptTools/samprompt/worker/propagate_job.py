"""The job "propagate": the arrays of a panel through the propagation that the command line runs, and back as arrays."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass

import torch

from samprompt.contract.messages import JobEvent
from samprompt.contract.progress import Progress
from samprompt.contract.worker import (
    CheckSliceMessage,
    OutcomeMessage,
    PromptPointMessage,
    PropagateJob,
    Result,
    StructureMessage,
    VisitMessage,
    VisitReady,
    VolumeMessage,
)
from samprompt.io.summary import InputFile, Provenance, trust_level
from samprompt.propagation.result import StructureOutcome, VisitResult
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.worker import arrays_in
from samprompt.worker.arrays_out import ResultFolder, write_mask
from samprompt.worker.cache import Kept
from samprompt.worker.context import Context
from samprompt.worker.inputs import (
    Inputs,
    named_apart,
    note_modality,
    note_same_image,
    reference_structures,
    usable_structures,
)
from samprompt.worker.pipeline import Choices, check_choices, run


def propagate(job: PropagateJob, context: Context, kept: Kept) -> Result:
    """Do the job; every finished visit is sent as ``VisitReady``.

    Raises:
        SamPromptError: as ``pipeline.run``.
    """
    began = time.perf_counter()
    choices = Choices(job.model, job.device, job.threads, job.parameters)
    check_choices(choices, len(job.followups))
    reader = _Reader(job, kept)
    results = _Arrays(job, context, reader)
    context.close_in_the_end(results.folder)

    def on_event(event: JobEvent) -> None:
        context.visit = (event.visit, event.number, event.count)

    threads = torch.get_num_threads()
    try:
        cache = kept.cache if reader.all_named else None
        run(choices, reader.read, results, context.progress, on_event, load=kept.models, cache=cache)
    finally:
        torch.set_num_threads(threads)
    seconds = {**results.seconds, "total": time.perf_counter() - began}
    return Result(context.id, asdict(results.provenance), results.notes, seconds)


@dataclass(frozen=True, eq=False)
class _Read:
    """An image as it is kept, with what was remarked on it."""

    volume: Volume
    remarks: list[str]


class _Reader:
    """The end that reads arrays; images that the warm worker knows are not read again.

    ``senders`` are the panel's own messages of the structures that are carried, in the order of the outcomes.
    """

    def __init__(self, job: PropagateJob, kept: Kept) -> None:
        self._job, self._kept = job, kept
        volumes = (job.baseline.volume, *job.followups, *(r.volume for r in job.references))
        self.all_named = all(volume.key for volume in volumes)
        self.senders: list[StructureMessage] = []
        self._count = len(volumes)
        self._done = 0

    def read(self, progress: Progress) -> Inputs:
        """All visits of the job."""
        began, job = time.perf_counter(), self._job
        notes: list[str] = []
        volume = self._volume(job.baseline.volume, notes, progress)
        contours = self._structures(job.baseline, volume, progress)
        source = f"the segmentation of {job.baseline.volume.name}"
        structures = usable_structures(contours, source, notes)
        self.senders = [m for m, s in zip(job.baseline.structures, contours, strict=True) if not s.is_empty]
        files = [_input("Baseline", job.baseline.volume)]
        followups = []
        for n, message in enumerate(job.followups, 1):
            followups.append(Visit(message.name, self._volume(message, notes, progress)))
            note_same_image(message.name, message.key, files, notes)
            files.append(_input(f"Follow-up {n}", message))
        references = []
        for n, reference in enumerate(job.references, 1):
            image = self._volume(reference.volume, notes, progress)
            named = named_apart(self._structures(reference, image, progress), [])
            shared = reference_structures(named, structures, reference.volume.name)
            references.append(Visit(f"reference {n}", image, shared))
            files.append(_input(f"Reference {n}", reference.volume))
        baseline = Visit(job.baseline.volume.name, volume, structures)
        note_modality((baseline, *followups), notes)
        return Inputs(baseline, followups, references, files, notes, time.perf_counter() - began)

    def _volume(self, message: VolumeMessage, notes: list[str], progress: Progress) -> Volume:
        progress.step(f"reading {message.name}", self._done, self._count)
        self._done += 1
        key = arrays_in.content_key(message)
        found = self._kept.cache.get(("volume", key)) if key else None
        if not isinstance(found, _Read):
            remarks: list[str] = []
            found = _Read(arrays_in.read_volume(message, remarks), remarks)
            if key:
                self._kept.cache[("volume", key)] = found
        notes += found.remarks
        return found.volume

    def _structures(self, visit: VisitMessage, volume: Volume, progress: Progress) -> list[Structure]:
        found = []
        for n, message in enumerate(visit.structures):
            progress.step(f"reading {message.name}", n, len(visit.structures))
            found.append(arrays_in.read_structure(message, volume.grid, visit.volume.name))
        return found


class _Arrays:
    """The end that writes arrays, and tells the panel of every visit."""

    def __init__(self, job: PropagateJob, context: Context, reader: _Reader) -> None:
        self.folder = ResultFolder(job.folder)
        self.seconds: dict[str, float] = {}
        self.notes: tuple[str, ...] = ()
        self.provenance: Provenance
        self._job, self._context, self._reader = job, context, reader

    def begin(self, inputs: Inputs, provenance: Provenance, seconds: dict[str, float]) -> None:
        """Remember what goes into the last message."""
        self.provenance, self.seconds, self.notes = provenance, dict(seconds), tuple(inputs.notes)

    def add(self, number: int, result: VisitResult, began: float) -> None:
        """Write the masks of one follow-up and announce them."""
        messages = []
        for n, (outcome, sender) in enumerate(zip(result.outcomes, self._reader.senders, strict=True)):
            self._context.progress.step("writing", n, len(result.outcomes))
            messages.append(_message(outcome, sender, self.folder))
        self._context.progress.step("writing", len(result.outcomes), len(result.outcomes))
        ready = VisitReady(
            self._context.id,
            result.visit.name,
            number,
            len(self._job.followups),
            tuple(messages),
            _number(result.alignment_quality),
            {**result.seconds, "total": time.perf_counter() - began},
            result.notes,
        )
        self.folder.hand_over(lambda: self._context.send(ready))


def _message(outcome: StructureOutcome, sender: StructureMessage, folder: ResultFolder) -> OutcomeMessage:
    """One outcome with its masks written."""
    trust = outcome.trust
    return OutcomeMessage(
        structure=write_mask(folder, outcome.structure.mask, sender),
        prior=write_mask(folder, outcome.prior.mask, sender),
        volume_ml=float(outcome.structure.volume_ml),
        baseline_ml=float(outcome.baseline.volume_ml),
        change_percent=_number(outcome.change_percent),
        shift_mm=_number(outcome.shift_mm),
        trust=float(trust.score),
        level=trust_level(trust.score, trust.flagged),
        flagged=bool(trust.flagged),
        reasons=trust.reasons,
        check_slices=tuple(CheckSliceMessage(int(k), outcome.place_to_look(k)) for k in trust.check_slices),
        prompts=tuple(PromptPointMessage(p.ras_mm, p.positive) for p in outcome.prompts),
        route=outcome.route,
        truncated=bool(outcome.truncated),
        gone=outcome.structure.is_empty,
        notes=outcome.notes,
    )


def _input(role: str, message: VolumeMessage) -> InputFile:
    return InputFile(role, message.name, message.key)


def _number(value: float | None) -> float | None:
    """JSON has neither NaN nor infinity."""
    return None if value is None or not math.isfinite(value) else float(value)
