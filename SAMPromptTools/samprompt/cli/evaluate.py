"""``samprompt evaluate``: methods compared on simulated later visits of real or synthetic patients."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samprompt.cli.propagate import Device, Model, Threads
from samprompt.contract.errors import Cancelled, OutputError, ParameterError
from samprompt.contract.propagation import METHODS, METHODS_WITHOUT_MODEL, PropagationParameters
from samprompt.contract.version import VERSION

if TYPE_CHECKING:
    import torch

    from samprompt.evaluation.cases import Case
    from samprompt.evaluation.plan import VisitPlan
    from samprompt.evaluation.rows import Row
    from samprompt.evaluation.runner import EvaluationProtocol
    from samprompt.models.backbone import Backbone

_PROTOCOLS = ("visits", "oracle2d")


def evaluate(
    out: Annotated[str, typer.Option(help="Folder for results.csv, table.md, table.csv and summary.json.")],
    patients: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR...", help="Folders with ct.nii.gz and gtv.nii.gz or organs.nii.gz, or of such."),
    ] = None,
    synthetic: Annotated[int, typer.Option(help="Or: so many synthetic patients, numbered from --seed on.")] = 0,
    merge: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR...", help="Or: compute nothing, join the results in these folders."),
    ] = None,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[DIR]...", help="Further folders of --patients or --merge.")
    ] = None,
    visits: Annotated[int, typer.Option(help="Simulated later visits per patient.")] = 3,
    methods: Annotated[str, typer.Option(help=f"Some of {', '.join(METHODS)}, with commas; default: all.")] = "",
    structure: Annotated[
        list[str] | None, typer.Option(help="Measure only this structure; repeat it for several. Default: all.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="visits: whole visits in 3D. oracle2d: the published one, labelled slices only.")
    ] = "visits",
    kinds: Annotated[str, typer.Option(help="Kinds of change to simulate, with commas; default: by structure.")] = "",
    seed: Annotated[int, typer.Option(help="Another number simulates other visits.")] = 1,
    model: Model = "tiny",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Compare methods on simulated later visits with known truth. A run that was interrupted goes on where it was."""
    folder = Path(out)
    if merge:
        if patients or synthetic:
            raise ParameterError("--merge computes nothing: it goes with no patients.", "Leave one of them out.")
        _merge([Path(p) for p in (*merge, *(more or ()))], folder)
        return
    if protocol not in _PROTOCOLS:
        raise ParameterError(f"There is no protocol {protocol!r}.", f"Choose one of {', '.join(_PROTOCOLS)}.")
    if threads < 0:
        raise ParameterError(f"{threads} threads make no sense.", "Give 0 (automatic) or more.")
    chosen = _methods(methods, protocol)
    if threads:  # read once by the libraries, when they are imported
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
            os.environ[name] = str(threads)
    from samprompt.evaluation.plan import VisitPlan

    plan = VisitPlan(visits, seed, _names(kinds))
    cases = _cases([*(patients or ()), *(more or ())], synthetic, seed)
    _compute(cases, plan, chosen, protocol, tuple(structure or ()), folder, model, device, threads)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _methods(text: str, protocol: str) -> tuple[str, ...]:
    """The methods asked for, or all of the protocol.

    Raises:
        ParameterError: there is no such method.
    """
    known: Sequence[str] = METHODS
    if protocol == "oracle2d":
        from samprompt.evaluation.oracle2d import ORACLE_METHODS

        known = ORACLE_METHODS
    for method in _names(text):
        if method not in known:
            raise ParameterError(f"There is no method {method!r} here.", f"Choose among {', '.join(known)}.")
    return _names(text) or tuple(known)


def _cases(folders: Sequence[str], synthetic: int, seed: int) -> list[Case]:
    """The patients; all folders are looked at before anything is computed."""
    from samprompt.evaluation.cases import folder_cases, synthetic_cases

    if bool(folders) == bool(synthetic):
        raise ParameterError(
            "Nobody to evaluate on, or two kinds of patients.", "Give --patients DIR or --synthetic N."
        )
    return synthetic_cases(synthetic, seed) if synthetic else folder_cases([Path(f) for f in folders])


def _compute(
    cases: Sequence[Case],
    plan: VisitPlan,
    methods: Sequence[str],
    protocol: str,
    structures: Sequence[str],
    folder: Path,
    model: str,
    device: str,
    threads: int,
) -> None:
    from samprompt.cli.display import ProgressDisplay
    from samprompt.contract.progress import Progress

    with ProgressDisplay() as display:
        display.stage("starting")
        import torch

        from samprompt.evaluation.runner import run
        from samprompt.evaluation.store import Store
        from samprompt.models.device import choose_device
        from samprompt.models.registry import load_backbone

        if threads:
            torch.set_num_threads(threads)
        progress = Progress(display.stage)
        _check_folder(folder)
        backbone = None
        if set(methods) - set(METHODS_WITHOUT_MODEL):
            progress.step(f"loading the model {model}")
            backbone = load_backbone(model, device, progress)
        refining = choose_device(device) if backbone is None and "refiner" in methods else None
        store = Store(folder, _settings(plan, protocol, backbone))
        before = len(store.rows)
        try:
            measure = _protocol(protocol, backbone, refining)
            run(cases, plan, methods, measure, store, structures, progress, display.event)
        except (KeyboardInterrupt, Cancelled):
            raise Cancelled(
                f"Cancelled: {len(store.rows) - before} results were added, {len(store.rows)} are in {folder}.",
                "The same command goes on where it was.",
            ) from None
    _publish(store.rows, store.settings, folder)


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"The output {folder} is a file, not a folder.", "Give a folder with --out.")


def _protocol(name: str, backbone: Backbone | None, device: torch.device | None) -> EvaluationProtocol:
    from samprompt.evaluation.oracle2d import OracleSlices
    from samprompt.evaluation.protocol3d import WholeVisits

    return OracleSlices(backbone) if name == "oracle2d" else WholeVisits(backbone, device=device)


def _settings(plan: VisitPlan, protocol: str, backbone: Backbone | None) -> dict[str, Any]:
    """Everything that decides a row apart from patient, visit, structure and method."""
    from samprompt.models.refiner import shipped_fingerprint
    from samprompt.synthesis.parameters import FROZEN

    parameters = asdict(PropagationParameters())
    del parameters["method"]
    return {
        "version": VERSION,
        "protocol": protocol,
        "model": backbone.name if backbone is not None else "",
        "fingerprint": backbone.fingerprint if backbone is not None else "",
        "refiner": shipped_fingerprint(),
        "seed": plan.seed,
        "kinds": list(plan.kinds),
        "simulator": asdict(FROZEN),
        "parameters": parameters,
    }


def _merge(folders: Sequence[Path], out: Path) -> None:
    from samprompt.evaluation.store import RESULTS, Store, merge

    rows, settings = merge(folders)
    _check_folder(out)
    if (out / RESULTS).exists() and out.resolve() not in [f.resolve() for f in folders]:
        raise OutputError(
            f"{out} holds other results already.", "Give another folder with --out, or name it among those to merge."
        )
    store = Store(out, settings)
    store.add(rows)
    _publish(store.rows, store.settings, out)


def _publish(rows: list[Row], settings: dict[str, Any], folder: Path) -> None:
    """Write ``table.md``, ``table.csv`` (Dice) and ``summary.json``, and print the tables.

    Raises:
        ParameterError: nothing at all was computed.
    """
    from rich.console import Console

    from samprompt.evaluation.report import summary, tables
    from samprompt.evaluation.store import write_text
    from samprompt.evaluation.table import csv_text, markdown, rich_table

    found = tables(rows)
    heading = (
        f"# Comparison on simulated later visits\n\nProtocol {settings['protocol']}, model "
        f"{settings['model'] or 'none'} {settings['fingerprint']}, seed {settings['seed']}, version "
        f"{settings['version']}. The visits are simulated from one real or synthetic scan each. Research use only.\n\n"
    )
    write_text(folder / "table.md", heading + markdown(found))
    write_text(folder / "table.csv", csv_text(found[0]))
    write_text(folder / "summary.json", json.dumps(summary(rows, settings), indent=2) + "\n")
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    for table in found:
        console.print(rich_table(table))
        for note in table.notes:
            console.print(note, style="dim", soft_wrap=True, markup=False)
        console.print()
    console.print("Simulated visits. Research use only.", style="dim")
    console.print(f"results: {folder / 'results.csv'}, table.md, table.csv, summary.json", soft_wrap=True, markup=False)
    if not any(row.ok for row in rows):
        raise ParameterError("Nothing could be computed: every visit failed.", "The causes are in the table of errors.")
