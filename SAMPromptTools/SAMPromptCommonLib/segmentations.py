"""Segments of the scene handed to the worker as masks. The way back is ``results``; both are offered here."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from samprompt.contract.errors import GridError, InputError, StructureError
from samprompt.contract.worker import StructureMessage

from SAMPromptCommonLib.arrays import writtenArray
from SAMPromptCommonLib.grids import Frame, frameOf
from SAMPromptCommonLib.index_maps import IndexMap
from SAMPromptCommonLib.masks import EMPTY, Box, PlacedMask, labelBoxes, placed
from SAMPromptCommonLib.results import BASELINE_ROLE, VOLUME_ROLE, importStructures, removeSegmentation
from SAMPromptCommonLib.sources import LabelSource, SurfaceSource, sourceOf, terminologyOf
from SAMPromptCommonLib.surfaces import filled
from SAMPromptCommonLib.transforms import matrixToWorld, toArray, toMatrix, transformToWorld
from SAMPromptCommonLib.voxels import imageVoxels, nameOf, requireInScene

__all__ = [
    "BASELINE_ROLE",
    "VOLUME_ROLE",
    "exportStructures",
    "importStructures",
    "removeSegmentation",
    "segmentIdsOf",
]


def segmentIdsOf(segmentationNode: Any) -> list[str]:
    """IDs of all segments, in their order."""
    segmentation = segmentationNode.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]


def exportStructures(
    segmentationNode: Any,
    segmentIds: Sequence[str] | None,
    volumeNode: Any,
    folder: Path | str,
    frame: Frame | None = None,
    notes: list[str] | None = None,
) -> Generator[float, None, tuple[StructureMessage, ...]]:
    """Steps that write segments (None: all) as masks on the grid on which ``volumeNode`` is handed over.

    Voxels that coincide with the volume's are copied exactly; labelmaps of another geometry, surfaces and whatever lies
    under other transforms are brought onto it. ``frame`` is the VolumeHandover's (default: the volume as it stands).
    What the user should know is appended to ``notes``. Neither node is touched. An empty segment, and one that lies
    outside the volume, becomes a message with ``array`` "".

    Raises (while it is iterated):
        StructureError: no segments, an unknown one, or contours that cannot be converted.
        GridError: all of them lie outside the volume.
        InputError: a node was deleted or a segment edited between two steps.
        OutputError: disk full, no permission.
    """
    export = _Export(segmentationNode, volumeNode, Path(folder), notes if notes is not None else [])
    return (yield from export.steps(segmentIds, frame))


@dataclass
class _Export:
    node: Any
    volumeNode: Any
    folder: Path
    notes: list[str]
    name: str = ""
    fromWorld: Any = None  # transform from the world to the segmentation's RAS where that is not linear
    boxes: dict[Any, dict[int, Box]] = field(default_factory=dict)  # of each labelmap, which segments may share

    def steps(self, segmentIds: Sequence[str] | None, frame: Frame | None) -> Generator[float, None, tuple]:
        self.name = nameOf(self.node)
        self._require()
        ids = list(segmentIdsOf(self.node) if segmentIds is None else segmentIds)
        if not ids:
            raise StructureError(f"The segmentation '{self.name}' has no segments.", "Contour a structure first.")
        frame = frame if frame is not None else frameOf(self.volumeNode)
        yield 0.0
        messages, outside = [], 0
        for number, segmentId in enumerate(ids):
            mask = EMPTY
            for step in self._mask(segmentId, frame):
                if isinstance(step, PlacedMask):
                    mask = step
                yield number / len(ids)
                self._require()
            outside += mask.isEmpty and mask.lost > 0
            segment = self.node.GetSegmentation().GetSegment(segmentId)
            if segment is None:
                raise StructureError(f"A segment of '{self.name}' was deleted meanwhile.", "Choose again.")
            self._note(segment.GetName(), mask)
            path = ""
            if not mask.isEmpty:
                target = self.folder / f"structure-{secrets.token_hex(8)}.npy"
                path = str(target)
                for done in writtenArray(target, mask.array):
                    yield (number + done) / len(ids)
                self._require()
            messages.append(
                StructureMessage(
                    segmentId,
                    segment.GetName() or segmentId,
                    tuple(float(c) for c in segment.GetColor()),
                    path,
                    mask.offset,
                    tuple(int(n) for n in mask.array.shape),
                    terminologyOf(segment),
                )
            )
        if outside and all(not message.array for message in messages):
            raise GridError(
                f"The segmentation '{self.name}' and the volume '{nameOf(self.volumeNode)}' share no space.",
                "Choose the volume on which it was contoured, and check the transforms of both.",
            )
        return tuple(messages)

    def _mask(self, segmentId: str, frame: Frame) -> Any:
        """Steps (None) of one segment; the last one is its PlacedMask."""
        segmentation = self.node.GetSegmentation()
        source = sourceOf(segmentation, segmentId, self._geometry(frame))
        yield None
        if isinstance(source, LabelSource):
            begun = source.image.GetMTime()
            yield (yield from self._ofLabels(source, frame))
            if segmentation.GetSegment(segmentId) is None or source.image.GetMTime() != begun:
                raise InputError(f"'{self.name}' was edited while it was handed over.", "Start again when it is ready.")
        elif isinstance(source, SurfaceSource):
            toLocal = IndexMap(*self._chain(frame, np.eye(4)))
            yield (yield from filled(source.surface, toLocal, frame.grid.shape))

    def _ofLabels(self, source: LabelSource, frame: Frame) -> Generator[None, None, PlacedMask]:
        labels = imageVoxels(source.image, self.name)
        key = (source.image, source.image.GetMTime())
        if key not in self.boxes:
            self.boxes[key] = yield from labelBoxes(labels)
        box = self.boxes[key].get(source.value)
        if box is None:
            return EMPTY
        return (yield from placed(labels, source.value, box, self._toLabels(source.image, frame), frame.grid.shape))

    def _toLabels(self, image: Any, frame: Frame) -> IndexMap:
        """From indices of the frame's grid to those of a labelmap's array."""
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        shift = np.eye(4)
        shift[:3, 3] = [-image.GetExtent()[2 * axis] for axis in range(3)]
        return IndexMap(*self._chain(frame, shift @ np.linalg.inv(toArray(matrix))))

    def _chain(self, frame: Frame, rasToSource: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """Arguments of an IndexMap: the frame's grid, the segmentation's RAS to the source, the transform between."""
        world = matrixToWorld(self.node)
        if world is not None:
            return frame.ijkToWorld, rasToSource @ np.linalg.inv(world), None
        if self.fromWorld is None:
            self.fromWorld = transformToWorld(self.node).GetInverse()
        return frame.ijkToWorld, rasToSource, self.fromWorld

    def _geometry(self, frame: Frame) -> str:
        """The frame's grid as Slicer's image geometry string, in the segmentation's own RAS where that is linear."""
        world = matrixToWorld(self.node)
        matrix = frame.ijkToWorld if world is None else np.linalg.inv(world) @ frame.ijkToWorld
        k, j, i = frame.grid.shape
        image = slicer.vtkOrientedImageData()
        image.SetExtent(0, i - 1, 0, j - 1, 0, k - 1)
        image.SetImageToWorldMatrix(toMatrix(matrix))
        return slicer.vtkSegmentationConverter.SerializeImageGeometry(image)

    def _require(self) -> None:
        requireInScene(self.node, self.name)
        requireInScene(self.volumeNode, nameOf(self.volumeNode))

    def _note(self, name: str, mask: PlacedMask) -> None:
        if mask.isEmpty and mask.lost > 0:
            self.notes.append(f"'{name}' lies outside the volume.")
        elif mask.isEmpty:
            self.notes.append(f"'{name}' is empty.")
        elif mask.lost > 0.01:
            self.notes.append(f"{100 * mask.lost:.0f} % of '{name}' lies outside the volume and was cut off.")
