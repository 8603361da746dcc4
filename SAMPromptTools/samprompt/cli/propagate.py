"""``samprompt propagate``: contours of the first visit carried to the later ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samprompt.contract.errors import MissingFileError, ParameterError
from samprompt.contract.messages import PropagateRequest
from samprompt.contract.propagation import METHODS, PropagationParameters

if TYPE_CHECKING:
    from samprompt.io.summary import Summary

Model = Annotated[
    str, typer.Option(help="Model: tiny (built in), vit_b, ... (samprompt models list) or the path of a checkpoint.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves the choice to the libraries.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run in --out.")]
MethodName = Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")]


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
        parameters=parameters_for(method),
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


def parameters_for(method: str) -> PropagationParameters:
    """The parameters of a method.

    Raises:
        ParameterError: there is no such method.
    """
    for known in METHODS:
        if method == known:
            return replace(PropagationParameters(), method=known)
    raise ParameterError(f"There is no method {method!r}.", f"Choose one of {', '.join(METHODS)}.")


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
