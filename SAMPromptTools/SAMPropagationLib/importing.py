"""A visit's result becomes a segmentation node: tagged, linked to its baseline, put under its study, in small steps.

Nothing of the user's is overwritten: a result of an earlier run that nobody touched is replaced in place, and a copy of
it kept for undo; one that was edited or accepted stays, and a new node with a number in its name is made beside it.
"""

import json

import slicer
from SAMPromptCommonLib.segmentations import importStructures, removeSegmentation
from slicer.i18n import tr as _

from SAMPropagationLib import contents, provenance
from SAMPropagationLib.parameters import visitOf
from SAMPropagationLib.patients import putBeside
from SAMPropagationLib.results import resultNodes
from SAMPropagationLib.undo import isUserMade, keep, restore


def importVisit(outcomes, volumeNode, baselineSegmentation, frame, facts: dict, runId: str, record: dict, undoStep):
    """Steps that bring one visit's outcomes into the scene; their result is the segmentation node.

    ``facts`` as of ``provenance.runFacts``, ``record`` everything else that reproduces the run, ``undoStep`` is told
    what was made and replaced. Closing it before its end leaves the scene as it was.
    """
    made = None
    try:
        name = resultName(baselineSegmentation, volumeNode)
        tags = {}
        for outcome in outcomes:
            tags[outcome.structure.id] = yield from provenance.outcomeTags(outcome, facts, frame)
            yield None
        work = importStructures(outcomes, volumeNode, baselineSegmentation, name=name, frame=frame, tags=tags)
        made = yield from _withoutPauseAtTheEnd(work)
        segmentation = made.GetSegmentation()
        for segmentId in segmentation.GetSegmentIDs():
            yield from contents.stampSegment(segmentation.GetSegment(segmentId))
            yield None
        _describe(made, volumeNode, facts, runId, record)
        earlier = replaceable(volumeNode, baselineSegmentation, made)
        if earlier is None:
            made.SetName(slicer.mrmlScene.GenerateUniqueName(name) if _isTaken(name, made) else name)
            putBeside(made, volumeNode)
            undoStep.made.append(made.GetID())
            node, made = made, None
            return node
        made.SetName(earlier.GetName())  # a person may have renamed the node
        undoStep.replaced[earlier.GetID()] = keep(earlier)
        after = keep(made)
        made.SetAndObserveSegmentation(slicer.vtkSegmentation())  # it is the earlier node's from now on
        restore(earlier, after)
        return earlier
    finally:
        if made is not None and slicer.mrmlScene.GetNodeByID(made.GetID()) is made:
            removeSegmentation(made)


def _withoutPauseAtTheEnd(work):
    """The steps of an import but the last: from there on the node is in the scene, and would stay if we stopped."""
    try:
        while True:
            try:
                fraction = next(work)
            except StopIteration as end:
                return end.value
            if fraction is None or fraction < 1.0:
                yield fraction
    finally:
        work.close()


def resultName(baselineSegmentation, volumeNode) -> str:
    """What a result is called: contours and visit."""
    return _("{contours} on {visit}").format(contours=baselineSegmentation.GetName(), visit=volumeNode.GetName())


def replaceable(volumeNode, baselineSegmentation, butNot=None):
    """The newest result of this visit and baseline that holds no work of a person; None when there is none."""
    own = [
        node
        for node in resultNodes(baselineSegmentation)
        if node is not butNot and visitOf(node) is volumeNode and not isUserMade(node)
    ]
    return own[-1] if own else None


def stampModel(node, model: str, modelHash: str) -> None:
    """Write into a result which weights made it: known for sure only when the run has ended."""
    segmentation = node.GetSegmentation()
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        if provenance.tag(segment, "Structure") is not None:
            provenance.setTag(segment, "Model", model)
            provenance.setTag(segment, "ModelHash", modelHash)


def _describe(node, volumeNode, facts: dict, runId: str, record: dict) -> None:
    node.SetAttribute(provenance.RUN, runId)
    node.SetAttribute(provenance.DATE, facts.get("Date", ""))
    node.SetAttribute(provenance.VISIT_NAME, volumeNode.GetName())
    node.SetAttribute(provenance.SEGMENTS, json.dumps(list(node.GetSegmentation().GetSegmentIDs())))
    node.SetAttribute(provenance.PROVENANCE, json.dumps(record))


def _isTaken(name: str, butNot) -> bool:
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return any(node is not butNot and node.GetName() == name for node in nodes)
