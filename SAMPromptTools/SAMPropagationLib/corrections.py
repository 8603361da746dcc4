"""A person corrects a result: in the Segment Editor, then the result becomes a further reference."""

import slicer
from samprompt.contract.errors import InputError
from slicer.i18n import tr as _

from SAMPropagationLib import contents, provenance
from SAMPropagationLib.parameters import addReference, removeReference
from SAMPropagationLib.results import segmentOf, volumeOf
from SAMPropagationLib.views import jumpTo


def editInSegmentEditor(row) -> None:
    """Open the Segment Editor module on a result, at the slice to check first. No effect is activated.

    Raises:
        InputError: the result or its volume is gone.
    """
    node, segment = segmentOf(row)
    volume = volumeOf(row)
    if segment is None or volume is None:
        raise InputError(_("The result is no longer in the scene."), _("Carry the contours again."))
    jumpTo(row)
    editor = segmentEditorNode()
    editor.SetAndObserveSegmentationNode(node)
    editor.SetAndObserveSourceVolumeNode(volume)
    editor.SetSelectedSegmentID(row.segmentId)
    if slicer.util.mainWindow() is not None:
        slicer.util.selectModule("SegmentEditor")


def segmentEditorNode():
    """The parameter node of the Segment Editor module, as that module makes it when there is none yet."""
    tag, name = "SegmentEditor", "vtkMRMLSegmentEditorNode"
    node = slicer.mrmlScene.GetSingletonNode(tag, name)
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass(name)
        node.UnRegister(None)
        node.SetSingletonTag(tag)
        node = slicer.mrmlScene.AddNode(node)
    return node


def accept(parameters, row, accepted: bool = True) -> None:
    """Use a result as a further reference in later runs, or no longer.

    Raises:
        InputError: the result is gone, or none of its structures has a contour.
    """
    node, segment = segmentOf(row)
    if segment is None:
        raise InputError(_("The result is no longer in the scene."), _("Carry the contours again."))
    if not accepted:
        node.RemoveAttribute(provenance.ACCEPTED)
        removeReference(parameters, node)
        return
    segmentation = node.GetSegmentation()
    if not any(contents.record(segmentation.GetSegment(each))["voxels"] for each in segmentation.GetSegmentIDs()):
        raise InputError(
            _("{name} holds no contour and cannot be a reference.").format(name=node.GetName()),
            _("Contour the structure on this visit first."),
        )
    node.SetAttribute(provenance.ACCEPTED, provenance.now())
    addReference(parameters, node)
