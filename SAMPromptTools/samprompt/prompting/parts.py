"""Parts of a token set: k-means, one L2-normalised mean per part (methods page 1.1, step 3)."""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor


def even_subsample(tokens: Tensor, maximum: int) -> Tensor:
    """At most ``maximum`` of the tokens (T, D), evenly spread over their order; 0 keeps all. Deterministic."""
    count = int(tokens.shape[0])
    if maximum <= 0 or count <= maximum:
        return tokens
    index = (torch.arange(maximum, dtype=torch.float64) + 0.5) * count / maximum
    return tokens[index.long().to(tokens.device)]


def cluster_means(tokens: Tensor, parts: int, random_state: int = 0, cluster_tokens: int = 0) -> Tensor | None:
    """Means (p, D) of ``parts`` k-means clusters of the un-normalised tokens (T, D); None when T < ``parts``.

    scikit-learn's k-means++ with ten starts, as published. ``cluster_tokens`` > 0 fits on an even subsample and lets
    every token join its nearest centre. Fewer means than ``parts`` come back where tokens are identical.
    """
    count = int(tokens.shape[0])
    if parts < 1 or count < parts:
        return None
    if parts == 1:
        return tokens.mean(dim=0, keepdim=True)
    here = tokens.detach().cpu()
    fitted = even_subsample(here, max(cluster_tokens, parts) if cluster_tokens > 0 else 0).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct tokens than parts: handled below
        model = KMeans(parts, init="k-means++", n_init=10, random_state=random_state).fit(fitted)
        labels = model.labels_ if len(fitted) == count else model.predict(here.numpy())
    members = [torch.from_numpy(np.flatnonzero(labels == part)) for part in range(parts)]
    return torch.stack([tokens[index.to(tokens.device)].mean(dim=0) for index in members if len(index)])


def part_features(tokens: Tensor, parts: int, random_state: int = 0, cluster_tokens: int = 0) -> Tensor | None:
    """L2-normalised part features (p, D) of un-normalised tokens (T, D); None when there are fewer tokens than parts.

    Source: P2SAM (arXiv 2403.05433), section 3.2, equation 1 and the text below it.
    """
    means = cluster_means(tokens, parts, random_state, cluster_tokens)
    return None if means is None else F.normalize(means, dim=1)
