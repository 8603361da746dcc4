"""Setting what the panel holds by name, as scripts do: members of the parameter node and its lists."""

import slicer
from samprompt.contract.errors import ParameterError
from slicer.i18n import tr as _

from SAMPropagationLib import patients
from SAMPropagationLib.parameters import (
    addReference,
    references,
    removeReference,
    setChosenSegments,
    setFollowUps,
)

LISTS = ("followUps", "segments", "references")


def setFields(parameters, fields: dict) -> None:
    """Set members and lists; everything is looked at before anything is changed.

    Raises:
        ParameterError: there is no such field, or no such segment in the baseline.
    """
    members = [name for name in fields if name in parameters.allParameters]
    unknown = set(fields) - set(members) - set(LISTS)
    if unknown:
        raise ParameterError(_("There is no field {names}.").format(names=", ".join(sorted(unknown))))
    segments = fields.get("segments")
    if segments is not None:
        segments = _segmentIds(fields.get("baselineSegmentation", parameters.baselineSegmentation), segments)
    with slicer.util.NodeModify(parameters.parameterNode):
        for name in members:
            setattr(parameters, name, fields[name])
        if "followUps" in fields:
            setFollowUps(parameters, _volumes(fields["followUps"]))
        if "segments" in fields:
            setChosenSegments(parameters, segments)
        if "references" in fields:
            for _volume, segmentation in references(parameters):
                removeReference(parameters, segmentation)
            for segmentation in fields["references"]:
                addReference(parameters, segmentation)


def _volumes(chosen) -> list:
    if chosen is None:
        return []
    if hasattr(chosen, "IsA") and chosen.IsA("vtkMRMLSequenceNode"):
        return patients.volumesOfSequence(chosen)
    return list(chosen)


def _segmentIds(segmentationNode, chosen) -> list:
    """IDs of segments that are named by ID or by name."""
    if segmentationNode is None:
        return list(chosen)
    segmentation = segmentationNode.GetSegmentation()
    found = {
        each: each if segmentation.GetSegment(each) is not None else segmentation.GetSegmentIdBySegmentName(each)
        for each in chosen
    }
    missing = [each for each, segmentId in found.items() if not segmentId]
    if missing:
        raise ParameterError(_("The baseline has no structure {names}.").format(names=", ".join(missing)))
    return list(found.values())
