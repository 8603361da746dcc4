"""Which patients train, validate and test: by a seeded hash of the patient, never by the order of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from samprompt.contract.errors import ParameterError

from samprompt_training.data.cases import PARTS, Dataset

TRAIN, VALIDATION, TEST = PARTS


def split_patients(
    patients: Iterable[str], seed: int, shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> dict[str, str]:
    """Patient -> "train", "validation" or "test".

    Patients are put in the order of SHA-256("seed:patient") and cut at the ``shares`` (rounded; every part whose share
    is not 0 gets a patient). So the parts depend on seed and patients alone, on no folder's order, and have the
    sizes asked for also when there are few patients.

    Raises:
        ParameterError: shares that are negative or do not sum to 1; one patient only; fewer patients than parts.
    """
    everybody = sorted(set(patients))
    if len(shares) != len(PARTS) or min(shares) < 0 or abs(sum(shares) - 1.0) > 1e-6 or shares[0] == 0:
        raise ParameterError(
            f"{shares} are no shares of training, validation and test.",
            "Give three numbers of 0 or more that sum to 1, the first above 0.",
        )
    wanted = [name for name, share in zip(PARTS, shares, strict=True) if share > 0]
    if len(everybody) < len(wanted):
        there = {0: "There is no patient", 1: "There is only one patient"}.get(
            len(everybody), f"There are {len(everybody)} patients"
        )
        raise ParameterError(
            f"{there}, too few for the parts {', '.join(wanted)}: no patient may be in two of them.",
            "Add patients, or give a part the share 0.",
        )
    ordered = sorted(everybody, key=lambda patient: place(patient, seed))
    counts = _counts(len(ordered), shares)
    split: dict[str, str] = {}
    start = 0
    for name, count_of_part in zip(PARTS, counts, strict=True):
        split.update(dict.fromkeys(ordered[start : start + count_of_part], name))
        start += count_of_part
    return split


def split_dataset(
    dataset: Dataset, seed: int, shares: tuple[float, float, float] = (0.8, 0.1, 0.1), delivered: bool = False
) -> dict[str, str]:
    """As ``split_patients`` for a dataset's patients.

    With ``delivered`` the test patients are those that the dataset's authors put aside, and the first two shares
    divide the others; where the authors named training and validation too, that is kept.

    Raises:
        ParameterError: as ``split_patients``; the authors named no parts, or a patient is in several of them.
    """
    if not delivered:
        return split_patients(dataset.patients, seed, shares)
    parts = delivered_parts(dataset)
    fixed = {patient: part for patient, part in parts.items() if part in (VALIDATION, TEST)}
    others = [patient for patient in dataset.patients if patient not in fixed]
    if VALIDATION in fixed.values() or shares[1] == 0:
        return fixed | dict.fromkeys(others, TRAIN)
    both = shares[0] + shares[1]
    return fixed | split_patients(others, seed, (shares[0] / both, shares[1] / both, 0.0))


def delivered_parts(dataset: Dataset) -> Mapping[str, str]:
    """Patient -> the part the authors put the patient in.

    Raises:
        ParameterError: they named none, or put a patient in two.
    """
    parts: dict[str, str] = {}
    for case in dataset.cases:
        known = parts.setdefault(case.patient, case.delivered)
        if known != case.delivered:
            raise ParameterError(
                f"Patient '{case.patient}' is in the parts '{known}' and '{case.delivered}' as delivered.",
                "Split by the seeded hash instead (delivered: false).",
            )
    if not any(parts.values()):
        raise ParameterError(
            f"The layout '{dataset.layout}' comes without parts.", "Split by the seeded hash (delivered: false)."
        )
    return parts


def place(patient: str, seed: int) -> str:
    """The patient's place in the order of a split: SHA-256 of "seed:patient" in hexadecimal digits."""
    return hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()


def _counts(patients: int, shares: tuple[float, float, float]) -> tuple[int, int, int]:
    """Whole numbers in the proportion of ``shares`` that sum to ``patients``; at least 1 where the share is above 0."""
    validation, test = (max(1, round(patients * share)) if share > 0 else 0 for share in shares[1:])
    while patients - validation - test < 1:
        if test >= validation:
            test -= 1
        else:
            validation -= 1
    return patients - validation - test, validation, test
