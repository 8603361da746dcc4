"""qMRMLNodeComboBox: a node of the scene is chosen here.

It follows the scene as the original does (read in Slicer's sources): without "None" the first node is chosen when the
scene is set; a node that goes away hands the choice to its neighbour; a node that comes later is chosen only where the
list was empty and has no further entries; choosing a node that is not listed chooses nothing.
"""

from __future__ import annotations

from typing import ClassVar

import qt
import vtk
from PySide6 import QtCore, QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets.ctk_combos import ctkComboBox
from standin.widgets.node_combo_parts import NodeActions, NodeChoice
from standin.widgets.scene import NodeFilter, Observers

ID_ROLE = QtCore.Qt.ItemDataRole.UserRole
EXTRA_ROLE = QtCore.Qt.ItemDataRole.UserRole + 1


@declared("slicer.qMRMLNodeComboBox")
class qMRMLNodeComboBox(NodeActions, NodeChoice, qt.QWidget):
    """See the module's page. Rows: "None" if enabled, the nodes, then what can be done (create, delete, ...)."""

    _in_defaults: ClassVar = {
        "addEnabled": True,
        "removeEnabled": True,
        "noneDisplay": "None",
        "selectNodeUponCreation": True,
        "showChildNodeTypes": True,
        "interactionNodeSingletonTag": "Singleton",
    }

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_scene = None
        self._in_filter = NodeFilter()
        self._in_nodes = []
        self._in_shown = []  # (node ID or "", text) of the rows above the extra ones
        self._in_current = None
        self._in_requested = None
        self._in_baseNames = {}
        self._in_labels = {}
        self._in_actions = []
        self._in_observers = Observers(self)
        self._in_combo = self._in_makeCombo()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._in_combo)
        policy = QtWidgets.QSizePolicy.Policy
        QtWidgets.QWidget.setSizePolicy(self._in_combo, policy.Expanding, policy.Expanding)
        QtWidgets.QWidget.setSizePolicy(self, policy.Preferred, policy.Fixed)
        QtWidgets.QWidget.setFocusProxy(self._in_combo, self)
        self._in_combo.connect("currentIndexChanged(int)", self._in_rowChosen)
        self._in_combo.connect("activated(int)", self.emitNodeActivated)
        QtWidgets.QWidget.setEnabled(self, False)
        self._in_updateExtras()

    def _in_makeCombo(self):
        combo = ctkComboBox(self)
        combo.elideMode = qt.Qt.ElideMiddle
        return combo

    # --- the scene ----------------------------------------------------------------------------------------------------
    def mrmlScene(self):
        return self._in_scene

    def setMRMLScene(self, scene) -> None:
        if scene is self._in_scene:
            return
        keep = self._in_current if self._in_scene is not None and self._in_nodes else self._in_requested
        self._in_observers.clear()
        self._in_scene = scene
        self._in_requested = None
        before, self._in_current = self._in_current, None
        if scene is not None:
            events = type(scene)
            self._in_observers.watch(scene, events.NodeAddedEvent, self._in_nodeAdded, vtk.VTK_OBJECT)
            self._in_observers.watch(scene, events.NodeAboutToBeRemovedEvent, self._in_nodeLeaves, vtk.VTK_OBJECT)
            for event in (
                events.EndCloseEvent,
                events.EndImportEvent,
                events.EndBatchProcessEvent,
                events.EndRestoreEvent,
            ):
                self._in_observers.watch(scene, event, self._in_follow)
            for node in NodeFilter(self._in_filter.types, showHidden=True).nodes(scene):
                self._in_observers.watch(node, vtk.vtkCommand.ModifiedEvent, self._in_follow)
        self._in_nodes = self._in_filter.nodes(scene)
        wanted = self._in_listed(keep)
        if wanted is None and not self.noneEnabled and self._in_nodes and keep is None:
            wanted = self._in_nodes[0]
        self._in_current = wanted
        self._in_updateExtras()
        self._in_syncRows()
        QtWidgets.QWidget.setEnabled(self, scene is not None)
        if before is not self._in_current:
            self.emitCurrentNodeChanged()

    def _in_nodeAdded(self, node) -> None:
        if not self._in_filter.concerns(node):
            return
        self._in_observers.watch(node, vtk.vtkCommand.ModifiedEvent, self._in_follow)
        self._in_follow()

    def _in_nodeLeaves(self, node) -> None:
        if self._in_filter.concerns(node):
            self._in_observers.forget(node)
            self._in_follow(leaving=node)

    def _in_follow(self, leaving=None) -> None:
        """Compare the list with the scene and take over the difference."""
        nodes = [node for node in self._in_filter.nodes(self._in_scene) if node is not leaving]
        before = self._in_nodes
        if nodes == before:
            self._in_syncRows()
            return
        for node in before:
            if node not in nodes:
                emit(self, "nodeAboutToBeRemoved(vtkMRMLNode*)", node)
        wasEmpty = QtWidgets.QComboBox.count(self._in_combo) == 0
        chosen = self._in_current
        if chosen is not None and chosen not in nodes:
            place = before.index(chosen) if chosen in before else 0
            self._in_current = nodes[min(place, len(nodes) - 1)] if nodes else None
        elif chosen is None and wasEmpty and nodes:
            self._in_current = nodes[0]
        self._in_nodes = nodes
        self._in_syncRows()
        if self._in_current is not chosen:
            self.emitCurrentNodeChanged()
        for node in nodes:
            if node not in before:
                emit(self, "nodeAdded(vtkMRMLNode*)", node)

    def _in_listed(self, node):
        """The node (or the node with that ID) where it is in the list, else None."""
        if isinstance(node, str):
            return next((one for one in self._in_nodes if one.GetID() == node), None)
        return node if node is not None and node in self._in_nodes else None

    # --- rows ---------------------------------------------------------------------------------------------------------
    def _in_syncRows(self) -> None:
        """Bring the rows of the combo box to what they should be, touching only those that differ."""
        wanted = [("", self.noneDisplay)] if self.noneEnabled else []
        wanted += [(node.GetID(), node.GetName() or "") for node in self._in_nodes]
        combo, shown = self._in_combo, self._in_shown
        wasBlocked = QtCore.QObject.blockSignals(combo, True)
        if shown != wanted:
            keys = {key for key, _text in wanted}
            for row in reversed(range(len(shown))):
                if shown[row][0] not in keys:
                    QtWidgets.QComboBox.removeItem(combo, row)
                    del shown[row]
            for row, (key, text) in enumerate(wanted):
                # A row that stands elsewhere was moved: what is before it goes, and comes again in its place.
                while row < len(shown) and shown[row][0] != key and any(one[0] == key for one in shown[row:]):
                    QtWidgets.QComboBox.removeItem(combo, row)
                    del shown[row]
                if row >= len(shown) or shown[row][0] != key:
                    QtWidgets.QComboBox.insertItem(combo, row, text, key)
                    shown.insert(row, (key, text))
                    self._in_rowMade(row, key)
                elif shown[row][1] != text:
                    QtWidgets.QComboBox.setItemText(combo, row, text)
                    shown[row] = (key, text)
        QtWidgets.QComboBox.setCurrentIndex(combo, self._in_rowOf(self._in_current))
        QtCore.QObject.blockSignals(combo, wasBlocked)
        QtWidgets.QWidget.update(combo)

    def _in_rowMade(self, index: int, key: str) -> None:
        """For the checkable variant."""

    def _in_rowKey(self, index: int):
        return QtWidgets.QComboBox.itemData(self._in_combo, index, ID_ROLE)

    def _in_rowOf(self, node) -> int:
        if node is None:
            return 0 if self.noneEnabled else -1
        return self._in_nodes.index(node) + (1 if self.noneEnabled else 0)

    def _in_extras(self) -> list[tuple[str, str]]:
        """(key, text) of what can be done below the nodes."""
        if self._in_scene is None:
            return []
        types = self._in_filter.types
        label = self.nodeTypeLabel(types[0] if len(types) == 1 else "")
        found = []
        if self.renameEnabled:
            found.append(("RENAME", f"Rename current {label}"))
        if self.editEnabled:
            found.append(("EDIT", f"Edit current {label}"))
        if self.addEnabled:
            found += [("CREATE/" + one, f"Create new {self.nodeTypeLabel(one)}") for one in types]
        if self.removeEnabled:
            found.append(("DELETE", f"Delete current {label}"))
        found += [("ACTION/" + action.text, action.text) for action in self._in_actions]
        return [("SEPARATOR", ""), *found] if found else []

    def _in_updateExtras(self) -> None:
        combo = self._in_combo
        wasBlocked = combo.blockSignals(True)
        while combo.count > len(self._in_shown):
            combo.removeItem(combo.count - 1)
        for key, text in self._in_extras():
            row = combo.count
            if key == "SEPARATOR":
                combo.insertSeparator(row)
            else:
                combo.addItem(text)
                self._in_rowMade(row, key)
            QtWidgets.QComboBox.setItemData(combo, row, key, EXTRA_ROLE)
        label = self.nodeTypeLabel(self._in_filter.types[0] if self._in_filter.types else "")
        if isinstance(combo, ctkComboBox):
            combo.defaultText = f"Select a {label}"
        QtWidgets.QComboBox.setCurrentIndex(combo, self._in_rowOf(self._in_current))
        combo.blockSignals(wasBlocked)

    # --- choosing -----------------------------------------------------------------------------------------------------
    def currentNode(self):
        return self._in_current

    def setCurrentNode(self, node) -> None:
        if self._in_scene is None:
            self._in_requested = node
        self._in_choose(self._in_listed(node))

    def setCurrentNodeID(self, nodeID) -> None:
        self.setCurrentNode(nodeID or None)

    def _in_get_currentNodeID(self) -> str:
        return self._in_current.GetID() if self._in_current is not None else ""

    def _in_set_currentNodeID(self, nodeID) -> None:
        self.setCurrentNodeID(nodeID)

    _in_get_currentNodeId = _in_get_currentNodeID
    _in_set_currentNodeId = _in_set_currentNodeID

    def setCurrentNodeIndex(self, index: int) -> None:
        self._in_choose(self._in_nodes[index] if 0 <= index < len(self._in_nodes) else None)

    def _in_choose(self, node) -> None:
        changed = node is not self._in_current
        self._in_current = node
        wasBlocked = self._in_combo.blockSignals(True)
        QtWidgets.QComboBox.setCurrentIndex(self._in_combo, self._in_rowOf(node))
        self._in_combo.blockSignals(wasBlocked)
        if changed:
            self.emitCurrentNodeChanged()

    def _in_rowChosen(self, row: int) -> None:
        """The inner combo box was moved by a person."""
        if QtWidgets.QComboBox.itemData(self._in_combo, row, EXTRA_ROLE) is None:
            self._in_choose(self._in_listed(self._in_rowKey(row) or None))

    def emitNodeActivated(self, row: int) -> None:
        extra = QtWidgets.QComboBox.itemData(self._in_combo, row, EXTRA_ROLE)
        if extra is None:
            emit(self, "nodeActivated(vtkMRMLNode*)", self._in_listed(self._in_rowKey(row) or None))
            return
        self._in_choose(self._in_current)
        self._in_activate(extra)

    def activateExtraItem(self, index) -> None:
        self._in_activate(index.data(EXTRA_ROLE) or "")

    def _in_activate(self, key: str) -> None:
        if key.startswith("CREATE/"):
            node = self.addNode(key.partition("/")[2])
            if node is not None:
                self.setCurrentNode(node)
        elif key.startswith("ACTION/"):
            next(action for action in self._in_actions if action.text == key.partition("/")[2]).trigger()
        elif key in ("DELETE", "EDIT", "RENAME"):
            {"DELETE": self.removeCurrentNode, "EDIT": self.editCurrentNode, "RENAME": self.renameCurrentNode}[key]()

    def emitCurrentNodeChanged(self) -> None:
        node = self._in_current
        emit(self, "currentNodeChanged(vtkMRMLNode*)", node)
        emit(self, "currentNodeChanged(bool)", node is not None)
        emit(self, "currentNodeIDChanged(QString)", node.GetID() if node is not None else "")

    def refreshIfCurrentNodeHidden(self) -> None:
        self._in_follow()

    def nodeCount(self) -> int:
        return len(self._in_nodes)

    def nodeFromIndex(self, index: int):
        return self._in_nodes[index] if 0 <= index < len(self._in_nodes) else None

    def _in_changed_noneEnabled(self, enabled: bool) -> None:
        self._in_syncRows()

    _in_changed_noneDisplay = _in_changed_noneEnabled

    def _in_changed_addEnabled(self, enabled: bool) -> None:
        self._in_updateExtras()

    _in_changed_removeEnabled = _in_changed_addEnabled
    _in_changed_editEnabled = _in_changed_addEnabled
    _in_changed_renameEnabled = _in_changed_addEnabled

    def _in_get_sizeAdjustPolicy(self):
        return self._in_combo.sizeAdjustPolicy

    def _in_set_sizeAdjustPolicy(self, policy) -> None:
        self._in_combo.sizeAdjustPolicy = policy
