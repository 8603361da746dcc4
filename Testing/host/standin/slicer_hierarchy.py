"""What Slicer's subject hierarchy plugins do to the scene: items for new nodes and segments, none for removed ones.

The hierarchy node itself is real; its plugins are Qt code that the wheel does not have. Followed here:
qSlicerSubjectHierarchyPluginLogic (onNodeAdded, onNodeAboutToBeRemoved, onSceneImportEnded) and
qSlicerSubjectHierarchySegmentationsPlugin (a virtual branch with one item per segment).
"""

from __future__ import annotations

import slicer
import vtk

PLUGIN_OF = {
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLVectorVolumeNode": "Volumes",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLPlotChartNode": "Plots",
    "vtkMRMLPlotSeriesNode": "Plots",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLTransformNode": "Transforms",
}
"""Class of node -> plugin that owns its item; subclasses included, the first that fits."""

SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")


def plugin_for(node: slicer.vtkMRMLNode) -> str | None:
    """Name of the plugin that shows such a node in the hierarchy; None for nodes that Slicer does not show."""
    return next((plugin for class_name, plugin in PLUGIN_OF.items() if node.IsA(class_name)), None)


class HierarchyKeeper:
    """Keeps the subject hierarchy of a scene in step with its nodes and segments."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.scene = scene
        self._tags: list[tuple[vtk.vtkObject, int]] = []
        self._segmentations: dict[str, list[tuple[vtk.vtkObject, int]]] = {}
        for event, slot in (
            (slicer.vtkMRMLScene.NodeAddedEvent, self._added),
            (slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._removed),
        ):
            slot = vtk.calldata_type(vtk.VTK_OBJECT)(_plain(slot))
            self._tags.append((scene, scene.AddObserver(event, slot)))
        imported = scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, lambda *_: self._imported())
        closed = scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, lambda *_: self._closed())
        self._tags += [(scene, imported), (scene, closed)]

    def stop(self) -> None:
        """Let go of the scene."""
        for node, tag in [*self._tags, *(pair for pairs in self._segmentations.values() for pair in pairs)]:
            node.RemoveObserver(tag)
        self._tags.clear()
        self._segmentations.clear()

    def _added(self, node: vtk.vtkObject | None) -> None:
        if node is None or self.scene.IsImporting() or not self._is_shown(node):
            return
        self._show(node)

    def _is_shown(self, node: slicer.vtkMRMLNode) -> bool:
        excluded = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyExcludeFromTreeAttributeName()
        return not node.GetHideFromEditors() and not node.GetAttribute(excluded) and plugin_for(node) is not None

    def _show(self, node: slicer.vtkMRMLNode) -> None:
        hierarchy = self.scene.GetSubjectHierarchyNode()
        if hierarchy is None:
            return
        if not hierarchy.GetItemByDataNode(node):
            item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
            hierarchy.SetItemOwnerPluginName(item, plugin_for(node))
        if node.IsA("vtkMRMLSegmentationNode"):
            self._follow_segments(node)

    def _removed(self, node: vtk.vtkObject | None) -> None:
        if node is None or self.scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        for observed, tag in self._segmentations.pop(node.GetID(), []):
            observed.RemoveObserver(tag)
        hierarchy = self.scene.GetSubjectHierarchyNode()
        item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
        if item:
            hierarchy.RemoveItem(item, False, False)

    def _imported(self) -> None:
        self.scene.GetSubjectHierarchyNode()  # merges the imported hierarchy into the one of the scene
        for index in range(self.scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
            node = self.scene.GetNthNodeByClass(index, "vtkMRMLStorableNode")
            if self._is_shown(node):
                self._show(node)

    def _closed(self) -> None:
        # Patients, studies and folders have no node that would take them along.
        self.scene.GetSubjectHierarchyNode().RemoveAllItems()
        for pairs in self._segmentations.values():
            for observed, tag in pairs:
                observed.RemoveObserver(tag)
        self._segmentations.clear()

    def _follow_segments(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        if node.GetID() in self._segmentations:
            return
        identifier = node.GetID()

        def changed(caller: vtk.vtkObject, _event: str) -> None:
            current = self.scene.GetNodeByID(identifier)
            if current is caller:
                self._show_segments(current)

        self._segmentations[identifier] = [
            (node, node.AddObserver(getattr(slicer.vtkSegmentation, event), changed)) for event in SEGMENT_EVENTS
        ]
        self._show_segments(node)

    def _show_segments(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        """One item per segment below the segmentation's own, named like the segment."""
        hierarchy = self.scene.GetSubjectHierarchyNode()
        branch = hierarchy.GetItemByDataNode(node)
        if not branch:
            return
        constants = slicer.vtkMRMLSubjectHierarchyConstants
        attribute = slicer.vtkMRMLSegmentationNode.GetSegmentIDAttributeName()
        children: list[int] = []
        hierarchy.GetItemChildren(branch, children)
        shown = {hierarchy.GetItemAttribute(child, attribute): child for child in children}
        segmentation = node.GetSegmentation()
        wanted = list(segmentation.GetSegmentIDs())
        if wanted:
            hierarchy.SetItemAttribute(branch, constants.GetSubjectHierarchyVirtualBranchAttributeName(), "1")
        for gone in shown.keys() - set(wanted):
            hierarchy.RemoveItem(shown[gone], False, False)
        for segment_id in wanted:
            name = segmentation.GetSegment(segment_id).GetName() or ""
            item = shown.get(segment_id)
            if item is None:
                item = hierarchy.CreateHierarchyItem(branch, name, "")
                hierarchy.SetItemAttribute(item, attribute, segment_id)
                hierarchy.SetItemOwnerPluginName(item, "Segments")
            elif hierarchy.GetItemName(item) != name:
                hierarchy.SetItemName(item, name)


def _plain(slot):
    """VTK looks for the type of the call data on the function, and a bound method cannot carry it."""

    def observer(_caller: vtk.vtkObject, _event: str, node: vtk.vtkObject | None) -> None:
        slot(node)

    return observer
