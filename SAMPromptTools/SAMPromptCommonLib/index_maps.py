"""From voxel indices of one grid to those of another, through matrices and, where there is one, any VTK transform."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from SAMPromptCommonLib.transforms import moved, throughTransform

# A transform that is not linear is asked every so many millimetres (and at least every voxel is never needed more
# often) and interpolated between: with control points 20 mm apart and shifts of 10 mm that is exact to 0.03 mm, and
# inverting a B-spline for every voxel of a CT would take minutes.
_NODE_MM = 3.0
_COINCIDE = 0.01  # voxels of two grids coincide when no centre is farther than this from the other's, in voxels
FLIP = np.eye(4)[[2, 1, 0, 3]]  # (i, j, k, 1) <-> (k, j, i, 1)


@dataclass(frozen=True, eq=False)
class IndexMap:
    """Maps array indices (k, j, i) of a target to array indices of a source.

    ``targetToRas``: 4x4, (i, j, k) of the target to RAS; ``transform``: VTK transform from that RAS to the source's,
    None for none; ``rasToSource``: 4x4, RAS to (i, j, k) of the source.
    """

    targetToRas: np.ndarray
    rasToSource: np.ndarray
    transform: Any = None

    @property
    def matrix(self) -> np.ndarray | None:
        """4x4 matrix from target (k, j, i, 1) to source (k, j, i, 1), None when a transform is between them."""
        return FLIP @ self.rasToSource @ self.targetToRas @ FLIP if self.transform is None else None

    def inverted(self) -> IndexMap:
        """The map from source to target."""
        inverse = None if self.transform is None else self.transform.GetInverse()
        return IndexMap(np.linalg.inv(self.rasToSource), np.linalg.inv(self.targetToRas), inverse)

    def points(self, kji: np.ndarray) -> np.ndarray:
        """Indices (n, 3) of the source for indices (n, 3) of the target; every point is computed."""
        ras = moved(self.targetToRas, kji[:, ::-1])
        return moved(self.rasToSource, throughTransform(self.transform, ras))[:, ::-1]

    def block(self, start: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
        """Source indices (3, *shape) of all voxels of a block of the target."""
        spacing = np.linalg.norm(self.targetToRas[:3, :3], axis=0)[::-1]
        nodes = [
            _nodes(n, _NODE_MM / mm if self.transform is not None else n) for n, mm in zip(shape, spacing, strict=True)
        ]
        lattice = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1)
        at = self.points(lattice.reshape(-1, 3) + np.asarray(start, dtype=float)).reshape(lattice.shape)
        for axis, n in enumerate(shape):
            at = np.moveaxis(np.tensordot(_weights(nodes[axis], n), at, axes=(1, axis)), 0, axis)
        return np.moveaxis(at, -1, 0)

    def reach(self, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Box (start, stop) of source indices that a box of the target reaches, from outer face to outer face."""
        steps = 2 if self.transform is None else 9
        axes = [np.linspace(a - 0.5, b - 0.5, steps) for a, b in zip(start, stop, strict=True)]
        corners = np.array(list(product(*axes)))
        at = self.points(corners)
        low, high = at.min(axis=0), at.max(axis=0)
        # Between the lattice's points a bent box may bulge.
        margin = 1.0 if self.transform is None else 2.0 + 0.05 * (high - low)
        return np.floor(low - margin).astype(int), np.ceil(high + margin).astype(int) + 1

    def width(self, kji: np.ndarray) -> np.ndarray:
        """Extent of a target voxel at ``kji`` along each source axis (k, j, i), in source voxels.

        The norm, not the sum, of a row: a turned grid of equal spacing is no coarser.
        """
        ends = self.points(kji + np.r_[np.eye(3), -np.eye(3)] * 0.5)
        return np.linalg.norm((ends[:3] - ends[3:]).T, axis=1)


def coinciding(source: np.ndarray, matrix: np.ndarray | None, shape: tuple[int, int, int]) -> tuple | None:
    """Source turned and flipped to the target's axes, and the target index of its first voxel; a view, no copy.

    None when voxel centres of the two grids do not coincide.
    """
    if matrix is None:
        return None
    whole = np.rint(matrix)
    turn = whole[:3, :3].astype(int)
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1])).reshape(4, -1)
    if np.abs((matrix - whole) @ corners).max() > _COINCIDE:
        return None
    axes = [int(np.flatnonzero(turn[:, axis])[0]) for axis in range(3)]  # source axis of every target axis
    view, start = source.transpose(axes), []
    for axis, sourceAxis in enumerate(axes):
        at = int(whole[sourceAxis, 3])  # source index of target index 0
        if turn[sourceAxis, axis] < 0:
            view = np.flip(view, axis)
            at = source.shape[sourceAxis] - 1 - at
        start.append(-at)
    return view, np.array(start)


def _nodes(count: int, step: float) -> np.ndarray:
    """Indices from 0 to count - 1 about ``step`` apart (at least one voxel), both ends included."""
    if count == 1:
        return np.zeros(1)
    return np.linspace(0, count - 1, max(2, int(np.ceil((count - 1) / max(step, 1.0))) + 1))


def _weights(nodes: np.ndarray, count: int) -> np.ndarray:
    """Matrix (count, nodes) that interpolates linearly between ``nodes`` at 0 .. count - 1."""
    at = np.arange(count, dtype=float)
    return np.stack([np.interp(at, nodes, row) for row in np.eye(len(nodes))], axis=1)
