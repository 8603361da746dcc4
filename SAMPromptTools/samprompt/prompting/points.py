"""Point prompts: positives from the structure's parts, negatives from its surroundings (methods page 1.1, 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samprompt.contract.errors import ParameterError
from samprompt.contract.prompting import P2SamParameters
from samprompt.models.backbone import Embedding
from samprompt.prompting.reference import Reference
from samprompt.prompting.similarity import Box, highest, peaks, prior_focus, similarity_maps


@dataclass(frozen=True, eq=False)
class PointPrompt:
    """Points of one (n, m): ``points`` (P, 2) x, y in pixels of the image, ``labels`` (P,) 1 positive, 0 negative."""

    n: int
    m: int
    points: Tensor
    labels: Tensor


def part_counts(parameters: P2SamParameters) -> tuple[range, range]:
    """The n and the m to try; natural images have exactly one negative, so m is 1 there.

    Raises:
        ParameterError: a range runs backwards, or n starts below 1 or m below 0.
    """
    (n0, n1), (m0, m1) = parameters.positive_parts, parameters.negative_parts
    if n0 < 1 or n1 < n0 or m0 < 0 or m1 < m0:
        raise ParameterError(
            f"The part ranges n = {n0}..{n1} and m = {m0}..{m1} make no sense.",
            "n starts at 1 or more, m at 0 or more, and neither ends before it starts.",
        )
    if parameters.negatives == "least_similar":
        return range(n0, n1 + 1), range(1, 2)
    return range(n0, n1 + 1), range(m0, m1 + 1)


def point_prompts(
    reference: Reference,
    embedding: Embedding,
    input_size: int,
    parameters: P2SamParameters,
    prior: Tensor | None = None,
    box: Box | None = None,
) -> list[PointPrompt]:
    """All (n, m) point sets for one encoded image, n first; positives before negatives.

    An n or m above the number of tokens is skipped, so the list is empty when nothing is left. With
    ``minimum_distance`` the points of one sign keep that distance (in tokens), the earlier point winning, and an
    (n, m) whose points were all there before is left out.

    Raises:
        ParameterError: senseless ranges, box regularisation without a box, prior or box that do not fit the image.
    """
    counts, negative_counts = part_counts(parameters)
    if parameters.box_regularisation and box is None:
        raise ParameterError("Box regularisation needs a box.", "Give the structure's box of the neighbouring image.")
    if prior is not None and tuple(prior.shape) != tuple(embedding.image_shape):
        raise ParameterError(
            f"The prior has {tuple(prior.shape)} pixels, the image {embedding.image_shape}.",
            "Give the prior on the image's own pixels.",
        )
    search = box if parameters.box_regularisation else None
    here = None if prior is None else prior.to(embedding.matching.device)
    focus, away = prior_focus(here, parameters.prior_weight)
    spacing = parameters.minimum_distance * max(embedding.image_shape) / max(embedding.matching.shape[-2:])

    background: dict[int, Tensor] = {}
    if parameters.negatives == "background":
        for m in negative_counts:
            features = reference.background_parts(m, parameters) if m else None
            if features is not None:
                background[m] = _keep_apart(peaks(features, embedding, input_size, away, search), spacing)
            elif m == 0:
                background[0] = torch.zeros(0, 2, device=embedding.matching.device)

    found: list[PointPrompt] = []
    for n in counts:
        features = reference.parts(n, parameters)
        if features is None:
            continue
        positives = _keep_apart(peaks(features, embedding, input_size, focus, search), spacing)
        negatives = background
        if parameters.negatives == "least_similar":
            # The mean of cosine maps is one dot product, so a single map with the mean unit feature is enough.
            mean = similarity_maps(features.mean(dim=0, keepdim=True), embedding, input_size)
            negatives = {1: highest(-mean, away, search)}
        for m, negative in negatives.items():
            labels = torch.cat([positives.new_ones(len(positives)), positives.new_zeros(len(negative))])
            found.append(PointPrompt(n, m, torch.cat([positives, negative]), labels))
    return _without_repeats(found) if parameters.minimum_distance > 0.0 else found


def _keep_apart(points: Tensor, spacing: float) -> Tensor:
    """The points (P, 2) that are at least ``spacing`` pixels from every earlier kept one; 0 keeps all."""
    if spacing <= 0.0 or len(points) < 2:
        return points
    kept: list[int] = []
    here = points.cpu().to(torch.float64)
    distances = torch.cdist(here, here).tolist()
    for index in range(len(points)):
        if all(distances[index][other] >= spacing for other in kept):
            kept.append(index)
    return points if len(kept) == len(points) else points[kept]


def rows_of(prompts: Sequence[PointPrompt]) -> list[list[tuple[float, ...]]]:
    """The points of each prompt as x, y, label; read from the device at once."""
    if not prompts:
        return []
    rows = torch.cat([torch.cat([p.points, p.labels[:, None]], dim=1) for p in prompts]).tolist()
    read = iter(rows)
    return [[tuple(next(read)) for _ in range(len(prompt.points))] for prompt in prompts]


def _without_repeats(prompts: list[PointPrompt]) -> list[PointPrompt]:
    """The prompts whose points no earlier one has."""
    if len(prompts) < 2:
        return prompts
    first: dict[tuple[tuple[float, ...], ...], PointPrompt] = {}
    for prompt, rows in zip(prompts, rows_of(prompts), strict=True):
        first.setdefault(tuple(sorted(rows)), prompt)
    return list(first.values())
