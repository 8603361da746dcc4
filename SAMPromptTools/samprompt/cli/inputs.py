"""What a propagation is given: checked before anything is opened, read before anything is computed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from samprompt.contract.errors import MissingFileError, OutputError, StructureError
from samprompt.contract.messages import PropagateRequest
from samprompt.contract.progress import Progress
from samprompt.io.images import read_volume
from samprompt.io.notes import collected_notes
from samprompt.io.structures import read_structures
from samprompt.io.summary import InputFile, sha256_of
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.worker.inputs import (
    Inputs,
    listed,
    note_modality,
    note_same_image,
    reference_structures,
    usable_structures,
)
from samprompt.worker.pipeline import Choices, check_choices


def check_request(request: PropagateRequest, choices: Choices) -> None:
    """Everything that can be refused before a file is opened."""
    check_choices(choices, len(request.followups))
    named = [("baseline image", request.baseline), ("structures", request.structures)]
    named += [("follow-up image", path) for path in request.followups]
    named += [("reference", path) for pair in request.references for path in pair]
    for what, path in named:
        if not Path(path).exists():
            raise MissingFileError(f"The {what} {path} does not exist.", "Check the path.")


def check_output(request: PropagateRequest, out: Path, targets: Sequence[Path]) -> None:
    """Refuse a file in the folder's place, a result that would be lost, and a result on top of an input."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"The output {out} is a file, not a folder.", "Give a folder with --out.")
    given = [request.baseline, request.structures, *request.followups, *(p for r in request.references for p in r)]
    taken = {Path(p).resolve() for p in given}
    for target in targets:
        if target.resolve() in taken:
            raise OutputError(f"The result {target} would replace an input.", "Give another folder with --out.")
    present = [p for p in (out / "summary.json", out / "report.html", *targets) if p.exists()]
    if present and not request.overwrite:
        raise OutputError(
            f"The folder {out} already holds a result ({present[0].name}).",
            "Give another folder with --out, or --overwrite to replace it.",
        )


def read_inputs(request: PropagateRequest, names: Sequence[str], progress: Progress) -> Inputs:
    """Read every input; what the readers noticed is kept for the report.

    Raises:
        InputError: something cannot be used.
        Cancelled: through ``progress``.
    """
    began = time.perf_counter()
    with collected_notes() as notes:
        inputs = _read_all(request, names, notes, progress)
    inputs.seconds = time.perf_counter() - began
    return inputs


def _read_all(request: PropagateRequest, names: Sequence[str], notes: list[str], progress: Progress) -> Inputs:
    progress.step(f"reading {request.baseline}")
    volume = read_volume(Path(request.baseline))
    progress.step(f"reading {request.structures}")
    structures = _select(read_structures(Path(request.structures), volume), request, notes)
    files = [
        InputFile("Baseline", request.baseline, sha256_of(Path(request.baseline))),
        InputFile("Structures", request.structures, sha256_of(Path(request.structures))),
    ]
    followups: list[Visit] = []
    for n, (path, name) in enumerate(zip(request.followups, names[1:], strict=True), 1):
        progress.step(f"reading {path}", n - 1, len(request.followups))
        followups.append(Visit(name, read_volume(Path(path))))
        digest = sha256_of(Path(path))
        note_same_image(name, digest, files, notes)
        files.append(InputFile(f"Follow-up {n}", path, digest))
    references = []
    for n, (image, segmentation) in enumerate(request.references, 1):
        progress.step(f"reading {image}")
        reference = read_volume(Path(image))
        contours = read_structures(Path(segmentation), reference)
        kept = reference_structures(contours, structures, segmentation)
        references.append(Visit(f"reference {n}", reference, kept))
        files.append(InputFile(f"Reference {n}, image", image, sha256_of(Path(image))))
        files.append(InputFile(f"Reference {n}, contours", segmentation, sha256_of(Path(segmentation))))
    baseline = Visit(names[0], volume, structures)
    note_modality((baseline, *followups), notes)
    return Inputs(baseline, followups, references, files, notes)


def _select(structures: Sequence[Structure], request: PropagateRequest, notes: list[str]) -> tuple[Structure, ...]:
    """The structures that were asked for and hold something; what is left out is noted."""
    names = [s.name for s in structures]
    chosen = list(structures)
    if request.structure_names:
        chosen = []
        for wanted in dict.fromkeys(request.structure_names):
            found = [s for s in structures if s.name == wanted]
            found = found or [s for s in structures if s.name.casefold() == wanted.casefold()]
            if not found:
                raise StructureError(f"{request.structures} has no structure {wanted!r}.", f"It holds {listed(names)}.")
            chosen += [s for s in found if s not in chosen]
    return usable_structures(chosen, request.structures, notes)
