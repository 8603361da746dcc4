"""A volume of the scene written for the worker, in small steps."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from samprompt.contract.errors import InputError, IntensityError
from samprompt.contract.worker import VolumeMessage

from SAMPromptCommonLib.arrays import npyHeader
from SAMPromptCommonLib.folders import wholeFile, writeAll
from SAMPromptCommonLib.grids import Frame, frameOf, ownIjkToRas
from SAMPromptCommonLib.modality import guessedModality, volumeModality
from SAMPromptCommonLib.transforms import matrixToWorld
from SAMPromptCommonLib.voxels import nameOf, pieces, requireInScene, scalarVoxels
from SAMPromptCommonLib.warping import warped

__all__ = ["VolumeHandover", "volumeModality", "volumeStamp"]


class VolumeHandover:
    """Writes a volume's voxels as .npy into ``folder``, in steps of a few milliseconds; the node is not touched.

    Iterate it (``Steps([handover], ...)`` or ``runNow(handover)``); the result is the VolumeMessage, also kept in
    ``message``. ``frame`` says on which grid it was handed over (give it to ``importStructures``), ``notes`` what the
    user should know. ``name`` defaults to the node's; ``modality`` None: what DICOM says, else guessed from the values.

    Raises (while it is iterated):
        NotAnImageError: no voxels, or colours.
        IntensityError: no voxel is a number.
        GridError: a matrix or a transform without inverse.
        InputError: the node was deleted or its voxels were changed between two steps.
        OutputError: disk full, no permission; nothing is left in the folder.
    """

    def __init__(self, volumeNode: Any, folder: Path | str, name: str = "", modality: str | None = None) -> None:
        self._node = volumeNode
        self._folder = Path(folder)
        self.name = name or nameOf(volumeNode)
        self.modality = modality
        self.message: VolumeMessage | None = None
        self.frame: Frame | None = None
        self.notes: list[str] = []
        self._stamp: tuple = ()
        self._lowest = np.inf
        self._fill: float | None = None  # stands in for voxels that are not a number

    def __iter__(self) -> Generator[float, None, VolumeMessage]:
        """The steps; each yields the share that is done."""
        requireInScene(self._node, self.name)
        voxels = scalarVoxels(self._node)
        frame = self.frame = frameOf(self._node)
        self._stamp = volumeStamp(self._node)
        self.notes = []
        path = self._folder / f"volume-{secrets.token_hex(8)}.npy"
        yield 0.0
        if voxels.dtype.kind == "f" or not frame.native:
            yield from self._surveyed(voxels.reshape(-1))
        digest = hashlib.blake2b(digest_size=20)
        total = int(np.prod(frame.grid.shape)) * voxels.itemsize
        done = 0
        with wholeFile(path) as stream:
            writeAll(stream, npyHeader(voxels.dtype, frame.grid.shape))
            for piece in self._pieces(voxels, frame):
                if piece is not None:
                    data = memoryview(piece).cast("B")
                    digest.update(data)
                    writeAll(stream, data)
                    done += data.nbytes
                yield done / total
                self._check()
        modality = self.modality
        if modality is None:
            modality = guessedModality(self._node, self._lowest)
        digest.update(f"{voxels.dtype.str} {frame.grid} {modality}".encode())
        if not frame.native:
            self.notes.append(
                f"'{self.name}' lies under a transform that bends or shears it: a copy was resampled onto a regular "
                "grid; the results are brought back onto its own voxels."
            )
        self.message = VolumeMessage(self.name, str(path), frame.grid, digest.hexdigest(), modality)
        return self.message

    def _pieces(self, voxels: np.ndarray, frame: Frame) -> Iterator[np.ndarray | None]:
        """What is to be written, in order, in pieces; None: nothing yet, but a step is over."""
        if not frame.native:
            yield from warped(voxels, frame, self._lowest)
            return
        flat = voxels.reshape(-1)
        for part in pieces(flat.size, flat.itemsize):
            piece = flat[part]
            if self._fill is not None:
                piece = np.where(np.isfinite(piece), piece, piece.dtype.type(self._fill))
            elif piece.dtype.kind != "f":
                self._lowest = min(self._lowest, float(piece.min()))
            yield piece

    def _surveyed(self, flat: np.ndarray) -> Iterator[float]:
        """Find the lowest value and voxels that are no number, for which it stands in (the rule for files as well)."""
        missing = 0
        for part in pieces(flat.size, flat.itemsize):
            piece = flat[part]
            if flat.dtype.kind == "f":
                finite = np.isfinite(piece)
                missing += piece.size - int(np.count_nonzero(finite))
                piece = piece if finite.all() else piece[finite]
            if piece.size:
                self._lowest = min(self._lowest, float(piece.min()))
            yield 0.0
            self._check()
        if missing == flat.size:
            raise IntensityError(
                f"The volume '{self.name}' holds no number at all (NaN everywhere).", "Load or export it again."
            )
        if missing:
            self._fill = self._lowest
            self.notes.append(
                f"{missing} voxels of '{self.name}' are not a number (NaN or infinite); the minimum "
                f"{self._lowest:g} stands in."
            )

    def _check(self) -> None:
        """Raise when the volume is no longer there, or no longer the one that was begun."""
        requireInScene(self._node, self.name)
        if volumeStamp(self._node) != self._stamp:
            raise InputError(
                f"'{self.name}' was changed while it was handed over.", "Start again when it is as you want it."
            )


def volumeStamp(volumeNode: Any) -> tuple:
    """Equal stamps: neither voxels nor place of the volume changed; for not handing the same volume over twice."""
    image = volumeNode.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    voxels = (scalars.GetMTime(), image.GetDimensions()) if scalars is not None else ()
    world = matrixToWorld(volumeNode)
    place = world.tobytes() if world is not None else _timeOfTransforms(volumeNode)
    return (*voxels, ownIjkToRas(volumeNode).tobytes(), place)


def _timeOfTransforms(volumeNode: Any) -> int:
    """When a transform above a node last changed, as VTK counts it."""
    times, parent = [], volumeNode.GetParentTransformNode()
    while parent is not None:
        times.append((parent.GetID(), parent.GetTransformToParent().GetMTime()))
        parent = parent.GetParentTransformNode()
    return hash(tuple(times))
