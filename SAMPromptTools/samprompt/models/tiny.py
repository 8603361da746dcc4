"""The built-in model: small enough to ship, promptable like SAM, trained on synthetic images only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samprompt.models.backbone import Decoded, Embedding, Prompts
from samprompt.models.own_weights import read_own_weights, save_own_weights
from samprompt.models.tiny_decoder import TinyDecoder
from samprompt.models.tiny_encoder import TinyEncoder

ARCHITECTURE = "samprompt-tiny"
ARCHITECTURE_VERSION = "2"
_READABLE = ("1", "2")  # the first version is the second with the decoder of the defaults


class TinyModel(nn.Module):
    """Encoder and decoder with the sizes of one shipped version; ``config`` is what the weights file records."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "widths": (24, 48, 96, 192),
            "blocks": (1, 2, 3, 3),
            "dim": 128,
            "matching_dim": 64,
            "input_size": 128,
            "skips": (32, 16),
            "decoder_blocks": (),
            "ellipse": False,
        }
        self.config.update(config or {})
        c = self.config
        skips = tuple(c["skips"])
        self.encoder = TinyEncoder(tuple(c["widths"]), tuple(c["blocks"]), c["dim"], c["matching_dim"], skips)
        self.decoder = TinyDecoder(c["dim"], c["input_size"], skips, tuple(c["decoder_blocks"]), bool(c["ellipse"]))


class TinyBackbone:
    """``Backbone`` of the built-in model; ``encode`` expects slices k-1, k, k+1 as channels (or grey three times)."""

    uses_neighbours = True
    matching_stride = 4.0
    decodes_pairs = True

    def __init__(self, model: TinyModel, device: torch.device, name: str = "tiny", fingerprint: str = "") -> None:
        self.model = model.to(device).eval()
        self.device, self.name, self.fingerprint = device, name, fingerprint
        self.input_size = int(model.config["input_size"])
        self.mask_size = self.input_size // 2

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Embedding:
        """Encode (B, 3, H, W) in [0, 1]; the longest side is resized to ``input_size``, the rest padded with zeros."""
        height, width = int(images.shape[-2]), int(images.shape[-1])
        scale = self.input_size / max(height, width)
        rows, columns = int(height * scale + 0.5), int(width * scale + 0.5)
        x = images.to(self.device, torch.float32)
        if (rows, columns) != (height, width):
            x = F.interpolate(x, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
        x = F.pad(x, (0, self.input_size - columns, 0, self.input_size - rows))
        tokens, matching, skip4, skip2 = self.model.encoder(x)
        return Embedding(
            tokens, matching, (skip4, skip2), (height, width), (rows / self.input_size, columns / self.input_size)
        )

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: Prompts, multimask: bool = False) -> Decoded:
        """One mask per prompt (the model has no multimask output, so ``multimask`` changes nothing)."""
        n = len(prompts)
        scale = self.input_size / max(embedding.image_shape)
        points = None
        if prompts.points is not None and prompts.labels is not None:
            points = (prompts.points.to(self.device, torch.float32) * scale, prompts.labels.to(self.device))
        boxes = None if prompts.boxes is None else prompts.boxes.to(self.device, torch.float32) * scale
        masks = None if prompts.masks is None else prompts.masks.to(self.device, torch.float32)
        expand = [t.expand(n, -1, -1, -1) for t in (embedding.tokens, *embedding.high_res)]
        logits, iou, presence = self.model.decoder(*expand, points, boxes, masks)
        return Decoded(logits.float(), iou.float()[:, None], presence.float())


def save_tiny(model: TinyModel, path: Path, card: Mapping[str, str] | None = None) -> None:
    """Write the weights as fp16 safetensors with architecture, version, configuration and ``card`` as metadata."""
    save_own_weights(model, model.config, path, ARCHITECTURE, ARCHITECTURE_VERSION, card)


def load_tiny(path: Path, device: torch.device | str = "cpu") -> TinyBackbone:
    """Load the built-in model.

    Raises:
        WeightsMissingError: the file is absent.
        WeightsError: truncated, or of another architecture or architecture version.
    """
    weights = read_own_weights(Path(path), ARCHITECTURE, _READABLE, "The built-in model")
    return TinyBackbone(weights.network(TinyModel), torch.device(device), "tiny", weights.fingerprint)
