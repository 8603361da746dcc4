"""SAM and SAM 2 that run in milliseconds: every part of the real networks, only narrow, shallow and untrained."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

_NARROW_SAM2 = (
    "++model.image_encoder.trunk.embed_dim=24",
    "++model.image_encoder.trunk.stages=[1,1,2,1]",
    "++model.image_encoder.trunk.global_att_blocks=[3]",
    "++model.image_encoder.neck.backbone_channel_list=[192,96,48,24]",
)


def shake(model: torch.nn.Module) -> None:
    """Add noise to every weight: fresh networks have zeros in places (position embeddings) that must not hide."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)


def narrow_sam(
    seed: int,
    *,
    side: int = 128,
    patch: int = 16,
    depth: int = 2,
    width: int = 32,
    heads: int = 2,
    channels: int = 32,
    window: int = 4,
) -> Sam:
    """A SAM for images of ``side`` pixels; the same seed gives the same weights.

    ``depth`` blocks of ``width`` numbers encode patches of ``patch`` pixels, the second block with attention among all
    of them, the others in windows of ``window`` patches; the decoder has ``channels`` numbers.
    """
    tokens = side // patch
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = Sam(
            ImageEncoderViT(
                img_size=side, patch_size=patch, depth=depth, embed_dim=width, num_heads=heads, out_chans=channels,
                qkv_bias=True, use_rel_pos=True, window_size=window, global_attn_indexes=(1,),
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            ),
            PromptEncoder(channels, (tokens, tokens), (side, side), 16),
            MaskDecoder(
                transformer_dim=channels,
                transformer=TwoWayTransformer(depth=2, embedding_dim=channels, mlp_dim=64, num_heads=4),
            ),
        )  # fmt: skip
        shake(model)
    return model


def narrow_sam2(side: int, *, stable_mask: bool = True) -> Any:
    """SAM 2.1 for images of ``side`` pixels with a quarter of the width and few blocks, every kind of block in it.

    With ``stable_mask``, as SAM 2's own builder has it, an unstable single mask is replaced by one of the three others.

    Raises:
        ImportError: sam2 is not installed.
    """
    from sam2.build_sam import build_sam2

    return build_sam2(
        "configs/sam2.1/sam2.1_hiera_t.yaml",
        device="cpu",
        hydra_overrides_extra=[f"++model.image_size={side}", *_NARROW_SAM2],
        apply_postprocessing=stable_mask,
    )
