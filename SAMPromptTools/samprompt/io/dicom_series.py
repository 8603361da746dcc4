"""Reading a DICOM image series: one series of a folder, in order, complete, rescaled, with its place in space."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import DicomSeriesError, GridError, NotAnImageError, UnreadableFileError
from samprompt.io import _dicom_geometry as geometry
from samprompt.io._dicom import BROKEN, read_dicom, rescaled_pixels
from samprompt.io._files import existing, files_in
from samprompt.io.notes import note
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber",
    "StudyInstanceUID", "StudyDate", "StudyTime", "PatientID", "PatientName", "FrameOfReferenceUID", "ImageType",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "RescaleSlope",
    "RescaleIntercept", "GantryDetectorTilt", "InstanceNumber",
]  # fmt: skip
# Objects with rows and columns that are no scan of the patient's anatomy.
_NOT_SCANS = {"RTDOSE", "RTIMAGE", "SEG", "PR", "KO", "REG", "SR", "RTSTRUCT", "RTPLAN", "RTRECORD", "DOC"}


@dataclass(frozen=True)
class SeriesInfo:
    """What a series says of itself. ``patient_hash`` tells patients apart without naming them ("" when unknown)."""

    uid: str
    description: str
    modality: str
    slices: int
    study_uid: str
    study_date: str
    study_time: str
    patient_hash: str
    frame_of_reference: str
    first_file: Path

    def __str__(self) -> str:
        what = self.description or "no description"
        return f"{self.modality} '{what}', {self.slices} slices of {self.study_date or 'unknown date'}"


@dataclass(frozen=True, eq=False)
class _Slice:
    """The header of one image file (no pixels)."""

    path: Path
    header: Any


def list_series(path: Path | str) -> tuple[SeriesInfo, ...]:
    """Every image series in a folder and its subfolders, or the one that a file belongs to; other files are ignored.

    Slices of one series that differ in size, orientation or pixel spacing (scouts) count as series of their own.

    Raises:
        MissingFileError: the path does not exist.
    """
    return tuple(_info(group) for group in _groups(existing(path)))


def series_info(path: Path | str) -> SeriesInfo:
    """What the one series of a folder (or of a file in it) says of itself.

    Raises:
        MissingFileError, UnreadableFileError, DicomSeriesError: as ``read_series``.
    """
    return _info(_one_group(existing(path)))


def read_series(path: Path | str) -> Volume:
    """Read the one image series of a folder, or the series that a given file of a folder belongs to.

    Stored values times rescale slope plus intercept (HU in CT), slice by slice. Slices are sorted along the normal of
    their planes. Slices stored twice with equal pixels are dropped with a note.

    Raises:
        MissingFileError, UnreadableFileError: not there; no DICOM image; damaged pixels.
        NotAnImageError: colours or several frames in one file.
        DicomSeriesError: several series, missing slices, uneven spacing, different images at one place.
        GridError: the gantry was tilted, so that the slices do not form a rectangular grid.
    """
    group = _one_group(existing(path))
    first = group[0].header
    source = str(path)
    if int(first.get("SamplesPerPixel", 1) or 1) != 1:
        raise NotAnImageError(f"{source} holds colour images.", "Give the CT series itself, not screenshots of it.")
    if any(int(item.header.get("NumberOfFrames", 1) or 1) > 1 for item in group):
        raise NotAnImageError(
            f"{source} holds several frames in one DICOM file (enhanced or ultrasound).",
            "Convert it to .nii.gz or .nrrd first (in Slicer: load it and save the volume).",
        )
    for item in group:
        if "ImagePositionPatient" not in item.header or "ImageOrientationPatient" not in item.header:
            raise DicomSeriesError(
                f"{item.path} does not say where in the patient it is.", "Give an axial series, not a scout."
            )
    orientation = np.array(first.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    positions = np.array([item.header.ImagePositionPatient for item in group], dtype=np.float64)
    along = positions @ np.cross(*orientation)
    order = np.argsort(along, kind="stable")
    group, positions, along = [group[n] for n in order], positions[order], along[order]
    keep = geometry.without_repeats(along, lambda one, two: _same_pixels(group[one], group[two]), source)
    group, positions, along = [group[n] for n in keep], positions[keep], along[keep]
    thickness = first.get("SpacingBetweenSlices") or first.get("SliceThickness") or 0
    matrix = geometry.ijk_to_ras(orientation, positions, along, _pair(first.PixelSpacing), float(thickness), source)
    shape = (len(group), int(first.Rows), int(first.Columns))
    try:
        grid = Grid(shape, matrix)
    except GridError as error:
        tilt = first.get("GantryDetectorTilt")
        tilted = f" (gantry tilt {float(tilt):g} degrees)" if tilt else ""
        raise GridError(f"{source}: the slices are shifted against each other{tilted}.", error.hint) from error
    array = np.empty(shape, dtype=np.float32)
    for k, item in enumerate(group):
        array[k] = rescaled_pixels(item.path)
    modality = str(first.get("Modality", "") or "OT")
    if modality == "CT":
        _check_rescale(group, array, source)
    return Volume(array, grid, modality, source)


def _groups(path: Path) -> list[list[_Slice]]:
    """Headers of the image files, one list per series and geometry; of a file, the one list that holds it."""
    files = files_in(path, deep=True) if path.is_dir() else files_in(path.parent)
    groups: dict[tuple[Any, ...], list[_Slice]] = {}
    chosen: tuple[Any, ...] | None = None
    for file in files:
        header = _header(file)
        if header is None:
            continue
        key = _key(header)
        groups.setdefault(key, []).append(_Slice(file, header))
        if file == path:
            chosen = key
    if path.is_file():
        return [groups[chosen]] if chosen is not None else []
    return [groups[key] for key in sorted(groups, key=str)]


def _one_group(path: Path) -> list[_Slice]:
    """The one series meant by ``path``."""
    groups = _groups(path)
    if not groups:
        what = "is not a DICOM image" if path.is_file() else "holds no DICOM image"
        raise UnreadableFileError(f"{path} {what}.", "Give a folder with the slices of one series, or an image file.")
    # A scout beside its scan is no second choice.
    scans = [g for g in groups if "LOCALIZER" not in (g[0].header.get("ImageType") or [])]
    if len(scans) == 1 and len(groups) > 1:
        note(f"{path}: {len(groups) - 1} scout (localizer) beside the scan was left out.")
    groups = scans or groups
    if len(groups) > 1:
        inside = path if path.is_dir() else path.parent
        listed = "; ".join(f"{_info(g)} ({g[0].path.relative_to(inside).as_posix()})" for g in groups)
        raise DicomSeriesError(
            f"{path} holds {len(groups)} series: {listed}.",
            "Give one of the files named in brackets (its whole series is read), or put the series into a folder.",
        )
    return groups[0]


def _header(path: Path) -> Any | None:
    """The header when the file is a DICOM image of anatomy, else None."""
    try:
        header = read_dicom(path, _TAGS)
        is_image = "Rows" in header and "Columns" in header and str(header.get("Modality", "")) not in _NOT_SCANS
    except (*BROKEN, OSError):
        return None
    return header if is_image and "PixelSpacing" in header else (header if is_image and _is_color(header) else None)


def _is_color(header: Any) -> bool:
    return int(header.get("SamplesPerPixel", 1) or 1) != 1


def _key(header: Any) -> tuple[Any, ...]:
    """What all slices of one stack share."""
    orientation = tuple(round(float(x), 3) + 0.0 for x in header.get("ImageOrientationPatient") or ())
    spacing = tuple(round(float(x), 4) for x in header.get("PixelSpacing") or ())
    uid = str(header.get("SeriesInstanceUID", ""))
    return uid, int(header.Rows), int(header.Columns), orientation, spacing, _is_color(header)


def _info(group: list[_Slice]) -> SeriesInfo:
    header = group[0].header
    patient = f"{header.get('PatientID', '') or ''}|{header.get('PatientName', '') or ''}"
    return SeriesInfo(
        uid=str(header.get("SeriesInstanceUID", "")),
        description=str(header.get("SeriesDescription", "") or ""),
        modality=str(header.get("Modality", "") or "OT"),
        slices=len(group),
        study_uid=str(header.get("StudyInstanceUID", "") or ""),
        study_date=str(header.get("StudyDate", "") or ""),
        study_time=str(header.get("StudyTime", "") or ""),
        patient_hash=hashlib.sha256(patient.encode()).hexdigest()[:16] if patient != "|" else "",
        frame_of_reference=str(header.get("FrameOfReferenceUID", "") or ""),
        first_file=group[0].path,
    )


def _pair(spacing: Any) -> tuple[float, float]:
    """Distance between rows (along j) and between columns (along i) in mm."""
    return float(spacing[0]), float(spacing[1])


def _same_pixels(one: _Slice, other: _Slice) -> bool:
    return bool(np.array_equal(rescaled_pixels(one.path), rescaled_pixels(other.path)))


def _check_rescale(group: list[_Slice], array: NDArray[np.float32], source: str) -> None:
    """Say when CT numbers may not be HU."""
    missing = [s for s in group if s.header.get("RescaleSlope") is None or s.header.get("RescaleIntercept") is None]
    if missing:
        low = float(array.min())
        doubt = "; no value is negative, so these are probably not HU" if low >= 0 else ""
        note(f"{source}: {len(missing)} CT slices do not say how to rescale to HU; stored values are taken{doubt}.")
