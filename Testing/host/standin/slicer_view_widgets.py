"""The widgets of the views: nothing is drawn, but real slice logics, slice nodes and composite nodes are behind them.

Method names are those of slicer_api.json; one that is not written here raises NotImplementedError when called.
"""

from __future__ import annotations

import slicer
import vtk

from standin.slicer_strict import CppObject


class View(CppObject):
    """The drawing area of a view; it draws nothing."""

    def __init__(self, class_name: str) -> None:
        object.__setattr__(self, "_in_class", class_name)
        super().__init__()
        self._in_annotation = vtk.vtkCornerAnnotation()

    @classmethod
    def _in_signatures(cls) -> tuple[str, ...]:
        return ("destroyed()",)

    def scheduleRender(self) -> None:
        """Nothing is drawn."""

    def forceRender(self) -> None:
        """Nothing is drawn."""

    def cornerAnnotation(self) -> vtk.vtkCornerAnnotation:
        return self._in_annotation

    def fitToContent(self) -> None:
        """Nothing is drawn."""

    def resetFocalPoint(self) -> None:
        """Nothing is drawn."""


class SliceWidget(CppObject):
    """qMRMLSliceWidget of one slice view."""

    _in_class = "qMRMLSliceWidget"

    def __init__(self, logic: slicer.vtkMRMLSliceLogic) -> None:
        super().__init__()
        self._in_logic = logic
        self._in_view = View("qMRMLSliceView")
        self._in_controller = SliceController(logic)

    @property
    def sliceViewName(self) -> str:
        return self._in_logic.GetSliceNode().GetLayoutName()

    @property
    def sliceOrientation(self) -> str:
        return self._in_logic.GetSliceNode().GetOrientation()

    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return self._in_logic

    def logic(self) -> slicer.vtkMRMLSliceLogic:
        return self._in_logic

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._in_logic.GetSliceNode()

    def mrmlAbstractViewNode(self) -> slicer.vtkMRMLSliceNode:
        return self._in_logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> slicer.vtkMRMLSliceCompositeNode:
        return self._in_logic.GetSliceCompositeNode()

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._in_logic.GetMRMLScene()

    def setSliceOrientation(self, orientation: str) -> None:
        self._in_logic.GetSliceNode().SetOrientation(orientation)

    def fitSliceToBackground(self) -> None:
        self._in_logic.FitSliceToBackground()

    def sliceView(self) -> View:
        return self._in_view

    def viewWidget(self) -> View:
        return self._in_view

    def sliceController(self) -> SliceController:
        return self._in_controller

    def controllerWidget(self) -> SliceController:
        return self._in_controller


class SliceController(CppObject):
    """qMRMLSliceControllerWidget: moving, orienting and linking a slice view."""

    _in_class = "qMRMLSliceControllerWidget"

    def __init__(self, logic: slicer.vtkMRMLSliceLogic) -> None:
        super().__init__()
        self._in_logic = logic

    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return self._in_logic

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._in_logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> slicer.vtkMRMLSliceCompositeNode:
        return self._in_logic.GetSliceCompositeNode()

    def setSliceOffsetValue(self, offset: float) -> None:
        self._in_logic.SetSliceOffset(offset)

    def fitSliceToBackground(self) -> None:
        self._in_logic.FitSliceToBackground()

    def setSliceLink(self, linked: bool) -> None:
        self._in_logic.GetSliceCompositeNode().SetLinkedControl(int(linked))

    def setSliceVisible(self, visible: bool) -> None:
        self._in_logic.GetSliceNode().SetSliceVisible(int(visible))

    def rotateSliceToLowestVolumeAxes(self) -> None:
        self._in_logic.RotateSliceToLowestVolumeAxes()


class PlotWidget(CppObject):
    """qMRMLPlotWidget of one plot view."""

    _in_class = "qMRMLPlotWidget"

    def __init__(self, node: slicer.vtkMRMLPlotViewNode) -> None:
        super().__init__()
        self._in_node = node
        self._in_view = View("qMRMLPlotView")

    def mrmlPlotViewNode(self) -> slicer.vtkMRMLPlotViewNode:
        return self._in_node

    def mrmlAbstractViewNode(self) -> slicer.vtkMRMLPlotViewNode:
        return self._in_node

    def plotView(self) -> View:
        return self._in_view

    def viewWidget(self) -> View:
        return self._in_view


class ThreeDWidget(CppObject):
    """qMRMLThreeDWidget of one 3D view."""

    _in_class = "qMRMLThreeDWidget"

    def __init__(self, node: slicer.vtkMRMLViewNode) -> None:
        super().__init__()
        self._in_node = node
        self._in_view = View("qMRMLThreeDView")

    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._in_node

    def mrmlAbstractViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._in_node

    def threeDView(self) -> View:
        return self._in_view

    def viewWidget(self) -> View:
        return self._in_view
