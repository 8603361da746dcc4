"""The prior refiner: a small network that moves a warped contour to where the follow-up shows the structure.

It sees the follow-up, the baseline warped onto it and the signed distance of the warped contour, and answers with a
correction of that distance, at most ``limit_mm`` either way (methods page, section 6). Its last layer starts at zero,
so an untrained one gives the prior back.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from samprompt import resources
from samprompt.models.checkpoint import file_sha256
from samprompt.models.own_weights import read_own_weights, save_own_weights
from samprompt.models.tiny_encoder import ResidualBlock

ARCHITECTURE = "samprompt-refiner"
ARCHITECTURE_VERSION = "1"
FILE = "refiner.safetensors"
CHANNELS = 12  # three slices of each visit, the distance coarse and fine, two likelihoods, pixel size, slice step
_STRIDE = 16  # of the coarsest stage: sides are padded to multiples of it
_FINE_MM = 3.0  # width of the distance that is shown a second time, so that a millimetre at the contour is seen
_RING_MM = 10.0
_LEAST_VARIANCE = 0.01**2  # of grey levels in [0, 1]
_CLIP_RATIO = 4.0
_MIDDLE_PIXEL, _MIDDLE_STEP = 1.25, 3.0  # mm; what the two constant channels call 0


class RefinerNetwork(nn.Module):
    """A U-Net at strides 2 to 16 on the space-to-depth image; ``config`` is what the weights file records.

    ``widths`` are channels at strides 2, 4, 8, 16; ``limit_mm`` bounds the correction; ``clip_mm`` the distance that is
    shown; ``pixel_mm`` and ``step_mm`` are the ranges of pixel sizes and slice steps it was trained on.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "widths": (16, 32, 64, 64),
            "limit_mm": 8.0,
            "clip_mm": 16.0,
            "pixel_mm": (0.6, 2.5),
            "step_mm": (2.0, 6.0),
        }
        self.config.update(config or {})
        w = [int(n) for n in self.config["widths"]]
        self.stem = nn.Conv2d(4 * CHANNELS, w[0], 3, 1, 1)
        self.down = nn.ModuleList([ResidualBlock(w[0], w[0]), *[ResidualBlock(a, b, 2) for a, b in pairwise(w)]])
        self.lateral = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(w)])
        self.up = nn.ModuleList([ResidualBlock(a, a) for a in w[:-1]])
        self.head = nn.Conv2d(w[0], 4, 3, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, followup: Tensor, baseline: Tensor, distance: Tensor, pixel: Tensor, step: Tensor) -> Tensor:
        """Correction in mm, (B, 1, H, W), to be added to the signed distance.

        ``followup`` and ``baseline`` (B, 3, H, W) are slices k-1, k, k+1 in [0, 1], the baseline warped onto the
        follow-up's planes; ``distance`` (B, 1, H, W) is the warped contour's in mm, positive inside; ``pixel`` and
        ``step`` (B,) are mm. H and W are multiples of 16.

        The network counts in pixels, the world in mm: the pixel size is shown as a constant channel (its binary
        logarithm), as is the slice step, and both were drawn at random in training.
        """
        shape = distance.shape
        clip = float(self.config["clip_mm"])
        scales = torch.stack((torch.log2(pixel / _MIDDLE_PIXEL), torch.log2(step / _MIDDLE_STEP)), dim=1)
        x = torch.cat(
            (
                4.0 * (followup - 0.5),
                4.0 * (baseline - 0.5),
                distance.clamp(-clip, clip) * (2.0 / clip),
                2.0 * torch.tanh(distance / _FINE_MM),
                likeness(followup[:, 1:2], baseline[:, 1:2], distance, pixel),
                scales[:, :, None, None].expand(-1, -1, *shape[-2:]),
            ),
            dim=1,
        )
        x = self.stem(F.pixel_unshuffle(x, 2))
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for lateral, block, skip in zip(reversed(self.lateral), reversed(self.up), reversed(skips[:-1]), strict=True):
            x = block(skip + F.interpolate(lateral(x), skip.shape[-2:], mode="bilinear", align_corners=False))
        return float(self.config["limit_mm"]) * torch.tanh(F.pixel_shuffle(self.head(x), 2))


def likeness(followup: Tensor, baseline: Tensor, distance: Tensor, pixel: Tensor) -> Tensor:
    """How much each pixel looks like the contour's inside on the baseline rather than its ring, (B, 2, H, W).

    Clipped log-likelihood ratio, over 2, of two Gaussians fitted to the baseline's grey levels inside the contour and
    outside within 10 mm; of follow-up and baseline. All (B, 1, H, W). Without it the network did not start to learn
    within 450 steps of 20 pairs: it would have to find the averages by itself.
    """
    followup, baseline, distance = followup.float(), baseline.float(), distance.float()
    smooth = [F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1) for x in (followup, baseline)]
    edge = (distance / pixel[:, None, None, None]).clamp(-8.0, 8.0)
    near = (distance.abs() < _RING_MM).float()
    means, variances = [], []
    for weight in (torch.sigmoid(edge) * near, torch.sigmoid(-edge) * near):
        total = weight.sum((2, 3), keepdim=True).clamp_min(1e-3)
        mean = (smooth[1] * weight).sum((2, 3), keepdim=True) / total
        means.append(mean)
        variances.append(((smooth[1] - mean) ** 2 * weight).sum((2, 3), keepdim=True) / total + _LEAST_VARIANCE)
    found = []
    for x in smooth:
        inside, ring = ((x - m) ** 2 / v + torch.log(v) for m, v in zip(means, variances, strict=True))
        found.append((0.5 * (ring - inside)).clamp(-_CLIP_RATIO, _CLIP_RATIO) * 0.5)
    return torch.cat(found, dim=1)


class Refiner:
    """A trained network on a device. ``fingerprint`` are the first 16 digits of its file's SHA-256."""

    def __init__(self, network: RefinerNetwork, device: torch.device | str = "cpu", fingerprint: str = "") -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.fingerprint = fingerprint
        self.limit_mm = float(network.config["limit_mm"])
        self.clip_mm = float(network.config["clip_mm"])
        self.pixel_mm = _pair(network.config["pixel_mm"])
        self.step_mm = _pair(network.config["step_mm"])

    @torch.inference_mode()
    def correction(
        self,
        followup: NDArray[np.float32],
        baseline: NDArray[np.float32],
        distance: NDArray[np.float32],
        pixel: float,
        step: float,
        batch: int = 8,
    ) -> NDArray[np.float32]:
        """Correction (N, H, W) in mm, within ``limit_mm``, of the signed distance of N slices.

        ``followup`` and ``baseline`` (N, 3, H, W) in [0, 1], ``distance`` (N, H, W) in mm as ``prior_distance`` gives
        it, ``pixel`` and ``step`` in mm. Pixels outside of the range that was trained on are resampled to its nearest
        end and the correction back; a step outside is taken for the nearest end.
        """
        count, height, width = distance.shape
        wanted = min(max(pixel, self.pixel_mm[0]), self.pixel_mm[1])
        size = (height, width)
        if abs(wanted - pixel) > 1e-3 * pixel:
            size = (max(1, round(height * pixel / wanted)), max(1, round(width * pixel / wanted)))
        found = np.zeros(distance.shape, np.float32)
        step = min(max(step, self.step_mm[0]), self.step_mm[1])
        for start in range(0, count, batch):
            part = slice(start, start + batch)
            inputs = [torch.from_numpy(np.ascontiguousarray(a[part])) for a in (followup, baseline, distance[:, None])]
            shown = [_fitted(t.to(self.device, torch.float32), size) for t in inputs]
            n = len(shown[0])
            scales = (torch.full((n,), wanted, device=self.device), torch.full((n,), step, device=self.device))
            answer = self.network(*shown, *scales)[..., : size[0], : size[1]]
            if size != (height, width):
                answer = F.interpolate(answer, (height, width), mode="bilinear", align_corners=False)
            found[part] = answer[:, 0].float().cpu().numpy()
        return found


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


def _fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Images at ``size``, their last rows and columns repeated up to a multiple of the coarsest stride."""
    if tuple(x.shape[-2:]) != size:
        x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
    return F.pad(x, (0, -size[1] % _STRIDE, 0, -size[0] % _STRIDE), mode="replicate")


def prior_distance(
    sections: Sequence[NDArray[np.bool_]], pixel: float | tuple[float, float], step: float, far: float = 1000.0
) -> NDArray[np.float32]:
    """Signed distance (H, W) in mm on the middle one of three sections k-1, k, k+1: see ``prior_distances``."""
    return prior_distances(np.stack(sections), [1], 1, pixel, step, far)[0]


def prior_distances(
    masks: NDArray[np.bool_],
    indices: Sequence[int] | NDArray[np.intp],
    reach: int,
    pixel: float | tuple[float, float],
    step: float,
    far: float = 1000.0,
) -> NDArray[np.float32]:
    """Signed distance (N, H, W) in mm on the slices ``indices`` of ``masks`` (K, H, W), positive inside.

    The distance is to the surface in three dimensions as far as the slices up to ``reach`` away show it, which are
    ``step`` (mm) apart: beyond its last section a structure is half a ``step`` away, and not infinitely far. ``far`` mm
    where nothing is near. Zero lies half-way between a pixel inside and one outside, in plane and across slices; beyond
    the first and last slice a structure goes on as it is there. ``pixel`` is its size in mm, or (row, column).
    """
    rows, columns = (pixel, pixel) if isinstance(pixel, int | float) else pixel
    half = 0.5 * min(rows, columns)  # no more, or pixels much longer than wide would lie on the surface
    kept: dict[tuple[int, bool], NDArray[np.float64] | None] = {}

    def away(k: int, inside: bool) -> NDArray[np.float64] | None:
        """Distance to the contour on slice ``k`` within its plane, of the pixels inside or of those outside."""
        if (k, inside) not in kept:
            mask = masks[k] if inside else ~masks[k]
            nothing = bool(mask.all())
            kept[k, inside] = None if nothing else ndimage.distance_transform_edt(mask, (rows, columns))
        return kept[k, inside]

    found = np.empty((len(indices), *masks.shape[1:]), np.float32)
    for number, index in enumerate(indices):
        nearest = {side: np.full(masks.shape[1:], far * far) for side in (True, False)}
        for offset in range(-reach, reach + 1):
            k = min(max(int(index) + offset, 0), len(masks) - 1)
            across = max(abs(offset) - 0.5, 0.0) * step
            for side, least in nearest.items():
                plane = away(k, side)
                if plane is not None:
                    np.minimum(least, np.maximum(plane - half, 0.0) ** 2 + across**2, out=least)
        found[number] = np.where(masks[int(index)], np.sqrt(nearest[True]), -np.sqrt(nearest[False]))
    return found


def save_refiner(network: RefinerNetwork, path: Path, card: Mapping[str, str] | None = None) -> None:
    """Write the weights (fp16 safetensors, whole or not at all) with architecture, version, configuration, ``card``."""
    save_own_weights(network, network.config, path, ARCHITECTURE, ARCHITECTURE_VERSION, card)


def shipped_fingerprint() -> str:
    """Fingerprint of the refiner that is shipped, "" where it is not there; nothing is loaded."""
    path = resources.root() / "models" / FILE
    return file_sha256(path)[:16] if path.is_file() else ""


def load_refiner(path: Path | None = None, device: torch.device | str = "cpu") -> Refiner:
    """Load a refiner, by default the one that is shipped; the same file is read once, and kept on the CPU alone.

    On another device each call makes a copy, which takes memory there no longer than the caller holds it.

    Raises:
        WeightsMissingError: the file is absent.
        WeightsError: truncated, or of another architecture or architecture version.
    """
    path = resources.root() / "models" / FILE if path is None else Path(path)
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    kept = _load(path, changed)
    if torch.device(device).type == "cpu":
        return kept
    return Refiner(copy.deepcopy(kept.network), device, kept.fingerprint)


@lru_cache(maxsize=4)
def _load(path: Path, _changed: int) -> Refiner:
    without = "Or choose a method without it: copied, rigid, deformable, p2sam or persam."
    weights = read_own_weights(path, ARCHITECTURE, (ARCHITECTURE_VERSION,), "The prior refiner", without)
    return Refiner(weights.network(RefinerNetwork), "cpu", weights.fingerprint)
