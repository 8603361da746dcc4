"""The published schedule of P2SAM, rendered plainly on the backbone protocol, to measure against.

For every slice the reference is encoded again, k-means runs again for every n and m, and every candidate is decoded by
itself, one call per pass. Only the model is shared with ``samprompt``; the arithmetic is written anew.
"""

from __future__ import annotations

import numpy as np
import ot
import torch
import torch.nn.functional as F
from samprompt.contract.prompting import P2SamParameters
from samprompt.models.backbone import Backbone, Embedding, Prompts, logits_to_image
from sklearn.cluster import KMeans
from torch import Tensor

PlainCandidate = tuple[int, int, Tensor, float]  # n, m, logits (m, m), distance


def segment_slice(
    backbone: Backbone, reference: Tensor, mask: Tensor, target: Tensor, parameters: P2SamParameters
) -> list[PlainCandidate]:
    """All candidates for one slice: images (3, H, W), the reference's mask (H, W)."""
    encoded = backbone.encode(reference[None])
    embedding = backbone.encode(target[None])
    channels, rows, columns = encoded.matching.shape[1:]
    inside = _tokens_of(mask, backbone, rows, columns)
    tokens = encoded.matching[0].float().cpu().numpy().reshape(channels, -1).T
    target_tokens = embedding.matching[0].float().cpu().numpy().reshape(channels, -1).T
    foreground, background = tokens[inside], tokens[~inside]

    found = []
    for n in range(parameters.positive_parts[0], parameters.positive_parts[1] + 1):
        for m in range(parameters.negative_parts[0], parameters.negative_parts[1] + 1):
            positives = _part_vectors(foreground, n)
            negatives = _part_vectors(background, m)
            if positives is None or negatives is None:
                continue
            points = [_peak(backbone, embedding, vector) for vector in positives + negatives]
            labels = [1.0] * len(positives) + [0.0] * len(negatives)
            logits = _cascade(backbone, embedding, points, labels)
            drawn = logits_to_image(logits[None, None], embedding, backbone.input_size)[0, 0] > 0
            covered = _tokens_of(drawn, backbone, rows, columns)
            distance = 1e10
            if covered.any():
                cost = ot.dist(foreground.astype(np.float64), target_tokens[covered].astype(np.float64))
                distance = float(ot.emd2(ot.unif(cost.shape[0]), ot.unif(cost.shape[1]), cost, numItermax=10_000_000))
            found.append((n, m, logits, distance))
    return found


def _tokens_of(mask: Tensor, backbone: Backbone, rows: int, columns: int) -> np.ndarray:
    side = backbone.input_size
    full = F.interpolate(
        mask[None, None].float().cpu(), (side, side), mode="bilinear", align_corners=False, antialias=True
    )
    small = F.interpolate(full, (rows, columns), mode="bilinear", align_corners=False)[0, 0].numpy()
    return ((small - (small.max() + small.min()) / 2) > 1e-4).ravel()


def _part_vectors(tokens: np.ndarray, n: int) -> list[np.ndarray] | None:
    if n > len(tokens):
        return None
    labels = np.zeros(len(tokens), int) if n == 1 else KMeans(n, n_init=10, random_state=0).fit(tokens).labels_
    means = [tokens[labels == part].mean(axis=0) for part in range(n)]
    return [mean / np.linalg.norm(mean) for mean in means]


def _peak(backbone: Backbone, embedding: Embedding, vector: np.ndarray) -> tuple[float, float]:
    target = F.normalize(embedding.matching[0].float(), dim=0)
    low = torch.einsum("d,dhw->hw", torch.from_numpy(vector).to(target), target)
    full = logits_to_image(low[None, None], embedding, backbone.input_size)[0, 0]
    row, column = divmod(int(full.argmax()), full.shape[1])
    return column + 0.5, row + 0.5


def _cascade(
    backbone: Backbone, embedding: Embedding, points: list[tuple[float, float]], labels: list[float]
) -> Tensor:
    at = torch.tensor(points, device=embedding.tokens.device)[None]
    signs = torch.tensor(labels, device=embedding.tokens.device)[None]
    logits = backbone.decode(embedding, Prompts(at, signs)).logits
    logits = backbone.decode(embedding, Prompts(at, signs, masks=logits)).logits
    drawn = logits_to_image(logits, embedding, backbone.input_size)[0, 0] > 0
    where = torch.nonzero(drawn)
    if len(where):
        low, high = where.amin(dim=0) + 0.5, where.amax(dim=0) + 0.5
        box = torch.stack([low[1], low[0], high[1], high[0]])[None]
        logits = backbone.decode(embedding, Prompts(at, signs, box, logits)).logits
    return logits[0, 0]
