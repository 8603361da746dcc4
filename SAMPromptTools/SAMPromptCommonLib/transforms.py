"""Parent transforms of nodes: matrix or VTK transform to the world, and points through them. No node is touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from samprompt.contract.errors import GridError
from vtk.util import numpy_support


def toArray(matrix: Any) -> np.ndarray:
    """4x4 array of a vtkMatrix4x4."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def toMatrix(array: np.ndarray) -> Any:
    """vtkMatrix4x4 of a 4x4 array."""
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix


def matrixToWorld(node: Any) -> np.ndarray | None:
    """4x4 matrix from a node's own RAS to the world, None when a transform above it is not linear."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        return None
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(parent, None, matrix)
    array = toArray(matrix)
    if not np.isfinite(array).all() or abs(np.linalg.det(array[:3, :3])) < 1e-12:
        raise GridError(
            f"The transform '{parent.GetName()}' above '{node.GetName()}' has no inverse.",
            "Correct the transform, or take the node out of it.",
        )
    return array


def transformToWorld(node: Any) -> Any:
    """A copy of the transform from a node's own RAS to the world (vtkGeneralTransform), of any kind.

    A true copy: what the user does to the transforms afterwards does not change it.
    """
    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, between)
    copy = vtk.vtkGeneralTransform()
    # VTK's own DeepCopy of such a transform goes on sharing the displacement field.
    slicer.vtkMRMLTransformNode.DeepCopyTransform(copy, between)
    return copy


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) through a 4x4 matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def throughTransform(transform: Any, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) in mm through a VTK transform; None leaves them."""
    if transform is None:
        return points
    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    before.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64)))
    after.SetDataTypeToDouble()
    transform.TransformPoints(before, after)
    return numpy_support.vtk_to_numpy(after.GetData()).copy()
