"""Reading and writing the contoured structures of a visit, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from samprompt.contract.errors import GridError, StructureError, UnreadableFileError
from samprompt.io import _files
from samprompt.io._place import on_grid
from samprompt.io.atomic import replacing
from samprompt.io.label_maps import (
    mask_files,
    structures_of_folder,
    structures_of_label_map,
    write_label_map,
    write_masks,
)
from samprompt.io.rtstruct import find_rtstructs, read_rtstruct
from samprompt.io.seg_nrrd import is_segmentation, segments_of, write_seg_nrrd
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume


def read_structures(path: Path | str, volume: Volume, fill_gaps: bool = False) -> tuple[Structure, ...]:
    """Read the structures drawn on ``volume`` and bring them onto its grid.

    ``path`` is a Slicer segmentation (``.seg.nrrd``), a label map (NIfTI, NRRD, MetaImage), an RTSTRUCT file, or a
    folder that holds one mask file per structure or one RTSTRUCT. Masks on the volume's own voxels, or on a part of
    them, are copied exactly; on other grids they are resampled. Empty structures are kept, and noted by their reader.
    ``fill_gaps`` interpolates slices without contours inside a structure of an RTSTRUCT (see ``read_rtstruct``).

    Raises:
        MissingFileError, UnreadableFileError, NotAnImageError: not there, damaged, nothing of the above.
        GridError: the structures share no space with the volume, or their grid is sheared.
        StructureError: no structure in it, or a folder that holds masks and RTSTRUCTs.
    """
    found = _files.existing(path)
    if found.is_dir():
        structures = _of_folder(found, volume.grid, fill_gaps)
    elif _files.has_extension(found, _files.IMAGES):
        structures = _of_image(found)
    elif _files.is_dicom(found):
        structures = read_rtstruct(found, volume.grid, fill_gaps)
    else:
        raise UnreadableFileError(
            f"{found} holds no structures in a known format.",
            "Give a .seg.nrrd, a label map, a folder of masks or an RTSTRUCT.",
        )
    if not structures:
        raise StructureError(f"{found} holds no structure.", "Check that the contours were exported.")
    return on_grid(structures, volume.grid, str(found))


def write_structures(path: Path | str, structures: Sequence[Structure], grid: Grid, reference_name: str = "") -> None:
    """Write the structures of one visit, whole or not at all.

    ``.seg.nrrd`` keeps names, colours, terminology and tags, and overlapping structures (``reference_name`` names the
    image it belongs to). Any other image format gives a label map with a colour table (``.ctbl``) beside it; a path
    without extension gives a new folder with one ``.nii.gz`` per structure.

    Raises:
        GridError: a structure is not on ``grid``.
        StructureError: overlapping structures in a label map.
        OutputError: unknown format, disk full, no permission, a folder with files in the way.
    """
    target = Path(path)
    for structure in structures:
        if not structure.grid.same_as(grid):
            raise GridError(
                f"'{structure.name}' is on another grid than the one to write.",
                "This is a fault of the caller: bring it onto the visit's grid first.",
            )
    if _files.has_extension(target, (".seg.nrrd",)):
        with replacing(target) as temporary:
            write_seg_nrrd(temporary, structures, grid, reference_name)
    elif target.suffix:
        write_label_map(target, structures, grid)
    else:
        with replacing(target) as temporary:
            temporary.mkdir()
            write_masks(temporary, structures, grid)


def _of_image(path: Path) -> tuple[Structure, ...]:
    raw = _files.read_raw(path)
    if is_segmentation(raw):
        return segments_of(raw, str(path))
    if _files.has_extension(path, _files.SEGMENTATION) and raw.components == 1 and not raw.array.any():
        return ()
    return structures_of_label_map(raw, path)


def _of_folder(folder: Path, grid: Grid, fill_gaps: bool) -> tuple[Structure, ...]:
    masks = mask_files(folder)
    if masks:
        if find_rtstructs(folder):
            raise StructureError(
                f"{folder} holds masks and an RTSTRUCT.", "Give the RTSTRUCT file itself, or a folder of masks alone."
            )
        return structures_of_folder(folder)
    contours = find_rtstructs(folder)
    if not contours:
        raise UnreadableFileError(
            f"{folder} holds neither masks nor an RTSTRUCT.",
            "Give a folder with one .nii.gz or .nrrd mask per structure, or with an RTSTRUCT.",
        )
    if len(contours) > 1:
        names = ", ".join(p.relative_to(folder).as_posix() for p in contours)
        raise StructureError(f"{folder} holds {len(contours)} RTSTRUCT files: {names}.", "Give one of these files.")
    return read_rtstruct(contours[0], grid, fill_gaps)
