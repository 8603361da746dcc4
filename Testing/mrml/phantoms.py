"""Volumes, segmentations and transforms with known places, and a memory of what a node looked like before.

Where a voxel lies is computed here with numpy from the matrices that the tests choose; the code under test reads them
back from the scene.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
import vtk.util.numpy_support


def rotation(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """3x3 rotation by degrees about x, then y, then z."""
    result = np.eye(3)
    for axis, degrees in enumerate((x, y, z)):
        angle = np.deg2rad(degrees)
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result


def affine(directions: np.ndarray, spacing: tuple, origin: tuple) -> np.ndarray:
    """4x4 matrix of IJK to RAS; directions are columns."""
    matrix = np.eye(4)
    matrix[:3, :3] = directions * np.array(spacing, dtype=float)
    matrix[:3, 3] = origin
    return matrix


SHEAR = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.35], [0.0, 0.0, 1.0]])

# IJK to RAS of volumes: what scanners and other programs produce.
GEOMETRIES = {
    "along the axes": affine(np.eye(3), (1.1, 0.9, 2.5), (-40.0, 20.0, 310.0)),
    "as from DICOM": affine(np.diag([-1.0, -1.0, 1.0]), (0.7, 0.7, 3.0), (120.0, 180.0, -900.0)),
    "feet first, left-handed": affine(np.diag([-1.0, -1.0, -1.0]), (0.8, 0.8, 2.0), (12.0, 18.0, 90.0)),
    "sagittal": affine(np.array([[0, 0, 1.0], [-1.0, 0, 0], [0, -1.0, 0]]), (1.0, 1.3, 4.0), (-60.0, 90.0, 44.0)),
    "oblique": affine(rotation(12.0, -23.0, 40.0), (0.9, 1.2, 3.1), (5.0, -77.0, 33.0)),
    "nearly straight": affine(rotation(0.4, -0.2, 0.3), (0.75, 0.75, 1.5), (-150.0, -200.0, 12.25)),
}
SHEARED = affine(SHEAR @ np.diag([-1.0, -1.0, 1.0]), (0.9, 0.9, 2.0), (30.0, 40.0, -50.0))

# Parent transforms, outermost first.
PARENTS = {
    "none": [],
    "a shift": [affine(np.eye(3), (1, 1, 1), (13.5, -7.25, 40.0))],
    "a turn": [affine(rotation(5.0, 8.0, -30.0), (1, 1, 1), (3.0, 4.0, -15.0))],
    "a chain": [
        affine(rotation(0.0, 0.0, 90.0), (1, 1, 1), (100.0, 0.0, 0.0)),
        affine(rotation(-20.0, 0.0, 15.0), (1, 1, 1), (0.0, -30.0, 8.0)),
    ],
    "a mirror": [affine(np.diag([-1.0, 1.0, 1.0]), (1, 1, 1), (2.0, 0.0, 0.0))],
    "a zoom": [affine(np.eye(3), (1.25, 1.25, 1.25), (0.0, 5.0, 0.0))],
}


def phantom_image(shape: tuple[int, int, int] = (14, 22, 30), dtype: Any = np.int16, seed: int = 3) -> np.ndarray:
    """An image without any symmetry."""
    k, j, i = np.indices(shape)
    values = 40.0 * np.sin(k / 3.0 + 0.3) + 3.0 * j + 1.7 * i + np.random.default_rng(seed).normal(0, 4, shape)
    values = (values - values.min()) / max(np.ptp(values), 1e-9)
    if np.dtype(dtype).kind == "f":
        return (values * 2000 - 1000).astype(dtype)
    info = np.iinfo(dtype)
    # Whole range of the type, its ends included: an unsigned type read as signed would show.
    result = (values * (float(info.max) - float(info.min)) * 0.99 + float(info.min)).astype(dtype)
    result.flat[0], result.flat[-1] = info.min, info.max
    return result


def phantom_mask(shape: tuple[int, int, int] = (14, 22, 30)) -> np.ndarray:
    """A mask without any symmetry: a block with a horn, and a single voxel apart."""
    mask = np.zeros(shape, dtype=np.uint8)
    k, j, i = (max(1, n // 4) if n > 1 else 0 for n in shape)
    mask[k : k + max(1, shape[0] // 3), j : j + shape[1] // 3, i : i + shape[2] // 2] = 1
    mask[k, j : j + shape[1] // 2, i] = 1
    mask[min(k + 1, shape[0] - 1), j - 1, i + 2] = 1
    mask[shape[0] - 1, shape[1] - 2, shape[2] - 3] = 1
    return mask


def world_of(matrix: np.ndarray, kji: np.ndarray) -> np.ndarray:
    """RAS mm of array indices (n, 3) through a 4x4 matrix of (i, j, k)."""
    return np.asarray(kji, dtype=float)[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]


def to_vtk(matrix: np.ndarray) -> Any:
    """vtkMatrix4x4."""
    result = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            result.SetElement(row, column, matrix[row, column])
    return result


def add_volume(array: np.ndarray, matrix: np.ndarray, name: str = "CT") -> Any:
    """A scalar volume in the scene; the array is copied with its very type."""
    i, j, k = array.shape[::-1]
    image = vtk.vtkImageData()
    image.SetDimensions(i, j, k)
    image.GetPointData().SetScalars(vtk.util.numpy_support.numpy_to_vtk(array.ravel(), deep=True))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(to_vtk(matrix))
    return node


def add_segmentation(masks: dict[str, np.ndarray], volume: Any, name: str = "Contours") -> Any:
    """A segmentation drawn on ``volume``, not under a transform; segment IDs are the names."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    for number, (segment, mask) in enumerate(masks.items()):
        color = (0.2 + 0.1 * number, 0.7 - 0.1 * number, 0.4)
        node.GetSegmentation().AddEmptySegment(segment, segment, color)
        set_labels(node, segment, mask, matrix)
    return node


def set_labels(node: Any, segment: str, mask: np.ndarray, matrix: Any) -> None:
    """Give a segment a labelmap of its own: the whole array, in the segmentation's RAS."""
    segmentation = node.GetSegmentation()
    segmentation.GetSegment(segment).AddRepresentation("Binary labelmap", oriented_image(mask, matrix))
    segmentation.GetSegment(segment).SetLabelValue(1)


def oriented_image(mask: np.ndarray, matrix: Any, first: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """vtkOrientedImageData of an array; ``first`` is the (k, j, i) index of its first voxel."""
    image = slicer.vtkOrientedImageData()
    k, j, i = first
    image.SetExtent(i, i + mask.shape[2] - 1, j, j + mask.shape[1] - 1, k, k + mask.shape[0] - 1)
    data = vtk.util.numpy_support.numpy_to_vtk(np.ascontiguousarray(mask).ravel(), deep=True)
    image.GetPointData().SetScalars(data)
    image.SetImageToWorldMatrix(matrix if isinstance(matrix, vtk.vtkMatrix4x4) else to_vtk(matrix))
    return image


def put_under(node: Any, matrices: list[np.ndarray]) -> list[Any]:
    """Put a node under a chain of linear transforms, outermost first; returns the transform nodes."""
    parents: list[Any] = []
    for matrix in matrices:
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(to_vtk(matrix))
        if parents:
            transform.SetAndObserveTransformNodeID(parents[-1].GetID())
        parents.append(transform)
    if parents:
        node.SetAndObserveTransformNodeID(parents[-1].GetID())
    return parents


def combined(matrices: list[np.ndarray]) -> np.ndarray:
    """The chain as one matrix to the world."""
    result = np.eye(4)
    for matrix in matrices:
        result = result @ matrix
    return result


def _field_image(field: np.ndarray, spacing: float, origin: float) -> vtk.vtkImageData:
    """Vectors (k, j, i, 3) along the axes of the world, with the same spacing and origin (mm) along each."""
    image = vtk.vtkImageData()
    image.SetDimensions(*field.shape[2::-1])
    image.SetSpacing(spacing, spacing, spacing)
    image.SetOrigin(origin, origin, origin)
    image.GetPointData().SetScalars(vtk.util.numpy_support.numpy_to_vtk(field.reshape(-1, 3), deep=True))
    return image


def bending_grid(amount: float = 6.0) -> Any:
    """A transform node whose displacement field bends by up to ``amount`` mm."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Bend")
    spacing, origin, n = 20.0, -300.0, 31
    k, j, i = np.indices((n, n, n)) * spacing + origin
    field = amount * np.stack([np.sin(j / 60.0), 0.5 * np.cos(k / 70.0), np.sin(i / 80.0 + 0.4)], axis=-1)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(_field_image(field, spacing, origin))
    transform.SetInterpolationModeToCubic()
    node.SetAndObserveTransformToParent(transform)
    return node


def bending_bspline(amount: float = 5.0) -> Any:
    """A transform node with a coarse B-spline."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Spline")
    spacing, origin, n = 50.0, -300.0, 14
    k, j, i = np.indices((n, n, n))
    field = amount * np.stack([np.sin(j + 0.5 * k), np.cos(i * 0.7), np.sin(k + 0.3 * i)], axis=-1)
    transform = slicer.vtkOrientedBSplineTransform()
    transform.SetCoefficientData(_field_image(field, spacing, origin))
    node.SetAndObserveTransformToParent(transform)
    return node


def bent_volume(array: np.ndarray, bend: str, name: str = "CT") -> tuple[Any, np.ndarray]:
    """A volume whose voxels are no straight grid in the world, and its matrix of IJK to its own RAS.

    ``bend``: "grid", "b-spline", "shearing parent" and "grid above a turn" are transforms above it, with "sheared grid"
    the matrix itself is sheared.
    """
    matrix = SHEARED if bend == "sheared grid" else GEOMETRIES["oblique"]
    volume = add_volume(array, matrix, name)
    if bend == "grid":
        volume.SetAndObserveTransformNodeID(bending_grid().GetID())
    elif bend == "b-spline":
        volume.SetAndObserveTransformNodeID(bending_bspline().GetID())
    elif bend == "shearing parent":
        put_under(volume, [affine(SHEAR, (1, 1, 1), (3, 4, 5))])
    elif bend == "grid above a turn":
        put_under(volume, PARENTS["a turn"])[0].SetAndObserveTransformNodeID(bending_grid().GetID())
    else:
        assert bend == "sheared grid", bend
    return volume, matrix


def through(node: Any, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) of a node's own RAS in the world, one by one through Slicer's own transform."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, transform)
    return np.array([transform.TransformDoublePoint(*point) for point in np.asarray(points, float)]).reshape(-1, 3)


def full_mask(message: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """The mask of a StructureMessage on its whole grid."""
    mask = np.zeros(shape, dtype=np.uint8)
    if message.array:
        part = np.load(message.array)
        assert part.dtype == np.uint8
        assert part.shape == tuple(message.size)
        assert set(np.unique(part)) <= {0, 1}
        k, j, i = message.offset
        mask[k : k + part.shape[0], j : j + part.shape[1], i : i + part.shape[2]] = part
        assert int(mask.sum()) == int(part.sum())
    return mask


def segment_voxels(node: Any, segment: str) -> np.ndarray:
    """World RAS of all voxel centres of a segment, linear parents included, sorted; computed with numpy."""
    image = node.GetSegmentation().GetSegment(segment).GetRepresentation("Binary labelmap")
    if image is None or image.IsEmpty():
        return np.zeros((0, 3))
    value = node.GetSegmentation().GetSegment(segment).GetLabelValue()
    i, j, k = image.GetDimensions()
    labels = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)
    extent = image.GetExtent()
    kji = np.argwhere(labels == value) + np.array(extent[4::-2])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    own = world_of(slicer.util.arrayFromVTKMatrix(matrix), kji)
    return sorted_points(through(node, own) if node.GetParentTransformNode() is not None else own)


def sorted_points(points: np.ndarray) -> np.ndarray:
    """Points in an order that does not depend on their numbering."""
    rounded = np.round(points, 3)
    return points[np.lexsort(rounded.T)] if len(points) else points


def memory_of(*nodes: Any) -> list:
    """What a user would notice of nodes: times, content, matrices, transforms, references, what is in the scene."""
    return [[_memory(node) for node in nodes], slicer.mrmlScene.GetNumberOfNodes()]


def _memory(node: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {"transform": node.GetTransformNodeID(), "name": node.GetName()}
    roles: list[str] = []
    node.GetNodeReferenceRoles(roles)
    kept["references"] = {role: [node.GetNthNodeReferenceID(role, n) for n in range(4)] for role in roles}
    # Asking for references resolves them, which MRML counts as a change: the time is read afterwards.
    kept["time"] = node.GetMTime()
    if node.GetParentTransformNode() is not None:
        kept["parent"] = (node.GetParentTransformNode().GetMTime(), node.GetParentTransformNode().GetID())
    if node.IsA("vtkMRMLVolumeNode") and node.GetImageData() is not None:
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        kept["matrix"] = slicer.util.arrayFromVTKMatrix(matrix).tolist()
        kept["voxels"] = hashlib.sha256(slicer.util.arrayFromVolume(node).tobytes()).hexdigest()
        kept["image"] = (node.GetImageData().GetAddressAsString(""), node.GetImageData().GetMTime())
    if node.IsA("vtkMRMLSegmentationNode"):
        segmentation = node.GetSegmentation()
        kept["segmentation"] = segmentation.GetMTime()
        for n in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(n)
            for kind in ("Binary labelmap", "Closed surface", "Planar contour"):
                data = segment.GetRepresentation(kind)
                kept[f"{n} {kind}"] = data and (
                    data.GetAddressAsString(""),
                    data.GetMTime(),
                    data.GetActualMemorySize(),
                )
            kept[f"{n} segment"] = (segment.GetMTime(), segment.GetName(), segment.GetColor(), segment.GetLabelValue())
    return kept
