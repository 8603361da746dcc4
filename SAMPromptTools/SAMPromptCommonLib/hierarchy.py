"""Where nodes stand in the subject hierarchy: patient, study, visit."""

from __future__ import annotations

from typing import Any

import slicer


def hierarchyOf(scene: Any) -> Any:
    """The scene's subject hierarchy, None where it has none; asking Slicer itself would make one."""
    if scene is None or scene.GetNumberOfNodesByClass("vtkMRMLSubjectHierarchyNode") == 0:
        return None
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def itemAttribute(node: Any, name: str) -> str:
    """An attribute of a node's item, "" where there is none."""
    hierarchy = hierarchyOf(node.GetScene())
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    return (hierarchy.GetItemAttribute(item, name) or "") if item else ""


def placeBeside(node: Any, neighbour: Any) -> None:
    """Put a node under the same study (or folder) as ``neighbour``; does nothing when that has no place."""
    hierarchy = hierarchyOf(neighbour.GetScene())
    item = hierarchy.GetItemByDataNode(neighbour) if hierarchy is not None else 0
    if not item or node.GetScene() is not neighbour.GetScene():
        return
    parent = hierarchy.GetItemParent(item)
    own = hierarchy.GetItemByDataNode(node)
    if own:
        hierarchy.SetItemParent(own, parent)
    else:
        hierarchy.CreateItem(parent, node)
