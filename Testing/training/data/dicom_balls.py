"""Balls as DICOM series, RTSTRUCT and SEG, written with pydicom, in the folders of the NBIA Data Retriever."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from balls import SPACING, Ball
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    SegmentationStorage,
    generate_uid,
)


def dicom_file(path: Path, sop_class: str, **values: Any) -> FileDataset:
    """An empty DICOM object for ``path`` with these elements."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    for key, value in values.items():
        setattr(data, key, value)
    return data


def items(**values: Any) -> Sequence:
    """A sequence of one item."""
    item = Dataset()
    for key, value in values.items():
        setattr(item, key, value)
    return Sequence([item])


def slice_position(ball: Ball, k: int) -> list[str]:
    """ImagePositionPatient (LPS) of slice k."""
    lps = (ball.affine @ np.array([0, 0, k, 1.0]))[:3] * np.array([-1, -1, 1])
    return [f"{x:.4f}" for x in lps]


def save_ct(folder: Path, ball: Ball, uid: str, **values: Any) -> None:
    """A CT series of one file per slice, called as the NBIA Data Retriever calls them."""
    folder.mkdir(parents=True)
    for k in range(ball.shape[0]):
        path = folder / f"1-{ball.shape[0] - k:03d}.dcm"  # numbered from the top, as scanners do
        data = dicom_file(
            path, CTImageStorage, Modality="CT", SeriesInstanceUID=uid, InstanceNumber=ball.shape[0] - k,
            Rows=ball.shape[1], Columns=ball.shape[2], ImagePositionPatient=slice_position(ball, k),
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[SPACING[1], SPACING[0]],
            SliceThickness=SPACING[2], SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16,
            BitsStored=16, HighBit=15, PixelRepresentation=1, RescaleSlope=1, RescaleIntercept=-1024,
            PixelData=(ball.hu[k] + 1024).astype("<i2").tobytes(), **values,
        )  # fmt: skip
        data.save_as(path, enforce_file_format=True)


def save_rtstruct(folder: Path, ball: Ball, drawn_on: str, names: tuple[str, ...]) -> None:
    """An RTSTRUCT of circles round the ball, the same for every name."""
    folder.mkdir(parents=True)
    path = folder / "1-1.dcm"
    data = dicom_file(path, RTStructureSetStorage, Modality="RTSTRUCT", SeriesInstanceUID=generate_uid())
    series = items(SeriesInstanceUID=drawn_on)
    data.ReferencedFrameOfReferenceSequence = items(
        FrameOfReferenceUID=generate_uid(), RTReferencedStudySequence=items(RTReferencedSeriesSequence=series)
    )
    data.StructureSetROISequence, data.ROIContourSequence = Sequence(), Sequence()
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    for number, name in enumerate(names, 1):
        contours = Sequence()
        for k in range(ball.shape[0]):
            height = (k - ball.centre[0]) * SPACING[2]
            if abs(height) >= ball.radius:
                continue
            radius = np.sqrt(ball.radius**2 - height**2)
            i = ball.centre[2] + radius * np.cos(angle) / SPACING[0]
            j = ball.centre[1] + radius * np.sin(angle) / SPACING[1]
            points = ball.affine @ np.stack([i, j, np.full_like(i, k), np.ones_like(i)])
            lps = points[:3].T * np.array([-1, -1, 1])
            contours += items(
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(angle),
                ContourData=[f"{x:.4f}" for x in lps.ravel()],
            )
        data.StructureSetROISequence += items(ROINumber=number, ROIName=name)
        data.ROIContourSequence += items(ReferencedROINumber=number, ContourSequence=contours)
    data.save_as(path, enforce_file_format=True)


def save_seg(folder: Path, ball: Ball, drawn_on: str, label: str, shift_mm: float = 0.0) -> None:
    """A binary DICOM SEG with a frame per slice that the ball meets, in no order."""
    folder.mkdir(parents=True)
    path = folder / "1-1.dcm"
    planes = [k for k in reversed(range(ball.shape[0])) if ball.mask[k].any()]
    bits = np.concatenate([ball.mask[k].ravel() for k in planes])
    data = dicom_file(
        path, SegmentationStorage, Modality="SEG", SeriesInstanceUID=generate_uid(), SegmentationType="BINARY",
        Rows=ball.shape[1], Columns=ball.shape[2], NumberOfFrames=len(planes), SamplesPerPixel=1, BitsAllocated=1,
        BitsStored=1, HighBit=0, PixelRepresentation=0, PhotometricInterpretation="MONOCHROME2",
        ReferencedSeriesSequence=items(SeriesInstanceUID=drawn_on),
        SegmentSequence=items(SegmentNumber=1, SegmentLabel=label, SegmentDescription="drawn by hand"),
    )  # fmt: skip
    data.PixelData = pydicom.pixels.pack_bits(bits.astype(np.uint8))
    data.SharedFunctionalGroupsSequence = items(
        PlaneOrientationSequence=items(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=items(PixelSpacing=[SPACING[1], SPACING[0]], SliceThickness=SPACING[2]),
    )
    frames = Sequence()
    for k in planes:
        position = slice_position(ball, k)
        position[0] = f"{float(position[0]) + shift_mm:.4f}"
        frames += items(
            PlanePositionSequence=items(ImagePositionPatient=position),
            SegmentIdentificationSequence=items(ReferencedSegmentNumber=1),
        )
    data.PerFrameFunctionalGroupsSequence = frames
    data.save_as(path, enforce_file_format=True)


COLUMNS = [
    "Series UID",
    "Collection",
    "3rd Party Analysis",
    "Data Description URI",
    "Subject ID",
    "Study UID",
    "Study Description",
    "Study Date",
    "Series Description",
    "Manufacturer",
    "Modality",
    "SOP Class Name",
    "SOP Class UID",
    "Number of Images",
    "File Size",
    "File Location",
    "Download Timestamp",
]


@dataclass
class Download:
    """A folder as the NBIA Data Retriever leaves it: ``add`` notes a series for ``metadata.csv``."""

    folder: Path
    collection: str

    def __post_init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def place(self, patient: str, study: str, series: str) -> Path:
        return self.folder / self.collection / patient / study / series

    def add(self, place: Path, patient: str, study: str, uid: str, modality: str, date: str, windows: bool) -> None:
        below = place.relative_to(self.folder).as_posix()
        location = ".\\" + below.replace("/", "\\") if windows else "./" + below
        row = dict.fromkeys(COLUMNS, "")
        row |= {
            "Series UID": uid, "Collection": self.collection, "Subject ID": patient, "Study UID": study,
            "Study Date": date, "Modality": modality, "Number of Images": str(len(list(place.glob("*.dcm")))),
            "File Location": location, "Manufacturer": "SIEMENS, Healthineers",
        }  # fmt: skip
        self.rows.append(row)

    def write(self) -> Path:
        with (self.folder / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        return self.folder
