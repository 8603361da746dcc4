"""Cutting a set of prompts into batches and joining the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from samprompt.models.backbone import Decoded, Prompts

Slice = Prompts  # a part of a set of prompts is a set of prompts


@dataclass(frozen=True)
class SlicedPrompts:
    """A set of prompts with a length that can be cut, for ``with_smaller_batches``.

    Prompts that say nothing (``count`` alone) all get the same answer: they are decoded once and have length one.
    """

    prompts: Prompts

    def __len__(self) -> int:
        return min(len(self.prompts), 1) if is_blank(self.prompts) else len(self.prompts)

    def __getitem__(self, index: slice, /) -> Slice:
        if is_blank(self.prompts):
            return replace(self.prompts, count=1)
        points, labels, boxes, masks = (
            None if part is None else part[index]
            for part in (self.prompts.points, self.prompts.labels, self.prompts.boxes, self.prompts.masks)
        )
        return Prompts(points, labels, boxes, masks)


def is_blank(prompts: Prompts) -> bool:
    """Whether there is neither a point, a box nor a mask."""
    return prompts.points is None and prompts.boxes is None and prompts.masks is None


def slices(prompts: Prompts) -> SlicedPrompts:
    """``prompts`` as something that can be cut.

    Raises:
        ValueError: the parts are not of one length, or points come without labels.
    """
    if (prompts.points is None) != (prompts.labels is None):
        raise ValueError("points and labels belong together")
    parts = [p for p in (prompts.points, prompts.labels, prompts.boxes, prompts.masks) if p is not None]
    if len({int(part.shape[0]) for part in parts}) > 1:
        raise ValueError(f"prompts of different lengths: {[tuple(part.shape) for part in parts]}")
    if len(prompts) == 0:
        raise ValueError("no prompt was given (use count for decoding without a prompt)")
    return SlicedPrompts(prompts)


def scaled(points: Tensor, scale: tuple[float, float]) -> Tensor:
    """Points (N, P, 2) with x and y times ``scale``; two numbers, since a tensor of them would be copied to the GPU."""
    return torch.stack((points[..., 0] * scale[0], points[..., 1] * scale[1]), dim=-1)


def join(parts: Sequence[Decoded], prompts: Prompts) -> Decoded:
    """Answers of the pieces as one answer to ``prompts``, in order."""
    presences = [part.presence for part in parts if part.presence is not None]
    answer = Decoded(
        torch.cat([part.logits for part in parts]),
        torch.cat([part.iou for part in parts]),
        torch.cat(presences) if presences else None,
    )
    if not is_blank(prompts):
        return answer
    n = len(prompts)
    return Decoded(
        answer.logits.expand(n, -1, -1, -1),
        answer.iou.expand(n, -1),
        None if answer.presence is None else answer.presence.expand(n),
    )
