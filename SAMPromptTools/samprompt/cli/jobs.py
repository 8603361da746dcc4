"""The propagation of the command line: files in, files out, round the same ``run`` that the panels' worker calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from samprompt.cli.inputs import check_output, check_request, read_inputs
from samprompt.cli.names import visit_names
from samprompt.cli.records import baseline_record, picture_pairs, visit_record
from samprompt.contract.errors import Cancelled, OutputError
from samprompt.contract.messages import JobEvent, PropagateRequest
from samprompt.contract.progress import Progress
from samprompt.io.report import PicturePair, write_report
from samprompt.io.structures import write_structures
from samprompt.io.summary import Provenance, Summary, write_summary
from samprompt.propagation.patient import PropagateVisits, propagate_visits
from samprompt.propagation.result import VisitResult
from samprompt.space.structure import Structure
from samprompt.worker.inputs import Inputs
from samprompt.worker.pipeline import Choices, run


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
    choices = Choices(request.model, request.device, request.threads, request.parameters)
    check_request(request, choices)
    names = visit_names([Path(p) for p in (request.baseline, *request.followups)])
    results = _Files(out, request, [out / f"{name}.seg.nrrd" for name in names[1:]])
    check_output(request, out, results.targets)
    made = not out.exists()
    try:
        run(choices, lambda told: read_inputs(request, names, told), results, progress, on_event, propagate)
    except (KeyboardInterrupt, Cancelled):
        done, count = results.finished, len(request.followups)
        kept = f"Finished visits are in {out}; nothing half written is left." if done else "Nothing was written."
        raise Cancelled(f"Cancelled: {done} of {count} visits finished.", kept) from None
    finally:
        if made and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
    return results.end(time.perf_counter() - began)


class _Files:
    """What one run writes into its folder: every visit when it is ready, summary and report after each."""

    def __init__(self, out: Path, request: PropagateRequest, targets: Sequence[Path]) -> None:
        self.out, self.targets = out, targets
        self._request = request
        self._pictures: dict[tuple[str, str], list[PicturePair]] = {}
        self._inputs: Inputs | None = None
        self._summary: Summary | None = None

    @property
    def finished(self) -> int:
        """How many visits are written."""
        return len(self._summary.visits) if self._summary is not None else 0

    def begin(self, inputs: Inputs, provenance: Provenance, seconds: dict[str, float]) -> None:
        """Make the folder, and a summary without visits."""
        baseline = baseline_record(inputs.baseline, self._request.baseline)
        count = len(inputs.followups)
        self._inputs = inputs
        self._summary = Summary(baseline, (), provenance, count, seconds, tuple(inputs.notes))
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The folder {self.out} cannot be made: {error.strerror}.", "Give a folder you may write to."
            ) from error

    def add(self, number: int, result: VisitResult, began: float) -> None:
        """Write one follow-up, and summary and report anew."""
        assert self._inputs is not None
        assert self._summary is not None
        target, image = self.targets[number - 1], self._request.followups[number - 1]
        computed = time.perf_counter()
        pictures = {
            (result.visit.name, o.structure.name): picture_pairs(self._inputs.baseline.volume, result, o)
            for o in result.outcomes
        }
        drawn = time.perf_counter()
        structures = [_tagged(o.structure, self._summary.provenance) for o in result.outcomes]
        write_structures(target, structures, result.visit.volume.grid, reference_name=Path(image).name)
        seconds = {"pictures": drawn - computed, "total": time.perf_counter() - began}
        record = visit_record(result, image, target.name, seconds)
        self._summary = replace(self._summary, visits=(*self._summary.visits, record))
        self._pictures.update(pictures)
        self._write()

    def end(self, total: float) -> Summary:
        """The summary of the whole run, written with the ``total`` seconds it took."""
        assert self._summary is not None
        self._summary = replace(self._summary, seconds={**self._summary.seconds, "total": total})
        self._write()
        return self._summary

    def _write(self) -> None:
        assert self._summary is not None
        write_report(self.out / "report.html", self._summary, self._pictures)
        write_summary(self.out / "summary.json", self._summary)


def _tagged(structure: Structure, provenance: Provenance) -> Structure:
    """The structure with its provenance among the tags of its segment."""
    tags = {
        "SAMPromptTools.Use": "research use only",
        "SAMPromptTools.Version": provenance.samprompt_version,
        "SAMPromptTools.Method": provenance.method,
        "SAMPromptTools.Model": f"{provenance.model_name} {provenance.model_fingerprint}".strip() or "none",
    }
    return replace(structure, tags={**structure.tags, **tags})
