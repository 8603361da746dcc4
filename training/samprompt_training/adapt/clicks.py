"""Prompts made from the truth: a click, a noisy box, and clicks on what the last answer got wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from samprompt.models.backbone import mask_to_prompt
from torch import Tensor

from samprompt_training.adapt.schedule import Turn
from samprompt_training.fields import Random
from samprompt_training.prompts import corrupt

NOT_A_POINT = -1  # SAM's label of a padding point
Bool = NDArray[np.bool_]
OfSample = Callable[[int], np.random.Generator]


@dataclass(frozen=True)
class Given:
    """Prompts of B images, one prompt each; coordinates are pixels of the image, centres at integer + 0.5.

    ``points`` (B, P, 2) x, y with ``labels`` (B, P): 1 positive, 0 negative, -1 no point; ``boxes`` (B, 4)
    x0, y0, x1, y1; ``masks`` (B, 1, m, m) logits.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None

    @property
    def nothing(self) -> bool:
        """Whether there is no prompt at all."""
        return self.points is None and self.boxes is None and self.masks is None


def first_prompts(
    turn: Turn,
    target: Tensor,
    of_sample: OfSample,
    box_noise: float,
    most_noise: float,
    mask_size: int = 0,
) -> Given:
    """Prompts of the first iteration for the truth ``target`` (B, 1, H, W).

    A point is drawn uniformly from the structure. Each edge of the tight box is moved by normal noise with an SD of
    ``box_noise`` of the box's side, at most ``most_noise`` pixels (SAM's training, arXiv 2304.02643, appendix A). Where
    the structure is absent there is no point, and the box is the whole image. "prior" (not part of the published
    schedule) is the truth moved, warped, scaled or cut, as a mask prompt of ``mask_size``.
    """
    masks = _as_numpy(target)
    if turn.first == "point":
        drawn = [draw_points(mask, np.zeros_like(mask), 1, of_sample(i)) for i, mask in enumerate(masks)]
        return Given(*_stacked(drawn, target.device))
    if turn.first == "box":
        boxes = [noisy_box(mask, of_sample(i), box_noise, most_noise) for i, mask in enumerate(masks)]
        return Given(boxes=torch.from_numpy(np.stack(boxes)).to(target.device))
    if turn.first == "prior":
        wrong = [
            corrupt(Random(int(of_sample(i).integers(2**31)), torch.device("cpu")), one.cpu())
            for i, one in enumerate(target[:, None])
        ]
        return Given(masks=mask_to_prompt(torch.cat(wrong).to(target.device), mask_size))
    return Given()


def next_prompts(turn: Turn, target: Tensor, answer: Tensor, logits: Tensor, of_sample: OfSample) -> Given:
    """Prompts after an answer (B, 1, H, W) of 0 and 1: the low-resolution ``logits``, and clicks on its errors."""
    if turn.mask_only:
        return Given(masks=logits)
    truths, answers = _as_numpy(target), _as_numpy(answer)
    drawn = [
        draw_points(*_errors(truth, found), turn.points, of_sample(i))
        for i, (truth, found) in enumerate(zip(truths, answers, strict=True))
    ]
    points, labels = _stacked(drawn, target.device)
    return Given(points, labels, None, logits)


def draw_points(missed: Bool, extra: Bool, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    """``count`` points drawn uniformly from ``missed`` (label 1) and ``extra`` (label 0) together.

    Returns coordinates (count, 2) x, y and labels (count,), which are -1 where both masks are empty.
    """
    rows, columns = np.nonzero(missed | extra)
    if not len(rows):
        return np.zeros((count, 2), np.float32), np.full(count, NOT_A_POINT, np.float32)
    chosen = rng.integers(len(rows), size=count)
    y, x = rows[chosen], columns[chosen]
    return np.stack((x + 0.5, y + 0.5), axis=1).astype(np.float32), missed[y, x].astype(np.float32)


def noisy_box(mask: Bool, rng: np.random.Generator, noise: float, most: float) -> NDArray[np.float32]:
    """The tight box of ``mask`` (edges of pixels) with noise on each edge, inside the image."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.array([0, 0, width, height], np.float32)
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    sides = np.tile(box[2:] - box[:2], 2)
    box += np.clip(rng.normal(size=4) * noise * sides, -most, most)
    box = np.clip(box, 0, [width, height, width, height])
    return box.astype(np.float32)


def _errors(truth: Bool, found: Bool) -> tuple[Bool, Bool]:
    """What was missed and what is too much; a perfect answer is confirmed by a point of the structure."""
    missed, extra = truth & ~found, found & ~truth
    return (missed, extra) if missed.any() or extra.any() else (truth, extra)


def _as_numpy(masks: Tensor) -> list[Bool]:
    return list((masks[:, 0].detach() > 0.5).cpu().numpy())


def _stacked(drawn: list[tuple[NDArray[np.float32], ...]], device: torch.device) -> tuple[Tensor, Tensor]:
    points, labels = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*drawn, strict=True))
    return points, labels
