"""Networks that run in milliseconds, a recipe for them, and discs on noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from narrow_networks import narrow_sam, narrow_sam2, shake
from samprompt.models.sam import SamBackbone
from samprompt.models.tiny import TinyBackbone, TinyModel
from samprompt_training.adapt.families import Family, family_of
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.core.task import Draws

CPU = torch.device("cpu")
SMALL_TINY = {"widths": (8, 8, 16, 16), "blocks": (1, 1, 2, 2), "dim": 64, "matching_dim": 16, "input_size": 64}
SHORT = {
    "seed": 3, "steps": 4, "batch": 2, "learning_rate": 1e-3, "weight_decay": 0.01, "validate_every": 2,
    "checkpoint_every": 2,
}  # fmt: skip


def sam_family(seed: int = 1, unit_range: bool = False) -> Family:
    return family_of(SamBackbone(narrow_sam(seed, depth=3), CPU, unit_range=unit_range))


def tiny_family(seed: int = 1) -> Family:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TinyModel(SMALL_TINY)
    return family_of(TinyBackbone(model, CPU))


def small_sam2(seed: int = 5) -> Any:
    """A shaken SAM 2.1 of 128 pixels, whose unstable single mask is replaced as SAM 2's own builder has it."""
    pytest.importorskip("sam2", reason="sam2 is not installed (optional)")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = narrow_sam2(128)
        shake(model)
    return model


def sam2_family(seed: int = 5) -> Family:
    from samprompt.models.sam2 import Sam2Backbone

    return family_of(Sam2Backbone(small_sam2(seed), CPU))


FAMILIES = {"SAM": sam_family, "MedSAM": lambda: sam_family(unit_range=True), "SAM 2": sam2_family, "tiny": tiny_family}


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
