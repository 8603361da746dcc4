"""qMRMLSegmentSelectorWidget: a segmentation and one (or several) of its segments are chosen here."""

from __future__ import annotations

from typing import ClassVar

from PySide6 import QtCore, QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets import segments
from standin.widgets.ctk_combos import CHECKED, UNCHECKED, ctkCheckableComboBox, ctkComboBox
from standin.widgets.qmrml_node_combo import qMRMLNodeComboBox
from standin.widgets.qmrml_widget import qMRMLWidget
from standin.widgets.scene import Observers

ID_ROLE = QtCore.Qt.ItemDataRole.UserRole


@declared("slicer.qMRMLSegmentSelectorWidget")
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Two combo boxes, below each other or side by side; with ``multiSelection`` the second one has check marks."""

    _in_defaults: ClassVar = {"segmentationNodeSelectorVisible": True, "selectNodeUponCreation": True}

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_observers = Observers(self)
        self._in_selector = qMRMLNodeComboBox(self)
        self._in_selector.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._in_selector.addEnabled = False
        self._in_selector.removeEnabled = False
        self._in_one = ctkComboBox(self)
        self._in_one.defaultText = "Select a segment"
        self._in_several = ctkCheckableComboBox(self)
        self._in_several.hide()
        self._in_layout = QtWidgets.QBoxLayout(QtWidgets.QBoxLayout.Direction.TopToBottom, self)
        self._in_layout.setContentsMargins(0, 0, 0, 0)
        for part in (self._in_selector, self._in_one, self._in_several):
            self._in_layout.addWidget(part)
        self._in_selector.connect("currentNodeChanged(vtkMRMLNode*)", self.onCurrentNodeChanged)
        self._in_one.connect("currentIndexChanged(int)", self.onCurrentSegmentChanged)
        self._in_several.connect("checkedIndexesChanged()", self.onSegmentMultiSelectionChanged)

    def _in_sceneChanged(self) -> None:
        self._in_selector.setMRMLScene(self._in_scene)

    def currentNode(self):
        return self._in_selector.currentNode()

    def currentNodeID(self) -> str:
        return self._in_selector.currentNodeID

    def setCurrentNode(self, node) -> None:
        self._in_selector.setCurrentNode(node)

    def setCurrentNodeID(self, nodeID: str) -> None:
        self._in_selector.setCurrentNodeID(nodeID)

    def onCurrentNodeChanged(self, node) -> None:
        segments.watchSegmentation(self._in_observers, node, self.populateSegmentCombobox)
        self.populateSegmentCombobox()
        emit(self, "currentNodeChanged(vtkMRMLNode*)", node)
        emit(self, "currentNodeChanged(bool)", node is not None)

    def segmentIDs(self) -> tuple:
        return tuple(segments.segmentIDs(self.currentNode()))

    def populateSegmentCombobox(self) -> None:
        """List the segments anew; what was chosen stays chosen where it still is there."""
        node, chosen, checked = self.currentNode(), self.currentSegmentID(), self.selectedSegmentIDs()
        wasOne, wasSeveral = self._in_one.blockSignals(True), self._in_several.blockSignals(True)
        self._in_one.clear()
        self._in_several.clear()
        if self.noneEnabled:
            self._in_one.addItem("None", "")
        for segmentID in self.segmentIDs():
            icon = segments.colorIcon(segments.segmentColor(node, segmentID))
            for combo in (self._in_one, self._in_several):
                QtWidgets.QComboBox.addItem(combo, icon, segments.segmentName(node, segmentID), segmentID)
        row = QtWidgets.QComboBox.findData(self._in_one, chosen)
        count = QtWidgets.QComboBox.count(self._in_one)
        QtWidgets.QComboBox.setCurrentIndex(self._in_one, row if row >= 0 else (0 if count else -1))
        self._in_check(checked)
        self._in_one.blockSignals(wasOne)
        self._in_several.blockSignals(wasSeveral)
        if self.currentSegmentID() != chosen:
            emit(self, "currentSegmentChanged(QString)", self.currentSegmentID())

    def currentSegmentID(self) -> str:
        return QtWidgets.QComboBox.currentData(self._in_one) or ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        row = QtWidgets.QComboBox.findData(self._in_one, segmentID or "")
        QtWidgets.QComboBox.setCurrentIndex(self._in_one, row)

    def onCurrentSegmentChanged(self, row: int) -> None:
        emit(self, "currentSegmentChanged(QString)", self.currentSegmentID())

    def selectedSegmentIDs(self) -> tuple:
        if not self.multiSelection:
            return (self.currentSegmentID(),) if self.currentSegmentID() else ()
        return tuple(item.data(ID_ROLE) for item in self._in_several._in_checked())

    def setSelectedSegmentIDs(self, identifiers) -> None:
        if self.multiSelection:
            self._in_check(identifiers)
        elif identifiers:
            self.setCurrentSegmentID(identifiers[0])

    def _in_check(self, identifiers) -> None:
        for item in self._in_several._in_rows():
            wanted = item.data(ID_ROLE) in tuple(identifiers)
            self._in_several._in_setCheck(item.row(), CHECKED if wanted else UNCHECKED)

    def onSegmentMultiSelectionChanged(self) -> None:
        emit(self, "segmentSelectionChanged(QStringList)", self.selectedSegmentIDs())

    def _in_changed_multiSelection(self, several: bool) -> None:
        self._in_one.setVisible(not several)
        self._in_several.setVisible(several)

    def _in_changed_noneEnabled(self, enabled: bool) -> None:
        self._in_selector.noneEnabled = enabled
        self.populateSegmentCombobox()

    def _in_changed_editEnabled(self, enabled: bool) -> None:
        self._in_selector.editEnabled = enabled

    def _in_changed_segmentationNodeSelectorVisible(self, shown: bool) -> None:
        self._in_selector.setVisible(shown)

    def _in_changed_horizontalLayout(self, horizontal: bool) -> None:
        directions = QtWidgets.QBoxLayout.Direction
        self._in_layout.setDirection(directions.LeftToRight if horizontal else directions.TopToBottom)
