"""qMRMLSliceWidget and qMRMLSliceView: a slice of the volumes with segments and markups, drawn without OpenGL."""

from __future__ import annotations

import qt
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_declared import declared
from standin.widgets.qmrml_widget import qMRMLWidget
from standin.widgets.scene import Observers
from standin.widgets.slice_picture import markupPoints, sliceImage

AXES = {"Axial": "S", "Sagittal": "R", "Coronal": "A"}


@declared("slicer.qMRMLSliceView")
class qMRMLSliceView(qt.QWidget):
    """The picture; it is drawn anew when the slice node, what it shows or the scene's displays change."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_logic = None
        self._in_scene = None
        self._in_annotation = vtk.vtkCornerAnnotation()
        QtWidgets.QWidget.setMinimumSize(self, 60, 60)

    def _in_show(self, logic) -> None:
        self._in_logic = logic
        self.scheduleRender()

    def setMRMLScene(self, scene) -> None:
        self._in_scene = scene

    def mrmlSliceNode(self):
        return self._in_logic.GetSliceNode() if self._in_logic is not None else None

    def cornerAnnotation(self):
        return self._in_annotation

    def scheduleRender(self) -> None:
        QtWidgets.QWidget.update(self)

    def forceRender(self) -> None:
        QtWidgets.QWidget.repaint(self)

    def convertXYZToRAS(self, xyz) -> list[float]:
        return list(self.mrmlSliceNode().GetXYToRAS().MultiplyPoint([*list(xyz)[:3], 1.0])[:3])

    def convertRASToXYZ(self, ras) -> list[float]:
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), inverse)
        return list(inverse.MultiplyPoint([*list(ras)[:3], 1.0])[:3])

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        size = QtWidgets.QWidget.size(self)
        if self._in_logic is None or self._in_logic.GetMRMLScene() is None:
            painter.fillRect(0, 0, size.width(), size.height(), QtCore.Qt.GlobalColor.black)
            return
        painter.drawImage(0, 0, sliceImage(self._in_logic, size.width(), size.height()))
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        for x, y, label, color in markupPoints(self._in_logic, size.height()):
            painter.setPen(QtGui.QPen(color, 2))
            painter.drawEllipse(QtCore.QPointF(x, y), 4, 4)
            painter.drawText(QtCore.QPointF(x + 7, y - 5), label)
        self._in_drawNames(painter, size.height())

    def _in_drawNames(self, painter: QtGui.QPainter, height: int) -> None:
        """The volumes' names at the lower left, as Slicer's corner annotation has them."""
        layers = {"B": self._in_logic.GetBackgroundLayer(), "F": self._in_logic.GetForegroundLayer()}
        volumes = {letter: layer.GetVolumeNode() for letter, layer in layers.items() if layer is not None}
        lines = [f"{letter}: {node.GetName()}" for letter, node in volumes.items() if node is not None]
        painter.setPen(QtGui.QColor(255, 255, 200))
        for row, line in enumerate(reversed(lines)):
            painter.drawText(QtCore.QPointF(6, height - 8 - 15 * row), line)


@declared("slicer.qMRMLSliceWidget")
class qMRMLSliceWidget(qMRMLWidget):
    """A slice view below its coloured bar with the name of the view and the slice's offset."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_logic = None
        self._in_observers = Observers(self)
        self._in_bar = qt.QLabel(self)
        self._in_view = qMRMLSliceView(self)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._in_bar)
        column.addWidget(self._in_view, 1)

    def setMRMLSliceNode(self, node) -> None:
        """Show what the application's slice logic of that node shows."""
        import slicer  # completed by the stand-in after the widgets are made

        self._in_observers.clear()
        self._in_logic = slicer.app.applicationLogic().GetSliceLogic(node) if node is not None else None
        if self._in_logic is not None:
            for subject in (self._in_logic, node, self._in_logic.GetSliceCompositeNode()):
                self._in_observers.watch(subject, vtk.vtkCommand.ModifiedEvent, self._in_refresh)
        self._in_view._in_show(self._in_logic)
        self._in_refresh()

    setMRMLAbstractViewNode = setMRMLSliceNode

    def _in_refresh(self) -> None:
        node = self.mrmlSliceNode()
        if node is not None:
            color = QtGui.QColor.fromRgbF(*node.GetLayoutColor()).name()
            QtWidgets.QWidget.setStyleSheet(self._in_bar, f"background: {color}; color: white; padding: 3px;")
            axis = AXES.get(node.GetOrientation(), "")
            offset = f"{axis}: {self._in_logic.GetSliceOffset():.3f}mm" if axis else node.GetOrientation()
            QtWidgets.QLabel.setText(self._in_bar, f"  {node.GetLayoutLabel() or node.GetName()}    {offset}")
        self._in_view.scheduleRender()

    def mrmlSliceNode(self):
        return self._in_logic.GetSliceNode() if self._in_logic is not None else None

    mrmlAbstractViewNode = mrmlSliceNode

    def mrmlSliceCompositeNode(self):
        return self._in_logic.GetSliceCompositeNode() if self._in_logic is not None else None

    def sliceLogic(self):
        return self._in_logic

    logic = sliceLogic

    def sliceView(self):
        return self._in_view

    viewWidget = sliceView

    def _in_get_sliceViewName(self) -> str:
        node = self.mrmlSliceNode()
        return node.GetLayoutName() if node is not None else ""

    def _in_set_sliceViewName(self, name: str) -> None:
        if self.mrmlSliceNode() is not None:
            self.mrmlSliceNode().SetLayoutName(name)

    def _in_get_sliceOrientation(self) -> str:
        node = self.mrmlSliceNode()
        return node.GetOrientation() if node is not None else ""

    def _in_set_sliceOrientation(self, orientation: str) -> None:
        if self.mrmlSliceNode() is not None:
            self.mrmlSliceNode().SetOrientation(orientation)

    def fitSliceToBackground(self) -> None:
        if self._in_logic is not None:
            size = QtWidgets.QWidget.size(self._in_view)
            self._in_logic.ResizeSliceNode(size.width(), size.height())
            self._in_logic.FitSliceToBackground()
            self._in_refresh()
