"""The deformable step on a region of interest: a discrete search over displacements, then Gauss-Newton.

The search is the coupled convex optimisation of Heinrich, Papiez, Schnabel and Handels ("Non-parametric discrete
registration with convex optimisation", WBIR 2014, equations 3-5), on the features and with the two-stage plan of
ConvexAdam (Siebert, Hansen and Heinrich, MICCAI 2021 workshops). The refinement minimises the same objective as its
Adam stage, mean squared feature difference plus the displacement's squared gradient, by Gauss-Newton: a dozen steps
reach what takes Adam eighty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from samprompt.propagation.align.mind import box_mean

# Weights of the coupling, from "follow the images" to "follow the smooth field" (Siebert 2021).
_COUPLING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, eq=False)
class Features:
    """``values`` (c, k, j, i) and ``weight`` (k, j, i) in [0, 1], 0 where nothing was measured."""

    values: Tensor
    weight: Tensor

    def halved(self) -> Features:
        """Mean over blocks of 2 x 2 x 2 voxels, weighted; the last voxel of an odd axis is repeated."""
        odd = [n % 2 for n in self.weight.shape]
        pad = (0, odd[2], 0, odd[1], 0, odd[0])
        values = functional.pad((self.values * self.weight)[None], pad, mode="replicate")
        weight = functional.pad(self.weight[None, None], pad, mode="replicate")
        mass = functional.avg_pool3d(weight, 2)
        pooled = functional.avg_pool3d(values, 2) / mass.clamp_min(1e-3)
        return Features(pooled[0], mass[0, 0])


def search(fixed: Features, moving: Features, spacing: float, reach: float) -> Tensor:
    """Smooth displacement (3, k, j, i) in mm along (k, j, i) that brings ``moving`` onto ``fixed``, within a voxel.

    Every voxel's cost of every displacement within ``reach`` mm is worked out; then the smooth field that the costs
    allow is found by alternation (coupled convex optimisation).
    """
    steps = max(1, round(reach / spacing))
    offsets = torch.cartesian_prod(*[torch.arange(-steps, steps + 1)] * 3)
    pad = (steps,) * 6
    values = functional.pad(moving.values[None], pad, mode="replicate")[0]
    weight = functional.pad(moving.weight[None, None], pad)[0, 0]
    k, j, i = fixed.weight.shape
    cost = torch.empty(len(offsets), k, j, i)
    for number, (z, y, x) in enumerate((offsets + steps).tolist()):
        block = (slice(z, z + k), slice(y, y + j), slice(x, x + i))
        known = fixed.weight * weight[block]
        difference = (fixed.values - values[(slice(None), *block)]).square_().mean(dim=0)
        cost[number] = difference * known
        # Unseen is neither good nor bad: it costs what an average place costs.
        cost[number] += (1.0 - known) * 0.02 * (fixed.weight > 0)
    cost = box_mean(cost, 1).flatten(1)
    # The published coupling constants are for costs of the order of 1 per displacement in voxels.
    cost = cost * (12.0 / 1.0)
    choice = offsets.float()
    field = _smooth(_chosen(choice, cost.argmin(dim=0), (k, j, i)))
    lengths = (choice**2).sum(dim=1)[:, None]
    for coupling in _COUPLING:
        flat = field.flatten(1)
        away = lengths - 2.0 * choice @ flat + (flat**2).sum(dim=0)[None]
        field = _smooth(_chosen(choice, (cost + coupling * away).argmin(dim=0), (k, j, i)))
    return field * spacing


def _chosen(choice: Tensor, index: Tensor, shape: tuple[int, int, int]) -> Tensor:
    return choice[index].T.reshape(3, *shape).contiguous()


def _smooth(field: Tensor) -> Tensor:
    return box_mean(box_mean(field, 1), 1)


def enlarge(field: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """A field of a halved grid on the grid itself; cell centres lie between the voxels, as ``Features.halved`` made."""
    doubled = [2 * n for n in field.shape[1:]]
    large = functional.interpolate(field[None], size=doubled, mode="trilinear", align_corners=False)[0]
    return large[:, : shape[0], : shape[1], : shape[2]].contiguous()


def refine(
    fixed: Features, moving: Features, start: Tensor, spacing: float, smoothness: float, iterations: int
) -> Tensor:
    """Gauss-Newton refinement of a displacement (3, k, j, i) in mm along (k, j, i)."""
    field = start
    own = _gradient(fixed.values, spacing)
    for _ in range(iterations):
        warped, seen = warp(moving, field, spacing)
        weight = fixed.weight * seen
        # The mean of both images' gradients (ESM) converges from further away than either.
        gradient = [(a + b) * 0.5 for a, b in zip(_gradient(warped, spacing), own, strict=True)]
        residual = fixed.values - warped
        normal = [(gradient[a] * gradient[b]).mean(dim=0) * weight for a in range(3) for b in range(a, 3)]
        pull = torch.stack([(gradient[a] * residual).mean(dim=0) * weight for a in range(3)])
        pull = pull - smoothness * _roughness(field, spacing)
        step = _solve(normal, pull, smoothness, spacing)
        # Half a voxel in one step at most (the features change completely over one voxel).
        length = step.square().sum(dim=0).sqrt()
        step = step * (0.75 * spacing / length.clamp_min(0.75 * spacing))
        field = field + step
        if float(length.mean()) < 0.02:
            break
    return field


def warp(moving: Features, field: Tensor, spacing: float) -> tuple[Tensor, Tensor]:
    """Features and weight of ``moving`` at x + field(x), (c, k, j, i) and (k, j, i); weight 0 outside the region."""
    shape = field.shape[1:]
    axes = [torch.arange(n, dtype=torch.float32) for n in shape]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij")) + field / spacing
    size = torch.tensor([max(n - 1, 1) for n in shape], dtype=torch.float32)[:, None, None, None]
    normal = (place / size * 2.0 - 1.0).flip(0).permute(1, 2, 3, 0)[None]
    stack = torch.cat([moving.values, moving.weight[None]])[None]
    out = functional.grid_sample(stack, normal, mode="bilinear", padding_mode="border", align_corners=True)[0]
    within = ((place >= -0.5) & (place <= size - 0.5 + 1.0)).all(dim=0)
    return out[:-1], out[-1] * within


def _gradient(values: Tensor, spacing: float) -> list[Tensor]:
    """Derivative along k, j, i per mm, each (c, k, j, i); 0 along an axis of one voxel."""
    found = []
    for axis in range(1, 4):
        n = values.shape[axis]
        if n < 3:
            found.append(torch.zeros_like(values))
            continue
        inner = (values.narrow(axis, 2, n - 2) - values.narrow(axis, 0, n - 2)) / (2.0 * spacing)
        first = torch.zeros_like(values.narrow(axis, 0, 1))
        found.append(torch.cat([first, inner, first], dim=axis))
    return found


def _roughness(field: Tensor, spacing: float) -> Tensor:
    """Minus the Laplacian of a field (the gradient of half its squared gradient), free at the border; per mm2."""
    out = torch.zeros_like(field)
    for axis in range(1, 4):
        n = field.shape[axis]
        if n > 1:
            step = (field.narrow(axis, 1, n - 1) - field.narrow(axis, 0, n - 1)) / spacing**2
            out.narrow(axis, 1, n - 1).add_(step)
            out.narrow(axis, 0, n - 1).sub_(step)
    return out


def _solve(normal: list[Tensor], pull: Tensor, smoothness: float, spacing: float, iterations: int = 25) -> Tensor:
    """Conjugate gradients on (data normal matrix + smoothness * roughness) step = pull, diagonal preconditioner."""
    xx, xy, xz, yy, yz, zz = normal

    def product(v: Tensor) -> Tensor:
        data = torch.stack(
            [
                xx * v[0] + xy * v[1] + xz * v[2],
                xy * v[0] + yy * v[1] + yz * v[2],
                xz * v[0] + yz * v[1] + zz * v[2],
            ]
        )
        return data + smoothness * _roughness(v, spacing)

    diagonal = torch.stack([xx, yy, zz]) + 6.0 * smoothness / spacing**2
    step = torch.zeros_like(pull)
    residual = pull.clone()
    direction = residual / diagonal
    energy = (residual * direction).sum()
    first = float(energy)
    for _ in range(iterations):
        if float(energy) <= 1e-4 * first:
            break
        image = product(direction)
        length = energy / (direction * image).sum().clamp_min(1e-20)
        step = step + length * direction
        residual = residual - length * image
        conditioned = residual / diagonal
        fresh = (residual * conditioned).sum()
        direction = conditioned + (fresh / energy.clamp_min(1e-20)) * direction
        energy = fresh
    return step


def strain(field: Tensor, spacing: float) -> Tensor:
    """Frobenius norm of the displacement's gradient at every voxel, (k, j, i)."""
    return torch.stack(_gradient(field, spacing)).square().sum(dim=(0, 1)).sqrt()


def folding(field: Tensor, spacing: float) -> tuple[float, Tensor]:
    """Share of voxels where the map x + field(x) has a non-positive Jacobian, and the Jacobian (k, j, i)."""
    g = _gradient(field, spacing)
    m = [[g[b][a] + (1.0 if a == b else 0.0) for b in range(3)] for a in range(3)]
    jacobian = (
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    )
    return float((jacobian <= 0).float().mean()), jacobian
