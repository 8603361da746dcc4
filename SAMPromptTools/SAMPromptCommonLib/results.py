"""Masks that came back from the worker, made into one new segmentation of a follow-up volume."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from samprompt.contract.errors import InputError, UnreadableFileError
from samprompt.contract.worker import OutcomeMessage, StructureMessage
from vtk.util import numpy_support

from SAMPromptCommonLib.arrays import readMask
from SAMPromptCommonLib.grids import Frame, frameOf, ownIjkToRas, ownShape
from SAMPromptCommonLib.hierarchy import placeBeside
from SAMPromptCommonLib.index_maps import IndexMap
from SAMPromptCommonLib.masks import PlacedMask, placed
from SAMPromptCommonLib.sources import LABELMAP, setSourceName
from SAMPromptCommonLib.transforms import toMatrix
from SAMPromptCommonLib.voxels import nameOf, requireInScene

# Node references from a result to what it was made from.
BASELINE_ROLE = "SAMPrompt.baselineSegmentation"
VOLUME_ROLE = "SAMPrompt.volume"


def importStructures(
    outcomes: Sequence[OutcomeMessage | StructureMessage],
    volumeNode: Any,
    baselineSegmentationNode: Any,
    name: str = "",
    frame: Frame | None = None,
    which: str = "structure",
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> Generator[float, None, Any]:
    """Steps that make one new segmentation node of a follow-up's outcomes; their result is the node.

    Masks come cropped as they are, on the volume's own voxels and under its parent transform, with the volume as
    reference geometry; no surface is made. Segment ID, name, colour, terminology and tags are the baseline segment's
    (the message's where that segment is gone); ``tags`` (segment ID -> tag -> value) are set on top. A flagged outcome
    gets Slicer's segment status "flagged", the baseline's status is not inherited. A structure that is gone becomes an
    empty segment. The node stands beside the volume in the subject hierarchy, under a name that is free (default: both
    names), and refers to volume and baseline. Nothing is in the scene before the last step.

    ``frame`` is the VolumeHandover's; ``which``: "structure" for the results, "prior" for the baseline's contours as
    the alignment put them. Instead of outcomes, StructureMessages may be given.

    Raises (while it is iterated):
        UnreadableFileError: a mask is not there or damaged, or lies outside the volume.
        InputError: the volume was deleted or got another size meanwhile.
    """
    volumeName = nameOf(volumeNode)
    requireInScene(volumeNode, volumeName)
    frame = frame if frame is not None else frameOf(volumeNode)
    segmentation = slicer.vtkSegmentation()
    setSourceName(segmentation, LABELMAP)
    yield 0.0
    for number, outcome in enumerate(outcomes):
        message = outcome if isinstance(outcome, StructureMessage) else getattr(outcome, which)
        image = slicer.vtkOrientedImageData()
        for done in _filled(image, message, volumeNode, frame):
            yield (number + done) / len(outcomes)
            requireInScene(volumeNode, volumeName)
        flagged = isinstance(outcome, OutcomeMessage) and outcome.flagged and which == "structure"
        segment = _segment(message, baselineSegmentationNode, flagged)
        for tag, value in ((tags or {}).get(message.id) or {}).items():
            segment.SetTag(str(tag), str(value))
        segment.AddRepresentation(LABELMAP, image)
        segmentation.AddSegment(segment, message.id)
    node = _inScene(segmentation, volumeNode, baselineSegmentationNode, name)
    yield 1.0
    return node


def removeSegmentation(node: Any) -> None:
    """Take a segmentation out of the scene with its display and storage nodes; does nothing when it is gone."""
    scene = node.GetScene() if node is not None else None
    if scene is None:
        return
    others = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    others += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for other in others:
        if other is not None and other.GetScene() is scene:
            scene.RemoveNode(other)


def _filled(image: Any, message: StructureMessage, volumeNode: Any, frame: Frame) -> Generator[float, None, None]:
    """Steps that give ``image`` the mask and its place in the volume's own RAS; an empty one has no voxels."""
    shape = ownShape(volumeNode)
    if shape != frame.ownShape:
        raise InputError(f"The volume '{nameOf(volumeNode)}' got another size while it was computed.", "Start again.")
    matrix = toMatrix(ownIjkToRas(volumeNode))
    if not message.array:
        image.SetExtent(0, -1, 0, -1, 0, -1)
        image.SetImageToWorldMatrix(matrix)
        return
    stop = np.add(message.offset, message.size)
    if min(message.offset) < 0 or (stop > frame.grid.shape).any() or min(message.size) < 1:
        raise UnreadableFileError(
            f"The mask of '{message.name}' lies outside the volume '{nameOf(volumeNode)}'.", "Compute it again."
        )
    if frame.native:
        voxels = _allocated(image, message.offset, message.size)
        yield 0.0
        yield from readMask(message.array, message.name, voxels)
    else:
        mask = np.empty([int(n) for n in message.size], dtype=np.uint8)
        yield from readMask(message.array, message.name, mask)
        back = yield from _onOwnVoxels(mask, message, frame)
        if back.isEmpty:
            image.SetExtent(0, -1, 0, -1, 0, -1)
        else:
            _allocated(image, back.offset, back.array.shape)[...] = back.array
    image.SetImageToWorldMatrix(matrix)


def _onOwnVoxels(mask: np.ndarray, message: StructureMessage, frame: Frame) -> Generator[float, None, PlacedMask]:
    """Steps that bring a mask on the frame's grid onto the volume's own voxels."""
    shift = np.eye(4)
    shift[:3, 3] = -np.array(message.offset[::-1], dtype=float)
    toMask = IndexMap(frame.ownIjkToRas, shift @ np.linalg.inv(frame.ijkToWorld), frame.toWorld)
    steps = placed(mask, 1, tuple(slice(0, n) for n in mask.shape), toMask, frame.ownShape)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield 0.5


def _allocated(image: Any, offset: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Voxels (k, j, i) of a cropped uint8 image that begins at ``offset``."""
    extent = [n for o, s in zip(reversed(offset), reversed(size), strict=True) for n in (int(o), int(o + s - 1))]
    image.SetExtent(*extent)
    image.AllocateScalars(3, 1)  # VTK_UNSIGNED_CHAR
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape([int(n) for n in size])


def _segment(message: StructureMessage, baselineSegmentationNode: Any, flagged: bool) -> Any:
    """A segment with the baseline segment's name, colour, terminology and tags."""
    segment = slicer.vtkSegment()
    baseline = None
    if baselineSegmentationNode is not None and baselineSegmentationNode.GetScene() is not None:
        baseline = baselineSegmentationNode.GetSegmentation().GetSegment(message.id)
    if baseline is not None:
        segment.DeepCopyMetadata(baseline)
    else:
        segment.SetName(message.name)
        segment.SetColor(*message.color)
        segment.SetNameAutoGenerated(False)
        segment.SetColorAutoGenerated(False)
        if message.terminology:
            segment.SetTag(segment.GetTerminologyEntryTagName(), message.terminology)
    segment.SetLabelValue(1)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    segment.RemoveTag(logic.GetStatusTagName())
    if flagged:
        logic.SetSegmentStatus(segment, logic.Flagged)
    return segment


def _inScene(segmentation: Any, volumeNode: Any, baselineSegmentationNode: Any, name: str) -> Any:
    """The new node, complete: transform, geometry, references, display, place in the subject hierarchy."""
    scene = slicer.mrmlScene
    if scene.GetUndoFlag():
        scene.SaveStateForUndo()
    hasBaseline = baselineSegmentationNode is not None and baselineSegmentationNode.GetScene() is scene
    if not name:
        name = f"{nameOf(baselineSegmentationNode)} {nameOf(volumeNode)}" if hasBaseline else nameOf(volumeNode)
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetAndObserveSegmentation(segmentation)
    node.SetName(scene.GenerateUniqueName(name))
    scene.AddNode(node)
    if volumeNode.GetScene() is scene:
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        node.SetNodeReferenceID(VOLUME_ROLE, volumeNode.GetID())
    if hasBaseline:
        node.SetNodeReferenceID(BASELINE_ROLE, baselineSegmentationNode.GetID())
    node.CreateDefaultDisplayNodes()
    placeBeside(node, volumeNode)
    return node
