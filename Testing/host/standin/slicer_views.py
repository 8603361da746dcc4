"""The layout manager: which views the layout shows, on the real layout logic.

Method names are those of slicer_api.json; one that is not written here raises NotImplementedError when called.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from standin.slicer_strict import CppObject
from standin.slicer_view_widgets import PlotWidget, SliceWidget, ThreeDWidget


class LayoutManager(CppObject):
    """qSlicerLayoutManager: which views the current layout shows, and their logics."""

    _in_class = "qSlicerLayoutManager"
    _in_writable = frozenset(("layout",))

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._in_layer = layer
        logics = layer.scene.slice_logics
        widgets = [SliceWidget(logics.GetItemAsObject(index)) for index in range(logics.GetNumberOfItems())]
        self._in_slices = {widget.sliceViewName: widget for widget in widgets}
        self._in_plots: dict[str, PlotWidget] = {}
        self._in_volumes: dict[str, ThreeDWidget] = {}
        self._in_node = layer.scene.layout_logic.GetLayoutNode()
        self._in_arrangement = self._in_node.GetViewArrangement()
        self._in_tag = self._in_node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._in_layout_modified)

    def _in_close(self) -> None:
        self._in_node.RemoveObserver(self._in_tag)

    def _in_layout_modified(self, *_event: Any) -> None:
        arrangement = self._in_node.GetViewArrangement()
        if arrangement != self._in_arrangement:
            self._in_arrangement = arrangement
            self._in_emit("layoutChanged()")
            self._in_emit("layoutChanged(int)", arrangement)

    def _in_views(self, class_name: str) -> list[Any]:
        """The nodes of that class that the current layout shows."""
        shown = self._in_layer.scene.layout_logic.GetViewNodes()
        nodes = [shown.GetItemAsObject(index) for index in range(shown.GetNumberOfItems())]
        return [node for node in nodes if node is not None and node.IsA(class_name)]

    @property
    def layout(self) -> int:
        return self._in_node.GetViewArrangement()

    @layout.setter
    def layout(self, arrangement: int) -> None:
        self.setLayout(arrangement)

    def setLayout(self, arrangement: int) -> None:
        self._in_node.SetViewArrangement(arrangement)

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return self._in_layer.scene.layout_logic

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._in_layer.scene.scene

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        return self._in_layer.scene.slice_logics

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(node.GetLayoutName() for node in self._in_views("vtkMRMLSliceNode"))

    def sliceWidget(self, name: str) -> SliceWidget | None:
        """None, and no exception, for a name that no slice view has."""
        return self._in_slices.get(name)

    @property
    def plotViewCount(self) -> int:
        return len(self._in_views("vtkMRMLPlotViewNode"))

    def plotWidget(self, index: int) -> PlotWidget | None:
        """The plot view of the current layout; None when it shows none."""
        return self._in_nth(self._in_plots, "vtkMRMLPlotViewNode", PlotWidget, index)

    @property
    def threeDViewCount(self) -> int:
        return len(self._in_views("vtkMRMLViewNode"))

    def threeDWidget(self, which: int | str) -> ThreeDWidget | None:
        if isinstance(which, str):
            names = [node.GetLayoutName() for node in self._in_views("vtkMRMLViewNode")]
            which = names.index(which) if which in names else -1
        return self._in_nth(self._in_volumes, "vtkMRMLViewNode", ThreeDWidget, which)

    @property
    def tableViewCount(self) -> int:
        return len(self._in_views("vtkMRMLTableViewNode"))

    def _in_nth(self, made: dict[str, Any], class_name: str, widget_class: type, index: int) -> Any:
        nodes = self._in_views(class_name)
        if not 0 <= index < len(nodes):
            return None
        return made.setdefault(nodes[index].GetID(), widget_class(nodes[index]))

    def activeMRMLPlotViewNode(self) -> slicer.vtkMRMLPlotViewNode | None:
        return next(iter(self._in_views("vtkMRMLPlotViewNode")), None)

    def activeMRMLThreeDViewNode(self) -> slicer.vtkMRMLViewNode | None:
        return next(iter(self._in_views("vtkMRMLViewNode")), None)

    def resetSliceViews(self) -> None:
        for widget in self._in_slices.values():
            widget.sliceLogic().FitSliceToAll()

    def resetThreeDViews(self) -> None:
        """Nothing is drawn."""

    def setRenderPaused(self, paused: bool) -> None:
        self._in_layer.application.setRenderPaused(paused)

    def pauseRender(self) -> None:
        self._in_layer.application.pauseRender()

    def resumeRender(self) -> None:
        self._in_layer.application.resumeRender()
