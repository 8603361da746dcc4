"""What a network has to offer to be adapted: where its parts are, and its steps with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from samprompt.models.backbone import Backbone
from torch import Tensor, nn

from samprompt_training.adapt.clicks import Given
from samprompt_training.adapt.frames import held, longest_side, resized, stretched
from samprompt_training.adapt.losses import Answer

Features = tuple[Tensor, ...]


@dataclass(frozen=True)
class Anatomy:
    """Where the parts of a network are: beginnings of parameter names, and the encoder's blocks in order of depth.

    ``attention`` are regular expressions of the layers that LoRA changes by default, ``kinds`` what these layers are;
    ``stopped`` the embeddings "not a point" and "no mask".
    """

    encoder: tuple[str, ...]
    patch_embedding: tuple[str, ...]
    neck: tuple[str, ...]
    prompt_encoder: tuple[str, ...]
    decoder: tuple[str, ...]
    blocks: str
    attention: tuple[str, ...]
    stopped: tuple[str, ...]
    kinds: tuple[type[nn.Module], ...] = (nn.Linear,)


class Family:
    """A network of one family with the steps that training needs.

    ``network`` has the official tensor names; images are squares (B, 3, S, S) in [0, 1] of any size, each with a
    picture at its top left. Where a picture does not fill its square, ``extent`` (B, 2) says its rows and columns
    (None: all are full), and the network gets it as from a user, who has no padding.

    ``stretches``: the network sees every picture stretched to the square. Then truths and prompts are those of the
    stretched picture (``framed``), as in SAM 2's own training. ``single_mask``: ``backbone`` answers with the mask that
    is trained alone, as adapted weights are loaded; not so before a training, when the model is what it was.
    """

    anatomy: ClassVar[Anatomy]
    uses_neighbours: ClassVar[bool] = False
    stretches: ClassVar[bool] = False
    single_mask: bool = False

    def __init__(self, backbone: Any) -> None:
        self.network: Any = backbone.model
        self.input_size: int = backbone.input_size
        self.mask_size: int = backbone.mask_size

    def encode(self, images: Tensor, extent: Tensor | None = None) -> Features:
        """Tokens and the decoder's skips."""
        full = (self.input_size, self.input_size)
        shapes = held(extent, int(images.shape[-1]))
        if shapes is None:
            return self._encoded(self._prepared(resized(images, full)))
        pictures = [image[None, :, :rows, :columns] for image, (rows, columns) in zip(images, shapes, strict=True)]
        sizes = [full if self.stretches else longest_side(shape, self.input_size) for shape in shapes]
        return self._encoded(
            torch.cat([self._prepared(resized(p, size)) for p, size in zip(pictures, sizes, strict=True)])
        )

    def framed(self, masks: Tensor, extent: Tensor | None) -> Tensor:
        """Truths (B, 1, S, S) of 0 and 1, laid out as the network sees their pictures."""
        shapes = held(extent, int(masks.shape[-1])) if self.stretches else None
        if shapes is None:
            return masks
        return torch.stack([stretched(mask, shape) for mask, shape in zip(masks, shapes, strict=True)])

    def _prepared(self, pictures: Tensor) -> Tensor:
        """Pictures of the network's size as its encoder takes them: normalised, and padded where they are smaller."""
        raise NotImplementedError

    def _encoded(self, squares: Tensor) -> Features:
        """What the encoder makes of them."""
        raise NotImplementedError

    def decode(self, features: Features, given: Given, side: int) -> Answer:
        """Answer prompt i for image i, always as a single mask; ``side`` is S, whose pixels ``given`` counts in."""
        raise NotImplementedError

    def backbone(self, device: torch.device) -> Backbone:
        """The network as the rest of SAMPromptTools sees it (it is moved to ``device`` and put into eval mode)."""
        raise NotImplementedError

    def blocks(self) -> list[nn.Module]:
        """The encoder's blocks, shallowest first."""
        return list(self.network.get_submodule(self.anatomy.blocks))

    def block_names(self) -> list[str]:
        """Their names within the network."""
        names = {id(module): name for name, module in self.network.named_modules()}
        return [names[id(block)] for block in self.blocks()]

    def _padded(self, pictures: Tensor) -> Tensor:
        rows, columns = pictures.shape[-2:]
        return F.pad(pictures, (0, self.input_size - columns, 0, self.input_size - rows))
