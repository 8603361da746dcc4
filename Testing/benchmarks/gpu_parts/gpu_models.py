"""The models that are measured: with random weights, which take as long, where theirs do not come with the package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from samprompt.contract.errors import EnvironmentProblem
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).resolve().parents[2] / "helpers"))

FULL = ("tiny", "vit_b", "vit_l", "vit_h", "sam2.1_hiera_base_plus", "sam2.1_hiera_large")
SMALL = ("tiny", "small SAM", "small SAM 2")  # every kind of layer of the real ones, in milliseconds on a CPU


def build(name: str, device: torch.device) -> Any:
    """The backbone called ``name`` (of ``FULL`` or ``SMALL``) on ``device``.

    Raises:
        EnvironmentProblem: a package is missing.
    """
    try:
        from samprompt.models.registry import load_backbone
        from samprompt.models.sam import SamBackbone
        from samprompt.models.sam2 import Sam2Backbone
    except ImportError as error:
        raise EnvironmentProblem(f"{name} needs a package that is missing ({error}).") from error
    if name == "tiny":
        return load_backbone("tiny", device)
    model = network(name)
    kind = Sam2Backbone if "sam2" in name or name == "small SAM 2" else SamBackbone
    return kind(model, device, name)


def network(name: str) -> nn.Module:
    """The network with random weights, the same at each call, on the CPU.

    Raises:
        EnvironmentProblem: a package is missing.
    """
    torch.manual_seed(0)
    try:
        if name == "small SAM":
            from small_sam import small_sam

            return small_sam().requires_grad_(True)
        if name == "small SAM 2":
            from narrow_networks import narrow_sam2

            # Which of four masks is stable would turn on rounding, which differs between devices.
            return narrow_sam2(256, stable_mask=False)
        if name.startswith("sam2"):
            from samprompt.models.sam2 import build_sam2_model

            return build_sam2_model(name)
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise EnvironmentProblem(f"{name} needs a package that is missing ({error}).") from error
    return sam_model_registry[name]()


def encoder_of(model: Any) -> Callable[[Tensor], Any]:
    """What takes images (B, 3, S, S) at the input size: the image encoder, with SAM 2's feature pyramid."""
    if hasattr(model, "forward_image"):
        return model.forward_image
    return model.image_encoder if hasattr(model, "image_encoder") else model.encoder


def encoder_parameters(model: Any) -> float:
    """Millions of parameters of the image encoder."""
    encoder = model.image_encoder if hasattr(model, "image_encoder") else model.encoder
    return sum(p.numel() for p in encoder.parameters()) / 1e6


def gmac(model: Any, side: int) -> float:
    """Thousand millions of multiply-adds that the encoder needs for one image; on any device, "meta" too."""
    device = next(model.parameters()).device
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        encoder_of(model)(torch.zeros(1, 3, side, side, device=device))
    return counter.get_total_flops() / 2e9


def count_only(name: str, side: int = 1024) -> tuple[float, float]:
    """Millions of parameters and ``gmac`` of a model of ``FULL``, without computing anything.

    Raises:
        EnvironmentProblem: a package is missing.
    """
    if name.startswith("vit"):
        with torch.device("meta"):  # weights of ViT-H take seconds to draw, and 2.5 GB
            model: Any = network(name).eval()
    else:
        model = network(name).eval().to("meta")
    return encoder_parameters(model), gmac(model, side)
