"""Voxels of VTK images as numpy views, and pieces of them small enough for one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from samprompt.contract.errors import InputError, NotAnImageError
from vtk.util import numpy_support

# What one step handles: writing and hashing 2 MiB takes about 3 ms.
STEP_BYTES = 2 << 20


def requireInScene(node: Any, name: str) -> None:
    """Raise InputError when a node was deleted or its scene closed; ``name`` is what the user called it."""
    if node is None or node.GetScene() is None:
        raise InputError(f"'{name}' was removed from the scene meanwhile.", "Load it again and start once more.")


def nameOf(node: Any) -> str:
    """Name of a node, never None."""
    return (node.GetName() if node is not None else "") or ""


def scalarVoxels(volumeNode: Any) -> np.ndarray:
    """View (k, j, i) of a volume's voxels, one value each, any real type; nothing is copied.

    Raises:
        NotAnImageError: no voxels, several values per voxel, or a type without numbers.
    """
    name = nameOf(volumeNode)
    image = volumeNode.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or scalars.GetNumberOfTuples() < 1:
        raise NotAnImageError(f"The volume '{name}' holds no voxels.", "Load the image again.")
    if scalars.GetNumberOfComponents() != 1:
        raise NotAnImageError(
            f"The volume '{name}' has {scalars.GetNumberOfComponents()} values per voxel (colours or vectors), "
            "not one grey value.",
            "Give the CT or MR image itself.",
        )
    return imageVoxels(image, name)


def imageVoxels(image: Any, name: str) -> np.ndarray:
    """View (k, j, i) of a one-component vtkImageData; its first voxel is the first of the image's extent."""
    try:
        flat = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    except (AssertionError, TypeError, KeyError, AttributeError) as error:
        kind = image.GetScalarTypeAsString()
        raise NotAnImageError(f"'{name}' has voxels of the type '{kind}'.", "Convert it to whole numbers.") from error
    i, j, k = image.GetDimensions()
    if flat.size != i * j * k or flat.dtype.kind not in "iuf":
        raise NotAnImageError(f"'{name}' holds other values than its size says.", "Load the image again.")
    return flat.reshape(k, j, i)


def pieces(count: int, itemBytes: int, stepBytes: int = STEP_BYTES) -> Iterator[slice]:
    """Slices of ``count`` items, each at most ``stepBytes`` (and at least one item)."""
    size = max(1, stepBytes // max(1, itemBytes))
    for start in range(0, count, size):
        yield slice(start, min(count, start + size))
