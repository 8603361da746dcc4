"""Where the voxels of a Slicer volume are in the world, and on which grid they are handed to the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from samprompt.contract.errors import GridError, NotAnImageError
from samprompt.contract.worker import GridMessage

from SAMPromptCommonLib.transforms import matrixToWorld, moved, throughTransform, toArray, transformToWorld

# The worker calls a grid sheared when axes deviate this much from right angles (cosine); then it is resampled.
_SHEAR_TOLERANCE = 1e-3
# A non-linear transform may blow a volume up; beyond this many times its own voxels something is wrong with it.
_MOST_GROWTH = 8.0


@dataclass(frozen=True, eq=False)
class Frame:
    """How the voxels that are handed over relate to the volume's own.

    ``grid`` is what the worker is told: shape (k, j, i) and IJK to world RAS. ``ownIjkToRas`` (4x4) is the volume's own
    matrix, without parent transforms, ``ownShape`` its (k, j, i). ``native``: the voxels handed over are the volume's
    own, one by one. Otherwise (a parent transform that is not linear, or a sheared grid) the volume is resampled onto
    ``grid``, and ``toWorld`` is a copy of the transform from the volume's own RAS to the world at that time.
    """

    grid: GridMessage
    ownShape: tuple[int, int, int]
    ownIjkToRas: np.ndarray
    native: bool
    toWorld: Any = None

    @property
    def ijkToWorld(self) -> np.ndarray:
        """4x4 matrix of ``grid``."""
        return np.array(self.grid.ijk_to_ras, dtype=float).reshape(4, 4)


def gridMessage(volumeNode: Any) -> GridMessage:
    """Shape and IJK-to-world matrix on which a volume is handed over (see ``frameOf``)."""
    return frameOf(volumeNode).grid


def frameOf(volumeNode: Any) -> Frame:
    """Frame of a volume as it stands now: parent transforms included, the node is not touched.

    Raises:
        NotAnImageError: no voxels.
        GridError: a matrix without inverse, here or in a transform above.
    """
    shape = ownShape(volumeNode)
    ownMatrix = ownIjkToRas(volumeNode)
    world = matrixToWorld(volumeNode)
    if world is not None and not isSheared(world @ ownMatrix):
        return Frame(_message(shape, world @ ownMatrix), shape, ownMatrix, True)
    toWorld = transformToWorld(volumeNode)
    grid = _regularGrid(volumeNode, shape, ownMatrix, toWorld)
    return Frame(grid, shape, ownMatrix, False, toWorld)


def ownShape(volumeNode: Any) -> tuple[int, int, int]:
    """Shape (k, j, i) of a volume.

    Raises:
        NotAnImageError: no voxels.
    """
    image = volumeNode.GetImageData()
    i, j, k = image.GetDimensions() if image is not None else (0, 0, 0)
    if min(i, j, k) < 1 or image.GetPointData().GetScalars() is None:
        raise NotAnImageError(f"The volume '{volumeNode.GetName()}' holds no voxels.", "Load the image again.")
    return (k, j, i)


def ownIjkToRas(volumeNode: Any) -> np.ndarray:
    """4x4 matrix from voxel indices to the volume's own RAS, parent transforms left out.

    Raises:
        GridError: not finite, or without inverse.
    """
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    array = toArray(matrix)
    lengths = np.linalg.norm(array[:3, :3], axis=0)
    if not np.isfinite(array).all() or lengths.min() <= 0 or abs(np.linalg.det(array[:3, :3] / lengths)) < 1e-6:
        raise GridError(
            f"The volume '{volumeNode.GetName()}' has a grid without inverse (a spacing or an axis is zero).",
            "Correct its image spacing in the Volumes module, or load it again.",
        )
    return array


def isSheared(ijkToRas: np.ndarray) -> bool:
    """Whether the axes of a grid are not at right angles (gantry tilt, an affine registration)."""
    directions = ijkToRas[:3, :3] / np.linalg.norm(ijkToRas[:3, :3], axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR_TOLERANCE * 0.99)


def _message(shape: tuple[int, int, int], matrix: np.ndarray) -> GridMessage:
    return GridMessage(shape, tuple(float(value) for value in matrix.ravel()))


def _regularGrid(volumeNode: Any, shape: tuple[int, int, int], ownMatrix: np.ndarray, toWorld: Any) -> GridMessage:
    """Grid with right angles in the world that holds the whole transformed volume at about its own voxel size."""
    # The transformed block is followed at a lattice of points through its inside and outer faces.
    steps = [np.linspace(-0.5, n - 0.5, min(n, 12) + 1) for n in shape[::-1]]
    ijk = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    world = throughTransform(toWorld, moved(ownMatrix, ijk))
    if not np.isfinite(world).all():
        raise GridError(
            f"The transform above '{volumeNode.GetName()}' has no finite values.", "Take the volume out of it."
        )
    # The best affine matrix in the least-squares sense, then the nearest axes at right angles (polar decomposition).
    affine = np.linalg.lstsq(np.c_[ijk, np.ones(len(ijk))], world, rcond=None)[0].T
    spacing = np.linalg.norm(affine[:, :3], axis=0)
    if spacing.min() <= 0 or not np.isfinite(spacing).all():
        raise GridError(
            f"The transform above '{volumeNode.GetName()}' flattens it.", "Correct the transform, or remove it."
        )
    left, _sizes, right = np.linalg.svd(affine[:, :3] / spacing)
    axes = left @ right
    along = world @ axes / spacing  # in voxels of the new grid
    first = np.floor(along.min(axis=0) + 0.5 + 1e-6)
    count = np.maximum(1, np.ceil(along.max(axis=0) - 0.5 - 1e-6) - first + 1).astype(int)
    if count.prod() > _MOST_GROWTH * np.prod(shape) + 1e6:
        raise GridError(
            f"The transform above '{volumeNode.GetName()}' stretches it to {count.prod() / np.prod(shape):.0f} times "
            "its voxels.",
            "Check the transform, or take the volume out of it.",
        )
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = axes @ (first * spacing)
    return _message((int(count[2]), int(count[1]), int(count[0])), matrix)
