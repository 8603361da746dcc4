"""Pictures of a report: windowed slices as PNG with contours over them, in radiological orientation."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.space.grid import Grid
from samprompt.space.orientation import Orientation, slice_normal, towards
from samprompt.space.volume import Volume
from samprompt.space.windows import Window

_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))  # the positive and the negative end of each RAS axis
_MAXIMUM_PIXELS = 288  # side of a picture; larger fields of view are shown with coarser pixels
_MARGIN = 18.0  # mm shown beyond the contours on each side
_MINIMUM_SIDE = 70.0  # mm


@dataclass(frozen=True, eq=False)
class View:
    """A volume as a radiologist looks at slices across one anatomical axis; nothing is resampled or copied.

    Axial: patient left on the right, anterior up. Coronal: patient left on the right, head up. Sagittal: anterior on
    the left, head up. Oblique and flipped grids come out the same way round. ``grid`` is that of the turned array.
    """

    volume: Volume
    orientation: Orientation
    grid: Grid

    @classmethod
    def of(cls, volume: Volume, normal: int) -> View:
        """Slices of ``volume`` across the anatomical axis ``normal`` (0 left-right, 1 front-back, 2 up-down)."""
        orientation = towards(volume.grid, normal)
        return cls(volume, orientation, orientation.grid(volume.grid))

    def turned(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array (k, j, i) of the volume's grid as it is shown: (slice, down, right)."""
        return self.orientation.apply(array)

    def index(self, slice_number: int) -> int:
        """Index in the image file of a shown slice; it is its own inverse."""
        return self.orientation.slice_index(slice_number, self.volume.grid.shape)

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """The patient's side at the left, right, top and bottom edge."""
        right, down = self.grid.directions[:, 0], self.grid.directions[:, 1]
        return _letter(-right), _letter(right), _letter(-down), _letter(down)

    def label(self, slice_number: int, center: tuple[float, float]) -> str:
        """ "k 42, S 12.5 mm": the index in the file and the place in the letters of Slicer's slice bar."""
        axis = slice_normal(self.grid)
        place = float(self.grid.to_ras((slice_number, *center))[axis])
        name = "kji"[self.orientation.axes[0]]
        return f"{name} {self.index(slice_number)}, {_LETTERS[axis][0 if place >= 0 else 1]} {abs(place):.1f} mm"


@dataclass(frozen=True)
class SlicePicture:
    """One slice, ready for a page: a PNG (base64) of ``side_mm`` x ``side_mm`` and outlines as SVG path data in mm."""

    png: str
    side_mm: float
    outlines: tuple[tuple[str, str], ...]  # (what it is: "prior", "result", "baseline" or "nearest"; SVG path data)
    letters: tuple[str, str, str, str]
    plane: str
    caption: str

    @property
    def scale_mm(self) -> int:
        """Length of the scale bar: the roundest one that fills about a quarter of the picture."""
        return max((n for n in (5, 10, 20, 50, 100, 200) if n <= max(5.0, self.side_mm * 0.3)), default=5)


def picture(
    view: View,
    slice_number: int,
    outlines: Sequence[tuple[str, NDArray[np.bool_]]],
    center: tuple[float, float],
    side_mm: float,
    window: Window,
) -> SlicePicture:
    """One slice of ``view`` round ``center`` (down, right; fractional) with the outlines of sections.

    ``outlines`` are (what it is, section as shown: (down, right)); beyond the scan the picture is black. Its pixels are
    square whatever the voxels are, so lengths are true in both directions.
    """
    spacing = (float(view.grid.spacing[1]), float(view.grid.spacing[0]))
    pixels = int(np.clip(round(side_mm / min(spacing)), 48, _MAXIMUM_PIXELS))
    step = side_mm / pixels
    offsets = (np.arange(pixels) + 0.5) * step - side_mm / 2
    grey = window.apply(np.asarray(view.turned(view.volume.array)[slice_number], dtype=np.float32))
    blur = [max(0.0, 0.5 * (step / length - 1.0)) for length in spacing]
    if max(blur) > 0:
        grey = ndimage.gaussian_filter(grey, blur)
    at = np.meshgrid(center[0] + offsets / spacing[0], center[1] + offsets / spacing[1], indexing="ij")
    shown = np.round(ndimage.map_coordinates(grey, at, order=1, mode="constant", cval=0.0) * 255.0)
    paths = [(what, _outline(section, center, spacing, side_mm)) for what, section in outlines]
    return SlicePicture(
        base64.b64encode(grey_png(np.clip(shown, 0, 255).astype(np.uint8))).decode("ascii"),
        side_mm,
        tuple((what, path) for what, path in paths if path),
        view.letters,
        ("sagittal", "coronal", "axial")[slice_normal(view.grid)],
        view.label(slice_number, center),
    )


def field_of_view(masks: Sequence[tuple[NDArray[np.bool_], Grid]]) -> float:
    """Side in mm of a square that shows every section of every (turned mask, its grid) with some surroundings."""
    side = _MINIMUM_SIDE
    for mask, grid in masks:
        flat = np.asarray(mask.any(axis=0))
        if flat.any():
            for axis, spacing in ((1, grid.spacing_kji[1]), (0, grid.spacing_kji[2])):
                hit = np.flatnonzero(flat.any(axis=axis))
                side = max(side, float(hit[-1] - hit[0] + 1) * float(spacing) + 2 * _MARGIN)
    return side


def grey_png(image: NDArray[np.uint8]) -> bytes:
    """An 8-bit greyscale PNG of ``image`` (rows, columns)."""
    rows, columns = image.shape
    raw = np.concatenate([np.zeros((rows, 1), np.uint8), image], axis=1).tobytes()  # filter 0 before every row

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _outline(
    section: NDArray[np.bool_], center: tuple[float, float], spacing: tuple[float, float], side_mm: float
) -> str:
    """SVG path of the section's outline half-way between inside and outside voxel centres, in mm of the picture."""
    if not section.any():
        return ""
    parts = []
    for line in contourpy.contour_generator(z=np.pad(section.astype(np.float32), 1)).lines(0.5):
        points = np.asarray(line)[:-1] - 1.0  # (N, 2): right, down in pixels of the section; closed by Z
        right = side_mm / 2 + (points[:, 0] - center[1]) * spacing[1]
        down = side_mm / 2 + (points[:, 1] - center[0]) * spacing[0]
        inner = " ".join(f"{x:.2f},{y:.2f}" for x, y in zip(right, down, strict=True))
        parts.append(f"M{inner}Z")
    return "".join(parts)


def _letter(direction: NDArray[np.float64]) -> str:
    """The patient's side a direction points to."""
    axis = int(np.argmax(np.abs(direction)))
    return _LETTERS[axis][0 if direction[axis] > 0 else 1]
