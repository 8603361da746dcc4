"""Parameters of the prompting methods: one object in one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class P2SamParameters:
    """Part-aware prompting (P2SAM, arXiv 2403.05433). The defaults are the published behaviour for medical images.

    ``positive_parts`` and ``negative_parts`` are the inclusive ranges of n and m (paper, table 10: 4D-Lung with an
    adapted large model n in 1..3, m = 1).
    ``negatives`` is "background" (medical: parts of the reference's background) or "least_similar" (natural images:
    one point at the argmin of the mean foreground similarity, as PerSAM).
    ``multimask`` lets passes 2 and 3 choose among three masks by predicted IoU (natural images).
    ``retrieval`` chooses among the (n, m): "wasserstein" (squared Euclidean ground cost, exact), "js"
    (Jensen-Shannon on two principal components), "hungarian" (matching of cluster means) or "none" (largest n, m).
    ``box_regularisation`` restricts the prompt search to a given box (look-alikes; paper, appendix "Similar objects").

    Ours, off in the published preset:
    ``coverage_pooling``: a token is foreground when the mask covers at least ``coverage_threshold`` of its area, with
    the best-covered token as fall-back (the published rule loses lesions smaller than a token).
    ``minimum_distance`` (tokens): points of one sign closer than this are dropped, 0 keeps all.
    ``prior_weight`` in [0, 1]: similarity, counted from the map's least value so that it is not negative, is multiplied
    by (1 - w) + w * prior, prior in [0, 1]; for negative points by (1 - w) + w * (1 - prior).
    ``prior_mask``: the aligned prior is given as mask prompt in the first pass.
    ``maximum_tokens``: sets larger than this are subsampled evenly before transport, 0 keeps all (exact).
    ``cluster_tokens``: k-means is fitted on an even subsample of at most so many tokens, then every token joins its
    nearest centre, 0 fits on all of them (4,000 background tokens cost most of a reference's time).
    """

    positive_parts: tuple[int, int] = (1, 3)
    negative_parts: tuple[int, int] = (1, 1)
    negatives: Literal["background", "least_similar"] = "background"
    multimask: bool = False
    retrieval: Literal["wasserstein", "js", "hungarian", "none"] = "wasserstein"
    box_regularisation: bool = False
    coverage_pooling: bool = False
    coverage_threshold: float = 0.5
    minimum_distance: float = 0.0
    prior_weight: float = 0.0
    prior_mask: bool = False
    maximum_tokens: int = 0
    cluster_tokens: int = 0
    random_state: int = 0


PUBLISHED_MEDICAL = P2SamParameters()
PUBLISHED_NATURAL = P2SamParameters(
    positive_parts=(1, 5), negative_parts=(1, 1), negatives="least_similar", multimask=True
)
PUBLISHED_UNADAPTED_CT = P2SamParameters(positive_parts=(1, 2), negative_parts=(45, 45))
ADAPTED = P2SamParameters(
    positive_parts=(1, 3),
    negative_parts=(1, 2),
    coverage_pooling=True,
    minimum_distance=2.0,
    prior_weight=0.9,
    prior_mask=True,
    maximum_tokens=256,
    cluster_tokens=512,
)
# The baselines with the same pieces: one positive at the argmax and one negative at the argmin of the mean foreground
# similarity, cascaded refinement (PerSAM, arXiv 2305.03048). Adapted and medical models answer with a single mask.
PERSAM = P2SamParameters(positive_parts=(1, 1), negatives="least_similar", multimask=True, retrieval="none")
PERSAM_MEDICAL = P2SamParameters(positive_parts=(1, 1), negatives="least_similar", retrieval="none")
