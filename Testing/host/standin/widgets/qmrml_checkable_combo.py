"""qMRMLCheckableNodeComboBox: several nodes are chosen here, each with a check mark."""

from __future__ import annotations

from typing import ClassVar

from PySide6 import QtCore, QtWidgets

from standin.qt_declared import declared, emit
from standin.widgets.ctk_combos import CHECK_ROLE, CHECKED, UNCHECKED, checkNumber, ctkCheckableComboBox
from standin.widgets.qmrml_node_combo import ID_ROLE, qMRMLNodeComboBox


@declared("slicer.qMRMLCheckableNodeComboBox")
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """The node combo box with check marks; nothing is added, deleted or renamed from here unless enabled."""

    _in_defaults: ClassVar = {
        "addEnabled": False,
        "removeEnabled": False,
        "noneDisplay": "None",
        "selectNodeUponCreation": True,
        "showChildNodeTypes": True,
        "interactionNodeSingletonTag": "Singleton",
    }

    def _in_makeCombo(self):
        combo = ctkCheckableComboBox(self)
        combo.connect("checkedIndexesChanged()", self._in_checksChanged)
        return combo

    def _in_checksChanged(self) -> None:
        emit(self, "checkedNodesChanged()")

    def _in_rowMade(self, index: int, key: str) -> None:
        """Only nodes carry a check mark: "None" and the entries below the nodes do not."""
        if not key or self._in_listed(key) is None:
            item = self._in_combo._in_model.item(index)
            item.setCheckable(False)
            item.setData(None, CHECK_ROLE)

    def _in_rowOfNode(self, node) -> int:
        return -1 if node is None else QtWidgets.QComboBox.findData(self._in_combo, node.GetID(), ID_ROLE)

    def checkState(self, node) -> int:
        item = self._in_combo._in_model.item(self._in_rowOfNode(node))
        return UNCHECKED if item is None else checkNumber(item.data(CHECK_ROLE))

    def setCheckState(self, node, state) -> None:
        self._in_combo._in_setCheck(self._in_rowOfNode(node), checkNumber(state))

    def check(self, node) -> None:
        self.setCheckState(node, CHECKED)

    def uncheck(self, node) -> None:
        self.setCheckState(node, UNCHECKED)

    def checkedNodes(self) -> tuple:
        return tuple(node for node in self._in_nodes if self.checkState(node) == CHECKED)

    def uncheckedNodes(self) -> tuple:
        return tuple(node for node in self._in_nodes if self.checkState(node) != CHECKED)

    def allChecked(self) -> bool:
        return self._in_combo.allChecked()

    def noneChecked(self) -> bool:
        return self._in_combo.noneChecked()

    def setUserCheckable(self, node, checkable: bool) -> None:
        item = self._in_combo._in_model.item(self._in_rowOfNode(node))
        if item is not None:
            flag = QtCore.Qt.ItemFlag.ItemIsUserCheckable
            item.setFlags(item.flags() | flag if checkable else item.flags() & ~flag)
