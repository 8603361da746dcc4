"""``samprompt doctor``: what is installed, what computes, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from samprompt.contract.errors import EnvironmentProblem, SamPromptError
from samprompt.contract.version import VERSION

# Distribution -> (needed, how to get it)
_PACKAGES: dict[str, tuple[bool, str]] = {
    "torch": (True, "pip install torch torchvision"),
    "torchvision": (True, "pip install torchvision"),
    "segment-anything": (True, "pip install segment-anything"),
    "sam2": (False, "SAM2_BUILD_CUDA=0 pip install --no-build-isolation sam2 (for SAM 2.1)"),
    "SimpleITK": (True, "pip install SimpleITK"),
    "POT": (True, "pip install POT"),
    "numpy": (True, "pip install numpy"),
    "scipy": (True, "pip install scipy"),
    "scikit-learn": (True, "pip install scikit-learn"),
    "pydicom": (True, "pip install pydicom"),
    "pynrrd": (True, "pip install pynrrd"),
    "pydantic": (True, "pip install pydantic"),
    "safetensors": (True, "pip install safetensors"),
    "ray": (False, "pip install ray (for many patients at once)"),
}


@dataclass
class Findings:
    """What was looked at: rows (what, found) and, apart, what stops samprompt and what is only absent."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def doctor(device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto") -> None:
    """Print versions, the device, a real computation on it, free memory, and what is missing; exit code 0 or 3."""
    findings = examine(device)
    console = Console()
    table = Table(show_header=False)
    for row in findings.rows:
        table.add_row(*row)
    console.print(table)
    for title, lines in (("Optional, not here", findings.absent), ("Missing or broken", findings.problems)):
        for line in lines:
            console.print(f"{title}: {line}", markup=False, soft_wrap=True)
    if findings.problems:
        raise typer.Exit(EnvironmentProblem.exit_code)
    console.print("All that samprompt needs is here.")


def examine(device: str = "auto") -> Findings:
    """Look at packages, device and models; never raises for what it finds."""
    findings = Findings()
    findings.rows += [
        ("samprompt", VERSION),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
    ]
    for package, (needed, remedy) in _PACKAGES.items():
        version = _version(package)
        findings.rows.append((package, version or "missing"))
        if version is None:
            (findings.problems if needed else findings.absent).append(f"{package}: {remedy}")
    try:
        _examine_device(findings, device)
        _examine_models(findings)
    except ImportError as error:
        findings.problems.append(f"samprompt cannot load its models ({error}).")
    return findings


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _examine_device(findings: Findings, wanted: str) -> None:
    """CUDA's state, the chosen device, a matrix product on it, free memory."""
    import torch

    from samprompt.models.device import choose_device, free_memory, launch_kernel

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            findings.rows.append((f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"))
    else:
        built = torch.version.cuda
        findings.rows.append(
            ("CUDA", f"none found (torch is built for CUDA {built})" if built else "torch is built without")
        )
    try:
        device = choose_device(wanted)
    except SamPromptError as error:
        findings.rows.append(("Device", f"{wanted}: not usable"))
        findings.problems.append(str(error))
        return
    problem = launch_kernel(device)
    findings.rows.append(("Device", f"{device} ({torch.get_num_threads()} CPU threads)"))
    findings.rows.append(("Matrix product on it", problem or "right"))
    if problem:
        findings.problems.append(f"{device} fails a computation ({problem}).")
    if wanted == "auto" and device.type == "cpu" and torch.cuda.is_available():
        findings.problems.append(
            f"CUDA is there but fails a computation ({launch_kernel(torch.device('cuda'))}): "
            "install a torch that fits the driver and the card."
        )
    free = free_memory(device)
    findings.rows.append(("Free memory on it", "unknown" if free is None else f"{free / 2**30:.1f} GiB"))


def _examine_models(findings: Findings) -> None:
    """Whether the built-in model and the prior refiner load, and which others are here."""
    from samprompt.contract.places import catalogue, models_folder, weights_path
    from samprompt.models.refiner import load_refiner
    from samprompt.models.registry import load_backbone

    try:
        known = catalogue()
        here = [entry.name for entry in known if not entry.builtin and weights_path(entry).is_file()]
        findings.rows.append(("Other models here", ", ".join(here) or f"none (they go to {models_folder()})"))
        backbone = load_backbone("tiny", "cpu")
        findings.rows.append(("Built-in model", f"tiny, {backbone.fingerprint}"))
    except SamPromptError as error:
        findings.rows.append(("Built-in model", "not usable"))
        findings.problems.append(str(error))
    try:
        findings.rows.append(("Prior refiner", load_refiner().fingerprint))
    except SamPromptError as error:
        findings.rows.append(("Prior refiner", "not usable"))
        findings.problems.append(str(error))
