"""What every promptable model offers: encode images once, decode many prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Embedding:
    """Encoded images of one batch; index it to get one image.

    Shapes: ``tokens`` (B, C, h, w) is what the decoder reads; ``matching`` (B, D, hm, wm) is what images are compared
    with (for SAM the same tensor as ``tokens``); ``high_res`` are the decoder's skip features, finest last.
    ``image_shape`` (H, W) is the size of the images given to ``encode``; ``valid`` is the fraction of the token grid's
    height and width that holds image (below 1 where a non-square image was padded at the bottom or right).
    ``stretched``: the model resized the image to the square without keeping its aspect, as SAM 2 does (then ``valid``
    is (1, 1) and one token covers H / h by W / w pixels).
    """

    tokens: Tensor
    matching: Tensor
    high_res: tuple[Tensor, ...]
    image_shape: tuple[int, int]
    valid: tuple[float, float]
    stretched: bool = False

    def __len__(self) -> int:
        return int(self.tokens.shape[0])

    def __getitem__(self, index: int | slice) -> Embedding:
        part = slice(index, index + 1) if isinstance(index, int) else index
        return replace(
            self,
            tokens=self.tokens[part],
            matching=self.matching[part],
            high_res=tuple(h[part] for h in self.high_res),
        )


@dataclass(frozen=True)
class Prompts:
    """N independent prompts for one image; all of them have the same number P of points.

    ``points`` (N, P, 2) holds x, y in pixels of the image given to ``encode`` (pixel centres are integers + 0.5 as in
    SAM's frame: x = 0 is the left edge of the image); ``labels`` (N, P) 1 positive, 0 negative; ``boxes`` (N, 4)
    x0, y0, x1, y1 in the same pixels; ``masks`` (N, 1, m, m) logits at the backbone's ``mask_size``. With none of the
    four, ``count`` says how many times the image is decoded without a prompt (empty sparse part, "no mask" dense part).
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None
    count: int = 0

    def __len__(self) -> int:
        for part in (self.points, self.boxes, self.masks):
            if part is not None:
                return int(part.shape[0])
        return self.count


@dataclass(frozen=True)
class Decoded:
    """Answers to N prompts: ``logits`` (N, M, m, m) at ``mask_size``, ``iou`` (N, M) predicted, ``presence`` (N,)

    is the logit of "the object is there" or None where the model has no object score. M = 1, or 3 with multimask.
    """

    logits: Tensor
    iou: Tensor
    presence: Tensor | None = None


class Backbone(Protocol):
    """A promptable model on a device. Implementations are thread-compatible but not thread-safe."""

    name: str
    fingerprint: str  # first 16 hex digits of the SHA-256 of the weights, for provenance
    input_size: int  # side of the square the images are resized to, in pixels
    mask_size: int  # side of the mask logits and of mask prompts
    matching_stride: float  # pixels of the input square per matching token
    uses_neighbours: bool  # True: the three channels are slices k-1, k, k+1; False: grey replicated (or RGB)
    device: torch.device

    def encode(self, images: Tensor) -> Embedding:
        """Encode ``images`` (B, 3, H, W), float in [0, 1]; the longest side is resized to ``input_size``."""
        ...

    def decode(self, embedding: Embedding, prompts: Prompts, multimask: bool = False) -> Decoded:
        """Decode N prompts on one image (``embedding`` of length 1), in one batch.

        A model whose class says ``decodes_pairs = True`` also takes N images: prompt i belongs to image i then.
        """
        ...


def decodes_pairs(backbone: Backbone) -> bool:
    """Whether ``decode`` takes N images with N prompts, as ``Backbone.decode`` describes."""
    return bool(getattr(backbone, "decodes_pairs", False))


def join_embeddings(embeddings: Sequence[Embedding]) -> Embedding:
    """Embeddings of images of one size as one batch."""
    first = embeddings[0]
    if len(embeddings) == 1:
        return first
    return replace(
        first,
        tokens=torch.cat([one.tokens for one in embeddings]),
        matching=torch.cat([one.matching for one in embeddings]),
        high_res=tuple(torch.cat(level) for level in zip(*(one.high_res for one in embeddings), strict=True)),
    )


def logits_to_image(logits: Tensor, embedding: Embedding, input_size: int) -> Tensor:
    """Mask logits (N, M, m, m) to image size (N, M, H, W) as SAM's ``postprocess_masks`` does.

    Bilinear to the input square, padding cut off, bilinear to the image. Where the image was stretched to the square
    (SAM 2): bilinear to the image in one step, as SAM 2's does.
    """
    height, width = embedding.image_shape
    if embedding.stretched:
        return F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
    full = F.interpolate(logits, (input_size, input_size), mode="bilinear", align_corners=False)
    scale = input_size / max(height, width)
    rows, columns = int(height * scale + 0.5), int(width * scale + 0.5)
    return F.interpolate(full[..., :rows, :columns], (height, width), mode="bilinear", align_corners=False)


def mask_to_prompt(mask: Tensor, mask_size: int, magnitude: float = 4.0, stretched: bool = False) -> Tensor:
    """Soft masks (N, 1, H, W) in [0, 1] as mask-prompt logits (N, 1, m, m) within +-``magnitude``.

    The image is padded to a square at the bottom and right first, as the encoder does; not so for an embedding that
    is ``stretched``.
    """
    height, width = mask.shape[-2:]
    side = max(height, width)
    padded = mask if stretched else F.pad(mask, (0, side - width, 0, side - height))
    small = F.interpolate(padded, (mask_size, mask_size), mode="bilinear", align_corners=False, antialias=True)
    return (small * 2.0 - 1.0) * magnitude
