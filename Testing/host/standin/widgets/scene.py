"""How a stand-in widget listens to MRML: observers that end with the widget, and which nodes a selector lists."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import shiboken6
import vtk
from PySide6 import QtCore


class Observers:
    """VTK observers on behalf of a widget.

    The widget is held weakly: observers neither keep it alive nor call it after Qt has deleted it. Observed objects
    are kept until ``forget`` or ``clear``.
    """

    def __init__(self, owner: QtCore.QObject) -> None:
        self._owner = weakref.ref(owner)
        self._tags: list[tuple[vtk.vtkObject, int]] = []

    def watch(self, subject: vtk.vtkObject, event: int | str, method: Callable[..., None], data: Any = None) -> None:
        """Call ``method()``, a method of the owner, on each event; with ``data`` (vtk.VTK_OBJECT or vtk.VTK_STRING)
        it is given what came with the event."""
        weak, name = self._owner, method.__name__

        def tell(_subject: vtk.vtkObject, _event: str, callData: Any = None) -> None:
            owner = weak()
            if owner is not None and shiboken6.isValid(owner):
                getattr(owner, name)(*(() if data is None else (callData,)))

        if data is not None:
            tell.CallDataType = data
        self._tags.append((subject, subject.AddObserver(event, tell)))

    def forget(self, subject: vtk.vtkObject) -> None:
        """No longer listen to that object."""
        for known, tag in self._tags:
            if known is subject:
                known.RemoveObserver(tag)
        self._tags = [one for one in self._tags if one[0] is not subject]

    def clear(self) -> None:
        """No longer listen to anything."""
        for subject, tag in self._tags:
            subject.RemoveObserver(tag)
        self._tags = []

    def __del__(self) -> None:
        self.clear()


@dataclass
class NodeFilter:
    """Which nodes a selector lists; the rules of qMRMLSortFilterProxyModel."""

    types: tuple[str, ...] = ()
    hiddenChildTypes: tuple[str, ...] = ()
    showChildTypes: bool = True
    showHidden: bool = False
    attributes: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def concerns(self, node: vtk.vtkObject) -> bool:
        """Whether the node is of a listed type, shown or not."""
        return any(node.IsA(one) for one in self.types) if self.types else True

    def accepts(self, node: vtk.vtkObject) -> bool:
        """Whether the node is listed now."""
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if not self.types:
            return True
        for one in self.types:
            if not node.IsA(one) or (not self.showChildTypes and node.GetClassName() != one):
                continue
            if self.showChildTypes and any(node.IsA(hidden) for hidden in self.hiddenChildTypes):
                return False
            name, wanted = self.attributes.get(one, (None, None))
            if name is not None:
                value = node.GetAttribute(name)
                if value is None or (wanted is not None and value != wanted):
                    return False
            return True
        return False

    def nodes(self, scene: vtk.vtkObject | None) -> list[vtk.vtkObject]:
        """The listed nodes in the order of the scene."""
        return [] if scene is None else [node for node in sceneNodes(scene) if self.accepts(node)]


def sceneNodes(scene: vtk.vtkObject) -> Iterable[vtk.vtkObject]:
    """All nodes of the scene in its order."""
    return [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]


def textOf(value: Any) -> str:
    """An attribute's value as QVariant would spell it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
