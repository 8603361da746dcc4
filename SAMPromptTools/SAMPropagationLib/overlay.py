"""The baseline's contour as the alignment put it on a visit, shown as an outline beside the result on demand."""

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk

from SAMPropagationLib import ondemand, provenance
from SAMPropagationLib.patients import putBeside
from SAMPropagationLib.results import segmentOf, volumeOf

_KIND = "contour"


def show(row, on: bool) -> bool:
    """Show the aligned contour of a result, or remove it; False when there is none to show."""
    key = ondemand.keyOf(_KIND, row)
    node = ondemand.find(key)
    if not on:
        if node is not None:
            ondemand.remove(node)
        return True
    return node is not None or _make(row, key) is not None


def isShown(row) -> bool:
    """Whether the aligned contour of the result is shown."""
    return ondemand.find(ondemand.keyOf(_KIND, row)) is not None


def _make(row, key: str):
    _node, segment = segmentOf(row)
    packed = provenance.unpackedMask(provenance.jsonTag(segment, "Prior")) if segment is not None else None
    if packed is None:
        return None
    name = _("Baseline contour of {structure} on {visit}").format(structure=row.structure, visit=row.visit)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    volume = volumeOf(row)
    if volume is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        if not packed.world:
            node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        putBeside(node, volume)
    shown = slicer.vtkSegment()
    shown.SetName(name)
    shown.SetColor(*outlineColor(row.color))
    source = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    node.GetSegmentation().SetSourceRepresentationName(source)
    shown.AddRepresentation(source, orientedImage(packed))
    node.GetSegmentation().AddSegment(shown, row.segmentId)
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility3D(False)
    ondemand.mark(node, key)
    return node


def orientedImage(packed: provenance.PackedMask):
    """A mask as vtkOrientedImageData, placed by its extent in the grid that it was cut from."""
    image = slicer.vtkOrientedImageData()
    k, j, i = packed.offset
    size = packed.mask.shape
    image.SetExtent(i, i + size[2] - 1, j, j + size[1] - 1, k, k + size[0] - 1)
    matrix = vtk.vtkMatrix4x4()
    slicer.util.updateVTKMatrixFromArray(matrix, packed.matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    scalars = numpy_to_vtk(packed.mask.astype(np.uint8).ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def outlineColor(color) -> tuple[float, ...]:
    """A light tint of a structure's colour: told from the result's own outline, and seen on dark and bright tissue."""
    return tuple(0.35 * float(x) + 0.65 for x in color)
