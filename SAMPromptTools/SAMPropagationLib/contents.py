"""What a segment holds, as a short record: to see whether a person changed it since it was imported.

Not the modification times (they do not survive saving) and not the labelmap's extent (Slicer pads and crops it as it
likes): the mask itself, cut to where it is, and where in space its first and last voxels are.
"""

import hashlib
from collections import OrderedDict

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from SAMPropagationLib import provenance
from SAMPropagationLib.slabs import slabs

_CONTENT = "Content"
_REMEMBERED = 256
_EMPTY = {"voxels": 0, "hash": "", "from": [], "to": []}
_known: OrderedDict = OrderedDict()  # what was looked at -> record; VTK never gives a modification time twice


def stampSegment(segment):
    """Steps that write into a segment what it holds now: contour, name and colour."""
    found = yield from recordSteps(segment)
    provenance.setTag(segment, _CONTENT, {**found, **_looks(segment)})


def isChanged(segment) -> bool:
    """Whether a person changed the contour since ``stampSegment``; True where that cannot be told."""
    then = provenance.jsonTag(segment, _CONTENT)
    if not isinstance(then, dict):
        return True
    now = record(segment)
    if any(now.get(key) != then.get(key) for key in ("hash", "voxels")):
        return True
    try:
        corners = [*now["from"], *now["to"]], [float(x) for x in (*then["from"], *then["to"])]
    except (KeyError, TypeError, ValueError):
        return True
    # A file's header keeps fewer digits than memory.
    return len(corners[0]) != len(corners[1]) or not np.allclose(*corners, atol=0.01)


def isRenamed(segment) -> bool:
    """Whether name or colour changed since ``stampSegment``."""
    then = provenance.jsonTag(segment, _CONTENT, {})
    now = _looks(segment)
    return then.get("name") != now["name"] or not np.allclose(then.get("color", [-1] * 3), now["color"], atol=0.005)


def record(segment) -> dict:
    """``voxels``: how many; ``hash`` of the mask cut to its box; ``from``, ``to``: mm of its first and last voxel."""
    steps = recordSteps(segment)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def recordSteps(segment):
    """Steps of a few ms that make a ``record``, or find the one that was made before."""
    key = _keyOf(segment)
    if key is None:
        return _EMPTY
    if key not in _known:
        image = segment.GetRepresentation(_labelmapName())
        _remember(key, (yield from _recordSteps(image, segment.GetLabelValue())))
    return _known[key]


def volumeMl(segment) -> float:
    """Volume of what a segment holds now, in ml; 0 where it has no voxels."""
    image = segment.GetRepresentation(_labelmapName())
    voxels = record(segment)["voxels"]
    return voxels * float(np.prod(image.GetSpacing())) / 1000.0 if voxels else 0.0


def _labelmapName() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def _keyOf(segment):
    """What tells one state of one labelmap from all others; None: there is no labelmap."""
    image = segment.GetRepresentation(_labelmapName())
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None:
        return None
    return (max(image.GetMTime(), scalars.GetMTime()), segment.GetLabelValue(), image.GetExtent(), image.GetOrigin())


def _remember(key, found: dict) -> None:
    _known[key] = found
    while len(_known) > _REMEMBERED:
        _known.popitem(last=False)


def _recordSteps(image, label: int):
    scalars = image.GetPointData().GetScalars()
    if not scalars.GetNumberOfTuples():
        return _EMPTY
    labels = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
    present = [np.zeros(size, bool) for size in labels.shape]
    for part in slabs(labels.shape):
        mask = labels[part] == label
        present[0][part] = mask.any(axis=(1, 2))
        present[1] |= mask.any(axis=(0, 2))
        present[2] |= mask.any(axis=(0, 1))
        yield None
    if not present[0].any():
        return _EMPTY
    box = [slice(int(found[0]), int(found[-1]) + 1) for found in map(np.flatnonzero, present)]
    shape = tuple(each.stop - each.start for each in box)
    digest, voxels = hashlib.sha256(repr(shape).encode()), 0
    for part in slabs(shape):
        mask = labels[tuple(box)][part] == label
        voxels += int(np.count_nonzero(mask))
        digest.update(np.packbits(mask, axis=-1).tobytes())
        yield None
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    begin = image.GetExtent()[::2]
    corners = [
        matrix.MultiplyPoint([*(begin[2 - axis] + end(box[axis]) for axis in (2, 1, 0)), 1.0])[:3]
        for end in (lambda part: part.start, lambda part: part.stop - 1)
    ]
    first, last = ([round(x, 3) for x in corner] for corner in corners)
    return {"voxels": voxels, "hash": digest.hexdigest()[:32], "from": first, "to": last}


def _looks(segment) -> dict:
    return {"name": segment.GetName() or "", "color": [round(x, 4) for x in segment.GetColor()]}
