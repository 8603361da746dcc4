"""PerSAM, training-free form (arXiv 2305.03048): the mean foreground token finds one point inside and one outside."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from samprompt.contract.prompting import PERSAM, P2SamParameters
from samprompt.models.backbone import Backbone, Embedding
from samprompt.prompting import p2sam
from samprompt.prompting.candidate import Candidate
from samprompt.prompting.reference import Reference
from samprompt.prompting.similarity import Box


def segment(
    reference: Reference,
    embedding: Embedding,
    backbone: Backbone,
    parameters: P2SamParameters = PERSAM,
    prior: Tensor | None = None,
    box: Box | None = None,
) -> Candidate:
    """One positive at the argmax, one negative at the argmin of the mean token's similarity, then three passes.

    Of ``parameters`` everything counts but the parts, the kind of negatives and the retrieval, which PerSAM lacks. Its
    attention and embedding tricks inside the decoder need its weights' internals and are not part of this baseline.
    """
    fixed = replace(parameters, positive_parts=(1, 1), negatives="least_similar", retrieval="none")
    return p2sam.segment(reference, embedding, backbone, fixed, prior, box)
