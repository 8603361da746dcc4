"""The grid of a volume: shape and the full 4x4 IJK-to-RAS matrix; every question of orientation is answered here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samprompt.contract.errors import GridError

# Directions may deviate this much from orthogonal (cosine between axes) before a grid counts as sheared. NIfTI stores
# the matrix as float32 and Slicer writes 6 digits, so exact orthogonality is never seen.
_SHEAR_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape ``(k, j, i)`` of an array and the 4x4 matrix that maps voxel indices (i, j, k) to RAS millimetres.

    Voxel centres have integer indices. The matrix may hold any rotation, flip and anisotropy; shear is refused.

    Raises:
        GridError: no voxels, a singular, non-finite or sheared matrix.
    """

    shape: tuple[int, int, int]
    ijk_to_ras: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GridError(f"A grid of shape {shape} has no voxels in three dimensions.", "Give a 3D image.")
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise GridError("The IJK-to-RAS matrix is not a finite 4x4 matrix.", "Check the header of the image.")
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if lengths.min() <= 0 or abs(np.linalg.det(matrix[:3, :3] / np.where(lengths > 0, lengths, 1))) < 1e-6:
            raise GridError(
                "The IJK-to-RAS matrix has no inverse (a spacing is zero).", "Check the header of the image."
            )
        directions = matrix[:3, :3] / lengths
        if np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR_TOLERANCE:
            raise GridError(
                "The image grid is sheared (its axes are not perpendicular, as after a gantry tilt).",
                "Resample it to a regular grid first (in Slicer: Resample Scalar/Vector/DWI Volume, or the "
                "acquisition geometry regularisation of the DICOM module).",
            )
        matrix.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "ijk_to_ras", matrix)

    @classmethod
    def from_spacing(cls, shape: tuple[int, int, int], spacing: ArrayLike, origin: ArrayLike = (0.0, 0.0, 0.0)) -> Grid:
        """Grid along the RAS axes; ``spacing`` in mm and ``origin`` (RAS of voxel 0, 0, 0) in (i, j, k) order."""
        matrix = np.diag([*np.asarray(spacing, dtype=float), 1.0])
        matrix[:3, 3] = origin
        return cls(shape, matrix)

    @cached_property
    def spacing(self) -> NDArray[np.float64]:
        """Distance between voxel centres along i, j, k in mm."""
        return np.asarray(np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0))

    @cached_property
    def spacing_kji(self) -> NDArray[np.float64]:
        """Distance between voxel centres along k, j, i in mm (the order of the array's axes)."""
        return np.asarray(self.spacing[::-1])

    @cached_property
    def directions(self) -> NDArray[np.float64]:
        """3x3 matrix whose columns are the unit vectors of i, j, k in RAS."""
        return np.asarray(self.ijk_to_ras[:3, :3] / self.spacing)

    @cached_property
    def ras_to_ijk(self) -> NDArray[np.float64]:
        """Inverse of ``ijk_to_ras``."""
        return np.asarray(np.linalg.inv(self.ijk_to_ras))

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm3."""
        return float(np.prod(self.spacing))

    @cached_property
    def axial_axis(self) -> int:
        """Array axis (0 = k, 1 = j, 2 = i) that runs closest to superior-inferior."""
        return 2 - int(np.argmax(np.abs(self.directions[2])))

    def to_ras(self, kji: ArrayLike) -> NDArray[np.float64]:
        """RAS millimetres of (possibly fractional) array indices; ``kji`` is (..., 3)."""
        index = np.asarray(kji, dtype=np.float64)[..., ::-1]
        return np.asarray(index @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3])

    def to_kji(self, ras: ArrayLike) -> NDArray[np.float64]:
        """Fractional array indices (k, j, i) of RAS millimetres; ``ras`` is (..., 3)."""
        point = np.asarray(ras, dtype=np.float64)
        return np.asarray((point @ self.ras_to_ijk[:3, :3].T + self.ras_to_ijk[:3, 3])[..., ::-1])

    def kji_to_kji(self, other: Grid) -> NDArray[np.float64]:
        """4x4 matrix that maps array indices (k, j, i, 1) of this grid to array indices of ``other``."""
        flip = np.eye(4)[[2, 1, 0, 3]]
        return np.asarray(flip @ other.ras_to_ijk @ self.ijk_to_ras @ flip)

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether both have the same shape and no corner voxel lies more than ``tolerance`` mm apart."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.abs(self.to_ras(corners) - other.to_ras(corners)).max() <= tolerance)

    def crop(self, start: ArrayLike, shape: tuple[int, int, int]) -> Grid:
        """Grid of the block that begins at array index ``start`` (k, j, i; may lie outside) and has ``shape``."""
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = self.to_ras(start)
        return Grid(shape, matrix)

    def corners_ras(self) -> NDArray[np.float64]:
        """RAS of the eight outer corners of the outer voxels (half a voxel beyond the centres), (8, 3)."""
        corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.shape])).reshape(3, -1).T
        return self.to_ras(corners)
