"""Three decoding passes for many point prompts at once (methods page 1.1, step 6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samprompt.models.backbone import (
    Backbone,
    Decoded,
    Embedding,
    Prompts,
    decodes_pairs,
    join_embeddings,
    logits_to_image,
)
from samprompt.prompting.points import PointPrompt, rows_of

DECODE_BATCH = 64  # prompts per decoder call
_MASKS_AT_ONCE = 8  # 1024 x 1024 floats each on the way to the image: 32 MiB


@dataclass(frozen=True, eq=False)
class Answer:
    """What the decoder says in the end: ``logits`` (m, m), ``mask`` (H, W) bool, predicted ``iou``, ``presence``."""

    logits: Tensor
    mask: Tensor
    iou: float
    presence: float | None


def decode_points(
    backbone: Backbone,
    embeddings: Embedding | Sequence[Embedding],
    prompts: Sequence[PointPrompt],
    multimask: bool = False,
    first_masks: Sequence[Tensor | None] | None = None,
    batch: int = DECODE_BATCH,
) -> list[Answer]:
    """Decode each prompt in three passes; prompts with equally many points share decoder calls of at most ``batch``.

    ``embeddings`` is one encoded image for all prompts or one for each. Prompts of several images share a call where
    the backbone decodes pairs; a call costs the built-in model more than half of its time for one prompt.
    Points; points + the previous logits; points + tight box of the previous mask + logits. The box runs through the
    centres of the outermost pixels, as SAM's own boxes do. ``multimask`` lets passes 2 and 3 choose among three masks
    by predicted IoU. ``first_masks`` (1, m, m) logits or None are given with the points in pass 1. A prompt whose mask
    is empty after pass 2 has no box: it skips pass 3 and stays empty. Equal prompts are decoded once.
    """
    priors = list(first_masks) if first_masks is not None else [None] * len(prompts)
    images = [embeddings] * len(prompts) if isinstance(embeddings, Embedding) else list(embeddings)
    pairs = decodes_pairs(backbone)
    same: dict[tuple[object, ...], int] = {}
    owner: list[int] = []
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    rows = rows_of(prompts)
    for index, (image, prompt, prior) in enumerate(zip(images, prompts, priors, strict=True)):
        key = (id(image), tuple(rows[index]), id(prior))
        owner.append(same.setdefault(key, index))
        if owner[-1] == index:
            together = image.image_shape if pairs else id(image)
            groups[len(prompt.points), prior is not None, together].append(index)

    answers: dict[int, Answer] = {}
    for (_, has_prior, _), members in groups.items():
        for start in range(0, len(members), batch):
            chosen = members[start : start + batch]
            given = [prior for index in chosen if (prior := priors[index]) is not None]
            found = _three_passes(
                backbone,
                [images[index] for index in chosen],
                torch.stack([prompts[index].points for index in chosen]),
                torch.stack([prompts[index].labels for index in chosen]),
                torch.stack(given) if has_prior else None,
                multimask,
            )
            answers.update(zip(chosen, found, strict=True))
    return [answers[index] for index in owner]


def image_masks(logits: Tensor, embedding: Embedding, input_size: int) -> Tensor:
    """Masks (N, H, W), bool, at image size from logits (N, m, m)."""
    chunks = torch.split(logits[:, None], _MASKS_AT_ONCE)
    return torch.cat([logits_to_image(chunk, embedding, input_size)[:, 0] > 0.0 for chunk in chunks])


def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes (N, 4) x0, y0, x1, y1 through the centres of the outermost pixels of non-empty masks (N, H, W)."""
    edges = []
    for line in (masks.any(dim=1), masks.any(dim=2)):
        position = torch.arange(line.shape[1], device=masks.device, dtype=torch.float32) + 0.5
        edges.append(torch.where(line, position, torch.inf).amin(dim=1))
        edges.append(torch.where(line, position, -torch.inf).amax(dim=1))
    return torch.stack([edges[0], edges[2], edges[1], edges[3]], dim=1)


def pick(decoded: Decoded) -> tuple[Tensor, Tensor]:
    """The mask with the highest predicted IoU of each prompt: logits (N, m, m) float32 and IoU (N,)."""
    iou = decoded.iou.to(torch.float32)
    best = iou.argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    return decoded.logits[rows, best].to(torch.float32), iou[rows, best]


def _three_passes(
    backbone: Backbone,
    images: list[Embedding],
    points: Tensor,
    labels: Tensor,
    prior: Tensor | None,
    multimask: bool,
) -> list[Answer]:
    single = all(image is images[0] for image in images)
    embedding = images[0] if single else join_embeddings(images)
    first = backbone.decode(embedding, Prompts(points=points, labels=labels, masks=prior))
    logits, _ = pick(first)
    second = backbone.decode(embedding, Prompts(points=points, labels=labels, masks=logits[:, None]), multimask)
    logits, iou = pick(second)
    presence = second.presence.clone() if second.presence is not None else None
    masks = image_masks(logits, embedding, backbone.input_size)
    filled = [n for n, there in enumerate(masks.flatten(1).any(dim=1).tolist()) if there]
    if filled:
        every = len(filled) == len(images)
        there: slice | Tensor = slice(None) if every else torch.tensor(filled, device=masks.device)
        third = backbone.decode(
            embedding if single or every else join_embeddings([images[n] for n in filled]),
            Prompts(points[there], labels[there], tight_boxes(masks[there]), logits[there][:, None]),
            multimask,
        )
        logits[there], iou[there] = pick(third)
        masks[there] = image_masks(logits[there], embedding, backbone.input_size)
        if presence is not None and third.presence is not None:
            presence[there] = third.presence.to(presence)
    figures = (iou,) if presence is None else (iou, presence.flatten().to(iou))
    scores, *objects = torch.stack(figures).tolist()
    seen = objects[0] if objects else [None] * len(scores)
    return [Answer(logits[i], masks[i], scores[i], seen[i]) for i in range(len(scores))]
