"""How much each pixel looks like the structure rather than its surroundings: a small logistic regression.

Fitted on the baseline (tokens and grey level, foreground against ring; methods page, section 6), read on the follow-up
as a log-likelihood ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from samprompt.models.backbone import Backbone, Embedding, logits_to_image
from samprompt.propagation.encoding import Encoded

_PIXELS = 3000  # of each class; more changes nothing measurable and costs time
_BLUR_MM = 2.0
_RING_MM = 20.0


def _grey_features(grey: NDArray[np.float32], pixel: float) -> NDArray[np.float32]:
    """Grey level, local mean and their squares, centred at mid-grey, (4, P, P): a Gaussian log-ratio is quadratic."""
    smooth = ndimage.gaussian_filter(grey, _BLUR_MM / pixel)
    parts = [2.0 * grey - 1.0, 2.0 * smooth - 1.0]
    return np.stack([*parts, *[p**2 for p in parts]]).astype(np.float32)


def _token_points(embedding: Embedding, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tensor:
    """Matching tokens (N, D) bilinearly interpolated at pixels of the image; they stay on the model's device."""
    height, width = embedding.image_shape
    x = (torch.from_numpy(columns).float() + 0.5) / width * embedding.valid[1] * 2 - 1
    y = (torch.from_numpy(rows).float() + 0.5) / height * embedding.valid[0] * 2 - 1
    grid = torch.stack((x, y), dim=-1)[None, None].to(embedding.matching)
    sampled = F.grid_sample(embedding.matching, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return F.normalize(sampled[0, :, 0].T.float(), dim=1)


@dataclass(frozen=True, eq=False)
class Likelihood:
    """A fitted classifier: ``weights`` (D,) on unit tokens, ``grey`` (4,) on grey features, and ``bias``."""

    weights: Tensor
    grey: NDArray[np.float32]
    bias: float

    def ratio(self, encoded: Encoded, index: int, backbone: Backbone) -> NDArray[np.float32]:
        """Log-likelihood ratio (P, P) of slice ``index``; positive where it looks like the structure."""
        found: NDArray[np.float32] = self.ratios(encoded, [index], backbone)[0]
        return found

    def ratios(self, encoded: Encoded, indices: Sequence[int], backbone: Backbone) -> NDArray[np.float32]:
        """``ratio`` of several slices, (N, P, P)."""
        found = np.zeros((len(indices), *encoded.grey.shape[1:]), np.float32)
        if not len(indices):
            return found
        weights = self.weights.to(encoded.embeddings[indices[0]].matching.device)
        images = []
        for index in indices:
            embedding = encoded.embeddings[index]
            tokens = F.normalize(embedding.matching.float(), dim=1)
            scores = torch.einsum("bdhw,d->bhw", tokens, weights)[:, None]
            images.append(logits_to_image(scores, embedding, backbone.input_size)[0, 0])
        for place, (index, image) in enumerate(zip(indices, torch.stack(images).cpu().numpy(), strict=True)):
            features = _grey_features(encoded.grey[index], encoded.region.pixel)
            found[place] = image + np.tensordot(self.grey, features, axes=1) + self.bias
        return found


def fit_likelihood(
    pieces: Sequence[tuple[Encoded, NDArray[np.bool_]]], use_grey: bool, seed: int = 0
) -> Likelihood | None:
    """Fit on one or several visits: encoded regions with the structure's mask (slices, P, P) on their pixels.

    The ring is everything within 20 mm in plane of the mask, also on slices next to its ends, and each class counts
    one half. None when one of the two has fewer than five pixels.
    """
    rng = np.random.default_rng(seed)
    tokens: list[Tensor] = []
    greys: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.int64]] = []
    for encoded, mask in pieces:
        wanted = _choose(mask, encoded, rng)
        for index in np.unique(wanted[:, 0]):
            here = wanted[wanted[:, 0] == index]
            tokens.append(_token_points(encoded.embeddings[index], here[:, 1], here[:, 2]))
            features = _grey_features(encoded.grey[index], encoded.region.pixel)
            greys.append(features[:, here[:, 1], here[:, 2]].T)
            labels.append(mask[index, here[:, 1], here[:, 2]].astype(np.int64))
    y = np.concatenate(labels) if labels else np.zeros(0, np.int64)
    if min((y == 1).sum(), (y == 0).sum()) < 5:
        return None
    grey = np.concatenate(greys) * (1.0 if use_grey else 0.0)
    dim = tokens[0].shape[1]
    # unit tokens have entries of about 1/sqrt(D): scaled to unit variance, so that one C serves all backbones
    x = np.concatenate([torch.cat(tokens).cpu().numpy() * np.sqrt(dim), grey * 2.0], axis=1)
    model = LogisticRegression(C=0.02, class_weight="balanced", max_iter=200).fit(x, y)
    weights = model.coef_[0]
    return Likelihood(
        torch.from_numpy((weights[:dim] * np.sqrt(dim)).astype(np.float32)),
        (weights[dim:] * 2.0).astype(np.float32),
        float(model.intercept_[0]),
    )


def _choose(mask: NDArray[np.bool_], encoded: Encoded, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices (N, 3) of at most ``_PIXELS`` pixels of the structure and as many of its ring."""
    pixel = encoded.region.pixel
    ring = np.zeros_like(mask)
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if planes.size == 0:
        return np.zeros((0, 3), np.int64)
    for index in range(mask.shape[0]):
        nearest = int(planes[np.argmin(np.abs(planes - index))])
        distance = ndimage.distance_transform_edt(~mask[nearest]) * pixel
        ring[index] = (distance <= _RING_MM) & ~mask[index] & encoded.region.inside
    chosen = []
    for where in (mask & encoded.region.inside, ring):
        found = np.argwhere(where)
        if len(found) > _PIXELS:
            found = found[rng.choice(len(found), _PIXELS, replace=False)]
        chosen.append(found)
    return np.concatenate(chosen)


def separation(ratios: NDArray[np.float32], masks: NDArray[np.bool_], pixel: float, clip: float) -> float:
    """How little the evidence tells inside from outside: 0 at best, 1 where both look alike, up to 2 where reversed.

    1 - (mean clipped log-likelihood ratio inside - in the 10 mm ring in plane) / (2 clip), over slices (N, P, P) with
    ``pixel`` mm. 1 where there is no mask or no ring.
    """
    inside: list[NDArray[np.float32]] = []
    outside: list[NDArray[np.float32]] = []
    for ratio, mask in zip(np.clip(ratios, -clip, clip), masks, strict=True):
        if mask.any():
            distance = ndimage.distance_transform_edt(~mask) * pixel
            inside.append(ratio[mask])
            outside.append(ratio[(distance > 0) & (distance <= 10.0)])
    if not inside or not sum(len(o) for o in outside):
        return 1.0
    return 1.0 - float(np.concatenate(inside).mean() - np.concatenate(outside).mean()) / (2.0 * clip)
