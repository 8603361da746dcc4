"""Random smooth fields and warps, in torch and in batches: the raw material of synthetic scenes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class Random:
    """Random numbers from one seed: tensors on ``device``, and single numbers for the program that makes them.

    Single numbers decide what is computed next. A GPU would have to be waited for at each, so beside one they are drawn
    by a second generator, on the CPU; on the CPU there is one generator for all.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.device = device
        here = self.generator.device.type == "cpu"
        self._numbers = self.generator if here else torch.Generator().manual_seed(seed)

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform in [low, high)."""
        return torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def number(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number, uniform in [low, high)."""
        return float(torch.rand((1,), generator=self._numbers) * (high - low) + low)

    def integer(self, low: int, high: int) -> int:
        """One integer in [low, high]."""
        return int(torch.randint(low, high + 1, (1,), generator=self._numbers))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.number() < probability


def table_on(device: torch.device, values: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
    """A few constants as a float32 tensor on ``device``, for which nobody waits."""
    # CUDA takes its copy of ordinary memory before the call returns, so the tensor here may go at once
    return torch.tensor(values, dtype=torch.float32).to(device, non_blocking=True)


def smooth_noise(random: Random, shape: tuple[int, ...], cells: tuple[int, ...]) -> Tensor:
    """Noise of unit SD (roughly) with ``cells`` independent values along each of the last 2 or 3 axes.

    ``shape`` is (B, C, H, W) or (B, C, D, H, W).
    """
    coarse = random.normal((*shape[:2], *[c + 1 for c in cells]))
    mode = "bicubic" if len(cells) == 2 else "trilinear"
    field = F.interpolate(coarse, shape[2:], mode=mode, align_corners=True)
    return field / field.std(dim=tuple(range(2, field.ndim)), keepdim=True).clamp_min(1e-3)


def displacement(random: Random, batch: int, size: int, cells: int, magnitude: Tensor) -> Tensor:
    """Smooth displacement (B, 2, size, size) in pixels (x, y), of RMS ``magnitude`` (B,) pixels."""
    field = smooth_noise(random, (batch, 2, size, size), (cells, cells))
    return field * magnitude[:, None, None, None]


def sampling_grid(size: int, device: torch.device) -> Tensor:
    """Pixel centres x, y of a square image, (2, size, size), in pixels from 0.5."""
    axis = torch.arange(size, device=device, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y))


def slab(places: Tensor, step: Tensor, height: Tensor | None = None) -> Tensor:
    """Places (B, 3, 3, S, S) of three slices ``step`` (B,) pixels apart, the middle one at ``places`` (B, 2, S, S).

    ``height`` (B, S, S), in pixels, is that of the middle slice; 0 where there is none.
    """
    batch, _, rows, columns = places.shape
    z = torch.arange(-1.0, 2.0, device=places.device)[None, :, None, None] * step[:, None, None, None]
    if height is not None:
        z = z + height[:, None]
    z = z.expand(batch, 3, rows, columns)
    return torch.cat((places[:, :, None].expand(-1, -1, 3, -1, -1), z[:, None]), dim=1)


def sample_at(images: Tensor, places: Tensor, mode: str = "bilinear") -> Tensor:
    """Values of ``images`` (B, C, H, W) at ``places`` (B, 2, h, w) in pixels, centres at +0.5; the edge is repeated."""
    size = table_on(images.device, (images.shape[-1], images.shape[-2]))
    grid = (places.permute(0, 2, 3, 1) / size) * 2.0 - 1.0
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
