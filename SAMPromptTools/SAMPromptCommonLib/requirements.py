"""Requirement lists of SAMPromptTools: which packages, at least which version, and what of it is there."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

GROUPS = ("core", "sam2", "training")
FROZEN = ("torch", "torchvision", "numpy", "scipy", "SimpleITK")  # what an installation must leave as it is
_LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*>=\s*(?P<least>\d+(\.\d+)*)")


@dataclass(frozen=True)
class Wanted:
    """A package and the least version of it."""

    name: str
    least: str

    def __str__(self) -> str:
        return f"{self.name}>={self.least}"

    def isThere(self) -> bool:
        """Whether this process's Python has it, new enough; nothing is imported."""
        found = installedVersion(self.name)
        return found is not None and _numbers(found) >= _numbers(self.least)


TORCH = (Wanted("torch", "2.6"), Wanted("torchvision", "0.21"))  # as pyproject.toml has them


def requirementsFile(group: str) -> Path:
    """The list of a group; every installed extension shares one folder, therefore the long name."""
    if group not in GROUPS:
        raise ValueError(f"{group!r} is none of the groups {', '.join(GROUPS)}.")
    here = Path(__file__).resolve().parents[1]
    return here / "Resources" / "Requirements" / f"SAMPromptTools_{group}.txt"


def readRequirements(path: Path) -> list[Wanted]:
    """What a list names, in its order.

    Raises:
        ValueError: a line is something else than "name>=version", which is all that our lists use.
    """
    wanted = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise ValueError(f"{path.name}: {text!r} is not of the form name>=version.")
        wanted.append(Wanted(match["name"], match["least"]))
    return wanted


def listsOf(group: str) -> tuple[str, ...]:
    """The lists that a group consists of: nothing runs without the core."""
    return ("core",) if group == "core" else ("core", group)


def wantedBy(group: str) -> list[Wanted]:
    """All that a group needs: torch and torchvision, the core's, its own."""
    return [*TORCH, *(one for name in listsOf(group) for one in readRequirements(requirementsFile(name)))]


def installedVersion(name: str) -> str | None:
    """Version of a distribution in this process's Python; None: it is not there."""
    importlib.invalidate_caches()
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def constraints(names: Iterable[str] = FROZEN) -> str:
    """Text of a constraints file that keeps what is installed at the version it has."""
    versions = ((name, installedVersion(name)) for name in names)
    return "".join(f"{name}=={version}\n" for name, version in versions if version)


def _numbers(version: str) -> tuple[int, ...]:
    """The release part of a version: "2.6.0+cu124" and "2.6.0rc1" are (2, 6); trailing zeros do not count."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in match[1].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
