"""Slices of one image made square: windowed, resized without distortion, cropped where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from samprompt.space.windows import WINDOWS, Window, window_for, window_round

from samprompt_training.data.crops import crop_round
from samprompt_training.data.parameters import SliceParameters

# Pixels of a structure in the square, below which nothing of its form is left to learn from.
LEAST_CUT = 4


@dataclass(frozen=True, eq=False)
class Cut:
    """One structure in one square: number of the view, ``extent`` as in ``SliceItem``, and the mask (S, S)."""

    view: int
    extent: tuple[int, int]
    mask: NDArray[np.bool_]


class Cutter:
    """Cuts slices of one image; slices that look the same (whole ones of one window) are kept once.

    ``image`` (channels, k, j, i) with voxels of ``spacing_kji`` mm.
    """

    def __init__(
        self, image: NDArray[Any], spacing_kji: NDArray[np.float64], modality: str, parameters: SliceParameters
    ) -> None:
        self._image, self._modality, self._parameters = image, modality, parameters
        self._spacing_kji = spacing_kji
        self._spacing = (float(spacing_kji[1]), float(spacing_kji[2]))
        self._percentiles: list[Window] = []
        self._auto: tuple[int, Window] | None = None
        self.views: list[NDArray[Any]] = []
        self._known: dict[tuple[int, Window | None], int] = {}

    def cut(self, k: int, mask: NDArray[np.bool_], rng: np.random.Generator) -> Cut | None:
        """Slice ``k`` with its mask; None where the structure is in the slice, but less than ``LEAST_CUT`` is left.

        Such an item would teach that the structure is absent where it is in view.
        """
        p = self._parameters
        area = torch.from_numpy(mask[k][None].astype(np.float32))
        if p.crop_mm == 0:
            rows, columns = slice(0, mask.shape[1]), slice(0, mask.shape[2])
            area, extent = self._resized(area)
            area = _padded(area, p.size)
        else:
            rows, columns = crop_round(mask[k], self._lengths(), p.crop_shift, rng)
            area, extent = _resize(_window_of(area, rows, columns), p.size, p.size), (p.size, p.size)
        found = area[0].numpy() >= 0.5
        if mask[k].any() and int(found.sum()) < LEAST_CUT:
            return None
        return Cut(self._view(k, self._window(mask), rows, columns), extent, found)

    def _lengths(self) -> tuple[int, int]:
        """Rows and columns of a crop."""
        rows, columns = (max(2, round(self._parameters.crop_mm / spacing)) for spacing in self._spacing)
        return rows, columns

    def _view(self, k: int, window: Window | None, rows: slice, columns: slice) -> int:
        """Number of the view that shows slice ``k`` so; it is made where there is none yet."""
        side = self._parameters.size
        if self._parameters.crop_mm > 0:
            self.views.append(self._store(_resize(_window_of(self._grey(k, window), rows, columns), side, side)))
            return len(self.views) - 1
        key = (k, window)
        if key not in self._known:
            self._known[key] = len(self.views)
            self.views.append(self._store(self._square(self._grey(k, window))))
        return self._known[key]

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
            self._auto = (id(mask), window_round(self._image[0], mask, self._spacing_kji))
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
