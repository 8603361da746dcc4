"""Which candidate looks most like the reference: distances between token sets (methods page 1.1, step 7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import ot
import torch
from torch import Tensor

from samprompt.contract.errors import ParameterError
from samprompt.contract.prompting import P2SamParameters
from samprompt.prompting.parts import cluster_means, even_subsample

Array = npt.NDArray[np.float64]
EMPTY_DISTANCE = 1e10  # of a candidate without a token: worse than any real one, and still a number
_DENSITY_GRID = 64  # cells per axis of the grid on which densities are compared


def distance(reference: Tensor, target: Tensor, parameters: P2SamParameters) -> float:
    """Distance between the un-normalised tokens of the reference (F, D) and those inside a candidate's mask (T, D).

    ``EMPTY_DISTANCE`` when either set is empty, 0 for the retrieval "none".

    Raises:
        ParameterError: unknown retrieval.
    """
    if not len(reference) or not len(target):
        return EMPTY_DISTANCE
    if parameters.retrieval == "none":
        return 0.0
    one = even_subsample(reference, parameters.maximum_tokens)
    other = even_subsample(target, parameters.maximum_tokens)
    if parameters.retrieval == "wasserstein":
        return wasserstein(_array(one), _array(other))
    if parameters.retrieval == "js":
        return jensen_shannon(_array(one), _array(other))
    if parameters.retrieval == "hungarian":
        return hungarian(one, other, parameters.positive_parts[1], parameters.random_state)
    raise ParameterError(f"Unknown retrieval {parameters.retrieval!r}.", "Use wasserstein, js, hungarian or none.")


def wasserstein(one: Array, other: Array) -> float:
    """Exact optimal transport between token sets with uniform weights and squared Euclidean ground cost.

    Source: P2SAM, equations 3 and 5.
    """
    weights = (np.full(len(one), 1.0 / len(one)), np.full(len(other), 1.0 / len(other)))
    return float(ot.emd2(*weights, ot.dist(one, other, metric="sqeuclidean"), numItermax=10_000_000))


def jensen_shannon(one: Array, other: Array) -> float:
    """Jensen-Shannon divergence (bits, 0 to 1) of the sets' densities in their first two principal components.

    The paper names no density. Ours: components of the two sets together, each set counting one half (axes of their
    own could not be compared); Gaussian kernels whose width follows Scott's rule for the pooled spread at the mean
    set size (so a single token has a density too), on a 64 x 64 grid reaching three widths beyond the tokens.
    """
    weights = np.concatenate([np.full(len(one), 0.5 / len(one)), np.full(len(other), 0.5 / len(other))])
    together = np.concatenate([one, other])
    centred = together - weights @ together
    axes = np.linalg.svd(centred * np.sqrt(weights)[:, None], full_matrices=False)[2][:2]
    scores = centred @ axes.T
    spread = np.sqrt(weights @ scores**2)
    if float(spread.max()) <= 1e-12 * max(1.0, float(np.abs(together).max())):
        return 0.0  # all tokens are the same
    width = np.maximum(spread, 1e-6 * spread.max()) * (len(together) / 2.0) ** (-1.0 / 6.0)
    densities = []
    for part in (scores[: len(one)], scores[len(one) :]):
        kernels = []
        for axis in range(scores.shape[1]):
            low, high = scores[:, axis].min() - 3 * width[axis], scores[:, axis].max() + 3 * width[axis]
            grid = np.linspace(low, high, _DENSITY_GRID)
            kernels.append(np.exp(-0.5 * ((grid[:, None] - part[None, :, axis]) / width[axis]) ** 2))
        joint = kernels[0] if len(kernels) == 1 else np.einsum("at,bt->ab", kernels[0], kernels[1])
        densities.append(joint / joint.sum())
    middle = (densities[0] + densities[1]) / 2.0
    return float(sum(0.5 * np.sum(p * np.log2(np.where(p > 0, p / middle, 1.0))) for p in densities))


def hungarian(one: Tensor, other: Tensor, parts: int, random_state: int = 0) -> float:
    """Mean squared distance of the best one-to-one matching of cluster means, both sets in equally many clusters.

    ``parts`` clusters, or as many as the smaller set has tokens. With equal counts and uniform weights the optimal
    transport plan is that matching. The paper does not give the number; the caller passes the largest n.
    """
    count = min(parts, len(one), len(other))
    means = [cluster_means(tokens, count, random_state) for tokens in (one, other)]
    if means[0] is None or means[1] is None:
        return EMPTY_DISTANCE
    return wasserstein(_array(means[0]), _array(means[1]))


def _array(tokens: Tensor) -> Array:
    values: Array = tokens.detach().to("cpu", torch.float64).numpy()
    return values
