"""One structure on one follow-up by the model: candidates per slice, the cheapest path along z, doubts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.propagation.candidates import SliceCandidate, fuse, prior_field
from samprompt.propagation.doubts import is_gone, leading, measure_doubts
from samprompt.propagation.encoding import Encoded
from samprompt.propagation.knowledge import Knowledge
from samprompt.propagation.path import Section, cheapest_path, unary_costs
from samprompt.propagation.pieces import keep_pieces
from samprompt.propagation.proposal import Candidates, propose
from samprompt.propagation.region import Region
from samprompt.propagation.result import PromptPoint, prompt_points
from samprompt.propagation.trust import dice


@dataclass(frozen=True, eq=False)
class Carried:
    """``mask`` on the follow-up's own grid; ``doubt`` (slices of the scan,) in mm2; ``parts`` of the trust score;

    ``kinds`` the chosen candidate per slice of the region; ``prompts`` the points behind the sections that were chosen.
    """

    mask: NDArray[np.bool_]
    doubt: NDArray[np.float64]
    parts: dict[str, float]
    kinds: tuple[str, ...]
    prompts: tuple[PromptPoint, ...]


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
            refined = None if proposed.refined is None else proposed.refined[index]
            fused = fuse(found.decoder, ratio, found.guide, region.pixel, error, p, belief, refined)
            # P2SAM's answers are part of what is fused: its best prompts are the ones to show
            slices[index].append(replace(fused, points=found.points))
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
        second = None
        if proposed.refined is not None:
            field = proposed.refined[index]
            sure = np.clip(np.abs(field) / proposed.error_mm, 0.5, p.certainty_cap).astype(np.float32)
            second = (field > 0) & region.inside, sure
        unary = unary_costs(masks, evidence, prior, certainty, deviation, area, p, second)
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
        others = leading(section, chosen[index])
        if others:
            doubt[index] = pixel_area * float(np.mean([(section.masks[n] != mine).sum() for n in others]))
    return doubt


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
    refined: NDArray[np.float32] | None = None,
) -> Carried:
    """Carry one structure; see the module's sentence. ``prior`` and ``refined`` as in ``propose``."""
    proposed = propose(knowledge, encoded, prior, error_mm, backbone, parameters, progress, name, refined)
    progress.step(f"choosing {name}")
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
    # Beyond both the prior's and the result's ends the candidates answer a prompt that was only guessed.
    ended = ~sections.any(axis=(1, 2))
    doubt[ended] /= (1.0 + proposed.beyond[ended] / proposed.error_mm) ** 2
    scale = np.float32(2.0 * region.pixel)
    field = np.stack([np.clip(_edge_field(c.field, region.pixel), -scale, scale) for c in picked])
    field[:, ~region.inside] = -scale
    mask = np.zeros(region.scan.shape, dtype=bool)
    values, block = region.back(field)
    mask[block] = values > 0
    if prior is not None:
        mask = keep_pieces(mask, prior)
    doubts = np.zeros(region.scan.shape[0])
    doubts[region.first : region.first + len(doubt)] = doubt
    parts = measure_doubts(proposed, options, chosen, sections, knowledge, encoded, backbone, parameters)
    if is_gone(parts, knowledge, proposed.priors is not None, parameters.path):
        parts["absent"] = 1.0
        mask[:] = False
    shown = [
        c.points if mask.any() and section.any() else c.points[:0] for c, section in zip(picked, sections, strict=True)
    ]
    return Carried(
        mask, doubts, parts, tuple(c.kind for c in picked), prompt_points(region.grid, dict(enumerate(shown)))
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
