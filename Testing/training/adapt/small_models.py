"""Networks that run in milliseconds, a recipe for them, and discs on noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from samprompt.models.sam import SamBackbone
from samprompt.models.tiny import TinyBackbone, TinyModel
from samprompt_training.adapt.families import Family, family_of
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.core.task import Draws
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

CPU = torch.device("cpu")
SMALL_TINY = {"widths": (8, 8, 16, 16), "blocks": (1, 1, 2, 2), "dim": 64, "matching_dim": 16, "input_size": 64}
SHORT = {
    "seed": 3, "steps": 4, "batch": 2, "learning_rate": 1e-3, "weight_decay": 0.01, "validate_every": 2,
    "checkpoint_every": 2,
}  # fmt: skip


def small_sam(seed: int = 1) -> Sam:
    """A SAM of 128 pixels with two thin blocks: every part of the real one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Sam(
            ImageEncoderViT(
                img_size=128, depth=3, embed_dim=32, num_heads=2, out_chans=32, qkv_bias=True, use_rel_pos=True,
                window_size=4, global_attn_indexes=(1,), norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            ),
            PromptEncoder(32, (8, 8), (128, 128), 16),
            MaskDecoder(
                transformer_dim=32, transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=4)
            ),
        )  # fmt: skip
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn(parameter.shape)
    return model


def sam_family(seed: int = 1, unit_range: bool = False) -> Family:
    return family_of(SamBackbone(small_sam(seed), CPU, unit_range=unit_range))


def tiny_family(seed: int = 1) -> Family:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TinyModel(SMALL_TINY)
    return family_of(TinyBackbone(model, CPU))


def small_sam2(seed: int = 5) -> Any:
    """SAM 2.1 with a quarter of the width, few blocks and 128 pixels: every kind of block of the real one.

    As SAM 2's own builder gives it, an unstable single mask is replaced by one of the three others.
    """
    pytest.importorskip("sam2", reason="sam2 is not installed (optional)")
    from sam2.build_sam import build_sam2

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_sam2(
            "configs/sam2.1/sam2.1_hiera_t.yaml",
            device="cpu",
            hydra_overrides_extra=[
                "++model.image_size=128",
                "++model.image_encoder.trunk.embed_dim=24",
                "++model.image_encoder.trunk.stages=[1,1,2,1]",
                "++model.image_encoder.trunk.global_att_blocks=[3]",
                "++model.image_encoder.neck.backbone_channel_list=[192,96,48,24]",
            ],
        )
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
    return model


def sam2_family(seed: int = 5) -> Family:
    from samprompt.models.sam2 import Sam2Backbone

    return family_of(Sam2Backbone(small_sam2(seed), CPU))


def recipe(**values: Any) -> AdaptRecipe:
    """A short recipe without drop path."""
    return AdaptRecipe(**(SHORT | {"drop_path": 0.0} | values))


def draws(step: int = 0, iteration: int = 0) -> Draws:
    return Draws(5, step, iteration)


def discs(count: int = 2, side: int = 64, seed: int = 0, absent: tuple[int, ...] = ()) -> dict[str, torch.Tensor]:
    """Bright discs on noise with their masks; ``absent`` samples have none."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] + 0.5
    images, masks = [], []
    for n in range(count):
        centre, radius = rng.uniform(0.3 * side, 0.7 * side, 2), rng.uniform(0.12, 0.25) * side
        mask = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2) & (n not in absent)
        images.append(np.clip(0.3 + 0.4 * mask + 0.05 * rng.normal(size=(side, side)), 0, 1))
        masks.append(mask)
    image = torch.from_numpy(np.stack(images)).float()[:, None].expand(-1, 3, -1, -1).contiguous()
    return {"image": image, "mask": torch.from_numpy(np.stack(masks)).float()[:, None]}


def run_step(trained: torch.nn.Module, batch: dict[str, torch.Tensor], optimiser: torch.optim.Optimizer | None, step=0):
    """One batch through all its iterations, an update in each; the losses, in order."""
    carried, losses = None, []
    for iteration in range(trained.iterations):
        loss, _, carried = trained(batch, draws(step, iteration), carried)
        losses.append(float(loss.detach()))
        if optimiser is not None:
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
    return losses
