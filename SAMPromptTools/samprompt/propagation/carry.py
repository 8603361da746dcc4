"""One structure on one follow-up by the model: candidates per slice, the cheapest path along z, doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PathParameters, PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.prompting import p2sam
from samprompt.prompting.reference import Reference
from samprompt.prompting.retrieval import EMPTY_DISTANCE
from samprompt.propagation.candidates import CandidateMaker, Request, SliceCandidate, SliceCandidates, fuse, prior_field
from samprompt.propagation.encoding import Encoded
from samprompt.propagation.knowledge import Knowledge, learn, on_region
from samprompt.propagation.likelihood import separation
from samprompt.propagation.path import Section, cheapest_path, unary_costs
from samprompt.propagation.region import Region
from samprompt.propagation.trust import dice

_CYCLE_SLICES = 5
_SLICES_AT_ONCE = 16  # prompted together: enough to fill the decoder, few enough to feel a cancel


@dataclass(frozen=True, eq=False)
class Carried:
    """``mask`` on the follow-up's own grid; ``doubt`` (slices of the scan,) in mm2; ``parts`` of the trust score;

    ``kinds`` the chosen candidate per slice of the region and ``points`` the best P2SAM prompts per slice.
    """

    mask: NDArray[np.bool_]
    doubt: NDArray[np.float64]
    parts: dict[str, float]
    kinds: tuple[str, ...]
    points: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Everything about the slices of one structure that does not depend on the path's constants."""

    slices: tuple[SliceCandidates, ...]
    ratios: NDArray[np.float32]
    priors: NDArray[np.bool_] | None
    deviations: tuple[NDArray[np.float64], ...]
    beyond: NDArray[np.float64]  # mm outside the warped extent, per slice
    error_mm: float
    reliability: float
    bias: float


def propose(
    knowledge: Knowledge,
    encoded: Encoded,
    prior: NDArray[np.bool_] | None,
    error_mm: float,
    backbone: Backbone,
    parameters: PropagationParameters,
    progress: Progress,
    name: str,
) -> Candidates:
    """All candidates of all slices; ``prior`` is the warped prior on the follow-up's grid, None when not trusted."""
    maker = CandidateMaker(backbone, knowledge.reference, parameters, error_mm)
    region = encoded.region
    priors = on_region(prior, encoded) if prior is not None else None
    present = np.flatnonzero(priors.any(axis=(1, 2))) if priors is not None else np.zeros(0, int)
    spacing = float(region.grid.spacing[2])
    count = len(encoded)
    beyond = np.zeros(count)
    ratios = np.zeros(encoded.grey.shape, np.float32)
    requests: list[Request] = []
    for index in range(count):
        hint = None
        if present.size and priors is not None and not priors[index].any():
            nearest = int(present[np.argmin(np.abs(present - index))])
            beyond[index] = abs(nearest - index) * spacing
            hint = _shrunk(priors[nearest], beyond[index], region.pixel)
        if knowledge.likelihood is not None:
            ratios[index] = knowledge.likelihood.ratio(encoded, index, backbone)
        if not present.size or beyond[index] <= parameters.region.extra_slices:
            requests.append(Request(index, None if priors is None else priors[index], hint))
    slices = [maker.nothing(encoded) for _ in range(count)]
    for start in range(0, len(requests), _SLICES_AT_ONCE):
        progress.step(f"prompting {name}", start, len(requests))
        some = requests[start : start + _SLICES_AT_ONCE]
        for request, found in zip(some, maker.make(encoded, some), strict=True):
            slices[request.index] = found
    deviations = [_deviations(maker, knowledge, encoded, index, found) for index, found in enumerate(slices)]
    return Candidates(
        tuple(slices), ratios, priors, tuple(deviations), beyond, maker.error_mm, knowledge.reliability, knowledge.bias
    )


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
    inner = np.pad(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1], 0) * pixel
    smaller = inner > 0.5 * distance_mm
    return smaller if smaller.any() else None


Choice = tuple[list[SliceCandidate], list[Section], list[int]]


def choose(proposed: Candidates, region: Region, parameters: PropagationParameters) -> Choice:
    """The chosen candidate of every slice, what it was chosen from (with the fused one last), and its index.

    Twice where there is a prior: first believing the evidence as far as it is reliable; then again with the belief that
    its departure from the prior deserves. Model and reader may draw the same thing differently, and a departure no
    larger than on the baseline itself says nothing about a change.
    """
    if proposed.priors is None:
        return _choose(proposed, region, parameters, 1.0)  # there is nothing else to believe
    p = parameters.path
    belief = _ramp(proposed.reliability, p.reliable_from, p.reliable_to)
    first = _choose(proposed, region, parameters, belief)
    if belief == 0.0:
        return first
    found = np.stack([option.masks[n] for option, n in zip(first[1], first[2], strict=True)])
    departure = (1.0 - dice(found, proposed.priors)) / max(proposed.bias, p.least_bias)
    deserved = _ramp(departure, p.leave_from, p.leave_to)
    return first if deserved == 1.0 else _choose(proposed, region, parameters, belief * deserved)


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to ``low``, 1 from ``high`` on, linear between."""
    return float(np.clip((value - low) / max(high - low, 1e-6), 0.0, 1.0))


def _choose(proposed: Candidates, region: Region, parameters: PropagationParameters, belief: float) -> Choice:
    """``choose`` with a given belief in the evidence, in [0, 1]."""
    p, area = parameters.path, region.pixel_area
    slices = [list(found.candidates) for found in proposed.slices]
    for index, found in enumerate(proposed.slices):
        if found.guide is not None:
            ratio, error = proposed.ratios[index], proposed.error_mm
            slices[index].append(fuse(found.decoder, ratio, found.guide, region.pixel, error, p, belief))
    sections = []
    for index, found in enumerate(proposed.slices):
        masks = np.stack([c.mask & region.inside for c in slices[index]])
        clipped = np.clip(proposed.ratios[index], -p.log_ratio_clip, p.log_ratio_clip)
        evidence = belief * (p.appearance_weight * clipped + p.decoder_weight * found.decoder)
        prior, certainty = None, np.ones(masks.shape[1:], np.float32)
        if proposed.priors is not None:
            prior = proposed.priors[index]
            if prior.any():
                distance = np.abs(prior_field(prior, region.pixel))
                certainty = np.clip(distance / proposed.error_mm, 0.5, p.certainty_cap).astype(np.float32)
            else:
                certainty *= np.float32(np.clip(proposed.beyond[index] / proposed.error_mm, 0.5, p.certainty_cap))
        deviation = np.zeros(len(masks))
        deviation[: len(proposed.deviations[index])] = proposed.deviations[index]
        unary = unary_costs(masks, evidence, prior, certainty, deviation, area, p)
        if proposed.priors is not None and proposed.beyond[index] > 0:
            nearest = _nearest_area(proposed.priors, index) * area
            unary[1:] += p.presence_per_mm * proposed.beyond[index] * nearest
        sections.append(Section(masks, unary))
    allowed, one_run = [0.0] * (len(sections) - 1), True
    if proposed.priors is not None:
        flat = proposed.priors.reshape(len(sections), -1)
        allowed = [float((flat[n] != flat[n + 1]).sum()) * area for n in range(len(sections) - 1)]
        there = flat.any(axis=1).astype(int)
        one_run = int((np.diff(np.concatenate([[0], there])) == 1).sum()) <= 1
    chosen, _ = cheapest_path(sections, allowed, area, p, one_run)
    return [found[n] for found, n in zip(slices, chosen, strict=True)], sections, chosen


def _doubt(sections: list[Section], chosen: list[int], pixel_area: float) -> NDArray[np.float64]:
    """Mean area (mm2) per slice by which the leading other candidates differ from the chosen one."""
    doubt = np.zeros(len(sections))
    for index, section in enumerate(sections):
        mine = section.masks[chosen[index]]
        leading = _leading(section, chosen[index])
        if leading:
            doubt[index] = pixel_area * float(np.mean([(section.masks[n] != mine).sum() for n in leading]))
    return doubt


def _leading(section: Section, chosen: int, count: int = 4) -> list[int]:
    """The cheapest other candidates of a slice, at most ``count``, the empty one left out."""
    order = [int(n) for n in np.argsort(section.unary, kind="stable") if n not in (chosen, 0)]
    return order[:count]


def _nearest_area(priors: NDArray[np.bool_], index: int) -> float:
    present = np.flatnonzero(priors.any(axis=(1, 2)))
    return float(priors[present[np.argmin(np.abs(present - index))]].sum()) if present.size else 0.0


def carry(
    knowledge: Knowledge,
    encoded: Encoded,
    prior: NDArray[np.bool_] | None,
    error_mm: float,
    backbone: Backbone,
    parameters: PropagationParameters,
    progress: Progress,
    name: str,
) -> Carried:
    """Carry one structure; see the module's sentence. ``prior`` as in ``propose``."""
    proposed = propose(knowledge, encoded, prior, error_mm, backbone, parameters, progress, name)
    return settle(proposed, knowledge, encoded, prior, backbone, parameters)


def settle(
    proposed: Candidates,
    knowledge: Knowledge,
    encoded: Encoded,
    prior: NDArray[np.bool_] | None,
    backbone: Backbone,
    parameters: PropagationParameters,
) -> Carried:
    """Choose along z, bring the result to the follow-up's grid and measure the doubts."""
    region = encoded.region
    picked, options, chosen = choose(proposed, region, parameters)
    doubt = _doubt(options, chosen, region.pixel_area)
    sections = np.stack([option.masks[n] for option, n in zip(options, chosen, strict=True)])
    scale = np.float32(2.0 * region.pixel)
    field = np.stack([np.clip(_edge_field(c.field, region.pixel), -scale, scale) for c in picked])
    field[:, ~region.inside] = -scale
    mask = np.zeros(region.scan.shape, dtype=bool)
    values, block = region.back(field)
    mask[block] = values > 0
    if prior is not None:
        mask = _keep_pieces(mask, prior)
    doubts = np.zeros(region.scan.shape[0])
    doubts[region.first : region.first + len(doubt)] = doubt
    parts = _parts(proposed, options, chosen, sections, knowledge, encoded, backbone, parameters)
    if is_gone(parts, knowledge, proposed.priors is not None, parameters.path):
        parts["absent"] = 1.0
        mask[:] = False
    return Carried(mask, doubts, parts, tuple(c.kind for c in picked), tuple(found.points for found in proposed.slices))


def is_gone(parts: dict[str, float], knowledge: Knowledge, has_prior: bool, parameters: PathParameters) -> bool:
    """Whether what was found is not the structure: the evidence told it apart on the baseline and does not here.

    Of a structure that the evidence hardly tells apart on the baseline itself nothing can be said, and it stays. Where
    there is no prior to say that it is here at all, less is enough to call it gone.
    """
    if "separation" not in parts:
        return False
    if not has_prior:
        limit = parameters.gone_without_prior
        return parts["separation"] - knowledge.separation > limit or parts.get("cycle", 0.0) > 0.5
    return knowledge.reliability > parameters.reliable_to and (
        parts["separation"] - knowledge.separation > parameters.gone
    )


def _edge_field(field: NDArray[np.float32], pixel: float) -> NDArray[np.float32]:
    """Any candidate's field as millimetres from its edge, so that the zero level is found between pixels."""
    mask = field > 0
    if not mask.any() or mask.all():
        return np.where(mask, 1.0, -1.0).astype(np.float32)
    gradient = np.hypot(*np.gradient(field))
    edge = np.abs(field) < 4.0 * np.maximum(gradient, 1e-6)
    exact = field / np.maximum(gradient, 1e-6) * pixel
    return np.where(edge, exact, prior_field(mask, pixel)).astype(np.float32)


def _keep_pieces(mask: NDArray[np.bool_], prior: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without crumbs: pieces under a twentieth of the largest that do not touch the prior are dropped."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
    touching = np.zeros(count + 1, bool)
    touching[np.unique(labels[prior & mask])] = True
    keep = np.concatenate([[False], (sizes >= 0.05 * sizes.max()) | touching[1:]])
    return np.asarray(keep[labels])


def _parts(
    proposed: Candidates,
    options: Sequence[Section],
    chosen: Sequence[int],
    sections: NDArray[np.bool_],
    knowledge: Knowledge,
    encoded: Encoded,
    backbone: Backbone,
    parameters: PropagationParameters,
) -> dict[str, float]:
    """The doubts of the trust score that need the model (see ``TrustParameters``)."""
    areas = sections.sum(axis=(1, 2)).astype(float)
    parts: dict[str, float] = {"absent": float(areas.sum() == 0), "unreliable": 1.0 - proposed.reliability}
    if areas.sum() == 0:
        return parts
    agreement, weights = [], []
    for index in np.flatnonzero(areas).tolist():
        others = [options[index].masks[n] for n in _leading(options[index], chosen[index])]
        if others:
            agreement.append(float(np.mean([dice(sections[index], other) for other in others])))
            weights.append(areas[index])
    if weights:
        parts["disagreement"] = 1.0 - float(np.average(agreement, weights=weights))
    deviation = np.array([d[c] if c < len(d) else np.nan for d, c in zip(proposed.deviations, chosen, strict=True)])
    known = np.isfinite(deviation) & (areas > 0)
    if known.any():
        parts["retrieval"] = max(0.0, float(np.average(deviation[known], weights=areas[known])))
    parts["separation"] = separation(proposed.ratios, sections, encoded.region.pixel, parameters.path.log_ratio_clip)
    if proposed.priors is not None:
        parts["departure"] = 1.0 - dice(sections, proposed.priors)
    parts["cycle"] = _cycle(sections, knowledge, encoded, backbone, parameters)
    return parts


@torch.inference_mode()
def _cycle(
    sections: NDArray[np.bool_],
    knowledge: Knowledge,
    encoded: Encoded,
    backbone: Backbone,
    parameters: PropagationParameters,
) -> float:
    """How much worse the baseline is found from the result than from itself, without its contour as prior: 0 to 1.

    With the contour as prior the answer would be the prior, and look perfect.
    """
    back = learn([(encoded, sections)], backbone, parameters, use_grey=True)
    baseline, truth = knowledge.pieces[0]
    planes = np.flatnonzero(truth.any(axis=(1, 2)))
    areas = truth[planes].sum(axis=(1, 2))
    planes = planes[areas >= 0.5 * np.median(areas)]
    planes = np.unique(planes[np.linspace(0, len(planes) - 1, _CYCLE_SLICES).round().astype(int)])
    own = _found(knowledge.reference, baseline, truth, planes, backbone, parameters)
    other = _found(back.reference, baseline, truth, planes, backbone, parameters)
    return float(np.clip((own - other) / max(own, 0.2), 0.0, 1.0))


def _found(
    reference: Reference,
    encoded: Encoded,
    truth: NDArray[np.bool_],
    planes: NDArray[np.intp],
    backbone: Backbone,
    parameters: PropagationParameters,
) -> float:
    """Mean Dice of P2SAM without any prior on the given slices."""
    scores = []
    for index in planes:
        answer = p2sam.segment(reference, encoded.embeddings[index], backbone, parameters.prompting)
        scores.append(dice(answer.mask.cpu().numpy(), truth[index]))
    return float(np.mean(scores))
