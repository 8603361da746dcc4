"""Direct transfer: the model without any prompt (an adapted model knows what to look for; methods page 1.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from samprompt.contract.prompting import PUBLISHED_MEDICAL, P2SamParameters
from samprompt.models.backbone import Backbone, Embedding, Prompts
from samprompt.prompting.candidate import Candidate
from samprompt.prompting.cascade import image_masks, pick
from samprompt.prompting.reduction import covered_tokens
from samprompt.prompting.reference import Reference
from samprompt.prompting.retrieval import distance
from samprompt.prompting.similarity import Box


def segment(
    reference: Reference,
    embedding: Embedding,
    backbone: Backbone,
    parameters: P2SamParameters = PUBLISHED_MEDICAL,
    prior: Tensor | None = None,
    box: Box | None = None,
) -> Candidate:
    """What the decoder answers to one encoded image without a prompt, in one pass.

    The reference decides nothing; it only gives the candidate's distance. Prior and box are not used.
    """
    with torch.no_grad():
        decoded = backbone.decode(embedding, Prompts(count=1), parameters.multimask)
        logits, iou = pick(decoded)
        mask = image_masks(logits, embedding, backbone.input_size)[0]
        inside = covered_tokens(mask, embedding, backbone.input_size, parameters)
        tokens = embedding.matching[0].flatten(1).T.to(torch.float32)[inside.flatten().to(embedding.matching.device)]
        far = distance(reference.foreground, tokens, parameters)
    return Candidate(
        n=0,
        m=0,
        points=torch.zeros(0, 2, device=logits.device),
        labels=torch.zeros(0, device=logits.device),
        logits=logits[0],
        mask=mask,
        iou=float(iou[0]),
        presence=float(decoded.presence.flatten()[0]) if decoded.presence is not None else None,
        distance=far,
    )
