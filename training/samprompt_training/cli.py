"""``samprompt train``: adapting a model to one's own images, and what belongs to it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from samprompt.contract.errors import EnvironmentProblem, ParameterError

if TYPE_CHECKING:
    from samprompt_training.adapt.result import Adapted
    from samprompt_training.core.recipe import LoopRecipe
    from samprompt_training.core.task import Task

train_app = typer.Typer(
    name="train",
    help="Adapt a model to your own images; train the built-in ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

OUT = "Folder of the run. An interrupted run goes on in its folder."
MINUTES = "Pause after so many minutes; 0: never."
DEVICE = "auto, cpu, cuda or cuda:N."

AsJson = Annotated[bool, typer.Option("--json", help="Progress and result as lines of JSON on stdout.")]


@train_app.callback()
def _group() -> None:
    """Commands below ``samprompt train`` (a group even while it has few)."""


@train_app.command()
def adapt(
    data: Annotated[Path, typer.Option(help="Folder of the dataset.")],
    model: Annotated[str, typer.Option(help="The model to adapt: tiny, vit_b, ... or ARCHITECTURE:PATH.")],
    out: Annotated[Path, typer.Option(help=OUT)],
    recipe: Annotated[str, typer.Option(help="A recipe's file, or adapt_lora, adapt_full.")] = "adapt_lora",
    layout: Annotated[
        str,
        typer.Option(help="folders, nnunet, msd, nsclc-radiomics, 4d-lung, ... Default: the recipe's."),
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the result, for --model and the panels.")] = "",
    minutes: Annotated[float, typer.Option(help=MINUTES)] = 0.0,
    device: Annotated[str, typer.Option(help=DEVICE)] = "auto",
    as_json: AsJson = False,
) -> None:
    """Adapt a model to the images and masks of a folder (LoRA or full fine-tune, as the recipe says)."""
    with needed_packages():
        from samprompt_training.adapt.recipe import AdaptRecipe
        from samprompt_training.adapt.run import AdaptRequest
        from samprompt_training.adapt.run import adapt as run
        from samprompt_training.core.recipe import load_recipe
        from samprompt_training.showing import main_process, shown

    chosen = load_recipe(recipe.removeprefix("recipes/") if not Path(recipe).is_file() else recipe, AdaptRecipe)
    if layout:
        chosen = chosen.model_copy(update={"data": chosen.data.model_copy(update={"layout": layout})})
    request = AdaptRequest(chosen, data, model, out, name, device, minutes or None)
    with shown(as_json) as (progress, report), needed_packages():
        adapted = run(request, progress, report)
    if main_process():
        _tell_adapted(adapted, as_json)


@train_app.command()
def merge(
    model: Annotated[str, typer.Option(help="The adapter: its name, or the path of its file.")],
    out: Annotated[Path, typer.Option(help="File or folder for the whole weights.")],
    name: Annotated[str, typer.Option(help="Name of the merged model, for --model and the panels.")] = "",
) -> None:
    """Multiply a LoRA adapter into its base: one file in the base's official format."""
    with needed_packages():
        from samprompt_training.adapt.merge import merge as run

    path, entry = run(model, out, name)
    typer.echo(f"weights: {path}")
    if entry is not None:
        typer.echo(f"Use it with --model {entry.name}.")


@train_app.command()
def tiny(
    out: Annotated[Path, typer.Option(help=OUT)],
    recipe: Annotated[str, typer.Option(help="A recipe's file, or the name of a shipped one.")] = "tiny",
    start: Annotated[Path | None, typer.Option(help="Weights of the same sizes to go on from.")] = None,
    until: Annotated[int, typer.Option(help="Pause at this step; the schedule stays (0: at its end).", min=0)] = 0,
    minutes: Annotated[float, typer.Option(help=MINUTES)] = 0.0,
    device: Annotated[str, typer.Option(help=DEVICE)] = "auto",
    as_json: AsJson = False,
) -> None:
    """Train the built-in model from nothing, on synthetic scenes."""
    with needed_packages():
        from samprompt_training.core.recipe import load_recipe
        from samprompt_training.tiny.recipe import TinyRecipe
        from samprompt_training.tiny.task import TinyTask

    chosen = load_recipe(recipe, TinyRecipe)
    _train(TinyTask(chosen, start), chosen, out, minutes, device, as_json, until)


@train_app.command()
def refiner(
    out: Annotated[Path | None, typer.Option(help=OUT)] = None,
    recipe: Annotated[str, typer.Option(help="A recipe's file, or the name of a shipped one.")] = "refiner",
    minutes: Annotated[float, typer.Option(help=MINUTES)] = 0.0,
    device: Annotated[str, typer.Option(help=DEVICE)] = "auto",
    as_json: AsJson = False,
    measure: Annotated[Path | None, typer.Option(help="Train nothing: the table of these weights.")] = None,
    scenes: Annotated[int, typer.Option(help="Scenes that --measure takes.")] = 400,
) -> None:
    """Train the prior refiner from nothing, on synthetic pairs of visits; or measure one."""
    with needed_packages():
        from samprompt_training.core.recipe import load_recipe
        from samprompt_training.refiner.measure import measured
        from samprompt_training.refiner.recipe import RefinerRecipe
        from samprompt_training.refiner.task import RefinerTask

    if (out is None) == (measure is None):
        raise ParameterError("Either --out or --measure is needed.", "--out trains, --measure only measures.")
    chosen = load_recipe(recipe, RefinerRecipe)
    if out is not None:
        _train(RefinerTask(chosen), chosen, out, minutes, device, as_json)
    elif measure is not None:
        typer.echo("\n".join(measured(measure, chosen, scenes)))


def _train(
    task: Task, recipe: LoopRecipe, out: Path, minutes: float, device: str, as_json: bool, until: int = 0
) -> None:
    """One run of the loop, shown, with its end in words or as the last line of JSON."""
    from samprompt_training.core.loop import train
    from samprompt_training.showing import main_process, shown

    if minutes and not minutes > 0:
        raise ParameterError(f"--minutes {minutes:g} leaves no time.", "Give a number above 0.")
    with shown(as_json) as (progress, report):
        outcome = train(
            task,
            recipe,
            out,
            progress=progress,
            report=report,
            stop_at=until or None,
            stop_after_minutes=minutes or None,
            device=device,
        )
    if not main_process():
        return
    if as_json:
        told = {"status": outcome.status, "step": outcome.step, "best": outcome.best, "weights": str(outcome.weights)}
        typer.echo(json.dumps({"event": "result", **told}))
        return
    if outcome.status == "paused":
        typer.echo(f"Paused after step {outcome.step} of {recipe.steps}. Run the same command again to go on.")
    if outcome.best is not None:
        typer.echo(f"best: {task.monitor} {outcome.best['metric']:.4f} at step {outcome.best['step']}")
    typer.echo(f"weights: {outcome.weights}")


@contextlib.contextmanager
def needed_packages() -> Iterator[None]:
    """Say in words which package of the training is missing.

    Raises:
        EnvironmentProblem: an import failed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("samprompt", "samprompt_training"):
            raise
        raise EnvironmentProblem(
            f"Training needs the package {error.name}, which is not installed.",
            'pip install "samprompttools[training]".',
        ) from error


def _tell_adapted(adapted: Adapted, as_json: bool) -> None:
    """The end of an adaptation, in words or as the last line of JSON."""
    outcome = adapted.outcome
    if as_json:
        told: dict[str, Any] = {
            "event": "result",
            "status": outcome.status,
            "step": outcome.step,
            "before": dict(adapted.before),
            "after": None if adapted.after is None else dict(adapted.after),
            "weights": str(adapted.weights) if adapted.weights else None,
            "card": str(adapted.card) if adapted.card else None,
            "name": adapted.entry.name if adapted.entry else None,
        }
        typer.echo(json.dumps(told))
        return
    if adapted.weights is None:
        typer.echo(f"Paused after step {outcome.step}. Run the same command again to go on.")
        return
    for key, value in (adapted.after or {}).items():
        typer.echo(f"validation {key}: {adapted.before.get(key, float('nan')):.3f} before, {value:.3f} after")
    typer.echo(f"weights: {adapted.weights}")
    typer.echo(f"model card: {adapted.card}")
    if adapted.entry is not None:
        typer.echo(f"Use it with --model {adapted.entry.name}.")
    else:
        typer.echo("Give it a name with: samprompt models add NAME PATH.")
