"""Fixtures of the reading and writing tests: oblique grids, small DICOM series and RTSTRUCT files made with pydicom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from samprompt.space.grid import Grid

LPS = np.array([-1.0, -1.0, 1.0])


def _file(path: Path, sop_class: str, **values: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    data.SpecificCharacterSet = "ISO_IR 192"
    for key, value in values.items():
        if value is not None:
            setattr(data, key, value)
    return data


@pytest.fixture
def oblique_grid() -> Grid:
    """9 x 8 x 6 voxels (i, j, k), anisotropic, turned about two axes, with i reversed."""
    a, b = 0.3, -0.2
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_x @ np.diag([-0.9, 0.8, 2.5])
    matrix[:3, 3] = [12.5, -30.25, 101.0]
    return Grid((6, 8, 9), matrix)


@pytest.fixture
def write_ct() -> Callable[..., list[Path]]:
    """Writes a CT series: ``write_ct(folder, stored, grid, **header)``; ``stored`` is int16 (k, j, i)."""

    def write(folder: Path, stored: np.ndarray, grid: Grid, skip: tuple[int, ...] = (), **header: Any) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        common = {
            "Modality": "CT", "SeriesInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid(),
            "FrameOfReferenceUID": generate_uid(), "PatientID": "P1", "PatientName": "Doe^Jane",
            "StudyDate": "20240131", "StudyTime": "101500", "SeriesDescription": "thorax",
            "RescaleSlope": 1, "RescaleIntercept": -1024,
        }  # fmt: skip
        common.update(header)
        spacing = grid.spacing
        paths = []
        for k in range(grid.shape[0]):
            if k in skip:
                continue
            path = folder / f"{common['SeriesInstanceUID'][-6:]}_{(k * 7) % 101:03d}_{k}"  # names out of order
            position = grid.to_ras([k, 0, 0]) * LPS
            data = _file(
                path, CTImageStorage, **common, InstanceNumber=k + 1, Rows=grid.shape[1], Columns=grid.shape[2],
                ImagePositionPatient=[f"{x:.9f}"[:16] for x in position],
                ImageOrientationPatient=[f"{x:.12f}"[:16] for x in (grid.directions[:, :2].T * LPS).ravel()],
                PixelSpacing=[f"{spacing[1]:.9f}", f"{spacing[0]:.9f}"], SliceThickness=f"{spacing[2]:.6f}",
                SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16,
                HighBit=15, PixelRepresentation=1, PixelData=stored[k].astype("<i2").tobytes(),
            )  # fmt: skip
            data.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    return write


@pytest.fixture
def write_rtstruct() -> Callable[..., Path]:
    """Writes an RTSTRUCT: ``write_rtstruct(path, {name: [contour, ...]})``; a contour is (n, 3) RAS or (form, it)."""

    def write(path: Path, regions: dict[str, list[Any]], kind: str = "GTV") -> Path:
        data = _file(path, RTStructureSetStorage, Modality="RTSTRUCT", StructureSetLabel="plan")
        data.StructureSetROISequence = pydicom.Sequence()
        data.ROIContourSequence = pydicom.Sequence()
        data.RTROIObservationsSequence = pydicom.Sequence()
        for number, (name, contours) in enumerate(regions.items(), 1):
            roi, drawn, seen = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
            roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, generate_uid()
            drawn.ReferencedROINumber, drawn.ROIDisplayColor = number, [255, 128, 0]
            seen.ObservationNumber = seen.ReferencedROINumber = number
            seen.RTROIInterpretedType = kind
            if contours:
                drawn.ContourSequence = pydicom.Sequence()
            for contour in contours:
                form, points = contour if isinstance(contour, tuple) else ("CLOSED_PLANAR", contour)
                item = pydicom.Dataset()
                item.ContourGeometricType, item.NumberOfContourPoints = form, len(points)
                item.ContourData = [f"{x:.8f}"[:16] for x in (np.asarray(points) * LPS).ravel()]
                drawn.ContourSequence.append(item)
            data.StructureSetROISequence.append(roi)
            data.ROIContourSequence.append(drawn)
            data.RTROIObservationsSequence.append(seen)
        data.save_as(path, enforce_file_format=True)
        return path

    return write
