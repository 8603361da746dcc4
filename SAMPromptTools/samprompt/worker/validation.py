"""A request is believed only after this: right types, nothing unknown, sensible numbers."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from typing import Any

from samprompt.contract.errors import ParameterError
from samprompt.contract.wire import WireError, from_data
from samprompt.contract.worker import (
    JOBS,
    DownloadJob,
    GridMessage,
    PropagateJob,
    SamplePatientJob,
    StructureMessage,
    VolumeMessage,
)

LONGEST_AXIS = 8192  # voxels
MOST_VOXELS = 1 << 31
MOST_VISITS = 200
MOST_STRUCTURES = 1000
MOST_THREADS = 1024
LARGEST_BATCH = 4096
LONGEST_NAME = 1000


def job_of(kind: str, data: dict[str, Any]) -> Any:
    """The job of that kind made of ``data``.

    pydantic checks it where it is installed; a worker without it can still do the jobs that need little.

    Raises:
        ParameterError: unknown kind, unknown or absent keys, wrong types, senseless numbers; the place is named.
    """
    if kind not in JOBS:
        raise ParameterError(f"There is no job {kind!r}.", f"There are {', '.join(JOBS)}.")
    try:
        check: Callable[[type, dict[str, Any]], Any] = _by_pydantic
        import pydantic  # noqa: F401
    except ImportError:
        check = _by_hand
    job = check(JOBS[kind], data)
    _LIMITS[kind](job)
    return job


def _by_hand(kind: type, data: dict[str, Any]) -> Any:
    try:
        return from_data(kind, data)
    except WireError as error:
        raise ParameterError(error.message, "Panel and worker may be of different versions.") from error


def _by_pydantic(kind: type, data: dict[str, Any]) -> Any:
    import pydantic

    try:
        # JSON mode: lists become the tuples that the dataclasses hold, and nothing else is converted
        return _holder(kind).validate_json(json.dumps({"job": data})).job
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or kind.__name__
        raise ParameterError(
            f"{kind.__name__}: {place}: {first['msg']} ({error.error_count()} in all).",
            "Panel and worker may be of different versions.",
        ) from error


@functools.cache
def _holder(kind: type) -> Any:
    """A model that holds one job: its settings (nothing unknown, nothing converted) count for all dataclasses in it."""
    import pydantic

    settings = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return pydantic.TypeAdapter(pydantic.create_model("Holder", __config__=settings, job=(kind, ...)))


# --- sensible limits --------------------------------------------------------------------------------------------------
def _propagate(job: PropagateJob) -> None:
    visits = (job.baseline, *job.references)
    _within("followups", len(job.followups), 1, MOST_VISITS)
    _within("references", len(job.references), 0, MOST_VISITS)
    _within("threads", job.threads, 0, MOST_THREADS)
    _text("model", job.model, 1)
    _text("device", job.device, 1)
    for visit in visits:
        _within("structures", len(visit.structures), 0, MOST_STRUCTURES)
        for structure in visit.structures:
            _structure(structure)
    for volume in (*(v.volume for v in visits), *job.followups):
        _volume(volume)
    p = job.parameters
    _within("decode_batch", p.decode_batch, 1, LARGEST_BATCH)
    _within("encode_batch", p.encode_batch, 1, LARGEST_BATCH)
    for name in ("rigid_spacing", "deformable_spacing", "maximum_voxels"):
        if getattr(p.align, name) <= 0:
            raise ParameterError(f"align.{name} is {getattr(p.align, name)}.", "It must be more than 0.")
    for name in ("minimum_side", "maximum_pixel", "enlargement"):
        if getattr(p.region, name) <= 0:
            raise ParameterError(f"region.{name} is {getattr(p.region, name)}.", "It must be more than 0.")
    _within("region.margin", p.region.margin, 0, 1000)
    _within("region.extra_slices", p.region.extra_slices, 0, 10_000)
    _within("align.iterations", p.align.iterations, 0, 1000)
    _within("prompting.prior_weight", p.prompting.prior_weight, 0, 1)
    for parts in (p.prompting.positive_parts, p.prompting.negative_parts):
        _within("prompting parts", max(parts), 0, 1000)


def _download(job: DownloadJob) -> None:
    _text("model", job.model, 1)


def _sample(job: SamplePatientJob) -> None:
    _within("followups", job.followups, 0, 20)
    _within("seed", job.seed, 0, 1 << 31)


_LIMITS: dict[str, Callable[[Any], None]] = {
    "propagate": _propagate,
    "download": _download,
    "sample-patient": _sample,
}


def _volume(volume: VolumeMessage) -> None:
    _text("name", volume.name, 0)
    _grid(volume.grid)


def _structure(structure: StructureMessage) -> None:
    _text("name", structure.name, 0)
    _within("color", min(structure.color), 0, 1)
    _within("color", max(structure.color), 0, 1)
    _within("size", max(structure.size), 0, LONGEST_AXIS)
    _within("offset", min(structure.offset), 0, LONGEST_AXIS)


def _grid(grid: GridMessage) -> None:
    for n in grid.shape:
        _within("shape", n, 1, LONGEST_AXIS)
    if math.prod(grid.shape) > MOST_VOXELS:
        raise ParameterError(f"An image of {' x '.join(map(str, grid.shape))} voxels is too large.", "Crop it first.")


def _within(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ParameterError(f"{what} is {value:g}.", f"It must lie between {low:g} and {high:g}.")


def _text(what: str, text: str, shortest: int) -> None:
    if not shortest <= len(text) <= LONGEST_NAME:
        raise ParameterError(f"{what} has {len(text)} letters.", f"Give {shortest} to {LONGEST_NAME}.")
