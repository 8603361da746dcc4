"""qMRMLSegmentsTableView: the segments of a segmentation as a table (visibility, colour, opacity, name)."""

from __future__ import annotations

from typing import ClassVar

import qt
from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets import segments
from standin.widgets.qmrml_widget import qMRMLWidget
from standin.widgets.scene import Observers

VISIBILITY, COLOR, OPACITY, NAME, STATUS, LAYER = range(6)
HEADERS = ("", "", "Opacity", "Name", "Status", "Layer")
ID_ROLE = QtCore.Qt.ItemDataRole.UserRole


@declared("slicer.qMRMLSegmentsTableView")
class qMRMLSegmentsTableView(qMRMLWidget):
    """Rows follow the segmentation node; a double click on the name renames, a click on the eye shows and hides."""

    _in_defaults: ClassVar = {
        "headerVisible": True,
        "visibilityColumnVisible": True,
        "colorColumnVisible": True,
        "opacityColumnVisible": True,
        "selectionMode": 3,
        "useTerminologySelector": True,
    }

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_node = None
        self._in_hidden = ()
        self._in_updating = False
        self._in_observers = Observers(self)
        self._in_model = QtGui.QStandardItemModel(0, len(HEADERS), self)
        self._in_model.setHorizontalHeaderLabels(HEADERS)
        self._in_search = qt.QLineEdit(self)
        self._in_search.placeholderText = "Filter segments by name..."
        self._in_search.hide()
        self._in_table = qt.QTableView(self)
        QtWidgets.QTableView.setModel(self._in_table, self._in_model)
        self._in_arrange()
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._in_search)
        column.addWidget(self._in_table)
        self._in_search.connect("textChanged(QString)", self._in_searched)
        self._in_model.itemChanged.connect(self._in_itemEdited)
        self._in_table.connect("clicked(QModelIndex)", self.onSegmentsTableClicked)
        selection = QtWidgets.QTableView.selectionModel(self._in_table)
        selection.selectionChanged.connect(self.onSegmentSelectionChanged)

    def _in_arrange(self) -> None:
        table = self._in_table
        header = QtWidgets.QTableView.horizontalHeader(table)
        QtWidgets.QTableView.verticalHeader(table).hide()
        QtWidgets.QTableView.setSelectionBehavior(table, QtWidgets.QTableView.SelectionBehavior.SelectRows)
        QtWidgets.QTableView.setSelectionMode(table, QtWidgets.QTableView.SelectionMode.ExtendedSelection)
        modes = QtWidgets.QHeaderView.ResizeMode
        for column in (VISIBILITY, COLOR, OPACITY, STATUS, LAYER):
            header.setSectionResizeMode(column, modes.ResizeToContents)
        header.setSectionResizeMode(NAME, modes.Stretch)
        for column in (STATUS, LAYER):
            QtWidgets.QTableView.setColumnHidden(table, column, True)

    # --- which segmentation -------------------------------------------------------------------------------------------
    def segmentationNode(self):
        return self._in_node

    def setSegmentationNode(self, node) -> None:
        if node is self._in_node:
            return
        self._in_node = node
        segments.watchSegmentation(self._in_observers, node, self.updateWidgetFromMRML)
        self.updateWidgetFromMRML()

    def _in_sceneChanged(self) -> None:
        if self._in_scene is None or (self._in_node is not None and self._in_node.GetScene() is not self._in_scene):
            self.setSegmentationNode(None)

    def updateWidgetFromMRML(self) -> None:
        """Build the rows anew where segments came, went or moved; else refresh what changed."""
        if self._in_updating:
            return
        shown = [one for one in segments.segmentIDs(self._in_node) if self._in_isListed(one)]
        self._in_updating = True
        if shown != self._in_rowIDs():
            selected = self.selectedSegmentIDs()
            self._in_model.removeRows(0, self._in_model.rowCount())
            for segmentID in shown:
                self._in_model.appendRow([QtGui.QStandardItem() for _column in HEADERS])
                self._in_model.item(self._in_model.rowCount() - 1, NAME).setData(segmentID, ID_ROLE)
            self._in_select([one for one in selected if one in shown])
        for row, segmentID in enumerate(shown):
            self._in_fill(row, segmentID)
        self._in_updating = False

    def _in_isListed(self, segmentID: str) -> bool:
        wanted = self.textFilter.lower()
        return segmentID not in self._in_hidden and wanted in segments.segmentName(self._in_node, segmentID).lower()

    def _in_fill(self, row: int, segmentID: str) -> None:
        display = self._in_node.GetDisplayNode()
        visible = display is None or bool(display.GetSegmentVisibility(segmentID))
        item = self._in_model.item
        item(row, VISIBILITY).setIcon(segments.eyeIcon(visible))
        item(row, COLOR).setIcon(segments.colorIcon(segments.segmentColor(self._in_node, segmentID)))
        item(row, OPACITY).setText(f"{display.GetSegmentOpacity3D(segmentID) if display else 1.0:.2f}")
        name = segments.segmentName(self._in_node, segmentID)
        if item(row, NAME).text() != name:
            item(row, NAME).setText(name)
        for column in range(len(HEADERS)):
            editable = column in (OPACITY, NAME) and not self.readOnly
            item(row, column).setEditable(editable)

    def _in_itemEdited(self, item: QtGui.QStandardItem) -> None:
        if self._in_updating or self._in_node is None:
            return
        segmentID = self.segmentIDForRow(item.row())
        emit(self, "segmentAboutToBeModified(QString)", segmentID)
        if item.column() == NAME:
            self._in_node.GetSegmentation().GetSegment(segmentID).SetName(item.text())
        elif item.column() == OPACITY and self._in_node.GetDisplayNode() is not None:
            try:
                opacity = min(max(float(item.text()), 0.0), 1.0)
            except ValueError:
                self.updateWidgetFromMRML()
                return
            self._in_node.GetDisplayNode().SetSegmentOpacity(segmentID, opacity)

    def onSegmentsTableClicked(self, index) -> None:
        display = self._in_node.GetDisplayNode() if self._in_node is not None else None
        if index.column() == VISIBILITY and display is not None and not self.readOnly:
            segmentID = self.segmentIDForRow(index.row())
            display.SetSegmentVisibility(segmentID, not display.GetSegmentVisibility(segmentID))

    # --- rows and selection -------------------------------------------------------------------------------------------
    def _in_rowIDs(self) -> list[str]:
        return [self.segmentIDForRow(row) for row in range(self._in_model.rowCount())]

    def segmentIDForRow(self, row: int) -> str:
        item = self._in_model.item(row, NAME)
        return item.data(ID_ROLE) if item is not None else ""

    def rowForSegmentID(self, segmentID: str) -> int:
        return self._in_rowIDs().index(segmentID) if segmentID in self._in_rowIDs() else -1

    def displayedSegmentIDs(self) -> tuple:
        return tuple(self._in_rowIDs())

    def _in_get_segmentCount(self) -> int:
        return len(segments.segmentIDs(self._in_node))

    def tableWidget(self):
        return self._in_table

    def selectedSegmentIDs(self) -> tuple:
        rows = QtWidgets.QTableView.selectionModel(self._in_table).selectedRows(NAME)
        return tuple(self.segmentIDForRow(index.row()) for index in sorted(rows, key=lambda index: index.row()))

    def setSelectedSegmentIDs(self, identifiers) -> None:
        self._in_select(identifiers)

    def _in_select(self, identifiers) -> None:
        selection = QtCore.QItemSelection()
        for row, segmentID in enumerate(self._in_rowIDs()):
            if segmentID in tuple(identifiers):
                last = self._in_model.index(row, len(HEADERS) - 1)
                selection.select(self._in_model.index(row, 0), last)
        flag = QtCore.QItemSelectionModel.SelectionFlag.ClearAndSelect
        QtWidgets.QTableView.selectionModel(self._in_table).select(selection, flag)

    def clearSelection(self) -> None:
        QtWidgets.QTableView.clearSelection(self._in_table)

    def onSegmentSelectionChanged(self, selected, deselected) -> None:
        emit(self, "selectionChanged(QItemSelection,QItemSelection)", selected, deselected)

    def setHideSegments(self, identifiers) -> None:
        self._in_hidden = tuple(identifiers)
        self.updateWidgetFromMRML()

    def hideSegments(self) -> tuple:
        return self._in_hidden

    def showOnlySelectedSegments(self) -> None:
        display = self._in_node.GetDisplayNode() if self._in_node is not None else None
        chosen = self.selectedSegmentIDs()
        if display is not None and chosen:
            for segmentID in segments.segmentIDs(self._in_node):
                display.SetSegmentVisibility(segmentID, segmentID in chosen)

    # --- how it looks -------------------------------------------------------------------------------------------------
    def _in_searched(self, text: str) -> None:
        self.textFilter = text

    def _in_changed_textFilter(self, text: str) -> None:
        if self._in_search.text != text:
            self._in_search.text = text
        self.updateWidgetFromMRML()

    def _in_changed_filterBarVisible(self, shown: bool) -> None:
        self._in_search.setVisible(shown)

    def _in_changed_headerVisible(self, shown: bool) -> None:
        QtWidgets.QTableView.horizontalHeader(self._in_table).setVisible(shown)

    def _in_changed_readOnly(self, readOnly: bool) -> None:
        self.updateWidgetFromMRML()

    def _in_changed_selectionMode(self, mode: int) -> None:
        QtWidgets.QTableView.setSelectionMode(self._in_table, QtWidgets.QTableView.SelectionMode(int(mode)))

    def _in_show(self, column: int, shown: bool) -> None:
        QtWidgets.QTableView.setColumnHidden(self._in_table, column, not shown)

    def _in_changed_visibilityColumnVisible(self, shown: bool) -> None:
        self._in_show(VISIBILITY, shown)

    def _in_changed_colorColumnVisible(self, shown: bool) -> None:
        self._in_show(COLOR, shown)

    def _in_changed_opacityColumnVisible(self, shown: bool) -> None:
        self._in_show(OPACITY, shown)

    def _in_changed_statusColumnVisible(self, shown: bool) -> None:
        self._in_show(STATUS, shown)

    def _in_changed_layerColumnVisible(self, shown: bool) -> None:
        self._in_show(LAYER, shown)
