"""Images a second of the built-in model's encoder, fp32 inference, for the shipped design and others of its kind.

    python Testing/benchmarks/encoder_speed.py                        # every design, 256 and 512 pixels, 2 threads
    python Testing/benchmarks/encoder_speed.py --design shipped --repeats 15
    python Testing/benchmarks/encoder_speed.py --widths 16,32,64,128 --blocks 1,1,2,2     # one more design
    python Testing/benchmarks/encoder_speed.py --device cuda --precision bf16 --batch 64  # share of the matrix rate

"shipped" is what Resources/models/tiny.safetensors holds, weights and all; the others have random weights, which take
as long. Designs are timed in turn, round after round, so that a machine that becomes busy slows all of them; the median
of the rounds is what counts, and the range says how quiet the machine was. Aims (2 cores): 25 images a second at 256 x
256 and 6 at 512 x 512. Writes the table to Testing/benchmarks/results/encoder_speed.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe_machine
from samprompt.contract.places import catalogue, weights_path
from samprompt.io.atomic import replacing
from samprompt.models.tiny import load_tiny
from samprompt.models.tiny_encoder import TinyEncoder

REPOSITORY = Path(__file__).resolve().parents[2]
AIMS = {256: 25.0, 512: 6.0}
Four = tuple[int, int, int, int]
DESIGNS: dict[str, tuple[Four, Four]] = {  # widths and blocks at strides 2, 4, 8, 16 (methods page, section 8)
    "CPU size": ((24, 48, 96, 192), (1, 2, 3, 3)),
    "CPU size, half as deep": ((24, 48, 96, 192), (1, 1, 2, 2)),
    "narrow": ((16, 32, 64, 128), (1, 2, 3, 3)),
    "lean at the fine strides": ((16, 48, 96, 192), (1, 1, 3, 4)),
    "wide at the coarse strides": ((24, 48, 128, 256), (1, 1, 3, 3)),
    "GPU size": ((48, 96, 192, 320), (2, 2, 3, 2)),
}


@dataclass(frozen=True)
class Design:
    """An encoder to be timed."""

    name: str
    widths: Four
    blocks: Four
    encoder: TinyEncoder

    @property
    def parameters(self) -> float:
        """Millions of parameters."""
        return sum(p.numel() for p in self.encoder.parameters()) / 1e6

    def gmac(self, size: int) -> float:
        """Thousand millions of multiply-adds for one image of ``size`` pixels."""
        one = next(self.encoder.parameters())
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            self.encoder(torch.zeros(1, 3, size, size, device=one.device, dtype=one.dtype))
        return counter.get_total_flops() / 2e9


def designs(names: list[str], extra: tuple[Four, Four] | None) -> list[Design]:
    """The designs ``names``, all when empty and nothing extra is given, and the extra one."""
    found = []
    if "shipped" in names or not (names or extra):
        model = load_tiny(weights_path(catalogue().find("tiny"))).model
        widths, blocks = tuple(model.config["widths"]), tuple(model.config["blocks"])
        found.append(Design("shipped", widths, blocks, model.encoder))
    torch.manual_seed(0)
    for name, (widths, blocks) in DESIGNS.items():
        if name in names or not (names or extra):
            found.append(Design(name, widths, blocks, TinyEncoder(widths, blocks).eval()))
    if extra is not None:
        found.append(Design("given", *extra, TinyEncoder(*extra).eval()))
    return found


def seconds_of(work: Callable[[], object], least: float, device: torch.device) -> float:
    """Seconds of one call, as often repeated as fills ``least`` seconds, and at least twice."""
    work()  # the first call of a shape chooses its kernels
    wait_for(device)  # or the clock would run while the device is still at it
    calls, began = 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - began < least:
        work()
        calls += 1
        wait_for(device)
    return (time.perf_counter() - began) / calls


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Multiply-adds a second of a large matrix product: what the device can do at all."""
    a, b = (torch.randn(4096, 4096, device=device, dtype=dtype) for _ in range(2))
    return 4096**3 / seconds_of(lambda: a @ b, 1.0, device)


def measure(
    chosen: list[Design], sizes: list[int], batch: int, repeats: int, device: torch.device, dtype: torch.dtype
) -> dict[tuple[str, int], list[float]]:
    """Images a second by design and size, one value per round."""
    found: dict[tuple[str, int], list[float]] = {(d.name, size): [] for d in chosen for size in sizes}
    images = {size: torch.rand(batch, 3, size, size, device=device, dtype=dtype) for size in sizes}
    with torch.inference_mode():
        for number in range(repeats):
            for design in chosen:
                for size in sizes:
                    took = seconds_of(lambda d=design, s=size: d.encoder(images[s]), 1.0, device)
                    found[design.name, size].append(batch / took)
            print(f"round {number + 1} of {repeats}", file=sys.stderr, flush=True)
    return found


def table(
    chosen: list[Design], sizes: list[int], rates: dict[tuple[str, int], list[float]], most: float | None
) -> list[str]:
    """Markdown lines: sizes of the design, median (range) images a second; share of the matrix rate when known."""
    head = ["design", "widths", "blocks", "million parameters", "GMAC at 256"]
    head += [f"images/s at {size}: median (range)" for size in sizes]
    if most is not None:
        head += [f"share of the matrix rate at {size}" for size in sizes]
    lines = ["| " + " | ".join(head) + " |", "| --- | --- | --- |" + " ---: |" * (len(head) - 3)]
    for d in chosen:
        cells = [d.name, "/".join(map(str, d.widths)), "/".join(map(str, d.blocks))]
        cells += [f"{d.parameters:.2f}", f"{d.gmac(256):.2f}"]
        for size in sizes:
            mine = rates[d.name, size]
            cells.append(f"{statistics.median(mine):.1f} ({min(mine):.1f} to {max(mine):.1f})")
        if most is not None:
            cells += [f"{statistics.median(rates[d.name, s]) * d.gmac(s) * 1e9 / most:.1%}" for s in sizes]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def four(text: str) -> Four:
    """Four whole numbers with commas between."""
    numbers = tuple(int(word) for word in text.split(","))
    if len(numbers) != 4 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not four numbers like 24,48,96,192")
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", action="append", default=[], choices=("shipped", *DESIGNS))
    parser.add_argument("--widths", type=four, help="of one more design; multiples of 8")
    parser.add_argument("--blocks", type=four, default=(1, 2, 3, 3), help="of that design")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--note", default="", help="what else ran on the machine, for the table")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "Testing/benchmarks/results/encoder_speed.md")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    chosen = designs(arguments.design, (arguments.widths, arguments.blocks) if arguments.widths else None)
    for design in chosen:
        design.encoder.to(device, dtype)
    rates = measure(chosen, arguments.sizes, arguments.batch, arguments.repeats, device, dtype)
    most = matrix_rate(device, dtype) if device.type == "cuda" else None
    lines = table(chosen, arguments.sizes, rates, most)
    about = f"{arguments.precision} inference, batch {arguments.batch}, {arguments.repeats} rounds in turn."
    aims = "Aims with 2 threads: " + ", ".join(f"{aim:.0f} images/s at {size}" for size, aim in AIMS.items()) + "."
    notes = [describe_machine(arguments.threads) + ".", about, aims]
    if most is not None:
        notes.append(f"Matrix rate: {most / 1e12:.1f} million million multiply-adds a second.")
    if arguments.note:
        notes.append(arguments.note)
    text = "\n".join(["# Speed of the built-in model's encoder", "", " ".join(notes), "", *lines]) + "\n"
    print(text)
    with replacing(arguments.out) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
