"""DICOM SEG (Segmentation Storage) read onto the grid of the series it was drawn on.

Layout of the object: DICOM PS3.3 section A.51 and C.8.20. Each frame is one plane of one segment: its place is in
PlanePositionSequence, its segment in SegmentIdentificationSequence, both of the frame's functional groups.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from samprompt.contract.errors import GridError, StructureError, UnreadableFileError
from samprompt.io._dicom import BROKEN, read_dicom
from samprompt.io._itk import LPS_TO_RAS
from samprompt.io.label_maps import color_of
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure

# Positions are text of at most 16 characters; a tenth of a voxel is far more than their rounding.
_TOLERANCE = 0.1


def is_dicom_seg(path: Path) -> bool:
    """Whether a DICOM file is of modality SEG."""
    try:
        return str(read_dicom(path, ["Modality"]).get("Modality", "")) == "SEG"
    except (*BROKEN, OSError):
        return False


def read_dicom_seg(path: Path, grid: Grid) -> tuple[Structure, ...]:
    """Every segment as a mask on ``grid``, in the order of their numbers; fractional ones are cut at half.

    Named by SegmentLabel; SegmentDescription is kept as a tag. Planes without a frame are empty.

    Raises:
        UnreadableFileError: damaged, or no SEG.
        StructureError: no segment in it.
        GridError: its planes are not planes of ``grid``.
    """
    try:
        data = read_dicom(path)
        segments = {int(item.SegmentNumber): item for item in data.get("SegmentSequence") or []}
        frames = _frames(data)
        stored = np.asarray(data.pixel_array)
        places = [_place(data, item) for item in data.PerFrameFunctionalGroupsSequence]
        fractional = str(data.get("SegmentationType", "BINARY")) == "FRACTIONAL"
        half = 0.5 * float(data.get("MaximumFractionalValue", 1) or 1) if fractional else 0.5
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error}.", "Export the DICOM SEG again.") from error
    except (*BROKEN, RuntimeError, NotImplementedError) as error:
        raise UnreadableFileError(f"{path} is no DICOM SEG or is damaged.", "Export the DICOM SEG again.") from error
    if not segments:
        raise StructureError(f"{path} holds no segment.", "Check that the segmentation was exported.")
    stored = stored[None] if stored.ndim == 2 else stored
    if len(stored) != len(frames) or stored.shape[1:] != grid.shape[1:]:
        raise GridError(
            f"{path} has planes of {stored.shape[2]} x {stored.shape[1]} pixels, the image of "
            f"{grid.shape[2]} x {grid.shape[1]}.",
            "Give the segmentation that was drawn on this series.",
        )
    masks = {number: np.zeros(grid.shape, dtype=bool) for number in segments}
    for frame, number, corners in zip(stored, frames, places, strict=True):
        if number in masks:
            masks[number][_plane(grid, corners, frame.shape, path)] |= frame >= half
    return tuple(
        Structure(
            str(item.get("SegmentLabel", "") or f"Segment {number}"),
            masks[number],
            grid,
            color_of(order),
            tags={"SegmentDescription": str(item.get("SegmentDescription", "") or "")},
        )
        for order, (number, item) in enumerate(sorted(segments.items()))
    )


def _frames(data: Any) -> list[int]:
    """The segment number of every frame."""
    return [
        int(_group(data, item, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        for item in data.PerFrameFunctionalGroupsSequence
    ]


def _group(data: Any, item: Any, name: str) -> Any:
    """A functional group of a frame, or the one shared by all frames."""
    if name in item:
        return item[name].value[0]
    return data.SharedFunctionalGroupsSequence[0][name].value[0]


def _place(data: Any, item: Any) -> NDArray[np.float64]:
    """RAS mm of the first pixel's centre, and the steps along a column (j) and along a row (i); (3, 3)."""
    position = np.array(_group(data, item, "PlanePositionSequence").ImagePositionPatient, dtype=np.float64)
    along = np.array(_group(data, item, "PlaneOrientationSequence").ImageOrientationPatient, dtype=np.float64)
    between_rows, between_columns = (float(x) for x in _group(data, item, "PixelMeasuresSequence").PixelSpacing)
    steps = np.stack([position, along[3:] * between_rows, along[:3] * between_columns])
    return np.asarray(steps @ LPS_TO_RAS[:3, :3])


def _plane(grid: Grid, place: NDArray[np.float64], shape: tuple[int, ...], path: Path) -> int:
    """Index k of the plane of ``grid`` that a frame covers pixel by pixel.

    Raises:
        GridError: there is none.
    """
    origin, row_step, column_step = place
    corners = np.stack([origin, origin + row_step * (shape[0] - 1) + column_step * (shape[1] - 1)])
    kji = grid.to_kji(corners)
    k = round(float(kji[0, 0]))
    wanted = np.array([[k, 0, 0], [k, shape[0] - 1, shape[1] - 1]], dtype=np.float64)
    if not 0 <= k < grid.shape[0] or np.abs(kji - wanted).max() > _TOLERANCE:
        raise GridError(
            f"{path}: a plane of the segmentation is no plane of the image.",
            "Give the segmentation that was drawn on this series.",
        )
    return k
