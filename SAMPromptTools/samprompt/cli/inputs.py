"""What a propagation is given: checked before anything is opened, read before anything is computed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from samprompt.contract.errors import MissingFileError, OutputError, ParameterError, StructureError
from samprompt.contract.messages import PropagateRequest
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import METHODS
from samprompt.io.images import read_volume
from samprompt.io.notes import collected_notes
from samprompt.io.structures import read_structures
from samprompt.io.summary import InputFile, sha256_of
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit


@dataclass
class Inputs:
    """What was read, and what there is to say about it."""

    baseline: Visit
    followups: list[Visit]
    references: list[Visit]
    files: list[InputFile]
    notes: list[str]
    seconds: float = 0.0


def check_request(request: PropagateRequest) -> None:
    """Everything that can be refused before a file is opened."""
    if request.parameters.method not in METHODS:
        raise ParameterError(
            f"There is no method {request.parameters.method!r}.", f"Choose one of {', '.join(METHODS)}."
        )
    if not request.followups:
        raise ParameterError("No follow-up was given.", "Give at least one --followup image.")
    if request.threads < 0:
        raise ParameterError(f"{request.threads} threads make no sense.", "Give 0 (automatic) or more.")
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
        same = next((f for f in files if f.sha256 == digest), None)
        if same is not None:
            what = "the baseline" if same.role == "Baseline" else same.path
            notes.append(f"{name} is the very same image as {what}: its result says nothing about a later visit.")
        files.append(InputFile(f"Follow-up {n}", path, digest))
    references = []
    for n, (image, segmentation) in enumerate(request.references, 1):
        progress.step(f"reading {image}")
        reference = read_volume(Path(image))
        contours = read_structures(Path(segmentation), reference)
        wanted = {s.name for s in structures}
        kept = tuple(s for s in contours if s.name in wanted and not s.is_empty)
        if not kept:
            raise StructureError(
                f"The reference {segmentation} has none of the baseline's structures.",
                f"It holds {_listed([s.name for s in contours])}; wanted are {_listed(sorted(wanted))}.",
            )
        references.append(Visit(f"reference {n}", reference, kept))
        files.append(InputFile(f"Reference {n}, image", image, sha256_of(Path(image))))
        files.append(InputFile(f"Reference {n}, contours", segmentation, sha256_of(Path(segmentation))))
    baseline = Visit(names[0], volume, structures)
    if any(v.volume.modality != "CT" for v in (baseline, *followups)):
        notes.append("At least one image is not a CT: not validated for that.")
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
                raise StructureError(
                    f"{request.structures} has no structure {wanted!r}.", f"It holds {_listed(names)}."
                )
            chosen += [s for s in found if s not in chosen]
    filled = tuple(s for s in chosen if not s.is_empty)
    empty = [s.name for s in chosen if s.is_empty]
    if not filled:
        what = f"The structure {empty[0]!r} is" if len(empty) == 1 else f"The structures {_listed(empty)} are"
        if not empty:
            raise StructureError(f"{request.structures} holds no structure.", "Contour at least one on the baseline.")
        raise StructureError(
            f"{what} empty in {request.structures}.", "Contour it on the baseline image, or leave it out."
        )
    notes += [f"The structure {name} is empty on the baseline and was left out." for name in empty]
    for structure in filled:
        if int(structure.mask.sum()) == 1:
            notes.append(f"The structure {structure.name} is a single voxel: too small to be recognised.")
    return _named_apart(filled, notes)


def _named_apart(structures: Sequence[Structure], notes: list[str]) -> tuple[Structure, ...]:
    """The structures with a number behind every name that came before: results are told apart by name."""
    taken: set[str] = set()
    renamed = []
    for structure in structures:
        name, number = structure.name, 2
        while name in taken:
            name, number = f"{structure.name} ({number})", number + 1
        if name != structure.name:
            notes.append(f"There are several structures named {structure.name}; one is called {name} here.")
        taken.add(name)
        renamed.append(replace(structure, name=name))
    return tuple(renamed)


def _listed(names: Sequence[str]) -> str:
    """Names for a message, at most twelve."""
    shown = ", ".join(names[:12]) or "nothing"
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown
