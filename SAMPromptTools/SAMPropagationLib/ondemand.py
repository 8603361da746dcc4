"""Nodes that are shown while somebody looks at them: found again by what they belong to, never saved with the scene."""

import slicer

from SAMPropagationLib import provenance


def keyOf(kind: str, row) -> str:
    """What a node shown for a row of the results is marked with."""
    return f"{kind}|{row.segmentationId}|{row.segmentId}"


def find(key: str):
    """The node that is shown, None when it is not."""
    for node in all_():
        if node.GetAttribute(provenance.FOR_DISPLAY) == key:
            return node
    return None


def all_() -> list:
    """Every node shown on demand."""
    return [
        node
        for name in ("vtkMRMLMarkupsFiducialNode", "vtkMRMLSegmentationNode")
        for node in slicer.util.getNodesByClass(name)
        if node.GetAttribute(provenance.FOR_DISPLAY)
    ]


def mark(node, key: str) -> None:
    """Make a node one that is shown on demand."""
    node.SetAttribute(provenance.FOR_DISPLAY, key)
    node.SetSaveWithScene(False)
    display = node.GetDisplayNode()
    if display is not None:
        display.SetSaveWithScene(False)


def remove(node) -> None:
    """Take a node out of the scene with its display and storage."""
    for each in (node.GetDisplayNode(), node.GetStorageNode()):
        if each is not None:
            slicer.mrmlScene.RemoveNode(each)
    slicer.mrmlScene.RemoveNode(node)


def removeOf(segmentationId: str) -> None:
    """Take away what is shown for a result."""
    for node in all_():
        if f"|{segmentationId}|" in node.GetAttribute(provenance.FOR_DISPLAY):
            remove(node)


def removeAll() -> None:
    """Take away everything that is shown on demand."""
    for node in all_():
        remove(node)
