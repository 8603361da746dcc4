"""Several later visits that share the baseline: its images are encoded once, and what follows is cheaper."""

from __future__ import annotations

from gpu_measure import Figures, Peak, Piece, Settings, now, problems, table
from gpu_patients import baseline, later
from gpu_visit import models, said, warmed
from samprompt.contract.progress import Progress
from samprompt.propagation.patient import propagate_visits

TITLE = "Several visits that share the baseline"


def pieces(settings: Settings) -> list[Piece]:
    """One per model."""
    return [Piece(name, lambda name=name: measure(name, settings)) for name in models(settings)]


def measure(name: str, settings: Settings) -> Figures:
    """Seconds and images of each visit in turn."""
    figures: Figures = {"seconds": [], "images": []}
    with problems(figures):
        first = baseline(settings.slices, settings.small, min(settings.structures))
        following = [later(settings.slices, settings.small, n + 1) for n in range(settings.visits)]
        recording = warmed(name, settings)
        with Peak(settings.device) as peak:
            results = propagate_visits(first, following, recording, progress=Progress(recording.told))
            for _ in following:
                recording.encoded.clear()
                began = now(settings.device)
                next(results)
                figures["seconds"].append(now(settings.device) - began)
                figures["images"].append(dict(recording.encoded))
        figures["peak"] = peak.gib
        figures["baseline"] = sum(first.name in images for images in figures["images"])
    return figures


def lines(found: dict[str, Figures], settings: Settings) -> list[str]:
    """The table, with what its columns mean."""
    head = ["model", "first visit s", "each following visit s", "images of the first", "images of each following"]
    head += ["visits in which the baseline was encoded", "peak GiB"]
    rows = []
    for name, f in found.items():
        if "problem" in f:
            rows.append([name, f["problem"], *[""] * 5])
            continue
        seconds = [f"{s:.2f}" for s in f["seconds"]]
        images = [said(i) for i in f["images"]]
        rows.append(
            [name, seconds[0], "; ".join(seconds[1:]), images[0], "; ".join(images[1:]), str(f["baseline"]),
             f"{f['peak']:.2f}"]
        )  # fmt: skip
    count = min(settings.structures)
    return [
        f"{settings.visits} later visits of {settings.slices} slices, {count} structure{'s' if count > 1 else ''}, one "
        "after the other in one call. The baseline must be encoded in the first alone.",
        "",
        *table(head, rows),
    ]
