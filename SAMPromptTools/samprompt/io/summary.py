"""The record of one propagation: what is written to ``summary.json`` and shown in the report; plain data only."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from samprompt.contract.errors import UnreadableFileError
from samprompt.io.atomic import replacing

SCHEMA = "samprompt/propagation-summary"
SCHEMA_VERSION = 1
RESEARCH_USE_ONLY = "Research use only. Not for diagnosis or treatment; every contour must be checked by a person."
VISIBLE_MASS = "A carried tumour contour is the visible mass; making a target smaller is a clinical decision."


@dataclass(frozen=True)
class CheckSlice:
    """One slice to look at: array index ``k`` on the visit's own grid and the RAS millimetres of the contour there."""

    k: int
    ras_mm: tuple[float, float, float]

    @property
    def z_mm(self) -> float:
        """Superior coordinate in mm (as Slicer's status bar shows it in an axial view)."""
        return self.ras_mm[2]


@dataclass(frozen=True)
class TrustRecord:
    """``score`` in [0, 1]; ``level`` is the word for it (low, medium, high); ``flagged`` means: check before use."""

    score: float
    level: str
    flagged: bool
    reasons: tuple[str, ...] = ()
    check_slices: tuple[CheckSlice, ...] = ()
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StructureRecord:
    """One structure on one visit. ``trust``, ``route`` and what follows are None or empty on the baseline."""

    name: str
    color: tuple[float, float, float]
    volume_ml: float
    change_percent: float | None = None
    shift_mm: float | None = None
    trust: TrustRecord | None = None
    route: str = ""
    contrast_to_noise: float | None = None
    truncated: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VisitRecord:
    """One visit: ``segmentation`` is the file beside the summary that holds its result ("" for the baseline)."""

    name: str
    image: str
    segmentation: str
    structures: tuple[StructureRecord, ...]
    alignment_quality: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputFile:
    """One input: its part in the job, its path as it was given and the SHA-256 of its content."""

    role: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """What made this result: enough to make it again."""

    samprompt_version: str
    method: str
    model_name: str
    model_fingerprint: str
    device: str
    platform: str
    python: str
    date: str
    parameters: dict[str, Any]
    inputs: tuple[InputFile, ...]


@dataclass(frozen=True)
class Summary:
    """Everything that is reported of one propagation; ``complete`` is False while visits are still to come."""

    baseline: VisitRecord
    visits: tuple[VisitRecord, ...]
    provenance: Provenance
    planned_visits: int
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every planned visit is in it."""
        return len(self.visits) == self.planned_visits


def trust_level(score: float, flagged: bool) -> str:
    """The word for a trust score: "low" exactly where it is flagged, "high" from 0.8, else "medium"."""
    if flagged:
        return "low"
    return "high" if score >= 0.8 else "medium"


def summary_dict(summary: Summary) -> dict[str, Any]:
    """The summary as JSON-ready data; NaN and infinity become null, since JSON has neither."""
    data = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "research_use_only": RESEARCH_USE_ONLY,
        "complete": summary.complete,
        **asdict(summary),
    }
    for visit in data["visits"]:
        for structure in visit["structures"]:
            for check in (structure["trust"] or {}).get("check_slices", ()):
                check["z_mm"] = check["ras_mm"][2]
    clean = _finite(data)
    assert isinstance(clean, dict)
    return clean


def write_summary(path: Path, summary: Summary) -> None:
    """Write ``summary.json``, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps(summary_dict(summary), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files (relative name and content of each, in the names' order).

    Raises:
        UnreadableFileError: a file cannot be read.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        for file in files:
            if file != path:
                digest.update(file.relative_to(path).as_posix().encode("utf-8", "surrogateescape") + b"\0")
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableFileError(f"{path} cannot be read: {reason}.", "Check the permissions.") from error
    return digest.hexdigest()


def _finite(value: Any) -> Any:
    """``value`` with every non-finite float replaced by None and numpy scalars turned into Python's."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if hasattr(value, "item"):
        return _finite(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
