"""What the user chose: the parameter node of the panel, and everything in it that a plain member cannot hold.

Everything that reproduces a run is in this node, so it is saved with the scene. Defaults are read from the contract's
dataclasses, never repeated here.
"""

import json
from dataclasses import fields, replace
from typing import Annotated

import slicer
from samprompt.contract.errors import ParameterError
from samprompt.contract.propagation import METHODS, PropagationParameters
from samprompt.contract.worker import PropagateJob
from SAMPromptCommonLib.segmentations import VOLUME_ROLE
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

_JOB = {each.name: each.default for each in fields(PropagateJob)}
_DEFAULTS = PropagationParameters()

PRESETS = ("auto", "lung", "soft tissue", "bone", "MR/other")  # grey-level window: ``PropagationParameters.window``

# Advanced members of the parameter node and the field of the contract that each one sets. "[1]" is an item of a pair.
ADVANCED = {
    "regionMargin": "region.margin",
    "minimumSide": "region.minimum_side",
    "maximumPixel": "region.maximum_pixel",
    "extraSlices": "region.extra_slices",
    "promptPriorWeight": "prompting.prior_weight",
    "positivePoints": "prompting.positive_parts[1]",
    "negativePoints": "prompting.negative_parts[1]",
    "pathPriorWeight": "path.prior_weight",
    "smoothnessWeight": "path.smoothness_weight",
    "searchReach": "align.search_reach",
    "deformableSpacing": "align.deformable_spacing",
    "trustLow": "trust.low",
    "encodeBatch": "encode_batch",
    "decodeBatch": "decode_batch",
}

_FOLLOW_UP = "SAMPropagation.followUp"
_REFERENCE = "SAMPropagation.reference"
_SEGMENTS = "SAMPropagation.segments"
_LAST_RUN = "SAMPropagation.lastRun"


@parameterNodeWrapper
class SAMPropagationParameters:
    """Members a widget binds to; the lists (follow-ups, references, structures) are reached by the functions below.

    ``model`` is a name of the catalogue; ``weightsPath``, where it is not empty, the path of a checkpoint instead.
    ``device``: auto, cpu, cuda... ``threads`` 0 leaves the number to the libraries. The members after ``threads`` are
    the advanced ones: ``ADVANCED`` says which parameter of the contract (with unit and source there) each one sets.
    """

    baselineVolume: vtkMRMLScalarVolumeNode
    baselineSegmentation: vtkMRMLSegmentationNode
    model: str = _JOB["model"]
    weightsPath: str = ""
    device: str = _JOB["device"]
    preset: str = "auto"
    method: str = _DEFAULTS.method
    threads: Annotated[int, WithinRange(0, 256)] = _JOB["threads"]
    regionMargin: Annotated[float, WithinRange(0.0, 200.0)] = _DEFAULTS.region.margin
    minimumSide: Annotated[float, WithinRange(16.0, 500.0)] = _DEFAULTS.region.minimum_side
    maximumPixel: Annotated[float, WithinRange(0.1, 10.0)] = _DEFAULTS.region.maximum_pixel
    extraSlices: Annotated[float, WithinRange(0.0, 200.0)] = _DEFAULTS.region.extra_slices
    promptPriorWeight: Annotated[float, WithinRange(0.0, 1.0)] = _DEFAULTS.prompting.prior_weight
    positivePoints: Annotated[int, WithinRange(1, 50)] = _DEFAULTS.prompting.positive_parts[1]
    negativePoints: Annotated[int, WithinRange(1, 50)] = _DEFAULTS.prompting.negative_parts[1]
    pathPriorWeight: Annotated[float, WithinRange(0.0, 10.0)] = _DEFAULTS.path.prior_weight
    smoothnessWeight: Annotated[float, WithinRange(0.0, 10.0)] = _DEFAULTS.path.smoothness_weight
    searchReach: Annotated[float, WithinRange(0.0, 60.0)] = _DEFAULTS.align.search_reach
    deformableSpacing: Annotated[float, WithinRange(1.0, 20.0)] = _DEFAULTS.align.deformable_spacing
    trustLow: Annotated[float, WithinRange(0.0, 1.0)] = _DEFAULTS.trust.low
    encodeBatch: Annotated[int, WithinRange(1, 512)] = _DEFAULTS.encode_batch
    decodeBatch: Annotated[int, WithinRange(1, 4096)] = _DEFAULTS.decode_batch


# --- follow-ups -------------------------------------------------------------------------------------------------------
def followUps(parameters) -> list:
    """The volumes to carry the contours to, in the user's order; deleted ones are not in it."""
    return _references(parameters.parameterNode, _FOLLOW_UP)


def setFollowUps(parameters, volumeNodes) -> None:
    """Replace the follow-ups; None and repetitions are left out."""
    _setReferences(parameters.parameterNode, _FOLLOW_UP, volumeNodes)


# --- structures -------------------------------------------------------------------------------------------------------
def chosenSegments(parameters) -> tuple[str, ...] | None:
    """IDs of the baseline's segments to carry, None: all there are when the run starts."""
    text = parameters.parameterNode.GetParameter(_SEGMENTS)
    if not text:
        return None
    return tuple(str(each) for each in json.loads(text))


def setChosenSegments(parameters, segmentIds) -> None:
    """Choose segments by their IDs; None chooses all, an empty sequence none."""
    text = "" if segmentIds is None else json.dumps(list(segmentIds))
    parameters.parameterNode.SetParameter(_SEGMENTS, text)


# --- references: visits whose contours a person corrected or accepted -------------------------------------------------
def references(parameters) -> list:
    """Pairs (volume, segmentation) of the visits accepted as further references; incomplete ones are not in it."""
    pairs = [(visitOf(node), node) for node in _references(parameters.parameterNode, _REFERENCE)]
    return [(volume, segmentation) for volume, segmentation in pairs if volume is not None]


def addReference(parameters, segmentationNode) -> None:
    """Accept a segmentation, which knows its visit (see ``visitOf``), as a further reference."""
    nodes = _references(parameters.parameterNode, _REFERENCE)
    _setReferences(parameters.parameterNode, _REFERENCE, [*nodes, segmentationNode])


def removeReference(parameters, segmentationNode) -> None:
    """Take a segmentation off the references; nothing happens if it is none."""
    nodes = _references(parameters.parameterNode, _REFERENCE)
    _setReferences(parameters.parameterNode, _REFERENCE, [node for node in nodes if node is not segmentationNode])


def visitOf(segmentationNode):
    """The volume a segmentation was made on: as a result says it, else its reference geometry's volume, else None."""
    node = segmentationNode.GetNodeReference(VOLUME_ROLE)
    if node is None:
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        node = segmentationNode.GetNodeReference(role)
    return node if node is not None and node.IsA("vtkMRMLScalarVolumeNode") else None


# --- what the worker is asked -----------------------------------------------------------------------------------------
def propagationParameters(parameters) -> PropagationParameters:
    """The contract's parameters with the user's preset, method and advanced fields.

    Raises:
        ParameterError: the preset or the method is not one of those there are.
    """
    if parameters.preset not in PRESETS:
        raise ParameterError(f'There is no preset "{parameters.preset}".', f"Choose one of: {', '.join(PRESETS)}.")
    if parameters.method not in METHODS:
        raise ParameterError(f'There is no method "{parameters.method}".', f"Choose one of: {', '.join(METHODS)}.")
    chosen = replace(_DEFAULTS, method=parameters.method, window=parameters.preset)
    for name, path in ADVANCED.items():
        chosen = _withField(chosen, path.split("."), getattr(parameters, name))
    return chosen


def resetAdvanced(parameters) -> None:
    """Put every advanced field back to the contract's default."""
    for name, path in ADVANCED.items():
        setattr(parameters, name, _field(_DEFAULTS, path))


def isAdvancedChanged(parameters) -> bool:
    """Whether an advanced field has another value than the contract's."""
    return any(getattr(parameters, name) != _field(_DEFAULTS, path) for name, path in ADVANCED.items())


def _field(container, path: str):
    """The value at a dotted path; "name[1]" is the last of a pair."""
    for part in path.split("."):
        name, pair, _rest = part.partition("[1]")
        container = getattr(container, name)
        container = container[1] if pair else container
    return container


def _withField(container, path: list[str], value):
    """A copy of a frozen dataclass with one field, perhaps of a dataclass in it, set to another value."""
    name, pair, _rest = path[0].partition("[1]")
    old = getattr(container, name)
    if len(path) > 1:
        return replace(container, **{name: _withField(old, path[1:], value)})
    if pair:
        # The range's lower end goes down with its upper one.
        return replace(container, **{name: (min(old[0], value), value)})
    return replace(container, **{name: value})


# --- the last run, as it is saved with the scene ----------------------------------------------------------------------
def lastRun(parameters) -> dict:
    """What is known of the last run: id, state, started, visits, message...; empty before the first one."""
    text = parameters.parameterNode.GetParameter(_LAST_RUN)
    return json.loads(text) if text else {}


def setLastRun(parameters, record: dict) -> None:
    """Keep what is known of a run in the parameter node."""
    parameters.parameterNode.SetParameter(_LAST_RUN, json.dumps(record))


def _references(node, role) -> list:
    nodes = [node.GetNthNodeReference(role, n) for n in range(node.GetNumberOfNodeReferences(role))]
    return [each for each in nodes if each is not None]


def _setReferences(node, role, nodes) -> None:
    wanted = list(dict.fromkeys(each.GetID() for each in nodes if each is not None))
    with slicer.util.NodeModify(node):
        node.RemoveNodeReferenceIDs(role)
        for nodeId in wanted:
            node.AddNodeReferenceID(role, nodeId)
