"""P2SAM: part-aware prompts and distribution-guided retrieval (arXiv 2403.05433; methods page, section 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from samprompt.contract.errors import ParameterError
from samprompt.contract.prompting import PUBLISHED_MEDICAL, P2SamParameters
from samprompt.models.backbone import Backbone, Embedding, mask_to_prompt
from samprompt.prompting.candidate import Candidate, nothing_found
from samprompt.prompting.cascade import DECODE_BATCH, Answer, decode_points
from samprompt.prompting.points import PointPrompt, point_prompts
from samprompt.prompting.reduction import covered_tokens, tokens_under
from samprompt.prompting.reference import Reference
from samprompt.prompting.retrieval import distance
from samprompt.prompting.similarity import Box


def candidates(
    reference: Reference,
    embedding: Embedding,
    backbone: Backbone,
    parameters: P2SamParameters = PUBLISHED_MEDICAL,
    prior: Tensor | None = None,
    box: Box | None = None,
    batch: int = DECODE_BATCH,
) -> list[Candidate]:
    """Candidates of every (n, m) for one encoded image, n first.

    ``prior`` (H, W) in [0, 1] is used as ``prior_weight`` and ``prior_mask`` say, ``box`` (x0, y0, x1, y1 in pixels)
    only with ``box_regularisation``. The list is empty when the reference has fewer tokens than the smallest n or m,
    or when the published rule lost its mask.

    Raises:
        ParameterError: see ``point_prompts``; or the embedding holds several images.
    """
    return candidates_for_slices([reference], [embedding], backbone, parameters, [prior], [box], batch)[0]


def segment(
    reference: Reference,
    embedding: Embedding,
    backbone: Backbone,
    parameters: P2SamParameters = PUBLISHED_MEDICAL,
    prior: Tensor | None = None,
    box: Box | None = None,
) -> Candidate:
    """The best candidate of one encoded image; an empty one with n = m = 0 where there is no candidate."""
    found = candidates(reference, embedding, backbone, parameters, prior, box)
    return choose(found, parameters) if found else nothing_found(backbone, embedding)


def choose(found: Sequence[Candidate], parameters: P2SamParameters) -> Candidate:
    """The candidate with the smallest distance (P2SAM, equation 3), the first of equals; "none": the largest (n, m)."""
    if parameters.retrieval == "none":
        return max(found, key=lambda candidate: (candidate.n, candidate.m))
    return min(found, key=lambda candidate: candidate.distance)


def candidates_for_slices(
    references: Sequence[Reference],
    embeddings: Sequence[Embedding],
    backbone: Backbone,
    parameters: P2SamParameters = PUBLISHED_MEDICAL,
    priors: Sequence[Tensor | None] | None = None,
    boxes: Sequence[Box | None] | None = None,
    batch: int = DECODE_BATCH,
) -> list[list[Candidate]]:
    """Candidates of many pairs (references[i], embeddings[i]), each embedding of length 1.

    Pairs with the same embedding object (several structures on one slice) share decoder calls; with a backbone that
    decodes pairs (the built-in one) all slices of one size do.
    """
    count = len(references)
    priors = list(priors) if priors is not None else [None] * count
    boxes = list(boxes) if boxes is not None else [None] * count
    if not len(embeddings) == len(priors) == len(boxes) == count:
        raise ParameterError(
            f"{count} references, {len(embeddings)} images, {len(priors)} priors and {len(boxes)} boxes: no pairs.",
            "Give one of each per pair.",
        )
    if any(len(embedding) != 1 for embedding in embeddings):
        raise ParameterError("Candidates are made for one image at a time.", "Index the embedding first.")
    with torch.no_grad():
        prompts: list[PointPrompt] = []
        masks: list[Tensor | None] = []
        owners: list[int] = []
        for index, (reference, embedding, prior, box) in enumerate(
            zip(references, embeddings, priors, boxes, strict=True)
        ):
            mine = point_prompts(reference, embedding, backbone.input_size, parameters, prior, box)
            prompts += mine
            masks += [_prior_prompt(prior, embedding, backbone, parameters)] * len(mine)
            owners += [index] * len(mine)
        images = [embeddings[index] for index in owners]
        answers = decode_points(backbone, images, prompts, parameters.multimask, masks, batch)
        distances = _distances([references[index] for index in owners], images, answers, backbone, parameters)
    results: list[list[Candidate]] = [[] for _ in range(count)]
    for index, prompt, answer, far in zip(owners, prompts, answers, distances, strict=True):
        results[index].append(_candidate(prompt, answer, far))
    return results


def _prior_prompt(
    prior: Tensor | None, embedding: Embedding, backbone: Backbone, parameters: P2SamParameters
) -> Tensor | None:
    """The prior as mask prompt (1, m, m), or None; an empty prior would ask for an empty mask and is not used."""
    if prior is None or not parameters.prior_mask or float(prior.max()) < 0.5:
        return None
    soft = prior.to(embedding.tokens.device, torch.float32).clamp(0.0, 1.0)
    return mask_to_prompt(soft[None, None], backbone.mask_size, stretched=embedding.stretched)[0]


def _distances(
    references: Sequence[Reference],
    images: Sequence[Embedding],
    answers: Sequence[Answer],
    backbone: Backbone,
    parameters: P2SamParameters,
) -> list[float]:
    """Retrieval distance of each answer to its reference; equal answers to one reference are measured once."""
    keys = [(id(reference), id(answer)) for reference, answer in zip(references, answers, strict=True)]
    waiting: dict[int, dict[tuple[int, int], tuple[Reference, Embedding, Tensor]]] = defaultdict(dict)
    for key, reference, image, answer in zip(keys, references, images, answers, strict=True):
        if key not in waiting[id(image)]:
            inside = covered_tokens(answer.mask, image, backbone.input_size, parameters)
            waiting[id(image)][key] = reference, image, inside
    known: dict[tuple[int, int], float] = {}
    foregrounds = {key: one.foreground.cpu() for key, one in {id(one): one for one in references}.items()}
    for members in waiting.values():
        image = next(iter(members.values()))[1]
        tokens = tokens_under(torch.stack([inside for _, _, inside in members.values()]), image)
        for (key, (reference, _, _)), mine in zip(members.items(), tokens, strict=True):
            known[key] = distance(foregrounds[id(reference)], mine, parameters)
    return [known[key] for key in keys]


def _candidate(prompt: PointPrompt, answer: Answer, far: float) -> Candidate:
    return Candidate(
        n=prompt.n,
        m=prompt.m,
        points=prompt.points,
        labels=prompt.labels,
        logits=answer.logits,
        mask=answer.mask,
        iou=answer.iou,
        presence=answer.presence,
        distance=far,
    )
