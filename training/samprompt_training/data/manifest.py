"""The written account of a dataset: which files of which patients trained, validated and tested."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from samprompt.contract.errors import UnreadableFileError
from samprompt.io._files import existing
from samprompt.io.atomic import replacing

from samprompt_training.data.cases import PARTS, Dataset
from samprompt_training.data.duplicates import sha256

_FORMAT = 1


def make_manifest(
    dataset: Dataset,
    split: Mapping[str, str],
    *,
    seed: int,
    shares: tuple[float, ...],
    slices: Mapping[str, Mapping[str, list[int]]] | None = None,
    empty: Mapping[str, Mapping[str, list[int]]] | None = None,
    hashes: bool = True,
) -> dict[str, Any]:
    """What went where.

    For every case: patient, part, visit, structures; the ``slices`` used that show each, and those used without it
    (``empty``; both from ``SliceSet.slices_used`` of all parts, joined); and its files below the dataset's folder with
    bytes and SHA-256 (None without ``hashes``, for archives that take hours to read). ``digest`` is the SHA-256 of all
    that, to be quoted by a model card. The manifest names patients as the dataset does: it stays where the data is, and
    ``manifest_summary`` is what may leave.
    """
    cases = []
    for case in sorted(dataset.cases, key=lambda one: (one.patient, one.name)):
        files = [
            {
                "path": _below(file, dataset.folder),
                "bytes": file.stat().st_size,
                "sha256": sha256(file) if hashes else None,
            }
            for file in case.files
        ]
        cases.append(
            {
                "patient": case.patient,
                "case": case.name,
                "part": split[case.patient],
                "visit": case.visit,
                "kind": case.kind,
                "structures": sorted(case.masks),
                "slices": _of_case(slices, case.name),
                "empty_slices": _of_case(empty, case.name),
                "files": files,
            }
        )
    content = {
        "format": _FORMAT,
        "layout": dataset.layout,
        "seed": seed,
        "shares": list(shares),
        "patients_known": dataset.patients_known,
        "notes": list(dataset.notes),
        "cases": cases,
    }
    return content | {"digest": _digest(content), "summary": _summary(content)}


def write_manifest(path: Path | str, manifest: Mapping[str, Any]) -> None:
    """Write a manifest as JSON, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(path: Path | str) -> dict[str, Any]:
    """A manifest as it was written.

    Raises:
        MissingFileError: it is not there.
        UnreadableFileError: it is no manifest, or was changed after it was written (its digest does not fit).
    """
    found = existing(path)
    try:
        manifest = json.loads(found.read_text(encoding="utf-8"))
        content = {key: value for key, value in manifest.items() if key not in ("digest", "summary")}
        fits = manifest["digest"] == _digest(content) and manifest["format"] == _FORMAT
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableFileError(
            f"{path} is no manifest of a dataset.", "Give the one written at training."
        ) from error
    if not fits:
        raise UnreadableFileError(
            f"{path} was changed after it was written, or by another version.", "Write the manifest again."
        )
    return dict(manifest)


def manifest_summary(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a model card says of the data, without a patient's or a file's name.

    "layout", "seed", "shares", "digest", "notes", and per part the numbers of patients, cases, and slices by structure
    ("slices" that show it, "empty_slices" that do not).
    """
    kept = {key: manifest[key] for key in ("layout", "seed", "shares", "digest", "notes", "patients_known")}
    return kept | {"parts": manifest["summary"]}


def _summary(content: Mapping[str, Any]) -> dict[str, Any]:
    parts = {}
    for part in PARTS:
        cases = [case for case in content["cases"] if case["part"] == part]
        parts[part] = {
            "patients": len({case["patient"] for case in cases}),
            "cases": len(cases),
            "slices": _counted(case["slices"] for case in cases),
            "empty_slices": _counted(case["empty_slices"] for case in cases),
        }
    return parts


def _of_case(slices: Mapping[str, Mapping[str, list[int]]] | None, name: str) -> dict[str, list[int]]:
    return {structure: list(numbers) for structure, numbers in sorted((slices or {}).get(name, {}).items())}


def _counted(slices: Iterable[Mapping[str, list[int]]]) -> dict[str, int]:
    """Number of slices by structure over several cases."""
    counts: Counter[str] = Counter()
    for of_case in slices:
        counts.update({name: len(numbers) for name, numbers in of_case.items()})
    return dict(sorted(counts.items()))


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _below(file: Path, folder: Path) -> str:
    try:
        return file.relative_to(folder).as_posix()
    except ValueError:
        return file.name
