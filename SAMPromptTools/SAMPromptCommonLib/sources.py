"""What a segment is made of: labels of an image, a closed surface, or nothing. The user's node stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
import vtk
from samprompt.contract.errors import StructureError

LABELMAP, SURFACE, PLANAR = "Binary labelmap", "Closed surface", "Planar contour"


@dataclass(frozen=True, eq=False)
class LabelSource:
    """The voxels of ``image`` (vtkOrientedImageData, perhaps shared with other segments) that equal ``value``."""

    image: Any
    value: int


@dataclass(frozen=True, eq=False)
class SurfaceSource:
    """A closed surface (vtkPolyData) in the segmentation's own RAS."""

    surface: Any


def sourceName(segmentation: Any) -> str:
    """Name of the representation a segmentation's user works on."""
    # Called "master" before Slicer 5.4, and still understood under that name afterwards.
    ask = getattr(segmentation, "GetSourceRepresentationName", None) or segmentation.GetMasterRepresentationName
    return ask() or ""


def setSourceName(segmentation: Any, name: str) -> None:
    """Say on which representation a segmentation's user works."""
    tell = getattr(segmentation, "SetSourceRepresentationName", None) or segmentation.SetMasterRepresentationName
    tell(name)


def sourceOf(segmentation: Any, segmentId: str, geometry: str) -> LabelSource | SurfaceSource | None:
    """What the segment is made of, None when it is empty.

    A labelmap is taken where it is the source representation. From anything else a closed surface is taken: the one at
    hand, or one converted on a copy, for which ``geometry`` (Slicer's image geometry string, in the segmentation's own
    RAS) is given.

    Raises:
        StructureError: no such segment, or contours that this Slicer cannot convert.
    """
    segment = segmentation.GetSegment(segmentId)
    if segment is None:
        raise StructureError(f"There is no segment '{segmentId}' any more.", "Choose the structures again.")
    kind = sourceName(segmentation)
    if kind == LABELMAP:
        return _labels(segment)
    original = segment.GetRepresentation(kind)
    if original is None or _isEmpty(original):
        return None
    surface = segment.GetRepresentation(SURFACE) or _converted(segment, kind, SURFACE, geometry)
    if surface is not None:
        return SurfaceSource(surface) if surface.GetNumberOfPolys() + surface.GetNumberOfStrips() > 0 else None
    if segment.GetRepresentation(LABELMAP) is not None:
        return _labels(segment)
    name = segment.GetName()
    if kind == PLANAR:
        raise StructureError(
            f"'{name}' consists of planar contours (as RTSTRUCT has them), which this Slicer cannot convert.",
            "Install the extension SlicerRT, or convert the segmentation to a binary labelmap in the Segmentations "
            "module.",
        )
    raise StructureError(
        f"'{name}' is given as '{kind}', which cannot be converted to a surface or a labelmap.",
        "Convert the segmentation to a binary labelmap in the Segmentations module.",
    )


def terminologyOf(segment: Any) -> str:
    """Slicer's ``TerminologyEntry`` of a segment, "" when it has none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(segment.GetTerminologyEntryTagName(), value) else ""


def _labels(segment: Any) -> LabelSource | None:
    image = segment.GetRepresentation(LABELMAP)
    if image is None or image.IsEmpty() or image.GetPointData().GetScalars() is None:
        return None
    return LabelSource(image, segment.GetLabelValue())


def _isEmpty(data: Any) -> bool:
    if data.IsA("vtkPolyData"):
        return data.GetNumberOfPoints() == 0
    return bool(data.IsA("vtkOrientedImageData") and data.IsEmpty())


def _converted(segment: Any, kind: str, target: str, geometry: str) -> Any:
    """A representation made by Slicer's own rules in a segmentation that is in no scene; None when there is no rule."""
    copy = slicer.vtkSegment()
    copy.SetName(segment.GetName())
    original = segment.GetRepresentation(kind)
    data = original.NewInstance()
    data.DeepCopy(original)
    copy.AddRepresentation(kind, data)
    segmentation = slicer.vtkSegmentation()
    setSourceName(segmentation, kind)
    reference = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    segmentation.SetConversionParameter(reference, geometry)
    if not segmentation.AddSegment(copy, "copy") or not segmentation.CreateRepresentation(target):
        return None
    return segmentation.GetSegment("copy").GetRepresentation(target)
