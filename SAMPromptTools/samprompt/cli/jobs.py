"""The jobs behind the commands, free of any terminal: the worker of the panels runs the same functions."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import torch

from samprompt.cli.inputs import Inputs, check_output, check_request, read_inputs
from samprompt.cli.names import visit_names
from samprompt.cli.records import baseline_record, picture_pairs, visit_record
from samprompt.contract.errors import Cancelled, OutputError
from samprompt.contract.messages import JobEvent, PropagateRequest
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.contract.version import VERSION
from samprompt.io.report import PicturePair, write_report
from samprompt.io.structures import write_structures
from samprompt.io.summary import InputFile, Provenance, Summary, VisitRecord, write_summary
from samprompt.models.backbone import Backbone
from samprompt.models.registry import load_backbone
from samprompt.propagation.patient import propagate_visits
from samprompt.propagation.result import VisitResult
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit

METHODS_WITHOUT_MODEL = ("copied", "rigid", "deformable")


class PropagateVisits(Protocol):
    """What carries the contours: ``propagation.patient.propagate_visits``, or another in its place."""

    def __call__(
        self,
        baseline: Visit,
        followups: Sequence[Visit],
        backbone: Backbone | None,
        parameters: PropagationParameters,
        progress: Progress,
        references: Sequence[Visit] = (),
    ) -> Iterator[VisitResult]:
        """Yield one result per follow-up, in order."""
        ...


@dataclass
class _Results:
    """What one run writes (every visit when it is ready, summary and report after each) and the model it uses."""

    out: Path
    summary: Summary
    backbone: Backbone | None
    pictures: dict[tuple[str, str], list[PicturePair]] = field(default_factory=dict)

    def add(self, record: VisitRecord, pictures: dict[tuple[str, str], list[PicturePair]]) -> None:
        self.summary = replace(self.summary, visits=(*self.summary.visits, record))
        self.pictures.update(pictures)

    def write(self) -> None:
        write_report(self.out / "report.html", self.summary, self.pictures)
        write_summary(self.out / "summary.json", self.summary)


def propagate_job(
    request: PropagateRequest,
    progress: Progress,
    on_event: Callable[[JobEvent], None] | None = None,
    propagate: PropagateVisits = propagate_visits,
) -> Summary:
    """Read, propagate and write: ``<visit>.seg.nrrd`` per follow-up, ``summary.json`` and ``report.html`` in ``out``.

    Everything given is checked and read before the first visit is computed. Every finished visit is complete on disk
    before the next begins; when the job is stopped or fails, what is finished stays and nothing is half written.

    Raises:
        SamPromptError: the input, the output folder, the weights or the device cannot be used, or it was cancelled.
    """
    began = time.perf_counter()
    out = Path(request.out)
    if request.threads:
        torch.set_num_threads(request.threads)
    check_request(request)
    names = visit_names([Path(p) for p in (request.baseline, *request.followups)])
    targets = [out / f"{name}.seg.nrrd" for name in names[1:]]
    check_output(request, out, targets)
    made = not out.exists()
    results: _Results | None = None
    try:
        inputs = read_inputs(request, names, progress)
        results = _begin(request, out, inputs, progress)
        _run(request, inputs, results, targets, progress, on_event, propagate)
    except (KeyboardInterrupt, Cancelled):
        done, count = len(results.summary.visits) if results else 0, len(request.followups)
        kept = f"Finished visits are in {out}; nothing half written is left." if done else "Nothing was written."
        raise Cancelled(f"Cancelled: {done} of {count} visits finished.", kept) from None
    finally:
        if made and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
    results.summary = replace(
        results.summary, seconds={**results.summary.seconds, "total": time.perf_counter() - began}
    )
    results.write()
    return results.summary


def _begin(request: PropagateRequest, out: Path, inputs: Inputs, progress: Progress) -> _Results:
    """The model loaded, the folder made, and a summary without visits."""
    loading = time.perf_counter()
    backbone = None
    if request.parameters.method not in METHODS_WITHOUT_MODEL:
        progress.step(f"loading the model {request.model}")
        backbone = load_backbone(request.model, request.device, progress)
    summary = Summary(
        baseline_record(inputs.baseline, request.baseline),
        (),
        _provenance(request, backbone, inputs.files),
        len(inputs.followups),
        {"reading": inputs.seconds, "model": time.perf_counter() - loading},
        tuple(inputs.notes),
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {out} cannot be made: {error.strerror}.", "Give a folder you may write to."
        ) from error
    return _Results(out, summary, backbone)


def _run(
    request: PropagateRequest,
    inputs: Inputs,
    results: _Results,
    targets: Sequence[Path],
    progress: Progress,
    on_event: Callable[[JobEvent], None] | None,
    propagate: PropagateVisits,
) -> None:
    """Compute and write visit after visit."""
    tell = on_event or (lambda _event: None)
    count = len(inputs.followups)
    visits = propagate(
        inputs.baseline,
        inputs.followups,
        results.backbone,
        request.parameters,
        progress,
        references=inputs.references,
    )
    for n, (followup, image, target) in enumerate(zip(inputs.followups, request.followups, targets, strict=True), 1):
        tell(JobEvent("visit-started", followup.name, n, count))
        began = time.perf_counter()
        result = next(visits)
        computed = time.perf_counter()
        progress.step("writing")
        pictures = {
            (followup.name, o.structure.name): picture_pairs(inputs.baseline.volume, result, o) for o in result.outcomes
        }
        drawn = time.perf_counter()
        structures = [_tagged(o.structure, results.summary.provenance) for o in result.outcomes]
        write_structures(target, structures, followup.volume.grid, reference_name=Path(image).name)
        seconds = {"pictures": drawn - computed, "total": time.perf_counter() - began}
        results.add(visit_record(result, image, target.name, seconds), pictures)
        results.write()
        tell(JobEvent("visit-finished", followup.name, n, count, time.perf_counter() - began))


def _tagged(structure: Structure, provenance: Provenance) -> Structure:
    """The structure with its provenance among the tags of its segment."""
    tags = {
        "SAMPromptTools.Use": "research use only",
        "SAMPromptTools.Version": provenance.samprompt_version,
        "SAMPromptTools.Method": provenance.method,
        "SAMPromptTools.Model": f"{provenance.model_name} {provenance.model_fingerprint}".strip() or "none",
    }
    return replace(structure, tags={**structure.tags, **tags})


def _provenance(request: PropagateRequest, backbone: Backbone | None, files: Sequence[InputFile]) -> Provenance:
    return Provenance(
        VERSION,
        request.parameters.method,
        backbone.name if backbone is not None else "",
        backbone.fingerprint if backbone is not None else "",
        str(backbone.device) if backbone is not None else "cpu",
        f"{platform.system()} {platform.machine()}",
        ".".join(str(n) for n in sys.version_info[:3]),
        datetime.now().astimezone().isoformat(timespec="seconds"),
        asdict(request.parameters),
        tuple(files),
    )
