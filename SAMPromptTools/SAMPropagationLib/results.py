"""Results as the scene holds them: segmentation nodes that a run made, read into rows of the results table.

All that a row shows is in tags of the segment and in attributes and references of its node, so it survives saving and
loading of the scene.
"""

import json
from dataclasses import dataclass

import slicer
from samprompt.contract.worker import CheckSliceMessage, PromptPointMessage
from SAMPromptCommonLib.segmentations import BASELINE_ROLE

from SAMPropagationLib import contents, provenance
from SAMPropagationLib.parameters import followUps, references, visitOf
from SAMPropagationLib.patients import visitDate


@dataclass(frozen=True)
class ResultRow:
    """One structure on one follow-up.

    ``change_percent`` and ``shift_mm`` (of the centre of mass) are None where there is none. ``trust`` in [0, 1];
    ``level`` low, medium, high; ``flagged``: check before use. ``stale``: a person edited the segment since the run;
    then volume and change are of what is there now, trust and reasons of what the run found. ``accepted``: its node is
    a further reference. ``gone``: the structure was not found. ``date`` is the visit's study date "YYYY-MM-DD", ""
    when unknown.
    """

    segmentationId: str
    segmentationName: str
    visitId: str
    visit: str
    date: str
    segmentId: str
    structure: str
    color: tuple[float, float, float]
    volume_ml: float
    baseline_ml: float
    change_percent: float | None
    shift_mm: float | None
    trust: float
    level: str
    flagged: bool
    reasons: tuple[str, ...]
    checkSlices: tuple[CheckSliceMessage, ...]
    prompts: tuple[PromptPointMessage, ...]
    notes: tuple[str, ...]
    gone: bool
    stale: bool
    accepted: bool


def resultNodes(baselineSegmentation=None) -> list:
    """Segmentation nodes that runs of this panel made from ``baselineSegmentation`` (None: from any), oldest first."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    found = [node for node in nodes if node.GetAttribute(provenance.RUN)]
    if baselineSegmentation is not None:
        found = [node for node in found if node.GetNodeReference(BASELINE_ROLE) is baselineSegmentation]
    return sorted(found, key=lambda node: node.GetAttribute(provenance.DATE) or "")


def resultRows(parameters) -> list[ResultRow]:
    """Rows of all results of the chosen baseline, by visit (study date, then order of the follow-ups) and segment."""
    order = {node.GetID(): n for n, node in enumerate(followUps(parameters))}
    accepted = {segmentation.GetID() for _volume, segmentation in references(parameters)}
    placed = []
    for node in resultNodes(parameters.baselineSegmentation):
        volume = visitOf(node)
        date = visitDate(volume) if volume is not None else ""
        place = order.get(volume.GetID(), len(order)) if volume is not None else len(order)
        placed.append(((date or "9999", place), node, volume, date))
    placed.sort(key=lambda each: each[0])
    return [
        row for _place, node, volume, date in placed for row in _rowsOf(node, volume, date, node.GetID() in accepted)
    ]


def isEdited(segmentationNode) -> bool:
    """Whether a person changed a result since it was imported: contours, names, colours, segments added or removed."""
    segmentation = segmentationNode.GetSegmentation()
    present = list(segmentation.GetSegmentIDs())
    try:
        imported = json.loads(segmentationNode.GetAttribute(provenance.SEGMENTS) or "null")
    except ValueError:
        return True
    if imported is None or sorted(imported) != sorted(present):
        return True
    segments = [segmentation.GetSegment(each) for each in present]
    return any(contents.isChanged(each) or contents.isRenamed(each) for each in segments)


def segmentOf(row):
    """The row's node and segment; (None, None) when one of them is gone."""
    node = slicer.mrmlScene.GetNodeByID(row.segmentationId) if row is not None else None
    segment = node.GetSegmentation().GetSegment(row.segmentId) if node is not None else None
    return (node, segment) if segment is not None else (None, None)


def volumeOf(row):
    """The volume of the row's visit; None when it is gone."""
    return slicer.mrmlScene.GetNodeByID(row.visitId) if row is not None and row.visitId else None


def _rowsOf(node, volume, date: str, accepted: bool):
    segmentation = node.GetSegmentation()
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        if provenance.tag(segment, "Structure") is None:
            continue  # a person added it: no run knows anything of it
        yield _row(node, volume, date, accepted, segmentId, segment)


def _row(node, volume, date: str, accepted: bool, segmentId: str, segment) -> ResultRow:
    number, json_ = provenance.numberTag, provenance.jsonTag
    stale = contents.isChanged(segment)
    volume_ml, baseline_ml = number(segment, "Volume", 0.0), number(segment, "Baseline", 0.0)
    change, shift = number(segment, "Change"), number(segment, "Shift")
    if stale:
        volume_ml, shift = contents.volumeMl(segment), None
        if change is not None:  # None: a scan cuts the structure, and no edit makes its volumes comparable
            change = 100.0 * (volume_ml / baseline_ml - 1.0) if baseline_ml > 0 else None
    return ResultRow(
        segmentationId=node.GetID(),
        segmentationName=node.GetName(),
        visitId=volume.GetID() if volume is not None else "",
        visit=volume.GetName() if volume is not None else (node.GetAttribute(provenance.VISIT_NAME) or ""),
        date=date,
        segmentId=segmentId,
        structure=segment.GetName() or segmentId,
        color=tuple(segment.GetColor()),
        volume_ml=volume_ml,
        baseline_ml=baseline_ml,
        change_percent=change,
        shift_mm=shift,
        trust=number(segment, "Trust", 0.0),
        level=provenance.tag(segment, "Level", "low"),
        flagged=json_(segment, "Flagged", True) is not False,
        reasons=_texts(json_(segment, "Reasons")),
        checkSlices=tuple(
            CheckSliceMessage(int(each["k"]), ras) for each, ras in _points(json_(segment, "CheckSlices"), "k")
        ),
        prompts=tuple(
            PromptPointMessage(ras, bool(each["positive"]))
            for each, ras in _points(json_(segment, "Prompts"), "positive")
        ),
        notes=_texts(json_(segment, "Notes")),
        gone=json_(segment, "Gone") is True and not stale,
        stale=stale,
        accepted=accepted,
    )


def _texts(values) -> tuple[str, ...]:
    return tuple(str(each) for each in values) if isinstance(values, list) else ()


def _points(values, key: str):
    """Pairs of a record and its place, of those that are whole: a file may have been edited by hand."""
    for each in values if isinstance(values, list) else []:
        try:
            ras = tuple(float(x) for x in each["ras"])
            each[key]
        except (TypeError, KeyError, ValueError):
            continue
        if len(ras) == 3:
            yield each, ras
