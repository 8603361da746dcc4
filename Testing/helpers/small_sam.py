"""The real SAM at a size that runs in milliseconds, with random weights, behind the backbone protocol.

128-pixel input, 16 x 16 tokens of 32 numbers, 64 x 64 logits. Nothing is faked: encoder, prompt encoder and decoder are
those of ``segment_anything``, only narrow and untrained.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from narrow_networks import narrow_sam
from samprompt.models.backbone import Decoded, Embedding, Prompts
from segment_anything.modeling import Sam
from torch import Tensor


def small_sam(seed: int = 0) -> Sam:
    """A random SAM; the same seed gives the same weights."""
    model = narrow_sam(seed, patch=8, heads=4)
    model.eval().requires_grad_(False)
    for layers in model.mask_decoder.output_hypernetworks_mlps:
        # Untrained logits spread over 0.05 only; a trained model's span several units, so do these.
        layers.layers[-1].weight *= 50.0
        layers.layers[-1].bias *= 50.0
    return model


def preprocess(images: Tensor, model: Sam) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] resized by their longest side, normalised and padded to the input square."""
    side = model.image_encoder.img_size
    height, width = images.shape[-2:]
    scale = side / max(height, width)
    rows, columns = int(height * scale + 0.5), int(width * scale + 0.5)
    resized = F.interpolate(images * 255.0, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
    return model.preprocess(resized)


class SmallSamBackbone:
    """``segment_anything.Sam`` of any size as a ``Backbone``; ``sam`` is open for tests that go round the protocol."""

    name = "small-sam"
    fingerprint = "0" * 16
    uses_neighbours = False

    def __init__(self, model: Sam) -> None:
        self.sam = model
        self.device = torch.device("cpu")
        self.input_size = int(model.image_encoder.img_size)
        self.mask_size = int(model.prompt_encoder.mask_input_size[0])
        self.matching_stride = self.input_size / model.prompt_encoder.image_embedding_size[0]
        self.encoded = 0  # images seen by the encoder
        self.decoder_calls = 0

    @torch.no_grad()
    def encode(self, images: Tensor) -> Embedding:
        height, width = (int(size) for size in images.shape[-2:])
        tokens = self.sam.image_encoder(preprocess(images, self.sam))
        self.encoded += len(images)
        side = max(height, width)
        return Embedding(tokens, tokens, (), (height, width), (height / side, width / side))

    @torch.no_grad()
    def decode(self, embedding: Embedding, prompts: Prompts, multimask: bool = False) -> Decoded:
        self.decoder_calls += 1
        # SAM's prompt encoder adds half a pixel to every coordinate; the protocol's coordinates are there already.
        scale = self.input_size / max(embedding.image_shape)
        points = None
        if prompts.points is not None:
            points = (prompts.points * scale - 0.5, prompts.labels)
        boxes = prompts.boxes * scale - 0.5 if prompts.boxes is not None else None
        sparse, dense = self.sam.prompt_encoder(points, boxes, prompts.masks)
        if points is None and boxes is None and prompts.masks is None:
            sparse = sparse.expand(len(prompts), -1, -1)
            dense = dense.expand(len(prompts), -1, -1, -1)
        logits, iou = self.sam.mask_decoder(
            image_embeddings=embedding.tokens,
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        return Decoded(logits, iou)
