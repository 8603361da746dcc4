"""How far the model may be believed for this structure: tried on the baseline, where the truth is known.

The contour is moved, shrunk and grown on a few baseline slices and given as prior; the share of that error which the
evidence takes back is its reliability. A model that cannot find a structure's edge on the very image it was shown will
not find it on the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.propagation import PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.propagation.candidates import CandidateMaker, Request, fuse
from samprompt.propagation.knowledge import Knowledge
from samprompt.propagation.likelihood import separation
from samprompt.propagation.trust import dice

_SLICES = 4
_SHARE = 0.15  # of the section's mean width, how far its contour is put wrong
_LIMITS = (3.0, 8.0)  # mm


def measure_reliability(
    knowledge: Knowledge, backbone: Backbone, parameters: PropagationParameters
) -> tuple[float, float]:
    """Reliability and bias of the fused evidence, on the baseline.

    Reliability in [-1, 1] is the mean share of a prior's error that the evidence takes back: 1: the contour is found
    again whatever the prior; 0: no better than the prior; below: worse. Bias in [0, 1] is 1 - Dice of what the evidence
    makes of the true contour itself: how far model and reader draw the same thing differently. (0, 1) without a
    likelihood.
    """
    if knowledge.likelihood is None:
        return 0.0, 1.0
    encoded, truth = knowledge.pieces[0]
    planes = np.flatnonzero(truth.any(axis=(1, 2)))
    areas = truth[planes].sum(axis=(1, 2))
    planes = planes[areas >= 0.4 * np.median(areas)]
    planes = np.unique(planes[np.linspace(0, len(planes) - 1, _SLICES).round().astype(int)])
    pixel, found, drawn = encoded.region.pixel, [], []
    requests = [
        Request(index, wrong, None, error)
        for number, index in enumerate(planes.tolist())
        for wrong, error in ((truth[index], 0.0), *_mistakes(truth[index], pixel, number))
        if wrong.any()
    ]
    # which candidate is nearest does not matter here, so the transport is left out
    quick = replace(parameters, prompting=replace(parameters.prompting, retrieval="none"))
    maker = CandidateMaker(backbone, knowledge.reference, quick, 0.0)
    indices = planes.tolist()
    ratios = dict(zip(indices, knowledge.likelihood.ratios(encoded, indices, backbone), strict=True))
    for request, answers in zip(requests, maker.make(encoded, requests), strict=True):
        wrong, error = request.prior, max(request.error_mm, maker.error_mm)
        assert wrong is not None
        before = dice(wrong, truth[request.index])
        field = fuse(answers.decoder, ratios[request.index], wrong, pixel, error, parameters.path)
        after = dice(field.mask & encoded.region.inside, truth[request.index])
        if request.error_mm == 0.0:
            drawn.append(after)
        elif before <= 0.98:
            found.append(float(np.clip((after - before) / (1.0 - before), -1.0, 1.0)))
    return (float(np.mean(found)) if found else 0.0), (1.0 - float(np.mean(drawn)) if drawn else 1.0)


def baseline_separation(knowledge: Knowledge, backbone: Backbone, parameters: PropagationParameters) -> float:
    """``separation`` of the known contour on the baseline; 1 without a likelihood."""
    if knowledge.likelihood is None:
        return 1.0
    encoded, truth = knowledge.pieces[0]
    planes = np.flatnonzero(truth.any(axis=(1, 2))).tolist()
    ratios = knowledge.likelihood.ratios(encoded, planes, backbone)
    return separation(ratios, truth[planes], encoded.region.pixel, parameters.path.log_ratio_clip)


def _mistakes(mask: NDArray[np.bool_], pixel: float, number: int) -> Iterator[tuple[NDArray[np.bool_], float]]:
    """The contour shifted (another direction on every slice), shrunk and grown, with the size of the mistake in mm."""
    error = float(np.clip(_SHARE * np.sqrt(mask.sum()) * pixel, *_LIMITS))
    angle = 2.4 * number + 0.5
    step = (round(float(np.sin(angle)) * error / pixel), round(float(np.cos(angle)) * error / pixel))
    yield np.roll(mask, step, axis=(0, 1)), error
    inside = ndimage.distance_transform_edt(mask) * pixel
    yield inside > min(error, 0.5 * float(inside.max())), error
    yield ndimage.distance_transform_edt(~mask) * pixel <= error, error
