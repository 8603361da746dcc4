"""Reading DICOM RTSTRUCT contours into masks on an image's grid.

The rules, in the order they apply to one region of interest (ROI):

1. Closed planar contours count; points and open contours are left out, with a note. Exact repeats are left out.
2. Contours of one plane are filled together by the even-odd rule (``polygons.fill_even_odd``): an inner contour is a
   hole, a keyhole's channel vanishes, a pixel belongs when its centre is inside.
3. A plane of contours belongs to the nearest slice of the image, at most half a slice spacing away. When several planes
   fall to one slice, the nearest is used.
4. Slices without contours between slices with contours stay empty and are noted, unless they are asked to be filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import GridError, StructureError, UnreadableFileError
from samprompt.io import _planes
from samprompt.io._dicom import BROKEN, read_dicom
from samprompt.io._files import files_in, is_dicom
from samprompt.io._itk import LPS_TO_RAS
from samprompt.io.label_maps import color_of
from samprompt.io.notes import note
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure

_CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR"}
_CONTOUR_DATA = 0x30060050


@dataclass(frozen=True, eq=False)
class RegionOfInterest:
    """One ROI as stored: closed contours in RAS mm, each (n, 3), and how many others were left out, by their type."""

    name: str
    color: tuple[float, float, float]
    kind: str
    contours: tuple[NDArray[np.float64], ...]
    left_out: dict[str, int]


def find_rtstructs(folder: Path) -> list[Path]:
    """Every RTSTRUCT file in a folder and its subfolders."""
    files = files_in(folder, deep=True)
    return [file for file in files if is_dicom(file) and _modality(file) == "RTSTRUCT"]


def read_rtstruct(path: Path, grid: Grid, fill_gaps: bool = False) -> tuple[Structure, ...]:
    """Every ROI of an RTSTRUCT as a mask on ``grid``, in the file's order; ROIs without contours come out empty.

    The contours may lie in planes across any axis of the grid (an image that was stored with permuted axes), and the
    grid may be oblique. ``fill_gaps`` fills skipped slices by interpolating the signed distance of the slices on both
    sides (shape-based interpolation, Raya and Udupa 1990). The ROI's type (GTV, CTV, ORGAN, ...) becomes the tag
    ``RTROIInterpretedType``.

    Raises:
        UnreadableFileError: damaged, or no RTSTRUCT.
        StructureError: no ROI in it.
        GridError: all contours lie outside the image, or their planes are oblique to its axes.
    """
    regions = read_regions(path)
    if not regions:
        raise StructureError(f"{path} holds no region of interest.", "Check that the contours were exported.")
    polygons = [[grid.to_kji(contour) for contour in region.contours] for region in regions]
    everything = [polygon for of_region in polygons for polygon in of_region]
    if everything and not any(_touches(polygon, grid) for polygon in everything):
        raise GridError(
            f"{path}: all contours lie outside the image.",
            "Give the RTSTRUCT that was drawn on this image (the baseline's, not another visit's).",
        )
    axis = _planes.plane_axis(everything)
    if axis is None:
        raise GridError(
            f"{path}: the contours do not lie in planes of the image's voxels (the image was turned or resampled).",
            "Give the original DICOM series that the contours were drawn on.",
        )
    structures = []
    for region, own in zip(regions, polygons, strict=True):
        title = f"{path}: ROI '{region.name}'"
        mask, report = _planes.fill(own, grid, axis, fill_gaps)
        _say(title, region, report, bool(mask.any()))
        tags = {"RTROIInterpretedType": region.kind} if region.kind else {}
        structures.append(Structure(region.name, mask, grid, region.color, "", tags))
    return tuple(structures)


def read_regions(path: Path) -> tuple[RegionOfInterest, ...]:
    """The ROIs of an RTSTRUCT file as contours in RAS mm, in the file's order.

    Raises:
        UnreadableFileError: damaged, or no RTSTRUCT.
    """
    try:
        data = read_dicom(path)
        modality = str(data.get("Modality", ""))
        if modality != "RTSTRUCT":
            raise UnreadableFileError(
                f"{path} is DICOM of modality '{modality}', not RTSTRUCT.",
                "Give the RTSTRUCT file; a DICOM SEG can be converted to .seg.nrrd in Slicer.",
            )
        kinds = {
            int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType", "") or "")
            for item in data.get("RTROIObservationsSequence") or []
            if "ReferencedROINumber" in item
        }
        drawn = {int(item.ReferencedROINumber): item for item in data.get("ROIContourSequence") or []}
        regions = []
        for index, item in enumerate(data.get("StructureSetROISequence") or []):
            number = int(item.ROINumber)
            name = str(item.get("ROIName", "") or "").strip() or f"ROI {number}"
            regions.append(_region(name, kinds.get(number, ""), drawn.get(number), index))
    except OSError as error:
        reason = error.strerror or "damaged"
        raise UnreadableFileError(f"{path} cannot be read: {reason}.", "Export the RTSTRUCT again.") from error
    except BROKEN as error:
        raise UnreadableFileError(f"{path} is not DICOM or is damaged.", "Export the RTSTRUCT again.") from error
    return tuple(regions)


def _region(name: str, kind: str, drawn: Any | None, index: int) -> RegionOfInterest:
    color = color_of(index)
    contours: list[NDArray[np.float64]] = []
    left_out: dict[str, int] = {}
    if drawn is not None:
        stored = drawn.get("ROIDisplayColor")
        if stored is not None and len(stored) == 3:
            red, green, blue = (min(max(int(part), 0), 255) / 255.0 for part in stored)
            color = (red, green, blue)
        for item in drawn.get("ContourSequence") or []:
            points = _points(item)
            form = str(item.get("ContourGeometricType", "CLOSED_PLANAR") or "CLOSED_PLANAR")
            if form in _CLOSED and len(points) >= 3:
                contours.append(points)
            else:
                word = form if form not in _CLOSED else "closed contour of fewer than 3 points"
                left_out[word] = left_out.get(word, 0) + 1
    return RegionOfInterest(name, color, kind, tuple(contours), left_out)


def _points(item: Any) -> NDArray[np.float64]:
    """Points of one contour in RAS mm, (n, 3). The text is parsed at once: number by number takes 20 times as long."""
    if _CONTOUR_DATA not in item:
        return np.zeros((0, 3))
    raw = item.get_item(_CONTOUR_DATA).value
    values = raw.decode("ascii").rstrip("\0 ").split("\\") if isinstance(raw, bytes) else list(raw or [])
    numbers = np.array([value for value in values if str(value).strip()], dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a contour point is not a number")
    return np.asarray(numbers.reshape(-1, 3) @ LPS_TO_RAS[:3, :3])


def _touches(polygon: NDArray[np.float64], grid: Grid) -> bool:
    """Whether the polygon's bounding box meets the image (to the outer faces of its voxels)."""
    last = np.array(grid.shape) - 0.5
    return bool(((polygon.max(axis=0) >= -0.5) & (polygon.min(axis=0) <= last)).all())


def _say(title: str, region: RegionOfInterest, report: _planes.Report, has_voxels: bool) -> None:
    """Note what was left out of a ROI, so that nothing vanishes silently."""
    for form, count in region.left_out.items():
        note(f"{title}: {count} x {form} left out; only closed planar contours enclose a volume.")
    if report.repeated:
        note(f"{title}: {report.repeated} contours are stored twice; the copies were left out.")
    if report.oblique:
        note(f"{title}: {report.oblique} contours do not lie in a slice's plane and were left out.")
    if report.outside:
        note(f"{title}: {report.outside} contours lie above or below the image and were left out.")
    if report.crowded:
        note(f"{title}: {report.crowded} planes of contours share a slice with a nearer one and were left out.")
    if report.skipped:
        done = "were interpolated" if report.filled else "were left empty"
        note(f"{title}: {report.skipped} slices between contours have none and {done}.")
    if not region.contours:
        note(f"{title} has no contours and is empty.")
    elif not has_voxels:
        note(f"{title}: no voxel centre lies inside its contours; it is empty.")


def _modality(path: Path) -> str:
    try:
        header = read_dicom(path, ["Modality"])
    except (*BROKEN, OSError):
        return ""
    return str(header.get("Modality", "") or "")
