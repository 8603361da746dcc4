"""What panel and worker say to each other: one JSON object per line, arrays beside it as .npy files.

A panel sends requests (``Job``, ``Cancel``, ``Release``, ``Quit``), the worker answers with ``Hello``, ``Progress``,
``VisitReady``, ``Result``, ``Failure`` and ``Released``. ``wire.py`` turns these dataclasses into lines and back.
Standard library only: Slicer's own process imports this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from samprompt.contract.propagation import PropagationParameters

PROTOCOL_VERSION = 1

Matrix = tuple[float, ...]  # 16 numbers, row by row


# --- images and structures, handed over as files ----------------------------------------------------------------------
@dataclass(frozen=True)
class GridMessage:
    """Where voxels are: ``shape`` (k, j, i) and the 4x4 matrix from (i, j, k, 1) to RAS millimetres, row by row."""

    shape: tuple[int, int, int]
    ijk_to_ras: Matrix


@dataclass(frozen=True)
class VolumeMessage:
    """An image: ``array`` is the path of an .npy of the grid's shape, any real dtype, C order.

    ``key`` names the content (same key, same voxels): what the warm worker computed for it is found by that key.
    ``modality`` is "CT", "MR" or "" when it is not known; ``name`` is what the user calls the visit.
    """

    name: str
    array: str
    grid: GridMessage
    key: str = ""
    modality: str = ""


@dataclass(frozen=True)
class StructureMessage:
    """A structure, cropped: ``array`` is the path of a uint8 .npy (0, 1) whose first voxel is ``offset`` (k, j, i).

    ``id`` is the sender's own name for it (a segment ID) and comes back with the result. An empty structure has
    ``array`` "" and the size 0, 0, 0. ``terminology`` is Slicer's ``TerminologyEntry``, "" when it is not known.
    """

    id: str
    name: str
    color: tuple[float, float, float]
    array: str
    offset: tuple[int, int, int] = (0, 0, 0)
    size: tuple[int, int, int] = (0, 0, 0)
    terminology: str = ""


@dataclass(frozen=True)
class VisitMessage:
    """An image with the structures that were contoured on it."""

    volume: VolumeMessage
    structures: tuple[StructureMessage, ...] = ()


# --- jobs -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class PropagateJob:
    """Carry the baseline's structures to every follow-up; masks come back as .npy files in ``folder``.

    ``model`` is a name of the catalogue or the path of a checkpoint. ``references`` are visits whose contours a person
    corrected. ``threads`` 0 leaves the number of CPU threads to the libraries.
    """

    baseline: VisitMessage
    followups: tuple[VolumeMessage, ...]
    folder: str
    references: tuple[VisitMessage, ...] = ()
    model: str = "tiny"
    device: str = "auto"
    threads: int = 0
    parameters: PropagationParameters = field(default_factory=PropagationParameters)


@dataclass(frozen=True)
class DownloadJob:
    """Fetch the checkpoint ``model`` of the catalogue to this machine; ``path`` of the file is in the result."""

    model: str


@dataclass(frozen=True)
class SamplePatientJob:
    """Make the demo patient: its baseline with contours and its later visits, as .npy files in ``folder``."""

    folder: str
    followups: int = 3
    seed: int = 0


@dataclass(frozen=True)
class DownloadValue:
    """``Result.value`` of a download: where the weights are."""

    path: str


@dataclass(frozen=True)
class SamplePatientValue:
    """``Result.value`` of a sample patient; the follow-ups' structures are the known truth, not to be given back."""

    baseline: VisitMessage
    followups: tuple[VisitMessage, ...]


JobKind = Literal["propagate", "download", "sample-patient"]
JOBS: dict[str, type] = {"propagate": PropagateJob, "download": DownloadJob, "sample-patient": SamplePatientJob}


# --- from the panel to the worker -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class JobRequest:
    """Start a job; ``id`` is chosen by the panel and stands in every answer to it."""

    id: str
    kind: JobKind
    job: dict[str, Any]
    type: Literal["job"] = "job"


@dataclass(frozen=True)
class CancelRequest:
    """Stop the job ``id`` at its next step."""

    id: str
    type: Literal["cancel"] = "cancel"


@dataclass(frozen=True)
class ReleaseRequest:
    """Let go of models and embeddings, on the GPU and in memory."""

    type: Literal["release"] = "release"


@dataclass(frozen=True)
class QuitRequest:
    """End; the same as the end of the input."""

    type: Literal["quit"] = "quit"


# --- from the worker to the panel -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Hello:
    """The first line of a worker: who it is and what it can do.

    ``pid`` is the real Python's, not its launcher's. ``device`` is what "auto" would take ("cuda:0", "mps", "cpu"),
    ``device_name`` what a person calls it, ``kernel_ms`` how long a real computation took there, -1 where none ran.
    ``missing`` names packages that cannot be imported (then only jobs that do without them run), ``problem`` says in
    words what is wrong with the device, "" when nothing is.
    """

    protocol: int
    version: str
    pid: int
    python: str
    device: str = "cpu"
    device_name: str = ""
    kernel_ms: float = -1.0
    packages: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    problem: str = ""
    type: Literal["hello"] = "hello"


@dataclass(frozen=True)
class ProgressMessage:
    """Where a job is: ``stage`` in words, ``done`` of ``total`` steps (0, 0 where there is no number).

    ``visit`` is the name of the follow-up that is being computed ("" before the first), number ``number`` of ``count``.
    """

    id: str
    stage: str
    done: int = 0
    total: int = 0
    visit: str = ""
    number: int = 0
    count: int = 0
    type: Literal["progress"] = "progress"


@dataclass(frozen=True)
class CheckSliceMessage:
    """A slice to look at: array index ``k`` on the visit's own grid, and the RAS millimetres of the contour there."""

    k: int
    ras_mm: tuple[float, float, float]


@dataclass(frozen=True)
class PromptPointMessage:
    """A point prompt that the model was given on a slice: RAS millimetres; ``positive`` lies inside the structure."""

    ras_mm: tuple[float, float, float]
    positive: bool


@dataclass(frozen=True)
class OutcomeMessage:
    """One structure on one follow-up. Empty: ``structure.array`` is "" and ``gone`` says so.

    ``prior`` is the baseline's contour as the alignment put it on the follow-up, to be shown beside the result.

    ``trust`` in [0, 1]; ``level`` low, medium or high; ``flagged``: check before use. Volumes in ml, ``shift_mm`` is
    the distance of the centres of mass from baseline to follow-up, None where there is none.
    """

    structure: StructureMessage
    prior: StructureMessage
    volume_ml: float
    baseline_ml: float
    change_percent: float | None
    shift_mm: float | None
    trust: float
    level: str
    flagged: bool
    reasons: tuple[str, ...] = ()
    check_slices: tuple[CheckSliceMessage, ...] = ()
    prompts: tuple[PromptPointMessage, ...] = ()
    route: str = ""
    truncated: bool = False
    gone: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VisitReady:
    """A follow-up is finished; its masks lie on its own grid. Sent as soon as the visit is ready."""

    id: str
    visit: str
    number: int
    count: int
    outcomes: tuple[OutcomeMessage, ...]
    alignment_quality: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    type: Literal["visit"] = "visit"


@dataclass(frozen=True)
class Result:
    """A job is finished. ``provenance`` is what reproduces it; ``value`` is the kind's own answer."""

    id: str
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    value: dict[str, Any] = field(default_factory=dict)
    type: Literal["result"] = "result"


@dataclass(frozen=True)
class Failure:
    """A job (or, with ``id`` "", a line that was no request) ended without a result; codes: ``contract.errors``."""

    id: str
    code: str
    message: str
    hint: str = ""
    detail: str = ""
    type: Literal["error"] = "error"


@dataclass(frozen=True)
class Released:
    """Models and embeddings are gone from memory; ``freed_mib`` of the GPU, 0 on a CPU."""

    freed_mib: float = 0.0
    type: Literal["released"] = "released"
