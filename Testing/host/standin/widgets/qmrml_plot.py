"""qMRMLPlotWidget and qMRMLPlotView: the chart that a plot view node shows."""

from __future__ import annotations

import qt
import vtk
from PySide6 import QtGui, QtWidgets

from standin.qt_declared import declared
from standin.widgets.plot_picture import chartsNodes, drawChart, viewsChart
from standin.widgets.qmrml_widget import qMRMLWidget
from standin.widgets.scene import Observers


@declared("slicer.qMRMLPlotView")
class qMRMLPlotView(qt.QWidget):
    """Draws the chart and follows it, its series and their tables. No zooming and no selecting."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_node = None
        self._in_viewObservers = Observers(self)
        self._in_observers = Observers(self)
        QtWidgets.QWidget.setMinimumSize(self, 120, 90)

    def setMRMLScene(self, scene) -> None:
        if scene is None:
            self.setMRMLPlotViewNode(None)

    def setMRMLPlotViewNode(self, node) -> None:
        self._in_viewObservers.clear()
        self._in_node = node
        if node is not None:
            self._in_viewObservers.watch(node, vtk.vtkCommand.ModifiedEvent, self._in_refresh)
        self._in_refresh()

    def _in_refresh(self) -> None:
        self._in_observers.clear()
        for one in chartsNodes(viewsChart(self._in_node)):
            self._in_observers.watch(one, vtk.vtkCommand.ModifiedEvent, self._in_refresh)
        QtWidgets.QWidget.update(self)

    def _in_get_title(self) -> str:
        chart = viewsChart(self._in_node)
        return (chart.GetTitle() or "") if chart is not None else ""

    def fitToContent(self) -> None:
        """The whole chart is always shown."""
        QtWidgets.QWidget.update(self)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        drawChart(QtGui.QPainter(self), QtWidgets.QWidget.size(self), viewsChart(self._in_node))


@declared("slicer.qMRMLPlotWidget")
class qMRMLPlotWidget(qMRMLWidget):
    """A plot view, without the bar that Slicer's has above it."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_node = None
        self._in_view = qMRMLPlotView(self)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._in_view)

    def setMRMLPlotViewNode(self, node) -> None:
        self._in_node = node
        self._in_view.setMRMLPlotViewNode(node)

    setMRMLAbstractViewNode = setMRMLPlotViewNode

    def mrmlPlotViewNode(self):
        return self._in_node

    mrmlAbstractViewNode = mrmlPlotViewNode

    def plotView(self):
        return self._in_view

    viewWidget = plotView
