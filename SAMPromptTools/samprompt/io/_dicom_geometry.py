"""Where the slices of a DICOM series are: repeats, gaps, and the matrix of the stack."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import DicomSeriesError
from samprompt.io._itk import flip_lps_ras
from samprompt.io.notes import note

# Slices closer than this (mm) are at the same place. No CT has thinner steps than 0.1 mm.
_SAME_PLACE = 0.01
# Positions are rounded by scanners to 0.1 or 0.01 mm; a slice may lie this share of the spacing off its place.
_UNEVEN = 0.05


def without_repeats(along: NDArray[np.float64], same_pixels: Callable[[int, int], bool], source: str) -> list[int]:
    """Indices of the slices to keep when ``along`` (mm, sorted) holds places twice.

    Raises:
        DicomSeriesError: two different images at one place (phases of a 4D scan, echoes, two acquisitions).
    """
    keep = [0]
    repeats = 0
    for index in range(1, len(along)):
        if along[index] - along[keep[-1]] > _SAME_PLACE:
            keep.append(index)
        elif same_pixels(keep[-1], index):
            repeats += 1
        else:
            raise DicomSeriesError(
                f"{source}: different images at the same place ({along[index]:.2f} mm along the scan).",
                "The series mixes phases, echoes or acquisitions; export one of them alone.",
            )
    if repeats:
        note(f"{source}: {repeats} slices are stored twice; the copies were left out.")
    return keep


def ijk_to_ras(
    orientation: NDArray[np.float64],
    positions: NDArray[np.float64],
    along: NDArray[np.float64],
    pixel_spacing: tuple[float, float],
    thickness: float,
    source: str,
) -> NDArray[np.float64]:
    """4x4 IJK-to-RAS of sorted slices; sheared when the slices are shifted in their plane (the caller's Grid refuses).

    ``orientation`` holds the unit vectors of i and j (2, 3), ``positions`` the centres of the first pixels (n, 3), LPS
    mm; ``along`` the positions along the normal; ``pixel_spacing`` the distances (between rows, between columns).
    ``thickness`` (mm) stands in for the spacing of a single slice.

    Raises:
        DicomSeriesError: missing slices or uneven spacing.
    """
    matrix = np.eye(4)
    matrix[:3, 0] = orientation[0] * pixel_spacing[1]
    matrix[:3, 1] = orientation[1] * pixel_spacing[0]
    matrix[:3, 3] = positions[0]
    if len(along) == 1:
        if thickness <= 0:
            note(f"{source}: one slice of unknown thickness; 1 mm is taken.")
        matrix[:3, 2] = np.cross(*orientation) * (thickness or 1.0)
        return flip_lps_ras(matrix)
    _refuse_gaps(along, source)
    # The mean over all slices: rounding of single positions must not bend the stack.
    matrix[:3, 2] = (positions[-1] - positions[0]) / (len(along) - 1)
    return flip_lps_ras(matrix)


def _refuse_gaps(along: NDArray[np.float64], source: str) -> None:
    steps = np.diff(along)
    usual = float(np.median(steps))
    even = along[0] + (along[-1] - along[0]) * np.arange(len(along)) / (len(along) - 1)
    if np.abs(along - even).max() <= _UNEVEN * usual:
        return
    if np.abs(steps / usual - np.rint(steps / usual)).max() <= 2 * _UNEVEN:
        gaps = [f"{along[n]:.2f} and {along[n + 1]:.2f}" for n in np.flatnonzero(steps > 1.5 * usual)]
        missing = int(np.rint(steps / usual).sum()) - len(steps)
        shown = ", ".join(gaps[:5]) + (", ..." if len(gaps) > 5 else "")
        raise DicomSeriesError(
            f"{source}: {missing} slices are missing (along the scan, between {shown} mm).",
            "Export the whole series again; for a scan of varying spacing, resample it to even spacing in Slicer.",
        )
    raise DicomSeriesError(
        f"{source}: the slices are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm).",
        "Resample the scan to even spacing first (in Slicer: load it with acquisition geometry regularisation).",
    )
