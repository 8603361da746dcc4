"""What the segment widgets know about a segmentation: its segments in order, names, colours, visibility."""

from __future__ import annotations

from PySide6 import QtCore, QtGui

from standin.widgets.scene import Observers


def segmentIDs(node) -> list[str]:
    """IDs of the segments in their order; [] without a node or a segmentation."""
    segmentation = node.GetSegmentation() if node is not None else None
    if segmentation is None:
        return []
    return [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]


def segmentName(node, segmentID: str) -> str:
    return node.GetSegmentation().GetSegment(segmentID).GetName() or ""


def segmentColor(node, segmentID: str) -> QtGui.QColor:
    """The colour as it is shown: the display node's override if there is one."""
    color = list(node.GetSegmentation().GetSegment(segmentID).GetColor())
    display = node.GetDisplayNode()
    if display is not None:
        color = list(display.GetSegmentColor(segmentID))[:3]
    return QtGui.QColor.fromRgbF(*(min(max(part, 0.0), 1.0) for part in color))


def colorIcon(color: QtGui.QColor) -> QtGui.QIcon:
    picture = QtGui.QPixmap(16, 16)
    picture.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(picture)
    painter.fillRect(1, 1, 14, 14, color)
    painter.setPen(QtGui.QPen(color.darker(160)))
    painter.drawRect(1, 1, 13, 13)
    painter.end()
    return QtGui.QIcon(picture)


def eyeIcon(visible: bool) -> QtGui.QIcon:
    picture = QtGui.QPixmap(32, 32)
    picture.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(picture)
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    shade = QtGui.QColor(60, 60, 60) if visible else QtGui.QColor(170, 170, 170)
    painter.setPen(QtGui.QPen(shade, 2.5))
    lid = QtGui.QPainterPath(QtCore.QPointF(3, 16))
    lid.quadTo(16, 4 if visible else 22, 29, 16)
    lid.quadTo(16, 28 if visible else 22, 3, 16)
    painter.drawPath(lid)
    if visible:
        painter.setBrush(shade)
        painter.drawEllipse(QtCore.QPointF(16, 16), 4, 4)
    painter.end()
    return QtGui.QIcon(picture)


def watchSegmentation(observers: Observers, node, changed) -> None:
    """Call ``changed()`` when segments come, go, move or change, or their display does."""
    observers.clear()
    if node is None:
        return
    segmentation = node.GetSegmentation()
    for name in ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified"):
        observers.watch(segmentation, getattr(segmentation, name), changed)
    observers.watch(node, node.DisplayModifiedEvent, changed)
