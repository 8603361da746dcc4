"""The same image under two patients, and two spellings of one patient: found before a split tears them apart."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Literal

from samprompt.contract.errors import InputError

from samprompt_training.data.cases import Case, Dataset, with_patient

_BLOCK = 1 << 20
_SAMPLE = 1 << 16


def without_duplicates(dataset: Dataset, mode: Literal["refuse", "join"]) -> Dataset:
    """The dataset, in which no image belongs to two patients.

    Only files of equal size are compared, first by a sample of their bytes, then by SHA-256.

    Raises:
        InputError: two spellings of one patient; with ``mode`` "refuse" also an image under two patients.
    """
    _refuse_spellings(dataset)
    groups = [group for group in same_images(dataset.cases) if len({case.patient for case in group}) > 1]
    if not groups:
        return dataset
    if mode == "refuse":
        first, second = groups[0][0], next(c for c in groups[0] if c.patient != groups[0][0].patient)
        raise InputError(
            f"Patients '{first.patient}' and '{second.patient}' have the same image ({first.name} and {second.name}"
            f"{f', and {len(groups) - 1} more pairs' if len(groups) > 1 else ''}).",
            "Remove one of the two, or let them count as one patient (duplicates: join).",
        )
    leader: dict[str, str] = {}
    for group in groups:
        patients = sorted({_lead(leader, case.patient) for case in group})
        leader.update(dict.fromkeys(patients[1:], patients[0]))
    cases = tuple(with_patient(case, _lead(leader, case.patient)) for case in dataset.cases)
    note = f"{len(groups)} images occur under several names; these count as one patient."
    return replace(dataset, cases=cases, notes=(*dataset.notes, note))


def same_images(cases: tuple[Case, ...]) -> list[list[Case]]:
    """Groups of two or more cases whose first image is the same, byte by byte (a DICOM series: its first file)."""
    groups = [list(cases)]
    for rule in (_size, _sample, _digest):
        finer: list[list[Case]] = []
        for group in groups:
            sorted_out: dict[object, list[Case]] = defaultdict(list)
            for case in group:
                sorted_out[rule(_first_file(case))].append(case)
            finer += [found for found in sorted_out.values() if len(found) > 1]
        groups = finer
    return groups


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _refuse_spellings(dataset: Dataset) -> None:
    known: dict[str, str] = {}
    for patient in dataset.patients:
        plain = "".join(patient.casefold().split())
        other = known.setdefault(plain, patient)
        if other != patient:
            raise InputError(
                f"'{other}' and '{patient}' seem to be one patient, spelled in two ways.",
                "Rename the files of one of them: a split would take them for two patients.",
            )


def _first_file(case: Case) -> Path:
    first = case.images[0]
    return next(p for p in sorted(first.iterdir()) if p.is_file()) if first.is_dir() else first


def _size(path: Path) -> int:
    return path.stat().st_size


def _sample(path: Path) -> bytes:
    """Bytes from the middle of the file: enough to tell most files of equal size apart."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size // 2 - _SAMPLE // 2))
        return stream.read(_SAMPLE)


def _digest(path: Path) -> str:
    return sha256(path)


def _lead(leader: dict[str, str], patient: str) -> str:
    while patient in leader:
        patient = leader[patient]
    return patient
