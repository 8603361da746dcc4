"""What speaks against a result: the doubts that need the model, and whether the structure is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from samprompt.contract.propagation import PathParameters, PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.prompting import p2sam
from samprompt.prompting.reference import Reference
from samprompt.propagation.encoding import Encoded
from samprompt.propagation.knowledge import Knowledge, learn
from samprompt.propagation.likelihood import separation
from samprompt.propagation.path import Section
from samprompt.propagation.proposal import Candidates
from samprompt.propagation.trust import dice

_CYCLE_SLICES = 5


def measure_doubts(
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
        others = [options[index].masks[n] for n in leading(options[index], chosen[index])]
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


def leading(section: Section, chosen: int, count: int = 4) -> list[int]:
    """The cheapest other candidates of a slice, at most ``count``, the empty one left out."""
    order = [int(n) for n in np.argsort(section.unary, kind="stable") if n not in (chosen, 0)]
    return order[:count]


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
