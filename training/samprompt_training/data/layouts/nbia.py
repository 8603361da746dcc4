"""``metadata.csv`` of the NBIA Data Retriever: which series there are, and whether they are there as a whole."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from samprompt.contract.errors import InputError, MissingFileError, UnreadableFileError
from samprompt.io._dicom import BROKEN, read_dicom

from samprompt_training.data.finding import dataset_folder, refuse_broken_links, shown, visible

_FILE = "metadata.csv"
_COLUMNS = (
    "Series UID", "Collection", "Subject ID", "Study UID", "Study Date", "Modality", "Number of Images",
    "File Location",
)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """One line of ``metadata.csv``; ``name`` is its folder below the collection's, ``date`` as written there."""

    uid: str
    collection: str
    patient: str
    study: str
    date: str
    modality: str
    folder: Path
    name: str
    files: tuple[Path, ...]


def read_metadata(folder: Path) -> tuple[Series, ...]:
    """Every series that ``metadata.csv`` in ``folder`` lists (or beside it, where ``folder`` is the collection's own).

    Raises:
        MissingFileError: no ``metadata.csv``; a series' folder is absent or holds fewer files than listed, or links to
            files that are not there.
        UnreadableFileError: it is no list of series.
        InputError: a series is listed under two patients.
    """
    folder = dataset_folder(folder)
    found = [base / _FILE for base in (folder, folder.parent) if (base / _FILE).is_file()]
    if not found:
        raise MissingFileError(
            f"{folder} has no {_FILE}, which the NBIA Data Retriever writes: it is copied in part.",
            f"Give the folder (manifest-...) that holds {_FILE} and the collection's folder.",
        )
    series: dict[str, Series] = {}
    for row in _rows(found[0]):
        one = _series(row, found[0].parent)
        known = series.setdefault(one.uid, one)
        if known.patient != one.patient:
            raise InputError(
                f"{found[0]}: the series {one.uid} is listed for the patients '{known.patient}' and '{one.patient}'.",
                "Remove the wrong line.",
            )
    _refuse_incomplete(list(series.values()), found[0])
    return tuple(series.values())


def drawn_on(path: Path) -> str:
    """SeriesInstanceUID of the images that an RTSTRUCT or a DICOM SEG was drawn on, "" where it does not say.

    Raises:
        UnreadableFileError: damaged.
    """
    try:
        data = read_dicom(path, ["ReferencedFrameOfReferenceSequence", "ReferencedSeriesSequence"])
        for frame in data.get("ReferencedFrameOfReferenceSequence") or []:
            for study in frame.get("RTReferencedStudySequence") or []:
                for series in study.get("RTReferencedSeriesSequence") or []:
                    return str(series.SeriesInstanceUID)
        for series in data.get("ReferencedSeriesSequence") or []:
            return str(series.SeriesInstanceUID)
    except (*BROKEN, OSError) as error:
        raise UnreadableFileError(f"{path} is not DICOM or is damaged.", "Download the series again.") from error
    return ""


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(f"{path} is damaged: {error}.", "Download it again.") from error
    if missing or not rows:
        what = f"has no column '{missing[0]}'" if missing else "lists no series"
        raise UnreadableFileError(f"{path} {what}.", f"Give the {_FILE} that the NBIA Data Retriever wrote.")
    return rows


def _series(row: dict[str, Any], base: Path) -> Series:
    """One line; its folder may be written in Windows' way."""
    location = PurePosixPath(str(row["File Location"] or "").replace("\\", "/"))
    folder = base / location
    collection = str(row["Collection"])
    parts = [part for part in location.parts if part != "."]
    name = "/".join(parts[1:] if parts[:1] == [collection] else parts)
    files = tuple(f for f in visible(folder) if f.suffix.lower() == ".dcm") if folder.is_dir() else ()
    refuse_broken_links(files)
    return Series(
        str(row["Series UID"]), collection, str(row["Subject ID"]), str(row["Study UID"]), str(row["Study Date"]),
        str(row["Modality"]), folder, name, files,
    )  # fmt: skip


def _refuse_incomplete(series: list[Series], path: Path) -> None:
    counts = {str(row["Series UID"]): str(row["Number of Images"] or "0") for row in _rows(path)}
    lacking = []
    for one in series:
        promised = int(counts[one.uid]) if counts[one.uid].strip().isdigit() else 1
        if len(one.files) < max(promised, 1):
            lacking.append(f"{one.name} ({len(one.files)} of {promised} files)")
    if lacking:
        raise MissingFileError(
            f"{len(lacking)} series listed in {path} are not there as a whole: {shown(lacking)}.",
            "Download them again (the NBIA Data Retriever goes on where it stopped).",
        )
