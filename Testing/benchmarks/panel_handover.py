"""How long panel and worker take to hand each other a CT and its contours, and how long the panel's thread is held.

    python Testing/benchmarks/panel_handover.py [--note "other work on the machine"]

A CT of 512 x 512 x 200 voxels (int16, 100 MiB) in the scene of the stand-in for Slicer. Each row is the median of some
runs: all steps added up, the longest single step, the longest turn of the timer by which the panel drives the steps
(the time in which Slicer does not answer), and the ratio to writing the same voxels with ``np.save``.
Writes Testing/benchmarks/results/panel_handover.md.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "host"))
sys.path.insert(0, str(Path(__file__).parents[1] / "mrml"))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import phantoms
import slicer
import standin
from machine import describe_machine
from samprompt.contract.worker import OutcomeMessage, StructureMessage
from SAMPromptCommonLib.segmentations import exportStructures, importStructures, removeSegmentation
from SAMPromptCommonLib.steps import Steps
from SAMPromptCommonLib.volumes import VolumeHandover

SHAPE = (200, 512, 512)
MATRIX = phantoms.affine(np.diag([-1.0, -1.0, 1.0]), (0.8, 0.8, 1.5), (200.0, 200.0, -300.0))


def lung(shape: tuple[int, int, int]) -> np.ndarray:
    """A mask as big as a lung: 5 million voxels."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return (((k - 100) / 90) ** 2 + ((j - 260) / 140) ** 2 + ((i - 150) / 95) ** 2 <= 1).astype(np.uint8)


def lesion(shape: tuple[int, int, int]) -> np.ndarray:
    """A mask of 3 cm."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return (((k - 120) / 10) ** 2 + ((j - 200) / 19) ** 2 + ((i - 330) / 19) ** 2 <= 1).astype(np.uint8)


def outcome(mask: np.ndarray, name: str, folder: Path) -> OutcomeMessage:
    """What the worker answers with: the mask, cropped, in a file."""
    where = [
        (int(a.min()), int(a.max()) + 1) for a in (np.flatnonzero(mask.any(axis=ax)) for ax in ((1, 2), (0, 2), (0, 1)))
    ]
    part = np.ascontiguousarray(mask[tuple(slice(*w) for w in where)])
    path = folder / f"{name}.npy"
    np.save(path, part)
    message = StructureMessage(name, name, (1.0, 0.5, 0.2), str(path), tuple(w[0] for w in where), part.shape)
    return OutcomeMessage(message, message, 1.0, 1.0, 0.0, 0.0, 0.9, "high", False)


def stepwise(work: Iterable[Any]) -> tuple[float, float, float, Any]:
    """Seconds of all steps, of the longest one by the clock, of the longest in computing, and the result."""
    total = longest = computing = 0.0
    iterator = iter(work)
    while True:
        begin, busy = time.perf_counter(), time.thread_time()
        try:
            next(iterator)
            done, result = False, None
        except StopIteration as end:
            done, result = True, end.value
        took = time.perf_counter() - begin
        computing = max(computing, time.thread_time() - busy)
        total, longest = total + took, max(longest, took)
        if done:
            return total, longest, computing, result


def timed(work: Iterable[Any]) -> tuple[float, Any]:
    """Seconds of the longest turn when a timer drives the steps, and the result."""
    ends: list[Any] = []
    steps = Steps([work], ends.extend, ends.append).start()
    while not ends:
        standin.install().process_events(0)
    if isinstance(ends[0], BaseException):
        raise ends[0]
    return steps.longestTurn, ends[0]


def measured(title: str, make: Callable[[], Iterable[Any]], undo: Callable[[Any], None], runs: int) -> dict[str, Any]:
    """One row."""
    totals, steps, computing, turns = [], [], [], []
    for _ in range(runs):
        gc.collect()
        total, longest, busy, result = stepwise(make())
        undo(result)
        turn, result = timed(make())
        undo(result)
        totals.append(total)
        steps.append(longest)
        computing.append(busy)
        turns.append(turn)
    row = {
        "what": title,
        "total": statistics.median(totals),
        "step": statistics.median(steps),
        "busy": statistics.median(computing),
        "turn": statistics.median(turns),
        "worst": max(turns),
    }
    print(f"{title}: {row['total']:.3f} s, step {1e3 * row['step']:.1f} ms, turn {1e3 * row['turn']:.1f} ms")
    return row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    standin.install()
    folder = Path(tempfile.mkdtemp(prefix="handover-"))
    try:
        rows, saving = _measure(folder, options.runs)
    finally:
        shutil.rmtree(folder)
    _write(rows, saving, options.note)


def _measure(folder: Path, runs: int) -> tuple[list[dict[str, Any]], float]:
    rng = np.random.default_rng(0)
    volume = phantoms.add_volume(rng.integers(-1000, 2000, SHAPE, dtype=np.int16), MATRIX, "CT")
    masks = {"lung": lung(SHAPE), "lesion": lesion(SHAPE)}
    contours = phantoms.add_segmentation(masks, volume)
    coarse = phantoms.add_segmentation({}, volume, "Other grid")
    coarse.GetSegmentation().AddEmptySegment("lung", "lung")
    turned = phantoms.affine(phantoms.rotation(2, 3, 4) @ np.diag([-1.0, -1.0, 1.0]), (1.6, 1.6, 3.0), (200, 200, -300))
    phantoms.set_labels(coarse, "lung", lung(SHAPE)[::2, ::2, ::2], turned)
    surfaces = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surface")
    surfaces.GetSegmentation().DeepCopy(contours.GetSegmentation())
    surfaces.CreateClosedSurfaceRepresentation()
    surfaces.GetSegmentation().SetSourceRepresentationName("Closed surface")
    answers = {name: outcome(mask, name, folder) for name, mask in masks.items()}

    def unlink(result: Any) -> None:
        for message in result if isinstance(result, tuple) else (result,):
            Path(message.array).unlink()

    reference = []
    for _ in range(runs):
        begin = time.perf_counter()
        np.save(folder / "plain.npy", slicer.util.arrayFromVolume(volume))
        reference.append(time.perf_counter() - begin)
        (folder / "plain.npy").unlink()

    def given(node: Any, name: str) -> Callable[[], Iterable[Any]]:
        return lambda: exportStructures(node, [name], volume, folder)

    def taken(*names: str) -> Callable[[], Iterable[Any]]:
        return lambda: importStructures([answers[name] for name in names], volume, contours)

    rows = [
        measured("CT to the worker", lambda: VolumeHandover(volume, folder), unlink, runs),
        measured("contour of a lesion to the worker", given(contours, "lesion"), unlink, runs),
        measured("contour of a lung to the worker", given(contours, "lung"), unlink, runs),
        measured("contour of a lung drawn on another grid", given(coarse, "lung"), unlink, runs),
        measured("contour of a lung given as a surface", given(surfaces, "lung"), unlink, runs),
        measured("mask of a lesion into the scene", taken("lesion"), removeSegmentation, runs),
        measured("mask of a lung into the scene", taken("lung"), removeSegmentation, runs),
        measured("both masks into the scene", taken("lesion", "lung"), removeSegmentation, runs),
    ]
    floats = phantoms.add_volume(rng.normal(0, 300, SHAPE).astype(np.float32), MATRIX, "MR")
    rows.append(measured("the same as float32 (200 MiB)", lambda: VolumeHandover(floats, folder), unlink, runs))
    slicer.mrmlScene.RemoveNode(floats)
    volume.SetAndObserveTransformNodeID(phantoms.bending_grid().GetID())
    rows.append(measured("CT under a bending transform", lambda: VolumeHandover(volume, folder), unlink, 1))
    return rows, statistics.median(reference)


def _write(rows: list[dict[str, Any]], saving: float, note: str) -> None:
    sum_of = {row["what"]: row["total"] for row in rows}
    both = sum_of["CT to the worker"] + sum_of["mask of a lung into the scene"]
    lines = [
        "# Handing a CT and its contours to the worker and back",
        "",
        "| what | total ms | longest step ms | computing ms | longest turn ms | worst turn ms | total / np.save |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        f"| np.save of the CT, for comparison | {1e3 * saving:.0f} | {1e3 * saving:.0f} | | | | 1.0 |",
    ]
    for row in rows:
        shown = (("total", 0), ("step", 1), ("busy", 1), ("turn", 1), ("worst", 1))
        times = " | ".join(f"{1e3 * row[key]:.{digits}f}" for key, digits in shown)
        lines.append(f"| {row['what']} | {times} | {row['total'] / saving:.1f} |")
    lines += [
        "",
        f"A CT of 512 x 512 x 200 voxels (int16, 100 MiB) there and the mask of a lung back: {1e3 * both:.0f} ms "
        "in all (aim: less than 1500).",
        "Aims: no step longer than 30 ms for the CT, no turn longer than 50 ms, a mask in the scene within 300 ms.",
        "Medians, and the worst turn of all runs. Computing: of the longest step, without waiting for a core.",
        "The files go to the page cache; a slow disk adds its own time. np.save: of the CT.",
        "",
        f"Machine: {describe_machine(1)}; load average {os.getloadavg()[0]:.1f} at the end of the run.",
    ]
    if note:
        lines.append(note)
    target = Path(__file__).parent / "results" / "panel_handover.md"
    target.write_text("\n".join(lines) + "\n", "utf-8")
    print(target.read_text())


if __name__ == "__main__":
    main()
