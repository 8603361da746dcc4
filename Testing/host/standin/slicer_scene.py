"""The scene and the module logics: all of it Slicer's own C++, connected as the application connects it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import slicer
import vtk

from standin.slicer_hierarchy import HierarchyKeeper

LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Units": "vtkSlicerUnitsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SegmentEditor": "vtkSlicerSegmentEditorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Reformat": "vtkSlicerReformatLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "SceneViews": "vtkSlicerSceneViewsModuleLogic",
    "Annotations": "vtkSlicerAnnotationModuleLogic",
    "Data": "vtkSlicerDataModuleLogic",
}
"""Module -> class of its logic, in an order in which each finds what it needs."""

SLICE_VIEWS = ("Red", "Green", "Yellow")
"""Slice views of the four-up layout."""


class Scene:
    """A scene with its application logic, module logics and subject hierarchy; with views when there is a main window.

    home: the application's folder (slicer_home). views: whether slice logics are made. version: "5.8" or "5.12".
    """

    def __init__(self, home: Path, views: bool, version: str) -> None:
        self.scratch = tempfile.TemporaryDirectory(prefix="slicer-standin-")
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetHomeDirectory(str(home))
        self.application_logic.SetShareDirectory(f"share/Slicer-{version}")
        self.application_logic.SetTemporaryPath(self.scratch.name)
        self._give_cache()
        self.application_logic.SetMRMLScene(self.scene)
        self.logics: dict[str, vtk.vtkObject] = {}
        for module, class_name in LOGICS.items():
            self.logics[module] = self._logic(module, class_name, home / "share" / f"Slicer-{version}")
        self.application_logic.SetColorLogic(self.logics["Colors"])
        self.hierarchy = HierarchyKeeper(self.scene)
        self.layout_logic = None
        self.slice_logics = vtk.vtkCollection()
        if views:
            self._make_views()

    def _give_cache(self) -> None:
        """Loading a .mrb unpacks it into the cache folder, so the scene needs one, as the application has."""
        cache = Path(self.scratch.name) / "RemoteIO"
        cache.mkdir()
        self.remote = slicer.vtkMRMLRemoteIOLogic()
        self.remote.GetCacheManager().SetRemoteCacheDirectory(str(cache))
        self.remote.SetMRMLApplicationLogic(self.application_logic)
        self.remote.SetMRMLScene(self.scene)
        self.remote.AddDataIOToScene()
        self.data_io = slicer.vtkDataIOManagerLogic()
        self.data_io.SetMRMLApplicationLogic(self.application_logic)
        self.data_io.SetAndObserveDataIOManager(self.remote.GetDataIOManager())

    def _logic(self, module: str, class_name: str, share: Path) -> vtk.vtkObject:
        logic = getattr(slicer, class_name)()
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(str(share / "qt-loadable-modules" / module))
        if module == "Terminologies":
            logic.SetUserContextsPath(str(Path(self.scratch.name) / "Terminologies"))
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        self.application_logic.SetModuleLogic(module, logic)
        return logic

    def _make_views(self) -> None:
        """Layout node, slice nodes and their logics, 3D view, plot view and table view: the layout manager's work."""
        self.layout_logic = slicer.vtkMRMLLayoutLogic()
        self.layout_logic.SetMRMLApplicationLogic(self.application_logic)
        self.layout_logic.SetMRMLScene(self.scene)
        layout = self.layout_logic.GetLayoutNode()
        layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
        for name in SLICE_VIEWS:
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self.application_logic)
            logic.SetMRMLScene(self.scene)
            logic.SetSliceNode(self.scene.GetNodeByID(f"vtkMRMLSliceNode{name}"))
            logic.ResizeSliceNode(300, 300)
            self.slice_logics.AddItem(logic)
        self.application_logic.SetSliceLogics(self.slice_logics)

    def close(self) -> None:
        """Close the scene, part it from its logics, and let the temporary folder go."""
        self.hierarchy.stop()
        self.scene.Clear(False)
        slices = [self.slice_logics.GetItemAsObject(index) for index in range(self.slice_logics.GetNumberOfItems())]
        # A logic that is parted from its scene asks for the subject hierarchy once more and warns that there is none.
        warnings = vtk.vtkObject.GetGlobalWarningDisplay()
        vtk.vtkObject.GlobalWarningDisplayOff()
        for logic in (*slices, *self.logics.values(), self.data_io, self.remote, self.layout_logic):
            if logic is not None:
                logic.SetMRMLScene(None)
        self.application_logic.SetMRMLScene(None)
        vtk.vtkObject.SetGlobalWarningDisplay(warnings)
        self.slice_logics.RemoveAllItems()
        self.scratch.cleanup()
