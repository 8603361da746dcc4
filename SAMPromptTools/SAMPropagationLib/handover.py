"""What the worker is given of the scene: volumes and contours as files, each volume written once as long as it stays
the same, so that a second run of the same patient starts at once."""

import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import slicer
from samprompt.contract.errors import InputError, SamPromptError
from samprompt.contract.worker import Failure, VisitMessage, VolumeMessage
from SAMPromptCommonLib import folders
from SAMPromptCommonLib.segmentations import exportStructures
from SAMPromptCommonLib.volumes import VolumeHandover, volumeStamp
from slicer.i18n import tr as _


class NodeGone(InputError):
    """A node that a run needs was removed from the scene meanwhile."""

    code = "node-removed"

    def __init__(self, name: str, nodeId: str) -> None:
        super().__init__(
            _("{name} was removed from the scene during the run.").format(name=name),
            _("Load it again and start anew."),
        )
        self.nodeId = nodeId


@dataclass(frozen=True, eq=False)
class Handed:
    """A volume that lies in the folder: its message, the frame it was handed over on, remarks for the user."""

    message: VolumeMessage
    frame: object
    notes: tuple[str, ...]


class HandedVolumes:
    """Volumes that were written for the worker, kept until the scene is closed, the panel ends or they change."""

    def __init__(self) -> None:
        self._folder = None
        self._handed: dict[str, tuple[tuple, Handed]] = {}

    def volume(self, volumeNode):
        """Steps that hand a volume over, or find that it lies there already; their result is a ``Handed``."""
        nodeId, stamp = volumeNode.GetID(), volumeStamp(volumeNode)
        known = self._handed.get(nodeId)
        if known is not None and known[0] == stamp:
            return known[1]
        if known is not None:
            self._remove(nodeId)
        if self._folder is None:
            self._folder = folders.privateFolder("visits")
        handover = VolumeHandover(volumeNode, self._folder, name=volumeNode.GetName())
        message = yield from handover
        handed = Handed(message, handover.frame, tuple(handover.notes))
        self._handed[nodeId] = (stamp, handed)
        return handed

    def keepOnly(self, nodeIds) -> None:
        """Remove the files of all volumes but these: a patient's images stay on the disk no longer than needed."""
        for nodeId in set(self._handed) - set(nodeIds):
            self._remove(nodeId)

    def clear(self) -> None:
        """Remove all files."""
        self._handed.clear()
        if self._folder is not None:
            folders.removeFolder(self._folder)
            self._folder = None

    def _remove(self, nodeId: str) -> None:
        _stamp, handed = self._handed.pop(nodeId)
        with suppress(OSError):  # then it goes with the folder
            Path(handed.message.array).unlink(missing_ok=True)


def visit(handed: HandedVolumes, volumeNode, segmentationNode, called: dict, folder, notes: list[str]):
    """Steps that hand over a visit with contours; their result is a ``VisitMessage``.

    ``called``: segment ID -> the pair (id, name) by which the worker shall know it. Empty structures are left out, and
    ``notes`` told.
    """
    volume = yield from handed.volume(volumeNode)
    notes.extend(note for note in volume.notes if note not in notes)
    if not called:
        return VisitMessage(volume.message)
    written = yield from exportStructures(
        segmentationNode, list(called), volumeNode, folder, frame=volume.frame, notes=notes
    )
    structures = []
    for structure in written:
        if not structure.array:
            said = _("{structure} is empty on {visit} and is left out.")
            notes.append(said.format(structure=structure.name, visit=volumeNode.GetName()))
            continue
        structureId, name = called[structure.id]
        structures.append(replace(structure, id=structureId, name=name))
    return VisitMessage(volume.message, tuple(structures))


def callNames(segmentation, segmentIds) -> dict[str, tuple[str, str]]:
    """Segment ID -> (the same ID, its name; with a number where two have the same one: the worker goes by names)."""
    called: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    for segmentId in segmentIds:
        name = segmentation.GetSegment(segmentId).GetName() or segmentId
        unique, n = name, 1
        while unique in taken:
            n += 1
            unique = f"{name} ({n})"
        taken.add(unique)
        called[segmentId] = (segmentId, unique)
    return called


def sameStructures(segmentation, baseline, called: dict) -> dict[str, tuple[str, str]]:
    """Of a reference: segment ID -> by what the baseline's same structure is ``called``. The same structure has the
    same ID or, where there is none, the same name."""
    same: dict[str, tuple[str, str]] = {}
    for segmentId, pair in called.items():
        found = segmentId if segmentation.GetSegment(segmentId) is not None else ""
        found = found or segmentation.GetSegmentIdBySegmentName(baseline.GetSegment(segmentId).GetName())
        if found and found not in same:
            same[found] = pair
    return same


def whileThere(work, nodeIds, names=()):
    """The steps of ``work`` as long as all nodes are in the scene.

    Raises:
        NodeGone: one of them was removed; ``work`` was closed before.
    """
    called = dict(zip(nodeIds, names, strict=False))
    iterator = iter(work)
    try:
        while True:
            for nodeId in nodeIds:
                if slicer.mrmlScene.GetNodeByID(nodeId) is None:
                    raise NodeGone(called.get(nodeId, nodeId), nodeId)
            try:
                fraction = next(iterator)
            except StopIteration as end:
                return end.value
            yield fraction
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def failureOf(error: BaseException, jobId: str = "") -> Failure:
    """What the user is told of an exception on the panel's side: a ``Failure``."""
    detail = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, SamPromptError):
        return Failure(jobId, error.code, error.message, error.hint, detail)
    if isinstance(error, MemoryError):
        return Failure(jobId, "memory", _("Slicer ran out of memory."), _("Close other data and start again."), detail)
    if isinstance(error, OSError):
        said = folders.outputError(error, error.filename or folders.rootFolder())
        return Failure(jobId, said.code, said.message, said.hint, detail)
    message = _("Something went wrong in the panel: {error}").format(error=error or type(error).__name__)
    return Failure(jobId, "error", message, _("Please report it with the details below."), detail)
