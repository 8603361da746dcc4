"""``samprompt models``: which models there are, fetching them, adding one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from samprompt.contract.progress import Progress

models_app = typer.Typer(name="models", help="List, download, add and remove models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a model, as in: samprompt models list.")]


@models_app.command("list")
def list_models(
    details: Annotated[bool, typer.Option(help="Also what they were trained on, and their addresses.")] = False,
) -> None:
    """Show every model with its size, licence and where it is."""
    from samprompt.contract.places import catalogue, weights_path

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Name", "Here", "Size"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "Size" else "left")
    table.add_column("Licence", max_width=12)
    for heading in ("Where", *(("Trained on",) if details else ())):
        table.add_column(heading, overflow="fold")
    for entry in catalogue():
        path = weights_path(entry)
        here = path.is_file()
        size = path.stat().st_size if here else entry.size
        address = entry.url or entry.page
        table.add_row(
            entry.name,
            "built in" if here and entry.builtin else "yes" if here else "by hand" if entry.manual else "no",
            f"{size / 1e6:,.0f} MB" if size else "",
            entry.licence,
            (str(path) if here or entry.user or entry.builtin else address if details else urlsplit(address).netloc)
            + (f" (adapter of {entry.base})" if entry.base else ""),
            *((entry.trained_on,) if details else ()),
        )
    Console().print(table)
    typer.echo("Fetch one with: samprompt models download NAME")


@models_app.command()
def download(
    names: Annotated[list[str], typer.Argument(help="Names of models, as in: samprompt models list.")],
) -> None:
    """Fetch the weights of models; what an interrupted download left is continued, checksums are compared."""
    from samprompt.contract.places import catalogue, weights_path
    from samprompt.models.checkpoint import check_sums
    from samprompt.models.registry import ensure_weights

    known = catalogue()
    for entry in [known.find(name) for name in names]:
        if weights_path(entry).is_file():
            check_sums(weights_path(entry), entry)
            typer.echo(f"{entry.name} is here already: {weights_path(entry)}")
            continue
        with Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as bar:
            task = bar.add_task(f"Downloading {entry.name}", total=entry.size or None)
            progress = Progress(
                lambda stage, done, total, bar=bar, task=task: bar.update(  # type: ignore[misc]
                    task, description=stage, completed=done, total=total or None
                )
            )
            path = ensure_weights(entry, progress)
        typer.echo(f"{entry.name}: {path}")


@models_app.command()
def add(
    name: Annotated[str, typer.Argument(help="The name to give it.")],
    path: Annotated[Path, typer.Argument(help="The weights (.pth, .pt or .safetensors); they stay where they are.")],
    architecture: Annotated[
        str, typer.Option(help="vit_b, vit_l, vit_h, medsam, sam2.1_hiera_tiny, ..., tiny. Adapters say it themselves.")
    ] = "",
    licence: Annotated[str, typer.Option(help="Under what terms the weights may be used.")] = "",
    trained_on: Annotated[str, typer.Option(help="What they were trained on.")] = "",
    base: Annotated[str, typer.Option(help="Of an adapter: its base model, where it is called otherwise here.")] = "",
) -> None:
    """Give weights of your own a name; they are loaded once to see that they fit."""
    from samprompt.models.added import add_model

    entry = add_model(name, path, architecture, licence, trained_on, base)
    kind = f"adapter of {entry.base}" if entry.base else entry.architecture
    typer.echo(f"{entry.name}: {entry.file} ({kind}). Use it with --model {entry.name}.")


@models_app.command()
def path(name: Name) -> None:
    """Print where the weights of a model are, or where to put them."""
    from samprompt.contract.places import catalogue, weights_path

    typer.echo(weights_path(catalogue().find(name)))


@models_app.command()
def remove(name: Name) -> None:
    """Delete downloaded weights, or forget a model that was added."""
    from samprompt.models.added import remove_model

    typer.echo(remove_model(name))
