"""Label maps (one integer per structure), folders with one mask file per structure, and Slicer's colour tables."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import GridError, NotAnImageError, StructureError
from samprompt.io import _files
from samprompt.io._raw import RawImage
from samprompt.io.atomic import replacing
from samprompt.io.images import write_array
from samprompt.io.notes import note
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure

_MOST_LABELS = 2000


def structures_of_label_map(raw: RawImage, path: Path) -> tuple[Structure, ...]:
    """One structure per label in ``raw``, in the order of the labels.

    Names and colours come from a Slicer colour table of the same name (``.ctbl``) where there is one. Else a single
    structure is called like the file and several like the file and their label.

    Raises:
        NotAnImageError: vectors or colours; values that are not whole numbers; more than 2,000 labels (an image).
        GridError: a sheared grid.
    """
    array = _labels(raw, path)
    grid = _grid(raw, path)
    present = [int(label) for label in np.unique(array) if label != 0]
    if len(present) > _MOST_LABELS:
        raise NotAnImageError(
            f"{path} holds {len(present)} different values: an image, not a label map.",
            "Give a label map, in which every structure has its own whole number.",
        )
    table = read_color_table(path.with_name(_files.stem(path) + ".ctbl"))
    if not present and not table:
        note(f"{path} is an empty label map.")
        return (Structure(_files.stem(path), np.zeros(grid.shape, dtype=bool), grid, color_of(0)),)
    labels = sorted(set(present) | set(table))
    found = []
    for number, label in enumerate(labels):
        default = _files.stem(path) if len(labels) == 1 else f"{_files.stem(path)}_{label}"
        name, color = table.get(label, (default, color_of(number)))
        found.append(Structure(name, array == label, grid, color))
    return tuple(found)


def structures_of_folder(folder: Path) -> tuple[Structure, ...]:
    """One structure per mask file in ``folder``, named like the file; every voxel that is not 0 belongs to it.

    Raises:
        UnreadableFileError, NotAnImageError, GridError: of one of the files.
    """
    found = []
    for number, file in enumerate(mask_files(folder)):
        raw = _files.read_raw(file)
        array = _labels(raw, file)
        if len(np.unique(array)) > 2:
            note(f"{file} holds several labels; in a folder of masks all that is not 0 is one structure.")
        found.append(Structure(_files.stem(file), array != 0, _grid(raw, file), color_of(number)))
    return tuple(found)


def mask_files(folder: Path) -> list[Path]:
    """The image files directly in ``folder``, by name."""
    return [p for p in _files.files_in(folder) if _files.has_extension(p, _files.IMAGES)]


def write_label_map(path: Path, structures: Sequence[Structure], grid: Grid) -> None:
    """Write structures on ``grid`` as labels 1, 2, ... and a colour table (``.ctbl``) with their names beside it.

    Raises:
        StructureError: structures overlap, which one label map cannot hold.
        OutputError: it cannot be written.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8 if len(structures) < 256 else np.uint16)
    for number, structure in enumerate(structures, 1):
        if (taken := labels[structure.mask]).any():
            other = structures[int(taken.max()) - 1].name
            raise StructureError(
                f"'{structure.name}' and '{other}' overlap, which a label map cannot hold.",
                "Write .seg.nrrd or a folder of masks.",
            )
        labels[structure.mask] = number
    write_array(path, labels, grid, {})
    write_color_table(path.with_name(_files.stem(path) + ".ctbl"), structures)


def write_masks(folder: Path, structures: Sequence[Structure], grid: Grid) -> list[Path]:
    """Write one ``.nii.gz`` per structure into an existing ``folder``; file names are made safe and unique."""
    written: list[Path] = []
    for structure in structures:
        name = _files.safe_file_name(structure.name, [_files.stem(p) for p in written])
        written.append(folder / f"{name}.nii.gz")
        write_array(written[-1], structure.mask.astype(np.uint8), grid, {})
    return written


def color_of(number: int) -> tuple[float, float, float]:
    """A colour for a structure without one: hues a golden angle apart, so that neighbours differ."""
    return colorsys.hsv_to_rgb((0.03 + number * 0.381966) % 1.0, 0.65, 0.9)


def read_color_table(path: Path) -> dict[int, tuple[str, tuple[float, float, float]]]:
    """Label -> (name, colour) of a Slicer colour table; empty where there is none. Spaces are stored as ``_``."""
    if not path.is_file():
        return {}
    table: dict[int, tuple[str, tuple[float, float, float]]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        parts = line.split()
        if line.lstrip().startswith("#") or len(parts) < 5:
            continue
        try:
            label = int(parts[0])
            red, green, blue = (int(part) / 255.0 for part in parts[-4:-1])
        except ValueError:
            note(f"{path}: the line '{line}' is not 'label name red green blue alpha' and was left out.")
            continue
        if label != 0:
            table[label] = (" ".join(parts[1:-4]), (red, green, blue))
    return table


def write_color_table(path: Path, structures: Sequence[Structure]) -> None:
    """Write names and colours (8 bits each) of labels 1, 2, ... as a Slicer colour table, whole or not at all."""
    lines = ["# Color table file", "# label name red green blue alpha", "0 Background 0 0 0 0"]
    for number, structure in enumerate(structures, 1):
        name = "_".join(structure.name.split()) or f"structure_{number}"
        red, green, blue = (round(255 * c) for c in structure.color)
        lines.append(f"{number} {name} {red} {green} {blue} 255")
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _labels(raw: RawImage, path: Path) -> NDArray[Any]:
    """Whole numbers (k, j, i).

    Raises:
        NotAnImageError: vectors, or values that are not whole.
    """
    if raw.components > 1 or raw.array.ndim != 3:
        raise NotAnImageError(
            f"{path} holds {raw.components} values per voxel, not one label.", "Give a label map or .seg.nrrd."
        )
    if np.issubdtype(raw.array.dtype, np.integer):
        return raw.array
    finite = np.nan_to_num(raw.array, nan=0.0, posinf=0.5, neginf=0.5)
    whole = np.rint(finite)
    # Label maps that went through a scaled format come back as 0.9999999.
    if np.abs(finite - whole).max(initial=0.0) > 1e-3:
        raise NotAnImageError(
            f"{path} holds values that are not whole numbers: an image or probabilities, not a label map.",
            "Threshold it first, and give a label map.",
        )
    return whole.astype(np.int32)


def _grid(raw: RawImage, path: Path) -> Grid:
    try:
        return Grid((raw.array.shape[0], raw.array.shape[1], raw.array.shape[2]), raw.ijk_to_ras)
    except GridError as error:
        raise GridError(f"{path}: {error.message}", error.hint) from error
