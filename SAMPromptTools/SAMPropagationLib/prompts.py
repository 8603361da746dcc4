"""The points that the model was prompted with, shown as markups on demand: green inside the structure, red outside."""

import slicer
from slicer.i18n import tr as _

from SAMPropagationLib import ondemand
from SAMPropagationLib.patients import putBeside
from SAMPropagationLib.results import volumeOf

_KINDS = {True: ("positive", (0.1, 0.8, 0.2)), False: ("negative", (0.9, 0.15, 0.1))}


def show(row, on: bool) -> None:
    """Show the points of a result, or remove them; without points nothing is shown."""
    for positive, (kind, color) in _KINDS.items():
        key = ondemand.keyOf(kind, row)
        node = ondemand.find(key)
        points = [point.ras_mm for point in row.prompts if point.positive == positive]
        if not on or not points:
            if node is not None:
                ondemand.remove(node)
        elif node is None:
            _make(row, key, points, positive, color)


def areShown(row) -> bool:
    """Whether points of the result are shown."""
    return any(ondemand.find(ondemand.keyOf(kind, row)) is not None for kind, _color in _KINDS.values())


def _make(row, key: str, points, positive: bool, color) -> None:
    said = _("Inside {structure} on {visit}") if positive else _("Outside {structure} on {visit}")
    name = said.format(structure=row.structure, visit=row.visit)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.CreateDefaultDisplayNodes()
    with slicer.util.NodeModify(node):
        for ras in points:
            # In the world, as the worker said it: the node has no parent transform.
            index = node.AddControlPoint(*ras)
            node.SetNthControlPointLabel(index, "+" if positive else "-")
        node.SetLocked(True)
    display = node.GetDisplayNode()
    display.SetSelectedColor(*color)
    display.SetColor(*color)
    display.SetTextScale(0)
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(3.0)  # mm
    display.SetSliceProjection(False)
    ondemand.mark(node, key)
    volume = volumeOf(row)
    if volume is not None:
        putBeside(node, volume)
