"""Which reader a path belongs to, and names that are safe as file names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from samprompt.contract.errors import MissingFileError, NotAnImageError, UnreadableFileError
from samprompt.io._itk import read_with_itk
from samprompt.io._raw import RawImage
from samprompt.io.nifti import read_nifti

NIFTI = (".nii.gz", ".nii")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
SEGMENTATION = (".seg.nrrd", ".seg.nhdr")
IMAGES = NIFTI + ITK
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pdf")
# Reserved in Windows file names, and everything that does not print.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]+')
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)$", re.IGNORECASE)


def has_extension(path: Path, extensions: Iterable[str]) -> bool:
    """Whether the name ends in one of ``extensions`` (lower case, with the dot)."""
    return path.name.lower().endswith(tuple(extensions))


def stem(path: Path) -> str:
    """The file's name without its image extension."""
    for extension in (*SEGMENTATION, *IMAGES):
        if path.name.lower().endswith(extension):
            return path.name[: -len(extension)]
    return path.stem


def existing(path: Path | str) -> Path:
    """The path, which must exist.

    Raises:
        MissingFileError: it does not.
    """
    found = Path(path)
    try:
        if found.exists():
            return found
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.", "Check the permissions.") from error
    raise MissingFileError(f"{path} does not exist.", "Check the path for a typing error.")


def files_in(folder: Path, deep: bool = False) -> list[Path]:
    """The files of a folder by name, with those of its subfolders when ``deep``.

    Raises:
        UnreadableFileError: the folder may not be read.
    """
    try:
        return sorted(p for p in (folder.rglob("*") if deep else folder.iterdir()) if p.is_file())
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableFileError(f"{folder} cannot be read: {reason}.", "Check the permissions.") from error


def is_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM files do, or is called ``.dcm``."""
    if has_extension(path, (".dcm", ".ima", ".dicom")):
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_raw(path: Path) -> RawImage:
    """Read a NIfTI, NRRD or MetaImage file as stored.

    Raises:
        NotAnImageError: a format that holds no volume.
        UnreadableFileError: unknown format, truncated or corrupt file.
    """
    if has_extension(path, NIFTI):
        return read_nifti(path)
    if has_extension(path, ITK):
        return read_with_itk(path)
    formats = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha, .mhd) and DICOM"
    if has_extension(path, _PICTURES):
        raise NotAnImageError(f"{path} is a picture, not a volume.", f"Formats that are read: {formats}.")
    raise UnreadableFileError(f"{path} has an unknown format.", f"Formats that are read: {formats}.")


def safe_file_name(name: str, taken: Iterable[str] = ()) -> str:
    """``name`` as a file name (no extension) on Linux, macOS and Windows, different from those ``taken``.

    Letters of every script stay; slashes and other reserved characters become ``_``; at most 100 bytes.
    """
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip(" .")
    text = text.encode("utf-8")[:100].decode("utf-8", "ignore").strip(" .") or "structure"
    if _RESERVED.match(text):
        text += "_"
    used = {other.casefold() for other in taken}
    unique, number = text, 2
    while unique.casefold() in used:
        unique, number = f"{text}_{number}", number + 1
    return unique
