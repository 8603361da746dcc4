"""Collections of The Cancer Imaging Archive as its NBIA Data Retriever lays them out: NSCLC-Radiomics and 4D-Lung.

``metadata.csv`` has a line per series; "File Location" is its folder, COLLECTION/PATIENT/DATE-...-STUDY/
NUMBER-...-SERIES with ``1-001.dcm``, ``1-002.dcm``, ... (before 2020 ``000001.dcm``). Sources: the retriever's guide
and the notes of its release 3.6 (wiki.cancerimagingarchive.net, wiki.nci.nih.gov); Aerts et al. 2014 (doi
10.7937/K9/TCIA.2015.PF0M9REI); Hugo et al. 2017 (doi 10.7937/K9/TCIA.2016.ELN8YGLE).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from samprompt.contract.errors import DicomSeriesError, MissingFileError

from samprompt_training.data.cases import Case, Dataset, MaskSource
from samprompt_training.data.layouts.nbia import Series, drawn_on, read_metadata

Structures = Mapping[str, str | list[str] | tuple[str, ...]]


def open_nsclc_radiomics(
    folder: Path, *, structures: Structures | None = None, source: Literal["RTSTRUCT", "SEG"] = "RTSTRUCT"
) -> Dataset:
    """NSCLC-Radiomics (LUNG1-001 to 422): one planning CT each, contours as RTSTRUCT and as DICOM SEG.

    ``structures`` maps names to patterns of regions of interest (``*`` and ``?``, capitals do not count), joined where
    several fit. The default is the primary tumour, "GTV-1". Patients without contours are left out, and noted.

    Raises:
        MissingFileError: ``metadata.csv`` or a series that it lists is absent, in part or whole; nothing contoured.
        DicomSeriesError: contours that were drawn on no series at hand, several times, or lie in several files.
    """
    chosen = structures or {"GTV-1": ("GTV-1", "Neoplasm, Primary")}
    return _open("nsclc-radiomics", Path(folder), "NSCLC-Radiomics", chosen, source)


def open_4d_lung(folder: Path, *, structures: Structures | None = None) -> Dataset:
    """4D-Lung (100_HM10395 and on): 4D CT of several dates, the tumour contoured in each of ten phases as RTSTRUCT.

    Each contoured phase is a case, its ``visit`` the date of its study; CTs without contours (cone-beam CTs mostly) are
    left out, and noted. ``structures`` as in ``open_nsclc_radiomics``; the default is "tumour", drawn as "Tumor_c00"
    to "Tumor_c90".

    Raises:
        as ``open_nsclc_radiomics``.
    """
    return _open("4d-lung", Path(folder), "4D-Lung", structures or {"tumour": ("Tumor*",)}, "RTSTRUCT")


def _open(layout: str, folder: Path, collection: str, structures: Structures, source: str) -> Dataset:
    series = [one for one in read_metadata(folder) if one.collection.casefold() == collection.casefold()]
    if not series:
        raise MissingFileError(f"metadata.csv of {folder} lists no series of {collection}.", "Choose its own layout.")
    images = {one.uid: one for one in series if one.modality == "CT"}
    contours: dict[str, list[Path]] = defaultdict(list)
    for one in series:
        if one.modality == source:
            _refuse_several_files(one)
            contours[_image_of(one, images).uid].append(one.files[0])
    twice = [images[uid] for uid, files in contours.items() if len(files) > 1]
    if twice:
        raise DicomSeriesError(
            f"{twice[0].folder} was contoured {len(contours[twice[0].uid])} times ({source}).",
            "Keep one of the files, and its line of metadata.csv.",
        )
    cases = []
    for uid, files in contours.items():
        one = images[uid]
        masks = {name: MaskSource(files[0], names=_patterns(patterns)) for name, patterns in structures.items()}
        cases.append(Case(one.patient, one.name, (one.folder,), masks, "ct", visit=one.date))
    if not cases:
        raise MissingFileError(f"{folder} holds no {source} of {collection}.", "Download the contours too.")
    left_out = len(images) - len(cases)
    note = f"{left_out} CT series without {source} were left out."
    return Dataset(layout, folder, tuple(sorted(cases, key=lambda c: c.name)), (note,) if left_out else ())


def _refuse_several_files(contour: Series) -> None:
    """Refuse a series of several contour files: each is a set of structures of its own, drawn perhaps on other images.

    Raises:
        DicomSeriesError: it has several.
    """
    if len(contour.files) > 1:
        names = ", ".join(file.name for file in contour.files)
        raise DicomSeriesError(
            f"{contour.folder} holds {len(contour.files)} files of contours: {names}.",
            "Keep the one to be used, or join their structures into one file.",
        )


def _image_of(contour: Series, images: Mapping[str, Series]) -> Series:
    """The CT series that contours were drawn on: the one they name, or the only one of their study.

    Raises:
        DicomSeriesError: it is not at hand, or there are several.
    """
    named = drawn_on(contour.files[0])
    if named in images:
        return images[named]
    beside = [one for one in images.values() if one.study == contour.study]
    if named or len(beside) != 1:
        which = f"the series {named}, which is not here" if named else f"none of the {len(beside)} CTs of its study"
        raise DicomSeriesError(
            f"{contour.files[0]} was drawn on {which}.", "Download the CT series too, or remove these contours."
        )
    return beside[0]


def _patterns(patterns: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)
