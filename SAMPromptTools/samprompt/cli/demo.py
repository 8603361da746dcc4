"""``samprompt demo``: a synthetic patient with known truth, through the very same job as a real one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samprompt.cli.propagate import Device, MethodName, Model, Overwrite, Threads, parameters_for, run
from samprompt.contract.errors import OutputError
from samprompt.contract.messages import PropagateRequest

if TYPE_CHECKING:
    from samprompt.io.summary import Summary
    from samprompt.space.visit import Visit


def demo(
    out: Annotated[str, typer.Option(help="Folder for the patient and the results.")] = "samprompt-demo",
    model: Model = "tiny",
    seed: Annotated[int, typer.Option(help="Another number makes another patient.")] = 1,
    method: MethodName = "p2sam3d",
    device: Device = "auto",
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make a synthetic patient with three later visits, carry its contours, and compare with the known truth."""
    folder = Path(out)
    parameters = parameters_for(method)
    _check_folder(folder, overwrite)
    from samprompt.cli.display import print_summary
    from samprompt.synthesis.patient import demo_patient

    typer.echo(f"Making synthetic patient {seed} ...", err=True)
    visits = demo_patient(seed)
    images, segmentations = write_patient(visits, folder / "patient")
    summary = run(
        PropagateRequest(
            baseline=str(images[0]),
            structures=str(segmentations[0]),
            followups=tuple(str(path) for path in images[1:]),
            out=str(folder),
            model=model,
            device=device,
            threads=threads,
            overwrite=overwrite,
            parameters=parameters,
        )
    )
    print_summary(summary, folder, compare_with_truth(folder, summary, visits[1:]))


def _check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse before the minute's work, not after it."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"The output {folder} is a file, not a folder.", "Give a folder with --out.")
    if not overwrite and any((folder / name).exists() for name in ("summary.json", "report.html", "patient")):
        raise OutputError(
            f"The folder {folder} already holds a demo.",
            "Give another folder with --out, or --overwrite to replace it.",
        )


def write_patient(visits: Sequence[Visit], folder: Path) -> tuple[list[Path], list[Path]]:
    """Write every visit as ``<name>.nii.gz`` and its true contours as ``<name>.seg.nrrd``; both lists in order.

    Raises:
        OutputError: a file cannot be written.
    """
    from samprompt.io.images import write_volume
    from samprompt.io.structures import write_structures

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.", "Give another --out.") from error
    images, segmentations = [], []
    for visit in visits:
        image, segmentation = folder / f"{visit.name}.nii.gz", folder / f"{visit.name}.seg.nrrd"
        write_volume(visit.volume, image)
        write_structures(segmentation, visit.structures, visit.volume.grid, reference_name=image.name)
        images.append(image)
        segmentations.append(segmentation)
    return images, segmentations


def compare_with_truth(folder: Path, summary: Summary, truth: Sequence[Visit]) -> dict[tuple[str, str], Sequence[str]]:
    """Dice and surface Dice (3 mm) of what was written against the truth, as cells for the table."""
    from samprompt.evaluation.metrics import compare
    from samprompt.io.structures import read_structures

    cells: dict[tuple[str, str], Sequence[str]] = {("", ""): ("Dice", "surface Dice 3 mm")}
    for record, visit in zip(summary.visits, truth, strict=True):
        known = {s.name: s for s in visit.structures}
        for found in read_structures(folder / record.segmentation, visit.volume):
            if found.name in known:
                measured = compare(known[found.name], found, tolerances=(3.0,))
                cells[(record.name, found.name)] = _cell(measured.dice), _cell(measured.surface_dice[3.0])
    return cells


def _cell(value: float) -> str:
    """Three digits; a dash where both truth and result are empty, which is right but no Dice."""
    return "-" if value != value else f"{value:.3f}"
