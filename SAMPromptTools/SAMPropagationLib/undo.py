"""The panel's own undo: what a run made or replaced, kept so that it can be taken back.

The Segment Editor's undo knows only its own strokes, so everything that a run replaces is kept here.
"""

from dataclasses import dataclass, field

import slicer
from SAMPromptCommonLib.segmentations import removeSegmentation
from slicer.i18n import tr as _

from SAMPropagationLib import provenance
from SAMPropagationLib.results import isEdited

KEPT_STEPS = 3


@dataclass
class _Replaced:
    """The segmentation, name and attributes that a node had before the run."""

    segmentation: object
    name: str
    attributes: dict


@dataclass
class UndoStep:
    """One run: IDs of the nodes it made, and of those it replaced with what they were."""

    made: list[str] = field(default_factory=list)
    replaced: dict = field(default_factory=dict)


class Undo:
    """Steps that can be taken back, the newest first."""

    def __init__(self) -> None:
        self._steps: list[UndoStep] = []

    def __len__(self) -> int:
        return len(self._steps)

    def begin(self) -> UndoStep:
        """A step that is not on the list yet: ``commit`` puts it there."""
        return UndoStep()

    def commit(self, step: UndoStep) -> None:
        """Put a step on the list once; one that changed nothing is left out, the oldest ones are forgotten."""
        if (step.made or step.replaced) and step not in self._steps:
            self._steps = [*self._steps, step][-KEPT_STEPS:]

    def clear(self) -> None:
        """Forget everything: the scene is another one."""
        self._steps = []

    def takeBack(self) -> list[str]:
        """Take the newest step back; sentences that say what was done."""
        if not self._steps:
            return []
        step = self._steps.pop()
        told = []
        for nodeId, before in step.replaced.items():
            node = slicer.mrmlScene.GetNodeByID(nodeId)
            if node is None:
                continue
            if isUserMade(node):
                told.append(_("{name} was edited since and is kept.").format(name=node.GetName()))
                continue
            restore(node, before)
            told.append(_("{name} is as it was before.").format(name=node.GetName()))
        for nodeId in step.made:
            node = slicer.mrmlScene.GetNodeByID(nodeId)
            if node is None:
                continue
            name = node.GetName()
            if isUserMade(node):
                told.append(_("{name} was edited since and is kept.").format(name=name))
                continue
            removeSegmentation(node)
            told.append(_("{name} was removed.").format(name=name))
        return told


def isUserMade(node) -> bool:
    """Whether a result holds a person's work or decision: edited, or accepted as a further reference."""
    return bool(node.GetAttribute(provenance.ACCEPTED)) or isEdited(node)


def keep(node) -> _Replaced:
    """What a result is now. Its segmentation is kept itself, not copied (a body's contour has 40 MB), so the node must
    get another one next: see ``restore``."""
    names = [name for name in node.GetAttributeNames() if name.startswith(provenance.PREFIX)]
    return _Replaced(node.GetSegmentation(), node.GetName(), {name: node.GetAttribute(name) for name in names})


def restore(node, before: _Replaced) -> None:
    """Make a node what ``keep`` kept."""
    former = set(node.GetSegmentation().GetSegmentIDs())
    with slicer.util.NodeModify(node):
        node.SetAndObserveSegmentation(before.segmentation)
        node.SetName(before.name)
        for name in node.GetAttributeNames():
            if name.startswith(provenance.PREFIX) and name not in before.attributes:
                node.RemoveAttribute(name)
        for name, value in before.attributes.items():
            node.SetAttribute(name, value)
    _tellOfSegments(node, former)


def _tellOfSegments(node, former: set) -> None:
    """Tell of a node's segments what changing them one by one would have told.

    SetAndObserveSegmentation is silent about them: views and subject hierarchy would go on showing what was there
    before, and saving the scene would find nothing to save.
    """
    segmentation, event = node.GetSegmentation(), slicer.vtkSegmentation
    present = list(segmentation.GetSegmentIDs())
    for segmentId in sorted(former.difference(present)):
        segmentation.InvokeEvent(event.SegmentRemoved, segmentId)
    for segmentId in present:
        segmentation.InvokeEvent(event.SegmentModified if segmentId in former else event.SegmentAdded, segmentId)
    display = node.GetDisplayNode()
    if display is not None:
        display.Modified()
