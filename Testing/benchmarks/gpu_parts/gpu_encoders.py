"""Images a second of the image encoders against the measured matrix rate of the same device and precision."""

from __future__ import annotations

import statistics

import torch
from gpu_measure import Figures, Peak, Piece, Settings, casting, problems, seconds_of, table
from gpu_models import FULL, SMALL, build, count_only, encoder_of, encoder_parameters, gmac

TITLE = "Image encoders"
_GIVEN = 256  # pixels: what a region's images have


def pieces(settings: Settings) -> list[Piece]:
    """One per model; with small models also what the real ones would have to compute."""
    chosen = settings.models or (SMALL if settings.small else FULL)
    found = [Piece(name, lambda name=name: measure(name, settings)) for name in chosen]
    if settings.small:
        counted = [name for name in FULL if name != "tiny"]
        found += [Piece(f"{name}, counted only", lambda name=name: count(name)) for name in counted]
    return found


def measure(name: str, settings: Settings) -> Figures:
    """Rates and peaks for every batch size; see ``lines``."""
    figures: Figures = {"rows": []}
    device = settings.device
    with problems(figures), torch.inference_mode():
        from encoder_speed import matrix_rate

        backbone = build(name, device)
        model, side = backbone.model, backbone.input_size
        encoder = encoder_of(model)
        figures |= {"side": side, "parameters": encoder_parameters(model), "gmac": gmac(model, side)}
        before = matrix_rate(device, settings.dtype)
        for batch in settings.batches:
            figures["rows"].append(one_batch(encoder, side, batch, settings))
        # on a machine that others use as well, the better of two is nearer to what the device can do at all
        figures["most"] = max(before, matrix_rate(device, settings.dtype))
        given = torch.rand(max(settings.batches), 3, _GIVEN, _GIVEN)
        figures["encode"] = [len(given) / s for s in seconds_of(lambda: backbone.encode(given), settings)]
    return figures


def one_batch(encoder: object, side: int, batch: int, settings: Settings) -> Figures:
    """Images a second at one batch size, a value per round, and the peak of memory."""
    row: Figures = {"batch": batch}
    with problems(row):
        images = torch.rand(batch, 3, side, side, device=settings.device)

        def work() -> object:
            with casting(settings.device, settings.precision):
                return encoder(images)  # type: ignore[operator]

        with Peak(settings.device) as peak:
            rates = [batch / s for s in seconds_of(work, settings)]
        row |= {"rates": rates, "peak": peak.gib}
    return row


def count(name: str) -> Figures:
    """Parameters and multiply-adds alone."""
    figures: Figures = {"rows": []}
    with problems(figures):
        figures["parameters"], figures["gmac"] = count_only(name)
        figures["side"] = 1024
    return figures


def lines(found: dict[str, Figures], settings: Settings) -> list[str]:
    """The table, with what its columns mean."""
    head = ["model", "side", "million parameters", "GMAC per image", "batch", "images/s: median (range)"]
    head += ["share of the matrix rate", "peak GiB", "images/s through `encode`"]
    rows = []
    for name, figures in found.items():
        if "problem" in figures:
            rows.append([name, *[""] * 4, figures["problem"], "", "", ""])
            continue
        same = [name, str(figures["side"]), f"{figures['parameters']:.2f}", f"{figures['gmac']:.4g}"]
        encode = f"{statistics.median(figures['encode']):.1f}" if "encode" in figures else ""
        if not figures["rows"]:
            rows.append([*same, *["not measured"] * 2, "", "", ""])
        for row in figures["rows"]:
            if "problem" in row:
                rows.append([*same, str(row["batch"]), row["problem"], "", "", ""])
                continue
            median = statistics.median(row["rates"])
            rate = f"{median:.1f} ({min(row['rates']):.1f} to {max(row['rates']):.1f})"
            share = f"{median * figures['gmac'] * 1e9 / figures['most']:.1%}"
            rows.append([*same, str(row["batch"]), rate, share, f"{row['peak']:.2f}", encode])
            encode = ""
    rates = [f["most"] for f in found.values() if "most" in f]
    said = f"{statistics.median(rates) / 1e12:.3f}" if rates else "no"
    cast = " by autocast, weights in fp32" if settings.precision == "bf16" else " (on CUDA convolutions may use TF32)"
    return [
        f"The encoder alone at its own input size in {settings.precision}{cast}, without gradients. Matrix rate: "
        f"{said} million million multiply-adds a second, a product of 4096 x 4096 in {settings.precision}. `encode` is "
        f"what a caller gets: {max(settings.batches)} images of {_GIVEN} x {_GIVEN} that lie in the "
        "processor's memory, resized, in the batches and the precision that the backbone chooses.",
        "",
        *table(head, rows),
    ]
