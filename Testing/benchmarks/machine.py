"""What every benchmark says of its machine, and how it adds a row to its table."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch


def describe_machine(threads: int) -> str:
    """Processor, cores, threads used and versions; no host name."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{model}, {os.cpu_count()} cores, {threads} threads, {device}, torch {torch.__version__}"


def write_row(path: Path, title: str, row: Mapping[str, str]) -> None:
    """Append ``row`` to the Markdown table at ``path``; the header is written with the first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = "| " + " | ".join(row.values()) + " |\n"
    if not path.is_file():
        header = "| " + " | ".join(row) + " |\n|" + " --- |" * len(row) + "\n"
        path.write_text(f"# {title}\n\n{header}", "utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
