"""What the slices of one structure on one follow-up may look like, before any choice is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.prompting.retrieval import EMPTY_DISTANCE
from samprompt.propagation.candidates import CandidateMaker, Request, SliceCandidate, SliceCandidates
from samprompt.propagation.encoding import Encoded
from samprompt.propagation.knowledge import Knowledge, on_region

REFINED = "refined by network"
_SLICES_AT_ONCE = 16  # prompted together: enough to fill the decoder, few enough to feel a cancel


@dataclass(frozen=True, eq=False)
class Candidates:
    """Everything about the slices of one structure that does not depend on the path's constants.

    ``refined`` (slices, P, P) is the signed distance of the refined prior in mm, None without the refiner.
    """

    slices: tuple[SliceCandidates, ...]
    ratios: NDArray[np.float32]
    priors: NDArray[np.bool_] | None
    deviations: tuple[NDArray[np.float64], ...]
    beyond: NDArray[np.float64]  # mm outside the warped extent, per slice
    error_mm: float
    reliability: float
    bias: float
    refined: NDArray[np.float32] | None = None


def propose(
    knowledge: Knowledge,
    encoded: Encoded,
    prior: NDArray[np.bool_] | None,
    error_mm: float,
    backbone: Backbone,
    parameters: PropagationParameters,
    progress: Progress,
    name: str,
    refined: NDArray[np.float32] | None = None,
) -> Candidates:
    """All candidates of all slices; ``prior`` is the warped prior on the follow-up's grid, None when not trusted.

    ``refined`` as in ``Candidates``.
    """
    maker = CandidateMaker(backbone, knowledge.reference, parameters, error_mm)
    region = encoded.region
    priors = on_region(prior, encoded) if prior is not None else None
    present = np.flatnonzero(priors.any(axis=(1, 2))) if priors is not None else np.zeros(0, int)
    spacing = float(region.grid.spacing[2])
    count = len(encoded)
    beyond = np.zeros(count)
    ratios = np.zeros(encoded.grey.shape, np.float32)
    if knowledge.likelihood is not None:
        ratios = knowledge.likelihood.ratios(encoded, range(count), backbone)
    requests: list[Request] = []
    for index in range(count):
        hint = None
        if present.size and priors is not None and not priors[index].any():
            nearest = int(present[np.argmin(np.abs(present - index))])
            beyond[index] = abs(nearest - index) * spacing
            hint = _shrunk(priors[nearest], beyond[index], region.pixel)
        if not present.size or beyond[index] <= parameters.region.extra_slices:
            requests.append(Request(index, None if priors is None else priors[index], hint))
    slices = [maker.nothing(encoded) for _ in range(count)]
    for start in range(0, len(requests), _SLICES_AT_ONCE):
        progress.step(f"prompting {name}", start, len(requests))
        some = requests[start : start + _SLICES_AT_ONCE]
        for request, found in zip(some, maker.make(encoded, some), strict=True):
            if refined is not None:
                found = _with_refined(found, refined[request.index], ~region.inside)
            slices[request.index] = found
    deviations = [_deviations(maker, knowledge, encoded, index, found) for index, found in enumerate(slices)]
    return Candidates(
        tuple(slices), ratios, priors, tuple(deviations), beyond, maker.error_mm, knowledge.reliability,
        knowledge.bias, refined,
    )  # fmt: skip


def _with_refined(found: SliceCandidates, field: NDArray[np.float32], outside: NDArray[np.bool_]) -> SliceCandidates:
    """The slice's candidates and the refined prior's section, where it has one."""
    candidate = SliceCandidate(REFINED, np.where(outside, np.float32(-1000.0), field))
    if not candidate.mask.any():
        return found
    return replace(found, candidates=(*found.candidates, candidate))


def _deviations(
    maker: CandidateMaker, knowledge: Knowledge, encoded: Encoded, index: int, found: SliceCandidates
) -> NDArray[np.float64]:
    """Retrieval distances of a slice's candidates in standard deviations of the baseline's own; 0 where unknown."""
    distances = [c.distance for c in found.candidates]
    missing = [n for n, c in enumerate(found.candidates) if n > 0 and np.isnan(c.distance)]
    if missing:
        masks = np.stack([found.candidates[n].mask for n in missing])
        for n, distance in zip(missing, maker.distances(encoded, index, masks), strict=True):
            distances[n] = distance
    return np.array([0.0, *[knowledge.deviation(d) if d < EMPTY_DISTANCE else 0.0 for d in distances[1:]]])


def _shrunk(mask: NDArray[np.bool_], distance_mm: float, pixel: float) -> NDArray[np.bool_] | None:
    """The section a round object would have ``distance_mm`` beyond ``mask``; None when it would have ended."""
    inner = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] * pixel
    smaller = inner > 0.5 * distance_mm
    return smaller if smaller.any() else None
