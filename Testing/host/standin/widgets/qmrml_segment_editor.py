"""qMRMLSegmentEditorWidget as far as switching to the Segment Editor needs it: which segmentation, volume, segment."""

from __future__ import annotations

from PySide6 import QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets.qmrml_node_combo import qMRMLNodeComboBox
from standin.widgets.qmrml_segments_table import qMRMLSegmentsTableView
from standin.widgets.qmrml_widget import qMRMLWidget

GEOMETRY = "referenceImageGeometryRef"  # vtkMRMLSegmentationNode's reference role


@declared("slicer.qMRMLSegmentEditorWidget")
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Keeps its state in a vtkMRMLSegmentEditorNode; without one the setters are refused, as in Slicer (a warning).

    There are no effects: ``setActiveEffectByName`` raises for every name but "".
    """

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_node = None
        self._in_segmentations = qMRMLNodeComboBox(self)
        self._in_segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._in_volumes = qMRMLNodeComboBox(self)
        self._in_volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        for combo in (self._in_segmentations, self._in_volumes):
            combo.noneEnabled = True
            combo.addEnabled = combo.removeEnabled = False
        self._in_table = qMRMLSegmentsTableView(self)
        form = QtWidgets.QFormLayout()
        form.addRow("Segmentation:", self._in_segmentations)
        form.addRow("Source volume:", self._in_volumes)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        column.addWidget(self._in_table)
        self._in_segmentations.connect("currentNodeChanged(vtkMRMLNode*)", self.setSegmentationNode)
        self._in_volumes.connect("currentNodeChanged(vtkMRMLNode*)", self.setSourceVolumeNode)

    def _in_sceneChanged(self) -> None:
        self._in_segmentations.setMRMLScene(self._in_scene)
        self._in_volumes.setMRMLScene(self._in_scene)
        self._in_table.setMRMLScene(self._in_scene)

    def mrmlSegmentEditorNode(self):
        return self._in_node

    def setMRMLSegmentEditorNode(self, node) -> None:
        self._in_node = node
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self) -> None:
        self._in_segmentations.setCurrentNode(self.segmentationNode())
        self._in_volumes.setCurrentNode(self.sourceVolumeNode())
        self._in_table.setSegmentationNode(self.segmentationNode())
        self._in_table.setSelectedSegmentIDs([self.currentSegmentID()] if self.currentSegmentID() else [])

    def segmentationNode(self):
        return self._in_node.GetSegmentationNode() if self._in_node is not None else None

    def segmentationNodeID(self) -> str:
        return self.segmentationNode().GetID() if self.segmentationNode() is not None else ""

    def setSegmentationNode(self, node) -> None:
        if self._in_node is None or node is self.segmentationNode():
            return
        self._in_node.SetAndObserveSegmentationNode(node)
        first = (
            node.GetSegmentation().GetNthSegmentID(0) if node and node.GetSegmentation().GetNumberOfSegments() else ""
        )
        self.setCurrentSegmentID(first)
        self.updateWidgetFromMRML()
        emit(self, "segmentationNodeChanged(vtkMRMLSegmentationNode*)", node)

    def setSegmentationNodeID(self, nodeID: str) -> None:
        self.setSegmentationNode(self._in_scene.GetNodeByID(nodeID) if self._in_scene is not None else None)

    def sourceVolumeNode(self):
        return self._in_node.GetSourceVolumeNode() if self._in_node is not None else None

    def sourceVolumeNodeID(self) -> str:
        return self.sourceVolumeNode().GetID() if self.sourceVolumeNode() is not None else ""

    def setSourceVolumeNode(self, node) -> None:
        if self._in_node is None or node is self.sourceVolumeNode():
            return
        self._in_node.SetAndObserveSourceVolumeNode(node)
        segmentation = self.segmentationNode()
        if (
            segmentation is not None
            and node is not None
            and segmentation.GetNodeReference("referenceImageGeometryRef") is None
        ):
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
        self.updateWidgetFromMRML()
        emit(self, "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)", node)
        emit(self, "masterVolumeNodeChanged(vtkMRMLVolumeNode*)", node)

    def setSourceVolumeNodeID(self, nodeID: str) -> None:
        self.setSourceVolumeNode(self._in_scene.GetNodeByID(nodeID) if self._in_scene is not None else None)

    masterVolumeNode = sourceVolumeNode
    masterVolumeNodeID = sourceVolumeNodeID
    setMasterVolumeNode = setSourceVolumeNode
    setMasterVolumeNodeID = setSourceVolumeNodeID

    def currentSegmentID(self) -> str:
        return (self._in_node.GetSelectedSegmentID() or "") if self._in_node is not None else ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        if self._in_node is None or segmentID == self.currentSegmentID():
            return
        self._in_node.SetSelectedSegmentID(segmentID)
        self._in_table.setSelectedSegmentIDs([segmentID] if segmentID else [])
        emit(self, "currentSegmentIDChanged(QString)", segmentID)

    def activeEffect(self) -> None:
        return None

    def availableEffectNames(self) -> tuple:
        return ()

    def setActiveEffectByName(self, name: str) -> None:
        if name:
            raise NotImplementedError(f"the stand-in's Segment Editor has no effects, so no {name!r}")

    def uninstallKeyboardShortcuts(self) -> None:
        """Nothing was installed."""

    def removeViewObservations(self) -> None:
        """Views are not observed."""

    installKeyboardShortcuts = uninstallKeyboardShortcuts
    setupViewObservations = removeViewObservations
