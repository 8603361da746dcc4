"""What the product does on a GPU: encoders, whole visits, several visits, adaptation; one page of tables.

    python Testing/benchmarks/gpu.py --device cuda --precision bf16           # all parts, about half an hour
    python Testing/benchmarks/gpu.py --device cuda --parts visit --models vit_b --slices 100 --structures 1
    python Testing/benchmarks/gpu.py --device cpu --small                     # three minutes: does it all run?

Every row is a piece of well under ten minutes and is kept as soon as it is there, as a line of JSON beside the page;
the same command again goes on with what is missing. No piece begins later than ``--minutes`` after the start, so that a
call ends in time. ``--small`` takes small networks, a small patient and few slices; it shows that everything runs, and
its figures say nothing of a GPU. Writes results/gpu.md (results/gpu_cpu_trial.md with ``--small`` on the CPU).
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "gpu_parts"))
import gpu_models
from gpu_measure import Figures, Piece, Settings
from gpu_record import Record
from machine import describe_machine
from samprompt.contract.errors import ParameterError, SamPromptError
from samprompt.io.atomic import replacing
from samprompt.models.device import choose_device

RESULTS = Path(__file__).resolve().parent / "results"
PARTS = ("encoders", "visit", "visits", "adaptation")  # each is a module gpu_NAME


class Missing:
    """In the place of a part whose modules cannot be imported."""

    def __init__(self, name: str, problem: str) -> None:
        self.TITLE, self.problem = name.capitalize(), problem

    def pieces(self, _settings: Settings) -> list[Piece]:
        """One, which says so."""
        return [Piece("all", lambda: {"problem": self.problem})]

    def lines(self, _found: dict[str, Figures], _settings: Settings) -> list[str]:
        """A row without figures."""
        return ["| part | problem |", "| --- | --- |", f"| all of it | {self.problem} |"]


def part_of(name: str) -> Any:
    """The module of a part, or what says which package it lacks."""
    try:
        return importlib.import_module(f"gpu_{name}")
    except ImportError as error:
        return Missing(name, f"needs a package that is missing ({error})")


def arguments_of(words: list[str] | None) -> argparse.Namespace:
    """The command line; what is not given depends on ``--small``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:N or cpu")
    parser.add_argument("--precision", choices=("bf16", "fp32"), help="of encoders and adaptation; bf16 on CUDA")
    parser.add_argument("--small", action="store_true", help="small networks and few slices: a trial")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    known = (*gpu_models.FULL, *gpu_models.SMALL[1:])
    parser.add_argument("--models", nargs="+", choices=known, default=[], help="instead of those of each part")
    parser.add_argument("--batches", nargs="+", type=int, help="images per encoder call (1 4 16; small: 1 2)")
    parser.add_argument("--slices", type=int, help="of a later visit (100; small: 6)")
    parser.add_argument("--structures", nargs="+", type=int, help="carried at once, at most ten (1 10)")
    parser.add_argument("--visits", type=int, help="that share a baseline (4; small: 2)")
    parser.add_argument("--adapt-batch", type=int, help="images per step of an adaptation (2)")
    parser.add_argument("--adapt-steps", type=int, help="that are timed (10; small: 5)")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0: as torch chooses")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no further piece begins")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--note", default="", help="what else ran on the machine, for the page")
    parser.add_argument("--out", type=Path, help="the page")
    return parser.parse_args(words)


def settings_of(given: argparse.Namespace) -> Settings:
    """The arguments with their defaults."""
    device = choose_device(given.device)
    small: bool = given.small
    numbers = [*(given.batches or ()), *(given.structures or ()), given.slices or 4, given.visits or 2]
    if min(numbers) < 1 or max(given.structures or (1,)) > 10 or (given.slices or 4) < 4 or (given.visits or 2) < 2:
        raise ParameterError(
            "These sizes make no sense.", "At least 4 slices, 2 visits, batches of 1 and 1 to 10 structures."
        )
    return Settings(
        device=device,
        precision=given.precision or ("bf16" if device.type == "cuda" else "fp32"),
        small=small,
        models=tuple(given.models),
        batches=tuple(given.batches or ((1, 2) if small else (1, 4, 16))),
        slices=given.slices or (6 if small else 100),
        structures=tuple(given.structures or (1, 10)),
        visits=given.visits or (2 if small else 4),
        adapt_batch=given.adapt_batch or 2,
        adapt_steps=given.adapt_steps or (5 if small else 10),
        rounds=3 if small else 5,
        least=0.2 if small else 1.0,
    )


def page(record: Record, settings: Settings, threads: int, command: str, note: str) -> str:
    """All tables; what is not measured yet is named."""
    named = str(settings.device)
    if settings.device.type == "cuda":
        named += f" ({torch.cuda.get_device_name(settings.device)})"
    said = [f"{describe_machine(threads)}. Device {named}. Peak memory: "]
    said[0] += "allocated on the GPU." if settings.device.type == "cuda" else "resident set of the whole process."
    if settings.small:
        said.append(
            "**A trial at small size**: small networks with random weights beside the built-in model, a coarse patient "
            "and few slices. It shows that every part runs; its figures say nothing of a GPU."
        )
    text = ["# The product on this machine, part by part", "", " ".join(said), "", f"`{command}`", ""]
    text += [note, ""] if note else []
    for name in PARTS:
        found, part = record.of(name), part_of(name)
        if found:
            text += [f"## {part.TITLE}", "", *part.lines(found, settings), ""]
    return "\n".join(text)


def main(words: list[str] | None = None) -> int:
    """Measure what is missing; the exit code."""
    given = arguments_of(words)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        settings = settings_of(given)
        out = given.out or RESULTS / ("gpu_cpu_trial.md" if given.small and settings.device.type == "cpu" else "gpu.md")
        identity = {
            "machine": describe_machine(torch.get_num_threads()), "device": str(settings.device),
            "precision": settings.precision, "small": settings.small, "slices": settings.slices,
            "batches": list(settings.batches), "visits": settings.visits, "steps": settings.adapt_steps,
            "adapt batch": settings.adapt_batch,
        }  # fmt: skip
        record = Record(out.with_suffix(".jsonl"), identity, given.again)
    except SamPromptError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return 2
    told = [*(sys.argv[1:] if words is None else words)]
    if "--note" in told:
        del told[told.index("--note") : told.index("--note") + 2]
    command = shlex.join(["python", "Testing/benchmarks/gpu.py", *told])

    def write_page() -> None:
        with replacing(out) as temporary:
            text = page(record, settings, torch.get_num_threads(), command, given.note)
            temporary.write_text(text, encoding="utf-8", newline="\n")

    began, left = time.monotonic(), []
    for name in given.parts:
        for piece in part_of(name).pieces(settings):
            if record.has(name, piece.name):
                continue
            if time.monotonic() - began > 60.0 * given.minutes:
                left.append(f"{name}: {piece.name}")
                continue
            print(f"{name}: {piece.name}", file=sys.stderr, flush=True)
            record.add(name, piece.name, piece.run())
            write_page()
    if any(record.of(name) for name in PARTS):
        write_page()
    if left:
        print(f"Time is up; the same command again measures: {'; '.join(left)}.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
