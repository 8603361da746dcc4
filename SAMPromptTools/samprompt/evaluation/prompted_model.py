"""What a model answers to each kind of prompt, as masks on the slice's own pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from samprompt.evaluation.prompted_clicks import Click, next_click
from samprompt.evaluation.prompted_crop import Crop, cut
from samprompt.evaluation.prompted_parameters import PromptedParameters
from samprompt.evaluation.prompted_pieces import Mask, Piece, tight_box
from samprompt.models.backbone import Backbone, Decoded, Prompts, logits_to_image
from samprompt.space.volume import Volume
from samprompt.space.windows import Window

BOX, CLICK, CLICKS, PRIOR, NOTHING = "box", "one click", "three clicks", "corrupted prior", "no prompt"
PROMPTS = (BOX, CLICK, CLICKS, PRIOR, NOTHING)


@dataclass(frozen=True, eq=False)
class Answer:
    """A model's mask (H, W) for a ``prompt``; ``crop_side`` in the image's unit; ``presence`` logit, NaN without."""

    prompt: str
    mask: Mask
    crop_side: float
    presence: float


@torch.inference_mode()
def answers(
    backbone: Backbone, volume: Volume, window: Window, piece: Piece, prior: Mask, parameters: PromptedParameters
) -> Iterator[Answer]:
    """The answers to every prompt of ``PROMPTS``, in one pass each (three for three clicks).

    Box, clicks and no prompt share the crop round the box as it was drawn. The prior has a crop of its own, round its
    own box: whoever has a wrong prior does not know where the truth lies.
    """
    crop = cut(volume, window, piece.k, piece.box, backbone, parameters)
    yield _answer(BOX, backbone, crop, Prompts(boxes=crop.box(piece.box)))[0]
    yield from _clicked(backbone, crop, piece.mask, volume.grid.spacing_kji[1:], parameters.corrections)
    around = cut(volume, window, piece.k, tight_box(prior), backbone, parameters)
    yield _answer(PRIOR, backbone, around, Prompts(masks=around.mask(prior, backbone.mask_size)))[0]
    yield _answer(NOTHING, backbone, crop, Prompts(count=1))[0]


def _clicked(
    backbone: Backbone, crop: Crop, truth: Mask, spacing: NDArray[np.float64], corrections: int
) -> Iterator[Answer]:
    """After the first click and after the last; each call is given all clicks so far and the logits of the one before.

    A perfect answer is not clicked on again.
    """
    clicks: list[Click] = []
    answer, decoded = None, None
    for number in range(1 + corrections):
        shown = np.zeros_like(truth) if answer is None else answer.mask
        click = next_click(truth, shown, spacing)
        if click is not None:
            clicks.append(click)
            places = crop.places(np.array([(c.x, c.y) for c in clicks]))
            prompts = Prompts(
                torch.from_numpy(places).float()[None],
                torch.tensor([[int(c.positive) for c in clicks]]),
                masks=None if decoded is None else decoded.logits[:, :1],
            )
            answer, decoded = _answer(CLICK if number == 0 else CLICKS, backbone, crop, prompts)
        assert answer is not None
        if number in (0, corrections):
            yield Answer(CLICK if number == 0 else CLICKS, answer.mask, answer.crop_side, answer.presence)


def _answer(prompt: str, backbone: Backbone, crop: Crop, prompts: Prompts) -> tuple[Answer, Decoded]:
    decoded = backbone.decode(crop.embedding, prompts)
    logits = logits_to_image(decoded.logits[:, :1].float(), crop.embedding, backbone.input_size)[0, 0]
    presence = float("nan") if decoded.presence is None else float(decoded.presence[0])
    return Answer(prompt, crop.back(logits.cpu().numpy()), crop.side, presence), decoded
