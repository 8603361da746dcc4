"""How long Slicer does not answer while the panel carries contours: gaps of a 5 ms timer on the panel's own thread.

    python Testing/benchmarks/panel_responsiveness.py [--large] [--note "other work on the machine"]

The panel in the stand-in for Slicer, the real worker with the built-in model, a lung CT of the shared data and two
simulated later visits. ``--large`` enlarges them to 512 x 512 x 200 voxels. A gap's processor time is what the thread
itself computed in it: other programs on the machine make gaps longer, but not that.
Writes Testing/benchmarks/results/panel_responsiveness.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "host"))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import standin
from machine import describe_machine, write_row

REPOSITORY = Path(__file__).parents[2]
TICK_MS = 5
LIMIT = 0.050  # seconds
LARGE = (200, 512, 512)


class Ticker:
    """A timer that notes, for each phase, its longest gap and the processor time in it."""

    def __init__(self, phase: Any) -> None:
        import qt

        self.phase = phase
        self.gaps: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.last = (time.perf_counter(), time.thread_time())
        self.before = phase()
        self.timer = qt.QTimer()
        self.timer.setInterval(TICK_MS)
        self.timer.connect("timeout()", self.tick)
        self.timer.start()

    def tick(self) -> None:
        now = (time.perf_counter(), time.thread_time())
        self.gaps[self.before].append((now[0] - self.last[0] - TICK_MS / 1000, now[1] - self.last[1]))
        self.last, self.before = now, self.phase()


def visits(large: bool) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Voxels, IJK to RAS and tumour of the baseline and of two later visits."""
    from samprompt.io.images import read_volume
    from samprompt.io.structures import read_structures
    from samprompt.space.visit import Visit
    from samprompt.synthesis.visits import simulate_visit
    from scipy import ndimage

    data = Path(os.environ.get("SAMPROMPT_TEST_DATA", REPOSITORY.parent / "shared" / "data")) / "ct_lung_tumour"
    volume = read_volume(data / "ct.nii.gz")
    tumour = read_structures(data / "gtv.nii.gz", volume)[0]
    found = [(volume, tumour.mask)]
    for seed, kind in ((5, "concentric"), (8, "eccentric")):
        simulated = simulate_visit(Visit("baseline", volume, (tumour,)), seed, kind, target=tumour.name)
        found.append((simulated.visit.volume, simulated.exact[0].mask))
    answer = []
    for image, mask in found:
        array, matrix = np.asarray(image.array).astype(np.int16), np.array(image.grid.ijk_to_ras, float)
        if large:
            factors = [new / old for new, old in zip(LARGE, array.shape, strict=True)]
            array = ndimage.zoom(array, factors, order=1)
            mask = ndimage.zoom(np.asarray(mask, np.uint8), factors, order=0).astype(bool)
            matrix[:3, :3] = matrix[:3, :3] @ np.diag([1 / factor for factor in factors[::-1]])
        answer.append((array, matrix, np.asarray(mask, bool)))
    return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    os.environ.setdefault("SAMPROMPT_PYTHON", sys.executable)
    patient = visits(options.large)
    host = standin.install(main_window=True)
    host.application_layer.start(main_window=True)
    try:
        measure(host, patient, options)
    finally:
        host.quit()
        host.application_layer.finish()  # windows and scene go before the interpreter does


def measure(host: Any, patient: list, options: argparse.Namespace) -> None:
    """One run from Apply to its end, and a click on its worst result."""
    import slicer

    nodes = [slicer.util.addVolumeFromArray(a, m, f"Visit {n}") for n, (a, m, _mask) in enumerate(patient)]
    contours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    contours.CreateDefaultDisplayNodes()
    contours.SetReferenceImageGeometryParameterFromVolumeNode(nodes[0])
    segment = contours.GetSegmentation().AddEmptySegment("", "GTV")
    slicer.util.updateSegmentBinaryLabelmapFromArray(patient[0][2].astype(np.uint8), contours, segment, nodes[0])
    widget = host.open_module("SAMPropagation")
    panel, logic = widget.panel, widget.logic
    panel.widget.window().resize(420, 900)
    logic.setFields(baselineVolume=nodes[0], baselineSegmentation=contours, followUps=nodes[1:])
    if not host.wait_until(lambda: panel.client.state == "ready", 180):
        raise SystemExit("The worker did not start.")
    host.process_events(0.5)

    phase = "before"

    def current() -> str:
        if not logic.isRunning:
            return phase
        return "importing" if any(each.state == "importing" for each in logic.run.visits) else logic.run.state

    ticker = Ticker(current)
    phase = "pressing Apply"
    host.process_events(0.05)
    began = time.perf_counter()
    panel.ui.applyButton.click()
    phase = "after the end"
    if not host.wait_until(lambda: not logic.isRunning, 1800) or logic.run.state != "done":
        raise SystemExit(f"The run did not end well: {panel.messages.text()}")
    seconds = time.perf_counter() - began
    host.process_events(1.0)
    phase = "clicking a result"
    host.process_events(0.05)
    panel.results.table.select(0)
    host.process_events(0.3)
    ticker.timer.stop()
    size = " x ".join(str(n) for n in patient[0][0].shape[::-1])
    for name in ("pressing Apply", "preparing", "computing", "importing", "after the end", "clicking a result"):
        gaps = ticker.gaps.get(name, [])
        if not gaps:
            continue
        row = {
            "CT": size,
            "while": name,
            "ticks": str(len(gaps)),
            "longest gap ms": f"{1e3 * max(gap for gap, _busy in gaps):.0f}",
            "longest processor time in a gap ms": f"{1e3 * max(busy for _gap, busy in gaps):.0f}",
            "gaps over 50 ms": str(sum(gap > LIMIT for gap, _busy in gaps)),
            "of these busy themselves": str(sum(busy > LIMIT for _gap, busy in gaps)),
            "run s": f"{seconds:.0f}",
            "machine": describe_machine(1) + (f"; {options.note}" if options.note else ""),
        }
        print(" | ".join(row.values()))
        title = "How long Slicer does not answer while contours are carried"
        write_row(Path(__file__).parent / "results" / "panel_responsiveness.md", title, row)


if __name__ == "__main__":
    main()
