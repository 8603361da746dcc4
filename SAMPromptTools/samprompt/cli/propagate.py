"""``samprompt propagate``: contours of the first visit carried to the later ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from samprompt.contract.errors import MissingFileError, ParameterError
from samprompt.contract.messages import PropagateRequest
from samprompt.contract.propagation import METHODS, WINDOW_NAMES, PropagationParameters

if TYPE_CHECKING:
    from samprompt.io.summary import Summary

Name = TypeVar("Name", bound=str)

Model = Annotated[
    str, typer.Option(help="Model: tiny (built in), vit_b, ... (samprompt models list) or the path of a checkpoint.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves the choice to the libraries.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run in --out.")]
MethodName = Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")]
WindowChoice = Annotated[str, typer.Option(help=f"Grey levels that the model sees: one of {', '.join(WINDOW_NAMES)}.")]


def propagate(
    baseline: Annotated[str, typer.Option(help="Image of the first visit: a file or a folder of DICOM.")],
    structures: Annotated[str, typer.Option(help="Its contours: .seg.nrrd, label map, folder of masks or RTSTRUCT.")],
    followup: Annotated[list[str], typer.Option(help="Image of a later visit; repeat it for several, in order.")],
    out: Annotated[str, typer.Option(help="Folder for the results.")],
    model: Model = "tiny",
    structure: Annotated[
        list[str] | None, typer.Option(help="Carry only this structure; repeat it for several. Default: all.")
    ] = None,
    method: MethodName = "p2sam3d",
    window: WindowChoice = "auto",
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE:SEGMENTATION", help="A visit whose contours a person corrected, as further reference."
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> None:
    """Carry the contours of the first visit to every later visit, and say where not to trust them."""
    request = PropagateRequest(
        baseline=baseline,
        structures=structures,
        followups=tuple(followup),
        out=out,
        model=model,
        structure_names=tuple(structure or ()),
        references=tuple(split_reference(pair) for pair in reference or ()),
        device=device,
        threads=threads,
        overwrite=overwrite,
        parameters=parameters_for(method, window),
    )
    summary = run(request)
    from samprompt.cli.display import print_summary

    print_summary(summary, Path(out))


def run(request: PropagateRequest) -> Summary:
    """The job with its progress shown on the terminal."""
    if request.threads > 0:  # read once by the libraries, when they are imported
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
            os.environ[name] = str(request.threads)
    from samprompt.cli.display import ProgressDisplay
    from samprompt.contract.progress import Progress

    with ProgressDisplay() as display:
        display.stage("starting")
        from samprompt.cli.jobs import propagate_job

        return propagate_job(request, Progress(display.stage), display.event)


def parameters_for(method: str, window: str = "auto") -> PropagationParameters:
    """The parameters of a method and a grey-level window, both in any case of letters.

    Raises:
        ParameterError: there is no such method or window.
    """
    return replace(
        PropagationParameters(),
        method=_one_of(METHODS, method, "method"),
        window=_one_of(WINDOW_NAMES, window, "window"),
    )


def _one_of(known: Sequence[Name], wanted: str, what: str) -> Name:
    for name in known:
        if wanted.casefold() == name.casefold():
            return name
    raise ParameterError(f"There is no {what} {wanted!r}.", f"Choose one of {', '.join(known)}.")


def split_reference(pair: str) -> tuple[str, str]:
    """``IMAGE:SEGMENTATION`` as two paths; a colon within a path (a drive letter) is told apart by what exists.

    Raises:
        ParameterError: there are not two paths.
        MissingFileError: one of them does not exist.
    """
    places = [n for n, letter in enumerate(pair) if letter == ":" and 0 < n < len(pair) - 1]
    if not places:
        raise ParameterError(f"--reference {pair!r} is not IMAGE:SEGMENTATION.", "Give two paths with a colon between.")
    for n in places:
        if Path(pair[:n]).exists() and Path(pair[n + 1 :]).exists():
            return pair[:n], pair[n + 1 :]
    image, segmentation = pair[: places[-1]], pair[places[-1] + 1 :]
    absent = segmentation if Path(image).exists() else image
    raise MissingFileError(f"The reference {absent} does not exist.", "Check the path.")
