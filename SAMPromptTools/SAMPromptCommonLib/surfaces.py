"""A closed surface turned into a mask, a few planes per step."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import vtk
from vtk.util import numpy_support

from SAMPromptCommonLib.index_maps import IndexMap
from SAMPromptCommonLib.masks import EMPTY, PlacedMask, Shape, tight
from SAMPromptCommonLib.transforms import toMatrix
from SAMPromptCommonLib.voxels import imageVoxels

_PLANES = 1  # per step: every plane cuts all triangles anew, 300 000 of them in about 6 ms


def filled(surface: Any, toLocal: IndexMap, shape: Shape) -> Generator[None, None, PlacedMask]:
    """Steps that fill a closed surface (vtkPolyData in its own RAS) on a grid of ``shape``.

    ``toLocal`` maps the grid's indices to that RAS (its ``rasToSource`` is the identity). A voxel counts when its
    centre lies inside; a surface too small for that keeps the voxel at its middle.
    """
    inIjk = _inIndices(surface, toLocal)
    yield None
    bounds = np.array(inIjk.GetPoints().GetBounds()).reshape(3, 2)  # i, j, k
    low = np.maximum(np.floor(bounds[:, 0]), 0).astype(int)
    high = np.minimum(np.ceil(bounds[:, 1]), np.array(shape[::-1]) - 1).astype(int)
    if (high < low).any():
        return PlacedMask(EMPTY.array, EMPTY.offset, 1.0)
    stencil = vtk.vtkPolyDataToImageStencil()
    stencil.SetInputData(inIjk)
    stencil.SetOutputSpacing(1, 1, 1)
    stencil.SetOutputOrigin(0, 0, 0)
    image = vtk.vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.SetOutputScalarTypeToUnsignedChar()
    array = np.zeros((high - low + 1)[::-1], dtype=np.uint8)
    for k in range(low[2], high[2] + 1, _PLANES):
        last = min(k + _PLANES - 1, high[2])
        stencil.SetOutputWholeExtent(*(int(n) for n in (low[0], high[0], low[1], high[1], k, last)))
        image.UpdateWholeExtent()
        array[k - low[2] : last + 1 - low[2]] = imageVoxels(image.GetOutput(), "surface")
        yield None
    beyond = (bounds[:, 0] < -0.5) | (bounds[:, 1] > np.array(shape[::-1]) - 0.5)
    lost = _shareBeyond(inIjk, shape) if beyond.any() else 0.0
    if not array.any() and lost == 0.0:
        middle = np.clip(np.rint(bounds.mean(axis=1)).astype(int), low, high) - low
        array[tuple(middle[::-1])] = 1
    return tight(array, low[::-1], lost)


def _inIndices(surface: Any, toLocal: IndexMap) -> Any:
    """The surface's triangles in (i, j, k) of the grid, in double precision; the surface itself stays as it is."""
    back = toLocal.inverted()
    if back.transform is None:
        stages = [_linear(back.rasToSource @ back.targetToRas)]
    else:
        stages = [_linear(back.targetToRas), back.transform, _linear(back.rasToSource)]
    data = surface
    for transform in stages:
        step = vtk.vtkTransformPolyDataFilter()
        step.SetOutputPointsPrecision(vtk.vtkAlgorithm.DOUBLE_PRECISION)
        step.SetInputData(data)
        step.SetTransform(transform)
        step.Update()
        data = step.GetOutput()
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(data)
    triangles.PassLinesOff()
    triangles.PassVertsOff()
    triangles.Update()
    return triangles.GetOutput()


def _linear(matrix: np.ndarray) -> Any:
    transform = vtk.vtkTransform()
    transform.SetMatrix(toMatrix(matrix))
    return transform


def _shareBeyond(surface: Any, shape: Shape) -> float:
    """Share of the surface's points that lie outside the grid."""
    points = numpy_support.vtk_to_numpy(surface.GetPoints().GetData())
    outside = (points < -0.5) | (points > np.array(shape[::-1]) - 0.5)
    return float(outside.any(axis=1).mean())
