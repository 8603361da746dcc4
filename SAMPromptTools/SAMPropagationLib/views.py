"""What the slice views show: a visit with its own contours, at the place to look at first."""

import slicer

from SAMPropagationLib.parameters import visitOf
from SAMPropagationLib.results import resultNodes, segmentOf, volumeOf


def jumpTo(row, checkSlice: int = 0) -> bool:
    """Show the row's visit in the slice views at its slice ``checkSlice`` of those to check; False without a place."""
    volume, (node, segment) = volumeOf(row), segmentOf(row)
    if volume is None:
        return False
    showVisit(volume, node)
    ras = placeOf(row, segment, checkSlice)
    if ras is None:
        return False
    slicer.modules.markups.logic().JumpSlicesToLocation(*ras, True)
    return True


def placeOf(row, segment, checkSlice: int = 0) -> tuple[float, float, float] | None:
    """RAS mm of a slice to check; without any the middle of the contour; None for a result without both."""
    if row.checkSlices:
        return row.checkSlices[min(max(0, checkSlice), len(row.checkSlices) - 1)].ras_mm
    node = slicer.mrmlScene.GetNodeByID(row.segmentationId)
    if node is None or segment is None:
        return None
    center = node.GetSegmentCenterRAS(row.segmentId)
    return tuple(float(x) for x in center) if center is not None else None


def showVisit(volumeNode, segmentationNode=None) -> None:
    """Put a visit into the slice views. Results of other visits and other contours of the panel's are hidden: in world
    coordinates they would lie over this one's."""
    slicer.util.setSliceViewerLayers(background=volumeNode, foreground=None, label=None)
    for other in resultNodes():
        _show(other, other is segmentationNode or (segmentationNode is None and visitOf(other) is volumeNode))
    if segmentationNode is not None:
        baseline = segmentationNode.GetNodeReference(_baselineRole())
        if baseline is not None and visitOf(baseline) is not volumeNode:
            _show(baseline, False)


def showBaseline(volumeNode, segmentationNode) -> None:
    """Put the baseline with its contours into the slice views, without any result."""
    slicer.util.setSliceViewerLayers(background=volumeNode, foreground=None, label=None)
    for other in resultNodes():
        _show(other, False)
    _show(segmentationNode, True)


def _baselineRole() -> str:
    from SAMPromptCommonLib.segmentations import BASELINE_ROLE

    return BASELINE_ROLE


def _show(segmentationNode, on: bool) -> None:
    display = segmentationNode.GetDisplayNode() if segmentationNode is not None else None
    if display is not None and bool(display.GetVisibility()) != on:
        display.SetVisibility(on)
