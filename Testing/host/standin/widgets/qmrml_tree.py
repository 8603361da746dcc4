"""qMRMLSubjectHierarchyTreeView: patients, studies and what belongs to them as a tree."""

from __future__ import annotations

from typing import ClassVar

import qt
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets.scene import Observers
from standin.widgets.segments import eyeIcon

ID_ROLE = QtCore.Qt.ItemDataRole.UserRole
HEADERS = ("Node", "", "", "")  # name, visibility, colour, transform
INVALID_ITEM = 0


@declared("slicer.qMRMLSubjectHierarchyTreeView")
class qMRMLSubjectHierarchyTreeView(qt.QTreeView):
    """Rows follow the scene's subject hierarchy; ``nodeTypes``, ``levelFilter`` and ``nameFilter`` choose among them.

    A filtered-out item is still shown where something below it is.
    """

    _in_defaults: ClassVar = {
        "contextMenuEnabled": True,
        "editMenuActionVisible": True,
        "visibilityColumnVisible": True,
        "transformColumnVisible": True,
        "noneDisplay": "None",
        "selectRoleSubMenuVisible": True,
    }

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_scene = None
        self._in_root = None
        self._in_current = INVALID_ITEM
        self._in_observers = Observers(self)
        self._in_model = QtGui.QStandardItemModel(0, len(HEADERS), self)
        self._in_model.setHorizontalHeaderLabels(HEADERS)
        QtWidgets.QTreeView.setModel(self, self._in_model)
        header = QtWidgets.QTreeView.header(self)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QtWidgets.QHeaderView.ResizeMode.Stretch)
        for column in range(1, len(HEADERS)):
            QtWidgets.QTreeView.setColumnWidth(self, column, 28)
        QtWidgets.QTreeView.setEditTriggers(self, QtWidgets.QTreeView.EditTrigger.NoEditTriggers)
        QtWidgets.QTreeView.selectionModel(self).selectionChanged.connect(self.onSelectionChanged)

    # --- the scene ----------------------------------------------------------------------------------------------------
    def mrmlScene(self):
        return self._in_scene

    def subjectHierarchyNode(self):
        if self._in_scene is None:
            return None
        return _slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._in_scene)

    def setMRMLScene(self, scene) -> None:
        if scene is self._in_scene:
            return
        self._in_observers.clear()
        self._in_scene = scene
        hierarchy = self.subjectHierarchyNode()
        if hierarchy is not None:
            for name in ("Added", "Removed", "Modified", "Reparented"):
                event = getattr(hierarchy, f"SubjectHierarchyItem{name}Event")
                self._in_observers.watch(hierarchy, event, self._in_rebuild)
            self._in_observers.watch(scene, scene.EndCloseEvent, self._in_sceneClosed)
            self._in_observers.watch(scene, scene.EndBatchProcessEvent, self._in_rebuild)
        self._in_rebuild()

    def _in_sceneClosed(self) -> None:
        self._in_root = None
        self._in_rebuild()

    # --- rows ---------------------------------------------------------------------------------------------------------
    def _in_rebuild(self) -> None:
        chosen = self._in_current
        selection = QtWidgets.QTreeView.selectionModel(self)
        wasBlocked = selection.blockSignals(True)
        self._in_model.removeRows(0, self._in_model.rowCount())
        hierarchy = self.subjectHierarchyNode()
        if hierarchy is not None:
            top = hierarchy.GetSceneItemID() if self._in_root is None else self._in_root
            for item in self._in_children(hierarchy, top):
                self._in_add(hierarchy, item, self._in_model.invisibleRootItem())
        QtWidgets.QTreeView.expandAll(self)
        selection.blockSignals(wasBlocked)
        self._in_select([chosen] if chosen != INVALID_ITEM else [])
        if self._in_indexOf(chosen) is None and chosen != INVALID_ITEM:
            self._in_tell(INVALID_ITEM)

    def _in_children(self, hierarchy, parent: int) -> list[int]:
        found = vtk.vtkIdList()
        hierarchy.GetItemChildren(parent, found, False)
        return [found.GetId(index) for index in range(found.GetNumberOfIds())]

    def _in_add(self, hierarchy, item: int, above: QtGui.QStandardItem) -> bool:
        """Add the item with what is below it; False (and nothing added) where none of it is to be shown."""
        row = [QtGui.QStandardItem() for _header in HEADERS]
        row[0].setText(hierarchy.GetItemName(item))
        row[0].setData(item, ID_ROLE)
        node = hierarchy.GetItemDataNode(item)
        if node is not None and node.IsA("vtkMRMLDisplayableNode"):
            row[1].setIcon(eyeIcon(bool(hierarchy.GetItemDisplayVisibility(item))))
        below = [self._in_add(hierarchy, child, row[0]) for child in self._in_children(hierarchy, item)]
        if not any(below) and not self._in_accepts(hierarchy, item, node):
            return False
        above.appendRow(row)
        return True

    def _in_accepts(self, hierarchy, item: int, node) -> bool:
        if node is not None and node.GetHideFromEditors():
            return False
        if self.nameFilter and self.nameFilter.lower() not in hierarchy.GetItemName(item).lower():
            return False
        level = hierarchy.GetItemLevel(item) if node is None else ""
        if self.levelFilter and level not in self.levelFilter:
            return False
        if self.nodeTypes:
            if node is None or not any(node.IsA(one) for one in self.nodeTypes):
                return False
            return not any(node.IsA(one) for one in self.hideChildNodeTypes)
        return True

    def _in_indexes(self, above=None) -> list[QtCore.QModelIndex]:
        above = self._in_model.invisibleRootItem() if above is None else above
        found = []
        for row in range(above.rowCount()):
            child = above.child(row, 0)
            found += [child.index(), *self._in_indexes(child)]
        return found

    def _in_indexOf(self, item: int) -> QtCore.QModelIndex | None:
        return next((index for index in self._in_indexes() if index.data(ID_ROLE) == item), None)

    def displayedItemCount(self) -> int:
        return len(self._in_indexes())

    # --- choosing -----------------------------------------------------------------------------------------------------
    def currentItem(self) -> int:
        return self._in_current

    def setCurrentItem(self, item: int) -> None:
        self._in_select([item])

    def setCurrentItems(self, items) -> None:
        if hasattr(items, "GetNumberOfIds"):
            items = [items.GetId(index) for index in range(items.GetNumberOfIds())]
        self._in_select(list(items))

    def setCurrentNode(self, node) -> None:
        hierarchy = self.subjectHierarchyNode()
        if hierarchy is not None and node is not None:
            self.setCurrentItem(hierarchy.GetItemByDataNode(node))

    def currentItems(self, found) -> None:
        """Fill a vtkIdList with the chosen items."""
        found.Reset()
        for item in self._in_chosen():
            found.InsertNextId(item)

    def _in_chosen(self) -> list[int]:
        return [index.data(ID_ROLE) for index in QtWidgets.QTreeView.selectionModel(self).selectedRows(0)]

    def _in_select(self, items: list[int]) -> None:
        selection = QtCore.QItemSelection()
        for index in map(self._in_indexOf, items):
            if index is not None:
                selection.select(index, index.siblingAtColumn(len(HEADERS) - 1))
        model = QtWidgets.QTreeView.selectionModel(self)
        model.select(selection, QtCore.QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def onSelectionChanged(self, selected, deselected) -> None:
        chosen = self._in_chosen()
        emit(self, "currentItemsChanged(QList<vtkIdType>)", tuple(chosen))
        self._in_tell(chosen[0] if chosen else INVALID_ITEM)

    def _in_tell(self, item: int) -> None:
        if item != self._in_current:
            self._in_current = item
            emit(self, "currentItemChanged(vtkIdType)", item)

    def rootItem(self) -> int:
        hierarchy = self.subjectHierarchyNode()
        if self._in_root is None:
            return hierarchy.GetSceneItemID() if hierarchy is not None else INVALID_ITEM
        return self._in_root

    def setRootItem(self, item: int) -> None:
        self._in_root = item
        self._in_rebuild()

    def expandItem(self, item: int) -> None:
        index = self._in_indexOf(item)
        if index is not None:
            QtWidgets.QTreeView.expand(self, index)

    def collapseItem(self, item: int) -> None:
        index = self._in_indexOf(item)
        if index is not None:
            QtWidgets.QTreeView.collapse(self, index)

    # --- properties ---------------------------------------------------------------------------------------------------
    def _in_changed_multiSelection(self, several: bool) -> None:
        modes = QtWidgets.QTreeView.SelectionMode
        QtWidgets.QTreeView.setSelectionMode(self, modes.ExtendedSelection if several else modes.SingleSelection)

    def _in_changed_nodeTypes(self, types) -> None:
        self._in_rebuild()

    _in_changed_hideChildNodeTypes = _in_changed_nodeTypes
    _in_changed_levelFilter = _in_changed_nodeTypes
    _in_changed_nameFilter = _in_changed_nodeTypes

    def _in_changed_visibilityColumnVisible(self, shown: bool) -> None:
        QtWidgets.QTreeView.setColumnHidden(self, 1, not shown)

    def _in_changed_colorColumnVisible(self, shown: bool) -> None:
        QtWidgets.QTreeView.setColumnHidden(self, 2, not shown)

    def _in_changed_transformColumnVisible(self, shown: bool) -> None:
        QtWidgets.QTreeView.setColumnHidden(self, 3, not shown)


def _slicer():
    import slicer  # completed by the stand-in after the widgets are made

    return slicer
