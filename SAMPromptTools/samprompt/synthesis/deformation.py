"""Where a point of a later visit was at baseline: set-up, breathing, soft tissue, and scaling about a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.space.grid import Grid
from samprompt.synthesis.fields import Float, smooth_field, smoothstep

LATTICE_MM = 3.0  # node distance of displacement fields
_LEAST_JACOBIAN = 0.15  # scaling fields are smoothed until the volume of no node shrinks below this share


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """Displacements in RAS mm, ``array`` (3, k, j, i), at the nodes of ``grid``; linear between, constant beyond."""

    array: Float
    grid: Grid

    def at(self, ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacement (N, 3) in mm at points ``ras`` (N, 3)."""
        where = self.grid.to_kji(ras).T
        parts = [ndimage.map_coordinates(part, where, order=1, mode="nearest") for part in self.array]
        return np.stack(parts, axis=-1).astype(np.float64)

    def folding(self) -> float:
        """Fraction of nodes where the Jacobian determinant of x -> x + u(x) is not positive."""
        return float((jacobian_determinant(self.array, self.grid) <= 0).mean())


def jacobian_determinant(displacement: Float, grid: Grid) -> NDArray[np.float64]:
    """Jacobian determinant of x -> x + u(x) at every node, u (3, k, j, i) in RAS mm; not positive means folding."""
    steps = grid.spacing_kji
    axes = grid.directions[:, ::-1]  # columns: unit vectors of k, j, i
    rows = [np.stack(np.gradient(part, *steps), axis=-1) @ axes.T for part in displacement]
    m = [[rows[r][..., c] + (1.0 if r == c else 0.0) for c in range(3)] for r in range(3)]
    return np.asarray(
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    )


@dataclass(frozen=True, eq=False)
class VisitTransform:
    """The backward map of a simulated visit: follow-up RAS -> baseline RAS.

    ``rigid`` (4x4) undoes the set-up; ``field`` then undoes the deformation: p = rigid x, baseline = p + u(p).
    """

    rigid: NDArray[np.float64]
    field: DisplacementField

    def to_baseline(self, ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """Baseline RAS (N, 3) of follow-up RAS ``ras`` (N, 3), mm."""
        point = ras @ self.rigid[:3, :3].T + self.rigid[:3, 3]
        return np.asarray(point + self.field.at(point))


def lattice_over(grid: Grid, spacing_mm: float = LATTICE_MM) -> Grid:
    """Grid of nodes that covers ``grid`` along its own axes, ``spacing_mm`` apart."""
    extent = (np.array(grid.shape) - 1) * grid.spacing_kji
    shape = tuple(int(n) for n in np.ceil(extent / spacing_mm).astype(int) + 1)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] = grid.directions * spacing_mm
    return Grid((shape[0], shape[1], shape[2]), matrix)


def nodes_ras(lattice: Grid) -> NDArray[np.float64]:
    """RAS of every node, (k, j, i, 3)."""
    return lattice.to_ras(np.stack(np.meshgrid(*map(np.arange, lattice.shape), indexing="ij"), axis=-1))


def sample(array: Float, grid: Grid, ras: NDArray[np.float64], outside: float) -> Float:
    """Values of ``array`` on ``grid`` at points ``ras`` (..., 3), linear, ``outside`` beyond the grid."""
    where = np.moveaxis(grid.to_kji(ras), -1, 0)
    return np.asarray(ndimage.map_coordinates(array, where, order=1, mode="constant", cval=outside), dtype=np.float32)


def on_lattice(array: Float, grid: Grid, lattice: Grid) -> Float:
    """``array`` of ``grid`` seen at the nodes of ``lattice`` (same axes and origin), linear, edge values beyond."""
    ratio = lattice.spacing_kji / grid.spacing_kji
    return np.asarray(
        ndimage.affine_transform(array, ratio, output_shape=lattice.shape, order=1, mode="nearest"), dtype=np.float32
    )


def compose(first: Float, second: DisplacementField) -> Float:
    """Displacement of y -> y + first(y) -> . + second(.), at the nodes of ``second.grid``; (3, k, j, i)."""
    moved = nodes_ras(second.grid) + np.moveaxis(first, 0, -1)
    after = second.at(moved.reshape(-1, 3)).reshape(moved.shape)
    return np.asarray(first + np.moveaxis(after, -1, 0), dtype=np.float32)


def random_setup(
    rng: np.random.Generator, centre: NDArray[np.float64], shift_mm: tuple[float, float], degrees: float
) -> NDArray[np.float64]:
    """Rigid 4x4: a rotation of at most ``degrees`` about a random axis through ``centre``, then a shift in mm."""
    axis = rng.standard_normal(3)
    axis /= np.linalg.norm(axis)
    angle = np.deg2rad(rng.uniform(-degrees, degrees))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    shift = rng.standard_normal(3)
    shift *= rng.uniform(*shift_mm) / np.linalg.norm(shift)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre - rotation @ centre + shift
    return matrix


def soft_tissue(rng: np.random.Generator, lattice: Grid, rms_mm: float, correlation_mm: float) -> Float:
    """Smooth random displacement of everything, ``rms_mm`` per axis; (3, k, j, i)."""
    parts = [smooth_field(rng, lattice.shape, lattice.spacing_kji, correlation_mm) for _ in range(3)]
    return np.asarray(rms_mm * np.stack(parts), dtype=np.float32)


def breathing(lattice: Grid, depth: Float, shift_mm: float, wall_mm: float, width_mm: float, caudal: float) -> Float:
    """Cranio-caudal shift of the interior of the body; (3, k, j, i).

    ``depth`` is the distance under the skin in mm at the nodes. Deeper than ``wall_mm`` the tissue moves by
    ``shift_mm``, growing from a third of it at the cranial to all of it at the caudal end (``caudal`` = +-1 reverses
    this); the wall stays, and between the two there is a transition of ``width_mm``: a few mm make them slide.
    """
    height = nodes_ras(lattice)[..., 2]
    low, high = float(height.min()), float(height.max())
    rise = (high - height) / max(high - low, 1.0)
    profile = 1.0 / 3.0 + 2.0 / 3.0 * smoothstep(rise if caudal >= 0 else 1.0 - rise)
    inner = smoothstep((depth - wall_mm) / width_mm + 0.5)
    shift = np.zeros((3, *lattice.shape), dtype=np.float32)
    shift[2] = shift_mm * profile * inner
    return shift


def scaling(
    lattice: Grid,
    signed: Float,
    signed_grid: Grid,
    pivot: NDArray[np.float64],
    scale: float,
    reach_mm: float,
    softness: Float,
) -> Float:
    """Displacement that scales a structure by ``scale`` (length ratio) about ``pivot`` (RAS), tissue following.

    ``signed`` is the structure's signed distance (mm, positive inside) on ``signed_grid``. Inside the scaled
    structure y -> pivot + (y - pivot) / scale; outside, the displacement of the surface fades over ``reach_mm``.
    ``softness`` (nodes, [0, 1]) is 0 where tissue does not give way (bone). Smoothed until no node folds.
    """
    arm = nodes_ras(lattice) - pivot
    distance = scale * sample(signed, signed_grid, pivot + arm / scale, -1e3)
    length = np.linalg.norm(arm, axis=-1)
    shorter = np.clip(length + np.minimum(distance, 0.0), 0.0, None) / np.maximum(length, 1e-6)
    weight = shorter * smoothstep(1.0 + distance / reach_mm) * softness
    shift = np.moveaxis((1.0 / scale - 1.0) * arm * weight[..., None], -1, 0).astype(np.float32)
    for sigma in (0.0, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0):
        smooth = ndimage.gaussian_filter(shift, (0.0, sigma, sigma, sigma))
        if jacobian_determinant(smooth, lattice).min() > _LEAST_JACOBIAN:
            break
    return np.asarray(smooth, dtype=np.float32)
