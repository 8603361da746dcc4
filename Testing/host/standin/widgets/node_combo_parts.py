"""Two parts of qMRMLNodeComboBox: what can be done with its nodes, and which nodes it lists."""

from __future__ import annotations

import qt

from standin.qt_declared import emit
from standin.widgets.scene import textOf


class NodeActions:
    """Nodes are created, deleted, edited and renamed from the combo box."""

    def addNode(self, nodeType: str | None = None):
        """Create a node of a listed type, named after ``baseName``; None for another type."""
        types = self._in_filter.types
        nodeType = nodeType or (types[0] if types else None)
        if nodeType not in types or self._in_scene is None:
            return None
        node = self._in_scene.CreateNodeByClass(nodeType)
        if node is None:
            return None
        node.UnRegister(None)
        base = self._in_baseNames.get(nodeType) or node.GetNodeTagName()
        node.SetName(self._in_scene.GetUniqueNameByString(base))
        for name, value in self._in_filter.attributes.values():
            node.SetAttribute(name, value or "")
        node = self._in_scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        emit(self, "nodeAddedByUser(vtkMRMLNode*)", node)
        return node

    def removeCurrentNode(self) -> None:
        if self._in_current is not None:
            self._in_scene.RemoveNode(self._in_current)

    def editCurrentNode(self) -> None:
        emit(self, "nodeAboutToBeEdited(vtkMRMLNode*)", self._in_current)

    def renameCurrentNode(self) -> None:
        node = self._in_current
        if node is None:
            return
        name = qt.QInputDialog.getText(
            self, f"Rename {self.nodeTypeLabel(node.GetClassName())}", "New name:", qt.QLineEdit.Normal, node.GetName()
        )
        if name:
            node.SetName(name)
            emit(self, "currentNodeRenamed(QString)", name)

    def addMenuAction(self, action) -> None:
        if all(known.text != action.text for known in self._in_actions):
            self._in_actions.append(action)
            self._in_updateExtras()


class NodeChoice:
    """Node types, attributes and hidden nodes; what a type is called."""

    def addAttribute(self, nodeType: str, name: str, value=None) -> None:
        if nodeType in self._in_filter.types:
            self._in_filter.attributes[nodeType] = (name, None if value is None else textOf(value))
            self._in_follow()

    def removeAttribute(self, nodeType: str, name: str) -> None:
        if self._in_filter.attributes.get(nodeType, (None,))[0] == name:
            del self._in_filter.attributes[nodeType]
            self._in_follow()

    def setNodeTypeLabel(self, label: str, nodeType: str) -> None:
        self._in_labels[nodeType] = label
        self._in_updateExtras()

    def nodeTypeLabel(self, nodeType: str) -> str:
        """What a person calls the type: as told, as MRML calls it, or "node"."""
        if self._in_labels.get(nodeType):
            return self._in_labels[nodeType]
        return (self._in_scene.GetTypeDisplayNameByClassName(nodeType) if self._in_scene is not None else "") or "node"

    def _in_get_nodeTypes(self):
        return self._in_filter.types

    def _in_set_nodeTypes(self, types) -> None:
        types = tuple(one for one in types if one)
        if types == self._in_filter.types:
            return
        self._in_filter.types = types
        if self._in_scene is not None:  # other nodes concern it now
            scene, self._in_requested = self._in_scene, self._in_current
            self._in_observers.clear()
            self._in_scene, self._in_nodes = None, []
            self.setMRMLScene(scene)
        self._in_updateExtras()

    def _in_get_hideChildNodeTypes(self):
        return self._in_filter.hiddenChildTypes

    def _in_set_hideChildNodeTypes(self, types) -> None:
        self._in_filter.hiddenChildTypes = tuple(types)
        self._in_follow()

    def _in_get_showChildNodeTypes(self) -> bool:
        return self._in_filter.showChildTypes

    def _in_set_showChildNodeTypes(self, shown: bool) -> None:
        self._in_filter.showChildTypes = shown
        self._in_follow()

    def _in_get_showHidden(self) -> bool:
        return self._in_filter.showHidden

    def _in_set_showHidden(self, shown: bool) -> None:
        self._in_filter.showHidden = shown
        self._in_follow()

    def _in_get_baseName(self) -> str:
        return self._in_baseNames.get(self._in_filter.types[0], "") if self._in_filter.types else ""

    def _in_set_baseName(self, name: str) -> None:
        self._in_baseNames.update(dict.fromkeys(self._in_filter.types, name))
