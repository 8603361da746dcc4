"""``samprompt evaluate-prompts``: models prompted on real images with known contours that they never saw."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samprompt.cli.propagate import Device, Threads
from samprompt.contract.errors import Cancelled, OutputError, ParameterError
from samprompt.contract.version import VERSION

if TYPE_CHECKING:
    from samprompt.contract.progress import Progress
    from samprompt.evaluation.prompted import Measured
    from samprompt.evaluation.prompted_parameters import PromptedParameters
    from samprompt.models.backbone import Backbone

_FILES = ("table.md", "pieces.csv", "structures.csv", "settings.json")


def evaluate_prompts(
    data: Annotated[str, typer.Option(help="Folder that holds the data sets, a folder each.")],
    out: Annotated[str, typer.Option(help=f"Folder for {', '.join(_FILES)}.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model as elsewhere, or tiny:PATH; repeat it to compare several with the first. [tiny]"),
    ] = None,
    data_set: Annotated[
        list[str] | None,
        typer.Option("--set", help="Measure only this data set; repeat it for several. Default: all that are there."),
    ] = None,
    slices: Annotated[
        int, typer.Option(help="Slices per structure at most, evenly spaced; 0: as many as in the published table.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Another number draws other boxes and priors.")] = 1,
    note: Annotated[str, typer.Option(help="What readers have to know of the models, printed above the tables.")] = "",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Prompt models with boxes, clicks and wrong priors on real images, and compare with what a box alone is worth."""
    folder = Path(out)
    if threads < 0 or slices < 0 or seed < 0:
        wrong = "threads" if threads < 0 else "slices" if slices < 0 else "seed"
        raise ParameterError(f"--{wrong} is negative.", "Give 0 or more.")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"The output {folder} is a file, not a folder.", "Give a folder with --out.")
    if threads:  # read once by the libraries, when they are imported
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
            os.environ[name] = str(threads)
    from samprompt.evaluation.prompted_images import open_data_sets
    from samprompt.evaluation.prompted_parameters import PromptedParameters

    parameters = replace(PromptedParameters(), seed=seed)
    if slices:
        parameters = replace(parameters, slices=slices)
    images, absent = open_data_sets(Path(data), tuple(data_set or ()), parameters)

    from samprompt.cli.display import ProgressDisplay
    from samprompt.contract.progress import Progress

    with ProgressDisplay() as display:
        display.stage("starting")
        import torch

        from samprompt.evaluation.prompted import measure

        if threads:
            torch.set_num_threads(threads)
        models = load_models(model or ["tiny"], device, Progress(display.stage))
        progress = Progress(display.stage if sys.stderr.isatty() else _plain_lines())
        try:
            measured = measure(images, models, parameters, progress)
        except (KeyboardInterrupt, Cancelled):
            raise Cancelled("Cancelled: nothing was written.", "Fewer --set or --slices take less time.") from None
    measured.left_out += [(f"{name}: all of it", "The folder is absent.") for name in absent]
    _publish(measured, parameters, models, folder, note)


def load_models(names: Sequence[str], device: str, progress: Progress | None = None) -> dict[str, Backbone]:
    """The models by the name they have in the tables: their own.

    Raises:
        ParameterError: two of them have the same name.
        WeightsError, WeightsMissingError, EnvironmentProblem, OutOfMemory: see ``load_backbone``.
    """
    from samprompt.models.registry import load_backbone

    found: dict[str, Backbone] = {}
    for name in names:
        backbone = load_backbone(name, device, progress)
        if backbone.name in found:
            raise ParameterError(
                f"Two models are called {backbone.name}.",
                "Name each once; give a file another name to tell them apart.",
            )
        found[backbone.name] = backbone
    return found


def _plain_lines() -> Callable[[str, int, int], None]:
    """Where there is no terminal: one line for each data set on stderr."""
    told: set[str] = set()

    def tell(stage: str, done: int, total: int) -> None:
        name = stage.partition(":")[0]
        if name not in told:
            told.add(name)
            print(f"image {done + 1} of {total}: {name} ...", file=sys.stderr, flush=True)

    return tell


def _publish(
    measured: Measured, parameters: PromptedParameters, models: dict[str, Backbone], folder: Path, note: str
) -> None:
    """Write the files and print the tables."""
    from rich.console import Console

    from samprompt.evaluation.prompted_report import heading, tables
    from samprompt.evaluation.prompted_rows import rows_to_text, structures_to_text
    from samprompt.evaluation.store import write_text
    from samprompt.evaluation.table import markdown, rich_table

    found = tables(measured.rows)
    left_out = "".join(f"- {name}: {reason}\n" for name, reason in measured.left_out)
    fingerprints = {name: backbone.fingerprint for name, backbone in models.items()}
    settings = {
        "version": VERSION,
        "models": fingerprints,
        "parameters": asdict(parameters),
        "left_out": measured.left_out,
    }
    text = heading(parameters, fingerprints, note) + markdown(found)
    text += f"\n## Left out\n\n{left_out}" if left_out else ""
    contents = (text, rows_to_text(measured.rows), structures_to_text(measured.rows), json.dumps(settings, indent=2))
    for name, content in zip(_FILES, contents, strict=True):
        write_text(folder / name, content.rstrip("\n") + "\n")
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=220)
    for table in found:
        console.print(rich_table(table))
        console.print()
    for name, reason in measured.left_out:
        console.print(f"left out: {name}: {reason}", soft_wrap=True, markup=False)
    console.print("Research use only.", style="dim")
    console.print(f"results: {folder / _FILES[0]}, {', '.join(_FILES[1:])}", soft_wrap=True, markup=False)
