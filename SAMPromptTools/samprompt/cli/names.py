"""Names of visits, made from the names of files: readable, unique and safe in every file system."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_IMAGE_SUFFIX = re.compile(
    r"(\.seg)?\.(nii|nrrd|nhdr|mha|mhd|hdr|img|dcm|dicom|ima|gipl|vtk|tiff?)(\.gz)?$", re.IGNORECASE
)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # device names of Windows
_LONGEST = 80


def visit_names(paths: Sequence[Path]) -> list[str]:
    """One name per image, in the order given, unique even where the file system ignores case.

    The file's name without its image suffix, or the folder's name; where two images share it, the name of the folder
    above is put in front; where that does not tell them apart, a number follows.
    """
    plain = [_safe(_stem(path)) for path in paths]
    names = []
    for path, name in zip(paths, plain, strict=True):
        shared = sum(other.lower() == name.lower() for other in plain) > 1
        parent = path.absolute().parent.name
        names.append(_safe(f"{parent}-{name}") if shared and parent else name)
    taken: set[str] = set()
    for n, name in enumerate(names):
        candidate, number = name, 2
        while candidate.lower() in taken:
            candidate, number = f"{name}-{number}", number + 1
        taken.add(candidate.lower())
        names[n] = candidate
    return names


def _stem(path: Path) -> str:
    name = path.absolute().name
    return _IMAGE_SUFFIX.sub("", name) if not path.is_dir() else name


def _safe(name: str) -> str:
    """Letters, digits, ``._-`` and spaces turned to ``_``; no leading dot, no trailing dot, never empty."""
    cleaned = re.sub(r"[^\w.-]+", "_", name).strip("._")[:_LONGEST].rstrip("._") or "visit"
    return f"visit-{cleaned}" if _RESERVED.fullmatch(cleaned) else cleaned
