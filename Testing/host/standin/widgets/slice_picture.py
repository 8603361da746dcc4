"""What a slice view shows, without OpenGL: the real slice logic's image, with segments and markups drawn over it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import vtk
from PySide6 import QtCore, QtGui
from vtk.util.numpy_support import vtk_to_numpy

from standin.widgets.scene import sceneNodes


def sliceImage(logic: vtk.vtkObject, width: int, height: int) -> QtGui.QImage:
    """The blended volumes of the slice, ``width`` x ``height`` pixels; black where there is none."""
    image = QtGui.QImage(width, height, QtGui.QImage.Format.Format_RGBA8888)
    image.fill(QtCore.Qt.GlobalColor.black)
    if min(width, height) < 2:
        return image
    logic.ResizeSliceNode(width, height)
    connection = logic.GetImageDataConnection()
    if connection is not None:
        producer = connection.GetProducer()
        producer.Update()
        found = producer.GetOutputDataObject(connection.GetIndex())
        scalars = found.GetPointData().GetScalars() if found is not None else None
        if scalars is not None and found.GetDimensions()[:2] == (width, height):
            pixels = vtk_to_numpy(scalars).reshape(height, width, -1)[::-1]
            if pixels.shape[2] == 4:
                shown = QtGui.QImage(np.ascontiguousarray(pixels).data, width, height, image.format())
                painter = QtGui.QPainter(image)
                painter.drawImage(0, 0, shown)
                painter.end()
    for overlay in _segments(logic, width, height):
        painter = QtGui.QPainter(image)
        painter.drawImage(0, 0, QtGui.QImage(overlay.data, width, height, image.format()))
        painter.end()
    return image


def _segments(logic: vtk.vtkObject, width: int, height: int) -> Iterator[np.ndarray]:
    """One RGBA picture per visible segment: fill and outline with the display node's opacities."""
    sliceNode = logic.GetSliceNode()
    pixelToRas = _matrix(sliceNode.GetXYToRAS())
    for node in sceneNodes(logic.GetMRMLScene()):
        display = node.GetDisplayNode() if node.IsA("vtkMRMLSegmentationNode") else None
        if display is None or not display.GetVisibility() or not display.IsDisplayableInView(sliceNode.GetID()):
            continue
        for segmentID in display.GetVisibleSegmentIDs():
            mask = _mask(node, segmentID, pixelToRas, width, height)
            if mask is not None and mask.any():
                yield _colored(mask, display, segmentID)


def _mask(node: vtk.vtkObject, segmentID: str, pixelToRas: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """Which pixels of the slice lie in the segment (nearest voxel); None when it has no voxels."""
    segment = node.GetSegmentation().GetSegment(segmentID)
    labelmap = segment.GetRepresentation("Binary labelmap")
    if labelmap is None or labelmap.GetPointData().GetScalars() is None or 0 in labelmap.GetDimensions():
        return None
    toWorld = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(toWorld)
    parent = vtk.vtkMatrix4x4()
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetMatrixTransformToWorld(parent)
    pixelToVoxel = np.linalg.inv(_matrix(parent) @ _matrix(toWorld)) @ pixelToRas
    x, y = np.meshgrid(np.arange(width), np.arange(height)[::-1])
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size), np.ones(x.size)])
    extent = labelmap.GetExtent()
    index = np.rint((pixelToVoxel @ points)[:3]).astype(np.int64) - np.array(extent[::2])[:, None]
    size = np.array(labelmap.GetDimensions())[:, None]
    inside = ((index >= 0) & (index < size)).all(axis=0)
    voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(labelmap.GetDimensions()[::-1])
    found = np.zeros(x.size, bool)
    i, j, k = index[:, inside]
    found[inside] = voxels[k, j, i] == segment.GetLabelValue()
    return found.reshape(height, width)


def _colored(mask: np.ndarray, display: vtk.vtkObject, segmentID: str) -> np.ndarray:
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & mask
    alpha = np.zeros(mask.shape)
    if display.GetVisibility2DFill() and display.GetSegmentVisibility2DFill(segmentID):
        alpha[mask] = display.GetOpacity2DFill() * display.GetSegmentOpacity2DFill(segmentID)
    if display.GetVisibility2DOutline() and display.GetSegmentVisibility2DOutline(segmentID):
        alpha[mask & ~inner] = display.GetOpacity2DOutline() * display.GetSegmentOpacity2DOutline(segmentID)
    picture = np.zeros((*mask.shape, 4), np.uint8)
    picture[..., :3] = np.rint(np.array(display.GetSegmentColor(segmentID))[:3] * 255)
    picture[..., 3] = np.rint(alpha * display.GetOpacity() * 255)
    return np.ascontiguousarray(picture)


def markupPoints(logic: vtk.vtkObject, height: int) -> Iterator[tuple[float, float, str, QtGui.QColor]]:
    """(x, y, label, colour) of the control points of visible markups that lie in the slice, in widget pixels."""
    sliceNode = logic.GetSliceNode()
    rasToPixel = np.linalg.inv(_matrix(sliceNode.GetXYToRAS()))
    for node in sceneNodes(logic.GetMRMLScene()):
        display = node.GetDisplayNode() if node.IsA("vtkMRMLMarkupsNode") else None
        if display is None or not display.GetVisibility() or not display.IsDisplayableInView(sliceNode.GetID()):
            continue
        thick = max(abs(logic.GetLowestVolumeSliceSpacing()[2]), 0.1) / 2
        towards = np.array([sliceNode.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
        middle = np.array([sliceNode.GetSliceToRAS().GetElement(row, 3) for row in range(3)])
        for index in range(node.GetNumberOfControlPoints()):
            if not node.GetNthControlPointVisibility(index):
                continue
            place = [0.0, 0.0, 0.0]
            node.GetNthControlPointPositionWorld(index, place)
            if abs(float(np.dot(np.array(place) - middle, towards))) <= thick:
                x, y = (rasToPixel @ np.array([*place, 1.0]))[:2]
                selected = node.GetNthControlPointSelected(index)
                color = display.GetSelectedColor() if selected else display.GetColor()
                yield x, height - 1 - y, node.GetNthControlPointLabel(index), QtGui.QColor.fromRgbF(*color)


def _matrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
