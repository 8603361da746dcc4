"""What a result carries with it: tags of its segments, attributes of its node; read and written here alone.

Segment tags are saved in .seg.nrrd as "name:value|name:value", so a value holds no "|"; JSON writes it as an escape.
"""

import base64
import json
import math
import zlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import vtk
from samprompt.contract.errors import UnreadableFileError
from samprompt.contract.version import VERSION
from slicer.i18n import tr as _

from SAMPropagationLib.slabs import slabs

RESEARCH_USE_ONLY = "research use only"
PREFIX = "SAMPromptTools."

# Attributes of a result's segmentation node.
RUN = PREFIX + "run"  # ID of the run that made it: what marks a node as a result
DATE = PREFIX + "date"  # when, ISO 8601
VISIT_NAME = PREFIX + "visitName"  # of its volume at that time, still there when the volume is deleted
ACCEPTED = PREFIX + "accepted"  # date when a person accepted it as a further reference
SEGMENTS = PREFIX + "segments"  # JSON list of the IDs of the segments that were imported
PROVENANCE = PREFIX + "provenance"  # JSON: everything that reproduces the run
FOR_DISPLAY = PREFIX + "shownFor"  # of a node that is shown on demand: what it belongs to


def setTag(segment, name: str, value) -> None:
    """Set a tag ``SAMPromptTools.<name>``; anything but a string is written as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    segment.SetTag(PREFIX + name, _safe(text))


def tag(segment, name: str, default=None):
    """The text of the tag ``SAMPromptTools.<name>``, ``default`` where there is none."""
    text = vtk.mutable("")
    return str(text) if segment.GetTag(PREFIX + name, text) else default


def jsonTag(segment, name: str, default=None):
    """What a tag that was written as JSON holds; ``default`` where there is none or it is damaged."""
    text = tag(segment, name)
    try:
        return default if text is None else json.loads(text)
    except ValueError:
        return default


def numberTag(segment, name: str, default=None):
    """The number in a tag; ``default`` where there is no finite one."""
    value = jsonTag(segment, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return default
    return float(value)


def outcomeTags(outcome, facts: dict, frame):
    """Steps that make the tags of one result: what the worker found (``OutcomeMessage``) and how (``runFacts``); their
    result is names, with the prefix, and texts. ``frame`` (``SAMPromptCommonLib.grids.Frame``): how the visit was
    handed over.

    Raises (while it is iterated):
        UnreadableFileError: the prior's file is not there or damaged.
    """
    prior = yield from packedMask(outcome.prior, frame)
    values = {
        "Use": RESEARCH_USE_ONLY,
        **facts,
        "Structure": outcome.structure.id,
        "Volume": _rounded(outcome.volume_ml, 6),
        "Baseline": _rounded(outcome.baseline_ml, 6),
        "Change": _rounded(outcome.change_percent),
        "Shift": _rounded(outcome.shift_mm),
        "Trust": _rounded(outcome.trust),
        "Level": outcome.level,
        "Flagged": outcome.flagged,
        "Reasons": list(outcome.reasons),
        "CheckSlices": [{"k": each.k, "ras": _point(each.ras_mm)} for each in outcome.check_slices],
        "Prompts": [{"ras": _point(each.ras_mm), "positive": each.positive} for each in outcome.prompts],
        "Notes": list(outcome.notes),
        "Route": outcome.route,
        "Truncated": outcome.truncated,
        "Gone": outcome.gone,
        "Prior": prior or "",
    }
    # How DICOM says that no person drew it; the exporter of DICOM SEG reads these two tags.
    dicom = {
        "DICOM.SegmentAlgorithmType": "AUTOMATIC",
        "DICOM.SegmentAlgorithmName": _safe(
            f"SAMPromptTools {facts.get('Version', VERSION)} {facts.get('Method', '')}"
        ),
    }
    named = {
        PREFIX + name: _safe(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))
        for name, value in values.items()
    }
    return {**named, **dicom}


def runFacts(method: str, preset: str, model: str, modelHash: str = "", date: str = "") -> dict[str, str]:
    """What is equal for all results of a run: the tags Version, Method, Preset, Model, ModelHash, Date."""
    facts = {"Version": VERSION, "Method": method, "Preset": preset, "Model": model, "ModelHash": modelHash}
    return {**facts, "Date": date or now()}


def now() -> str:
    """The moment, ISO 8601 with the offset of the clock."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class PackedMask:
    """A mask (k, j, i) of bool, its ``offset`` in the grid of ``matrix`` (4x4, voxels to RAS of the volume's own space,
    or of the world where ``world``)."""

    mask: np.ndarray
    offset: tuple[int, int, int]
    matrix: np.ndarray
    world: bool


# --- masks in a tag: the aligned prior, so that it can be shown after the scene was saved and loaded ------------------
def packedMask(structure, frame):
    """Steps that pack a ``StructureMessage``'s mask; their result is JSON-ready, {} where there is none. An organ takes
    a few ten kB.

    ``matrix`` is from voxels to the volume's own RAS, or, when the volume was resampled, to the world (``world``).
    """
    if not structure.array:
        return {}
    try:
        mask = np.load(structure.array, mmap_mode="r", allow_pickle=False)
        if mask.ndim != 3:
            raise ValueError(f"{mask.ndim} axes")
    except (OSError, ValueError, EOFError) as error:
        said = _("The contour of {name} that was aligned cannot be read: {error}.")
        raise UnreadableFileError(said.format(name=structure.name, error=error), _("Compute it again.")) from error
    packer, parts = zlib.compressobj(3), []
    for part in slabs(mask.shape):
        parts.append(packer.compress(np.packbits(mask[part] != 0, axis=-1).tobytes()))
        yield None
    bits = base64.b64encode(b"".join((*parts, packer.flush()))).decode("ascii")
    matrix = frame.ownIjkToRas if frame.native else frame.ijkToWorld
    place = {"matrix": [float(x) for x in np.asarray(matrix).ravel()], "world": not frame.native}
    return {"offset": list(structure.offset), "size": list(mask.shape), "bits": bits, **place}


def unpackedMask(packed) -> PackedMask | None:
    """What ``packedMask`` packed; None where there is none or it is damaged."""
    try:
        size = tuple(int(n) for n in packed["size"])
        offset = tuple(int(n) for n in packed["offset"])
        matrix = np.array(packed["matrix"], dtype=float).reshape(4, 4)
        bits = np.frombuffer(zlib.decompress(base64.b64decode(packed["bits"])), np.uint8)
        rows = bits.reshape(*size[:2], -1)
        mask = np.unpackbits(rows, axis=-1, count=size[2]).astype(bool)
        world = bool(packed["world"])
    except (TypeError, KeyError, ValueError, IndexError, zlib.error):
        return None
    return PackedMask(mask, offset, matrix, world) if mask.shape == size and len(offset) == 3 else None


def _safe(text: str) -> str:
    # Inside JSON "|" occurs in strings only, where the escape means the same.
    return text.replace("|", "\\u007c") if text[:1] in '[{"' else text.replace("|", "/").replace("\n", " ")


def _rounded(value, digits: int = 4):
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def _point(ras) -> list[float]:
    return [round(float(x), 3) for x in ras]
