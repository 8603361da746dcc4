"""NIfTI-1 and NIfTI-2 single files, read and written without a library that accepts truncated data.

ITK and nibabel fill what is missing of a truncated file with garbage or warn only, and ITK does not notice a full disk
while writing NIfTI; both would be silent failures here. Header layout: nifti1.h and nifti2.h (nifti.nimh.nih.gov).
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import GridError, NotAnImageError, UnreadableFileError
from samprompt.io._itk import LPS_TO_RAS
from samprompt.io._raw import RawImage
from samprompt.io.notes import note
from samprompt.space.grid import Grid

_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_CODES = {name: code for code, name in _TYPES.items()}
_NO_SCALAR = {32: "complex numbers", 1792: "complex numbers", 128: "RGB colours", 2304: "RGBA colours"}
_TO_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units: metre, millimetre, micron


def _layout(fields: dict[str, tuple[str, int]], size: int, order: str) -> np.dtype[Any]:
    names, places = list(fields), list(fields.values())
    formats = [place[0].replace("=", order) for place in places]
    return np.dtype({"names": names, "formats": formats, "offsets": [p[1] for p in places], "itemsize": size})


_HEADER_1 = {
    "sizeof_hdr": ("=i4", 0), "dim": ("8=i2", 40), "datatype": ("=i2", 70), "bitpix": ("=i2", 72),
    "pixdim": ("8=f4", 76), "vox_offset": ("=f4", 108), "scl_slope": ("=f4", 112), "scl_inter": ("=f4", 116),
    "xyzt_units": ("u1", 123), "qform_code": ("=i2", 252), "sform_code": ("=i2", 254), "quatern": ("3=f4", 256),
    "qoffset": ("3=f4", 268), "srow": ("(3,4)=f4", 280), "magic": ("S4", 344),
}  # fmt: skip
_HEADER_2 = {
    "sizeof_hdr": ("=i4", 0), "magic": ("S8", 4), "datatype": ("=i2", 12), "bitpix": ("=i2", 14), "dim": ("8=i8", 16),
    "pixdim": ("8=f8", 104), "vox_offset": ("=i8", 168), "scl_slope": ("=f8", 176), "scl_inter": ("=f8", 184),
    "qform_code": ("=i4", 344), "sform_code": ("=i4", 348), "quatern": ("3=f8", 352), "qoffset": ("3=f8", 376),
    "srow": ("(3,4)=f8", 400), "xyzt_units": ("=i4", 500),
}  # fmt: skip


def read_nifti(path: Path) -> RawImage:
    """Read ``.nii`` or ``.nii.gz``; one volume of three dimensions, scaled as the header says.

    Raises:
        UnreadableFileError: not NIfTI, truncated, corrupt.
        NotAnImageError: not three-dimensional, colours, complex numbers.
        GridError: the sform is sheared.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb") as stream:
            header, order = _read_header(stream, path)
            shape = _shape(header, path)
            code = int(header["datatype"])
            if code not in _TYPES:
                what = _NO_SCALAR.get(code, f"voxels of an unknown type ({code})")
                raise NotAnImageError(f"{path} holds {what}.", "Give an image with one number per voxel.")
            dtype = np.dtype(order + _TYPES[code])
            start = max(int(header["vox_offset"]), int(header["sizeof_hdr"]))
            stream.read(max(start - int(header["sizeof_hdr"]), 0))
            wanted = int(np.prod(shape)) * dtype.itemsize
            data = stream.read(wanted)
            if packed and len(data) == wanted:
                stream.read(1)  # runs into the end of the gzip member, whose checksum is tested there
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFileError(f"{path} is damaged or truncated.", "Copy or export the file again.") from error
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.", "Check the permissions.") from error
    if len(data) < wanted:
        raise UnreadableFileError(
            f"{path} is truncated: {len(data)} of {wanted} bytes of voxels.", "Copy or export the file again."
        )
    array = np.frombuffer(data, dtype=dtype).reshape(shape[::-1])
    return RawImage(_scaled(array, float(header["scl_slope"]), float(header["scl_inter"])), _matrix(header, path))


def write_nifti(path: Path, array: NDArray[Any], grid: Grid, description: str = "") -> None:
    """Write ``array`` (k, j, i) of an integer or floating type as NIfTI-1, sform = qform, compressed if ``.gz``.

    The matrix is stored in single precision, as the format wants (about 0.0001 mm at 1 m).

    Raises:
        OSError: the disk is full, and the like; call it inside ``replacing``.
        NotAnImageError: an axis longer than 32,767 voxels, which the format cannot hold.
    """
    if max(array.shape) > 32767:
        raise NotAnImageError(f"NIfTI-1 cannot hold an image of {array.shape} voxels.", "Write .nrrd instead.")
    kind = array.dtype.newbyteorder("=").str[1:]
    header = np.zeros((), dtype=_layout(_HEADER_1, 352, "<"))
    quaternion, sign = _quaternion(grid.directions)
    values = {
        "sizeof_hdr": 348, "dim": [3, *array.shape[::-1], 1, 1, 1, 1], "datatype": _CODES[kind],
        "bitpix": array.dtype.itemsize * 8, "pixdim": [sign, *grid.spacing, 1, 1, 1, 1], "vox_offset": 352,
        "scl_slope": 1, "xyzt_units": 2, "qform_code": 1, "sform_code": 1, "quatern": quaternion,
        "qoffset": grid.ijk_to_ras[:3, 3], "srow": grid.ijk_to_ras[:3], "magic": b"n+1\0",
    }  # fmt: skip
    for name, value in values.items():
        header[name] = value
    raw = bytearray(header.tobytes())
    raw[148:228] = description.encode("ascii", "replace")[:79].ljust(80, b"\0")
    voxels = np.ascontiguousarray(array, dtype="<" + kind)
    with path.open("wb") as plain:
        if path.suffix != ".gz":
            plain.write(raw)
            plain.write(voxels.data.cast("B"))
            return
        # A fixed time keeps equal images equal as files.
        with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=4, mtime=0) as packed:
            packed.write(raw)
            packed.write(voxels.data.cast("B"))


def _read_header(stream: BinaryIO, path: Path) -> tuple[Any, str]:
    """The header as a structured scalar, and the byte order."""
    start = stream.read(348)
    for order in "<>":
        size = int(np.frombuffer(start[:4].ljust(4, b"\0"), order + "i4")[0])
        if size == 348 and len(start) == 348 and start[344:347] == b"n+1":
            return np.frombuffer(start, _layout(_HEADER_1, 348, order))[0], order
        if size == 540 and start[4:7] == b"n+2":
            start += stream.read(540 - 348)
            if len(start) == 540:
                return np.frombuffer(start, _layout(_HEADER_2, 540, order))[0], order
    raise UnreadableFileError(
        f"{path} is not a NIfTI file (its header does not begin as one).",
        "Check what the file really is; pairs of .hdr and .img are to be converted to .nii.gz.",
    )


def _shape(header: Any, path: Path) -> tuple[int, int, int]:
    """(i, j, k) of a volume of exactly three dimensions; further ones must have length 1."""
    count = int(header["dim"][0])
    sizes = [int(n) for n in header["dim"][1 : 1 + count]] if 0 < count < 8 else []
    if not sizes or min(sizes) < 1:
        raise UnreadableFileError(f"{path} has a corrupt header (dimensions {sizes}).", "Export the file again.")
    if len(sizes) < 3 or max(sizes[3:], default=1) > 1:
        raise NotAnImageError(
            f"{path} has {len(sizes)} dimensions (size {' x '.join(map(str, sizes))}), not three.",
            "Give one 3D volume; of a series over time, one time point.",
        )
    return sizes[0], sizes[1], sizes[2]


def _matrix(header: Any, path: Path) -> NDArray[np.float64]:
    """IJK-to-RAS in mm, chosen as ITK 5.4 chooses: the sform when its code is 1 or there is no qform, else the qform.

    With neither, the axes are LPS and pixdim the spacing. Both are said to be different when they are.
    """
    scale = _TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    pixdim = np.abs(np.asarray(header["pixdim"], dtype=np.float64))
    sform, qform = np.eye(4), np.eye(4)
    sform[:3] = header["srow"]
    qform[:3, :3] = _rotation(np.asarray(header["quatern"], dtype=np.float64)) * pixdim[1:4]
    qform[:3, 2] *= -1.0 if float(header["pixdim"][0]) < 0 else 1.0
    qform[:3, 3] = header["qoffset"]
    if sform_code > 0:
        _refuse_shear(sform, path)
    if sform_code > 0 and qform_code > 0:
        size = np.array([int(n) for n in header["dim"][1:4]])
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in size], [1])).reshape(4, -1)
        apart = float(np.linalg.norm((sform - qform)[:3] @ corners, axis=0).max()) * scale
        if apart > 0.01 * float(pixdim[1:4].min()) * scale:
            used = "sform" if sform_code == 1 else "qform"
            note(f"{path}: its two matrices (sform and qform) differ by {apart:.1f} mm; the {used} is used, as in ITK.")
            sform = sform if sform_code == 1 else qform
        matrix = sform
    elif sform_code > 0:
        matrix = sform
    elif qform_code > 0:
        matrix = qform
    else:
        note(f"{path} says nothing of its place and orientation; left, posterior, superior axes are taken.")
        matrix = LPS_TO_RAS @ np.diag([*pixdim[1:4], 1.0])
    matrix = matrix.copy()
    matrix[:3] *= scale
    return matrix


def _refuse_shear(sform: NDArray[np.float64], path: Path) -> None:
    try:
        Grid((1, 1, 1), sform)
    except GridError as error:
        raise GridError(f"{path}: {error.message}", error.hint) from error


def _rotation(bcd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation of the unit quaternion (a, b, c, d) with a >= 0 (nifti1.h, method 2)."""
    b, c, d = bcd
    square = 1.0 - float(bcd @ bcd)
    a = np.sqrt(max(square, 0.0))
    if square < 1e-7:  # a rotation by 180 degrees, rounded
        b, c, d = bcd / np.linalg.norm(bcd)
        a = 0.0
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _quaternion(directions: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(b, c, d) of the nearest rotation with a >= 0, and -1 where the third axis had to be reversed for one."""
    u, _, vh = np.linalg.svd(directions)
    rotation = u @ vh
    sign = 1.0 if np.linalg.det(rotation) > 0 else -1.0
    rotation = rotation * np.array([1.0, 1.0, sign])
    r = rotation
    # Eigenvector to the largest eigenvalue of Bar-Itzhack's matrix: stable for every angle.
    k = np.array(
        [
            [r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
            [r[0, 2] - r[2, 0], r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1]],
            [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    vector = np.linalg.eigh(k)[1][:, -1]
    return np.asarray(vector[1:] * (1.0 if vector[0] >= 0 else -1.0)), sign


def _scaled(array: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Stored values times slope plus intercept, unless the header asks for none (slope 0, NaN, or the identity)."""
    if slope == 0 or not np.isfinite([slope, intercept]).all() or (slope == 1 and intercept == 0):
        return array
    return np.asarray(array.astype(np.float64) * slope + intercept)
