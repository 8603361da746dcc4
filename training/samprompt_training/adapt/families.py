"""SAM, SAM 2's image path and the built-in model with gradients: one image and one prompt each, in batches.

The backbones of ``samprompt.models`` compute the same without gradients; tests compare the two.
"""

from __future__ import annotations

import torch
from samprompt.contract.errors import ParameterError
from samprompt.models.backbone import Backbone
from samprompt.models.sam import SamBackbone
from samprompt.models.sam2 import Sam2Backbone
from samprompt.models.tiny import TinyBackbone
from torch import Tensor, nn

from samprompt_training.adapt.clicks import Given
from samprompt_training.adapt.family import Anatomy, Family, Features
from samprompt_training.adapt.losses import Answer

__all__ = ["Anatomy", "Family", "Features", "family_of"]
LOGIT_LIMIT = 32.0  # SAM2ImagePredictor hands on low-resolution logits within this


class SamFamily(Family):
    """SAM (and MedSAM, whose encoder takes values in [0, 1])."""

    anatomy = Anatomy(
        encoder=("image_encoder.blocks.", "image_encoder.pos_embed"),
        patch_embedding=("image_encoder.patch_embed.",),
        neck=("image_encoder.neck.",),
        prompt_encoder=("prompt_encoder.",),
        decoder=("mask_decoder.",),
        blocks="image_encoder.blocks",
        attention=(r"image_encoder\.blocks\.\d+\.attn\.qkv",),
        stopped=("prompt_encoder.not_a_point_embed.weight", "prompt_encoder.no_mask_embed.weight"),
    )

    def __init__(self, backbone: SamBackbone) -> None:
        super().__init__(backbone)
        self.unit_range = backbone.unit_range

    def _prepared(self, pictures: Tensor) -> Tensor:
        if self.unit_range:
            return self._padded(pictures)
        prepared: Tensor = self.network.preprocess(pictures * 255.0)  # pads too, after its mean and spread
        return prepared

    def _encoded(self, squares: Tensor) -> Features:
        return (self.network.image_encoder(squares),)

    def decode(self, features: Features, given: Given, side: int) -> Answer:
        (tokens,) = features
        points, boxes = _scaled(given, self.input_size / side)
        sparse, dense = self.network.prompt_encoder(points, boxes, given.masks)
        if len(sparse) != len(tokens):  # without any prompt it answers for one image
            sparse, dense = (t.expand(len(tokens), *t.shape[1:]) for t in (sparse, dense))
        # SAM's decoder repeats one image for many prompts. It adds the dense part to the image first, so images that
        # differ are handed in with the dense part, on top of an empty image.
        logits, iou = self.network.mask_decoder(
            image_embeddings=torch.zeros_like(tokens[:1]),
            image_pe=self.network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense + tokens,
            multimask_output=False,
        )
        return Answer(logits, iou[:, 0])

    def backbone(self, device: torch.device) -> Backbone:
        return SamBackbone(self.network, device, unit_range=self.unit_range)


class Sam2Family(Family):
    """SAM 2.1 on single images; its memory of earlier frames is left alone."""

    anatomy = Anatomy(
        encoder=("image_encoder.trunk.blocks.", "image_encoder.trunk.pos_embed"),
        patch_embedding=("image_encoder.trunk.patch_embed.",),
        neck=("image_encoder.neck.",),
        prompt_encoder=("sam_prompt_encoder.",),
        decoder=("sam_mask_decoder.",),
        blocks="image_encoder.trunk.blocks",
        attention=(r"image_encoder\.trunk\.blocks\.\d+\.attn\.qkv",),
        stopped=("sam_prompt_encoder.not_a_point_embed.weight", "sam_prompt_encoder.no_mask_embed.weight"),
    )
    stretches = True

    def __init__(self, backbone: Sam2Backbone) -> None:
        super().__init__(backbone)
        self.single_mask = backbone.single_mask
        self.mean, self.spread = backbone._mean, backbone._spread

    def _prepared(self, pictures: Tensor) -> Tensor:
        return (pictures - self.mean.to(pictures.device)) / self.spread.to(pictures.device)

    def _encoded(self, squares: Tensor) -> Features:
        levels = list(self.network.forward_image(squares)["backbone_fpn"][-self.network.num_feature_levels :])
        if self.network.directly_add_no_mem_embed:
            levels[-1] = levels[-1] + self.network.no_mem_embed.view(1, -1, 1, 1)
        return tuple(reversed(levels))

    def decode(self, features: Features, given: Given, side: int) -> Answer:
        tokens, *skips = features
        points, boxes = _scaled(given, self.input_size / side)
        if boxes is not None:  # corners are points labelled 2 and 3, as SAM 2 was trained
            points = (boxes.reshape(-1, 2, 2), torch.tensor([[2, 3]], device=boxes.device).expand(len(boxes), -1))
        masks = None if given.masks is None else given.masks.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        sparse, dense = self.network.sam_prompt_encoder(points=points, boxes=None, masks=masks)
        if len(sparse) != len(tokens):
            sparse, dense = (t.expand(len(tokens), *t.shape[1:]) for t in (sparse, dense))
        # predict_masks, since forward may choose another mask by stability when not training
        logits, iou, _, presence = self.network.sam_mask_decoder.predict_masks(
            image_embeddings=tokens,
            image_pe=self.network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            repeat_image=False,
            high_res_features=skips[::-1],
        )
        return Answer(logits[:, :1], iou[:, 0], presence[:, 0])

    def backbone(self, device: torch.device) -> Backbone:
        backbone = Sam2Backbone(self.network, device)
        if self.single_mask:
            backbone.answer_with_single_mask()
        return backbone


class TinyFamily(Family):
    """The built-in model; its three channels are slices k-1, k, k+1."""

    anatomy = Anatomy(
        encoder=("encoder.stages.",),
        patch_embedding=("encoder.stem",),
        neck=("encoder.",),  # whatever is neither stages nor stem
        prompt_encoder=("decoder.sparse.", "decoder.dense"),
        decoder=("decoder.",),
        blocks="encoder.stages",
        # the head of the matching tokens gets no gradient from masks
        attention=(r"encoder\.(?!matching|top4|lateral4).*",),
        stopped=("decoder.sparse.not_a_point_embed.weight", "decoder.sparse.no_mask_embed.weight"),
        kinds=(nn.Conv2d,),
    )
    uses_neighbours = True

    def _prepared(self, pictures: Tensor) -> Tensor:
        return self._padded(pictures)

    def _encoded(self, squares: Tensor) -> Features:
        tokens, _matching, *skips = self.network.encoder(squares)
        return (tokens, *skips)

    def decode(self, features: Features, given: Given, side: int) -> Answer:
        points, boxes = _scaled(given, self.input_size / side)
        return Answer(*self.network.decoder(*features, points, boxes, given.masks))

    def backbone(self, device: torch.device) -> Backbone:
        return TinyBackbone(self.network, device)

    def blocks(self) -> list[nn.Module]:
        return [block for stage in super().blocks() for block in stage]  # type: ignore[attr-defined]


def family_of(backbone: Backbone) -> Family:
    """The family of a loaded model.

    Raises:
        ParameterError: it cannot be adapted.
    """
    kinds: tuple[tuple[type, type[Family]], ...] = (
        (SamBackbone, SamFamily),
        (Sam2Backbone, Sam2Family),
        (TinyBackbone, TinyFamily),
    )
    for kind, family in kinds:
        if isinstance(backbone, kind):
            return family(backbone)
    raise ParameterError(f'"{backbone.name}" cannot be adapted.', "Choose a SAM, SAM 2.1 or the built-in model.")


def _scaled(given: Given, scale: float) -> tuple[tuple[Tensor, Tensor] | None, Tensor | None]:
    """Points with labels, and boxes, in pixels of the input square."""
    points = None
    if given.points is not None and given.labels is not None:
        points = (given.points * scale, given.labels)
    return points, None if given.boxes is None else given.boxes * scale
