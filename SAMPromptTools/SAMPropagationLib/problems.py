"""What is wrong with a choice before a run is started, in the words of the person who made it."""

from dataclasses import dataclass

import numpy as np
import slicer
from samprompt.contract.errors import ParameterError
from slicer.i18n import tr as _

from SAMPropagationLib.choice import segmentsToCarry, visitsToCompute
from SAMPropagationLib.contents import record
from SAMPropagationLib.parameters import PRESETS, followUps, propagationParameters, references
from SAMPropagationLib.patients import isVisit, modalityOf

CT_PRESETS = ("lung", "soft tissue", "bone")


@dataclass(frozen=True)
class Problem:
    """Something wrong with what was chosen, before a run is started.

    ``field`` is the member or list it is about: "baselineVolume", "baselineSegmentation", "segments", "followUps",
    "references", "model", "weightsPath", "preset", "method". Only ``blocking`` ones prevent a run; the others are
    warnings.
    """

    message: str
    hint: str = ""
    field: str = ""
    blocking: bool = True


def problemsOf(parameters) -> list[Problem]:
    """Everything that is wrong, what blocks first. Takes a few ms: voxels are sampled, contours not converted."""
    found = [*_baseline(parameters), *_followUps(parameters), *_references(parameters), *_settings(parameters)]
    return sorted(found, key=lambda each: not each.blocking)


def _baseline(p):
    volume, segmentation = p.baselineVolume, p.baselineSegmentation
    if volume is None:
        yield Problem(_("No baseline volume is chosen."), _("Choose the visit with the contours."), "baselineVolume")
    elif not isVisit(volume):
        yield _notAnImage(volume, "baselineVolume")
    if segmentation is None:
        yield Problem(
            _("No baseline segmentation is chosen."),
            _("Choose the segmentation with the baseline's contours."),
            "baselineSegmentation",
        )
        return
    if segmentation.GetSegmentation().GetNumberOfSegments() == 0:
        yield Problem(
            _("{name} has no segments.").format(name=segmentation.GetName()),
            _("Contour the baseline first, for example in the Segment Editor module."),
            "baselineSegmentation",
        )
        return
    segments = segmentsToCarry(p)
    if not segments:
        yield Problem(_("No structure is chosen."), _("Tick the structures to carry to the later visits."), "segments")
        return
    yield from _emptyOnes(segmentation, segments)
    yield from _apart(volume, segmentation)


def _emptyOnes(segmentation, segments):
    """Only where voxels are the source: a contour would have to be converted first."""
    source = segmentation.GetSegmentation().GetSourceRepresentationName()
    if source != slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName():
        return
    parts = [segmentation.GetSegmentation().GetSegment(each) for each in segments]
    empty = [each.GetName() for each in parts if record(each)["voxels"] == 0]
    if len(empty) == len(parts):
        yield Problem(
            _("All chosen structures are empty on the baseline."),
            _("Choose structures that have a contour."),
            "segments",
        )
    elif empty:
        yield Problem(
            _("Empty on the baseline and left out: {names}.").format(names=", ".join(empty)), "", "segments", False
        )


def _apart(volume, segmentation):
    """Contours that lie wholly outside the volume belong to another one."""
    if not isVisit(volume):
        return
    boxes = np.zeros((2, 6))
    volume.GetRASBounds(boxes[0])
    segmentation.GetRASBounds(boxes[1])
    low, high = np.maximum(boxes[0, ::2], boxes[1, ::2]), np.minimum(boxes[0, 1::2], boxes[1, 1::2])
    if (boxes[1, 1::2] >= boxes[1, ::2]).all() and (low > high).any():
        said = _("The contours of {contours} lie outside {volume}.")
        yield Problem(
            said.format(contours=segmentation.GetName(), volume=volume.GetName()),
            _("Choose the volume on which they were drawn."),
            "baselineSegmentation",
        )


def _followUps(p):
    chosen = followUps(p)
    if not chosen:
        yield Problem(
            _("No follow-up is chosen."), _("Choose at least one later visit of the same patient."), "followUps"
        )
        return
    for node in chosen:
        if node is p.baselineVolume:
            yield Problem(
                _("{name} is the baseline and a follow-up at once.").format(name=node.GetName()),
                _("Take it off the follow-ups."),
                "followUps",
            )
        elif not isVisit(node):
            yield _notAnImage(node, "followUps")
        elif p.baselineVolume is not None and _sameImage(node, p.baselineVolume):
            yield Problem(
                _("{name} holds the same image as the baseline.").format(name=node.GetName()),
                _("Choose a later visit."),
                "followUps",
                False,
            )
    if not visitsToCompute(p):
        yield Problem(
            _("Every follow-up is already a reference."),
            _("Choose another visit, or take one off the references."),
            "followUps",
        )


def _references(p):
    contoured = [volume for volume, _segmentation in references(p)]
    both = [node.GetName() for node in followUps(p) if any(node is each for each in contoured)]
    if both:
        yield Problem(
            _("Accepted as reference and therefore not computed again: {names}.").format(names=", ".join(both)),
            "",
            "followUps",
            False,
        )
    if any(volume is p.baselineVolume for volume in contoured):
        yield Problem(
            _("The baseline is also among the references."), _("Take it off the references."), "references", False
        )


def _settings(p):
    try:
        propagationParameters(p)
    except ParameterError as error:
        yield Problem(error.message, error.hint, "preset" if p.preset not in PRESETS else "method")
        return
    if p.preset in CT_PRESETS:
        yield from _notCt(p)
    known = {modalityOf(node) for node in (p.baselineVolume, *followUps(p))} - {""}
    if len(known) > 1:
        yield Problem(
            _("The visits are of different kinds: {kinds}.").format(kinds=", ".join(sorted(known))),
            _("Contours are carried between images of one kind."),
            "followUps",
            False,
        )


def _notCt(p):
    """A CT preset on what is no CT: certain where DICOM says so, suspected where no voxel is below zero."""
    nodes = [node for node in (p.baselineVolume, *followUps(p)) if isVisit(node)]
    hint = _('Choose the preset "MR/other" or "auto".')
    other = [node for node in nodes if modalityOf(node) not in ("", "CT")]
    if other:
        said = _('The preset "{preset}" is for CT, but {name} is {kind}.')
        message = said.format(preset=p.preset, name=other[0].GetName(), kind=modalityOf(other[0]))
        yield Problem(message, hint, "preset")
        return
    doubtful = [node for node in nodes if not modalityOf(node) and not _looksLikeCt(node)]
    if doubtful:
        said = _('The preset "{preset}" is for CT, but the values of {name} are no Hounsfield units.')
        yield Problem(said.format(preset=p.preset, name=doubtful[0].GetName()), hint, "preset", False)


def _looksLikeCt(node) -> bool:
    """Air, fat or lung lie below zero in every CT of a body; no MR has values there."""
    return float(_sample(node).min()) < -20


def _sameImage(one, other) -> bool:
    if one.GetImageData() is other.GetImageData():
        return True
    if one.GetImageData().GetDimensions() != other.GetImageData().GetDimensions():
        return False
    if not np.array_equal(_sample(one), _sample(other)):
        return False
    return np.array_equal(slicer.util.arrayFromVolume(one), slicer.util.arrayFromVolume(other))


def _sample(node) -> np.ndarray:
    """A few ten thousand voxels, evenly taken."""
    voxels = slicer.util.arrayFromVolume(node)
    step = tuple(slice(None, None, max(1, size // 40)) for size in voxels.shape)
    return voxels[step]


def _notAnImage(node, field: str) -> Problem:
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return Problem(
            _("{name} is a label map, not an image.").format(name=node.GetName()), _("Choose an image."), field
        )
    return Problem(
        _("{name} holds no image: it has no voxels, or several values per voxel.").format(name=node.GetName()),
        _("Load the image again, or choose another one."),
        field,
    )
