"""What is asked of the backend: the same request whether a command line, a script or a panel asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from samprompt.contract.propagation import PropagationParameters


@dataclass(frozen=True)
class PropagateRequest:
    """Carry the structures of ``baseline`` to every one of ``followups``, and write the results into ``out``.

    Paths are plain strings; a folder of DICOM files works wherever an image does. ``structures`` is a segmentation, a
    label map, a folder of masks or an RTSTRUCT. ``structure_names`` selects some of them, empty means all.
    ``references`` are pairs (image, segmentation) of visits whose contours a person corrected. ``model`` is a name of
    the catalogue or the path of a checkpoint; it is not loaded for the methods that need none. ``threads`` limits the
    CPU threads, 0 leaves the libraries' choice. Without ``overwrite`` a folder that holds a result is refused.
    """

    baseline: str
    structures: str
    followups: tuple[str, ...]
    out: str
    model: str = "tiny"
    structure_names: tuple[str, ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    device: str = "auto"
    threads: int = 0
    overwrite: bool = False
    parameters: PropagationParameters = field(default_factory=PropagationParameters)


@dataclass(frozen=True)
class JobEvent:
    """Where a job stands, for a progress display: ``visit`` number ``number`` of ``count`` began or is finished."""

    kind: Literal["visit-started", "visit-finished"]
    visit: str
    number: int
    count: int
    seconds: float = 0.0
