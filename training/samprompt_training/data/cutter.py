"""Slices of one image made square: windowed, resized without distortion, cropped where that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from samprompt.space.windows import WINDOWS, Window, window_for

from samprompt_training.data.parameters import SliceParameters

# How far round a structure the window "auto" looks, as part of the structure's own box on every side.
_AROUND = 0.5


class Cutter:
    """Cuts slices of one image; slices that look the same (whole ones of one window) are kept once."""

    def __init__(
        self, image: NDArray[Any], spacing: tuple[float, float], modality: str, parameters: SliceParameters
    ) -> None:
        self._image, self._spacing, self._modality, self._parameters = image, spacing, modality, parameters
        self._percentiles: list[Window] = []
        self._auto: tuple[int, Window] | None = None
        self.views: list[NDArray[Any]] = []
        self._known: dict[tuple[int, Window | None], int] = {}

    def cut(
        self, k: int, mask: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[int, tuple[int, int], NDArray[np.bool_]]:
        """Number of the view of slice ``k``, its extent, and the mask in it."""
        p = self._parameters
        window = self._window(mask)
        if p.crop_mm == 0:
            key = (k, window)
            if key not in self._known:
                self._known[key] = len(self.views)
                self.views.append(self._store(self._square(self._grey(k, window))))
            area, extent = self._resized(torch.from_numpy(mask[k][None].astype(np.float32)))
            return self._known[key], extent, _padded(area, p.size)[0].numpy() >= 0.5
        rows, columns = self._crop(mask[k], rng)
        grey = _window_of(self._grey(k, window), rows, columns)
        area = _window_of(torch.from_numpy(mask[k][None].astype(np.float32)), rows, columns)
        self.views.append(self._store(_resize(grey, p.size, p.size)))
        return len(self.views) - 1, (p.size, p.size), _resize(area, p.size, p.size)[0].numpy() >= 0.5

    def _window(self, mask: NDArray[np.bool_]) -> Window | None:
        """The window of a CT; None where percentiles or 8-bit levels are shown."""
        chosen = self._parameters.window
        if self._modality != "CT" or self._image.dtype == np.uint8:
            return None
        if isinstance(chosen, tuple):
            return Window(*chosen)
        if chosen != "auto":
            return WINDOWS[chosen]
        if self._auto is None or self._auto[0] != id(mask):
            self._auto = (id(mask), window_for(self._image[0], _surroundings(mask)))
        return self._auto[1]

    def _grey(self, k: int, window: Window | None) -> torch.Tensor:
        """Slice ``k`` in [0, 1], (channels, rows, columns)."""
        last = self._image.shape[1] - 1
        if self._parameters.channels == "neighbours":
            stored = np.stack([self._image[0, n] for n in (max(k - 1, 0), k, min(k + 1, last))])
        else:
            stored = self._image[:, k]
        if stored.dtype == np.uint8:
            return torch.from_numpy(stored.astype(np.float32) / 255.0)
        if window is not None:
            return torch.from_numpy(window.apply(stored))
        if not self._percentiles:
            everywhere = np.ones(1, dtype=bool)
            self._percentiles = [window_for(channel, everywhere, "OT") for channel in self._image]
        windows = self._percentiles * (len(stored) if len(self._percentiles) == 1 else 1)
        return torch.from_numpy(np.stack([w.apply(c) for w, c in zip(windows, stored, strict=True)]))

    def _square(self, grey: torch.Tensor) -> torch.Tensor:
        return _padded(self._resized(grey)[0], self._parameters.size)

    def _resized(self, plane: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """(channels, rows, columns) with square pixels, the longer side being the square's, and its size."""
        height, width = plane.shape[-2] * self._spacing[0], plane.shape[-1] * self._spacing[1]
        pixel = max(height, width) / self._parameters.size
        rows, columns = max(1, round(height / pixel)), max(1, round(width / pixel))
        return _resize(plane, rows, columns), (rows, columns)

    def _crop(self, mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of a square of ``crop_mm`` round the structure (or anywhere, where there is none)."""
        found = []
        hit = np.argwhere(mask)
        for axis in (0, 1):
            length = max(2, round(self._parameters.crop_mm / self._spacing[axis]))
            first, last = (hit[:, axis].min(), hit[:, axis].max()) if len(hit) else (0, mask.shape[axis] - 1)
            room = abs(length - (last - first + 1)) / 2.0 * self._parameters.crop_shift
            middle = (first + last + 1) / 2.0 + rng.uniform(-room, room)
            start = round(middle - length / 2.0)
            found.append(slice(start, start + length))
        return found[0], found[1]

    def _store(self, grey: torch.Tensor) -> NDArray[Any]:
        """Grey levels as whole numbers: 256 for pictures that had no more, else 65536."""
        kind: type[np.uint8] | type[np.uint16] = np.uint8 if self._image.dtype == np.uint8 else np.uint16
        top = np.iinfo(kind).max
        return np.asarray(np.rint(grey.clamp(0.0, 1.0).numpy() * top), dtype=kind)


def _resize(plane: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Bilinear with antialiasing, as the models resize their input; extents map to extents."""
    if tuple(plane.shape[-2:]) == (rows, columns):
        return plane
    return F.interpolate(plane[None], (rows, columns), mode="bilinear", align_corners=False, antialias=True)[0]


def _padded(plane: torch.Tensor, size: int) -> torch.Tensor:
    """Zeros at the bottom and right up to the square, where SAM pads too."""
    return F.pad(plane, (0, size - plane.shape[-1], 0, size - plane.shape[-2]))


def _window_of(plane: torch.Tensor, rows: slice, columns: slice) -> torch.Tensor:
    """The part of (channels, rows, columns) inside the slices, zeros where they reach beyond."""
    height, width = plane.shape[-2:]
    inside = plane[..., max(rows.start, 0) : min(rows.stop, height), max(columns.start, 0) : min(columns.stop, width)]
    left, top = max(-columns.start, 0), max(-rows.start, 0)
    right, bottom = max(columns.stop - width, 0), max(rows.stop - height, 0)
    return F.pad(inside, (left, right, top, bottom))


def _surroundings(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The box of a structure, half as large again on every side: what the window "auto" is to show."""
    around = np.zeros_like(mask)
    hit = np.nonzero(mask)
    if len(hit[0]) == 0:
        return around
    box = []
    for axis in range(3):
        first, last = int(hit[axis].min()), int(hit[axis].max()) + 1
        grown = round((last - first) * _AROUND) if axis else 0
        box.append(slice(max(first - grown, 0), last + grown))
    around[tuple(box)] = True
    return around
