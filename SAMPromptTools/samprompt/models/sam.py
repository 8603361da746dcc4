"""SAM (Kirillov et al., arXiv 2304.02643) through ``segment-anything``: ViT-B, ViT-L, ViT-H, and MedSAM (ViT-B)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from torch import Tensor

from samprompt.models.backbone import Decoded, Embedding, Prompts
from samprompt.models.checkpoint import file_sha256, fit_state, load_state
from samprompt.models.device import autocast, out_of_memory_guard, with_smaller_batches
from samprompt.models.prompts import Slice, join, scaled, slices

MEDSAM = "medsam"
ARCHITECTURES = ("vit_b", "vit_l", "vit_h", MEDSAM)


class SamBackbone:
    """``Backbone`` of a SAM model; gives what ``SamPredictor`` gives for the same image and prompts.

    Images are taken as they are: channels may be RGB or grey three times (``uses_neighbours`` is False, so a caller
    that has slices k-1, k, k+1 repeats the middle one).

    ``unit_range``: the encoder gets values in [0, 1] as they are, not SAM's mean and spread. MedSAM (Ma et al., Nature
    Communications 2024) was trained so, and its weights answer wrongly to the other.
    """

    uses_neighbours = False

    def __init__(
        self, model: Sam, device: torch.device, name: str = "sam", fingerprint: str = "", unit_range: bool = False
    ) -> None:
        self.unit_range = unit_range
        self.model = model.to(device).eval()
        self.device, self.name, self.fingerprint = device, name, fingerprint
        self.input_size = int(model.image_encoder.img_size)
        self.mask_size = int(model.prompt_encoder.mask_input_size[0])
        self.matching_stride = self.input_size / int(model.prompt_encoder.image_embedding_size[0])
        # Measured: ViT-B's encoder holds 2.6 GB per image at 1024 pixels, and a CPU gains nothing from more at once.
        self.encode_batch = 4 if device.type == "cuda" else 1
        # Measured: the decoder holds 46 MB per prompt at 1024 pixels.
        self.decode_batch = 64 if device.type == "cuda" else 16

    def resized_shape(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the image inside the input square (``ResizeLongestSide.get_preprocess_shape``)."""
        scale = self.input_size / max(height, width)
        return int(height * scale + 0.5), int(width * scale + 0.5)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Embedding:
        """Encode (B, 3, H, W) in [0, 1]: longest side to ``input_size`` (bilinear, antialiased), normalise, pad.

        Raises:
            OutOfMemory: not even one image fits.
        """
        height, width = int(images.shape[-2]), int(images.shape[-1])
        rows, columns = self.resized_shape(height, width)

        def one(batch: Tensor) -> Tensor:
            x = batch.to(self.device, torch.float32)
            if (rows, columns) != (height, width):
                x = F.interpolate(x, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
            if self.unit_range:
                x = F.pad(x, (0, self.input_size - columns, 0, self.input_size - rows))
            else:  # SAM's mean and spread count in 0..255; zeros are padded after them
                x = self.model.preprocess(x * 255.0)
            with autocast(self.device):
                tokens: Tensor = self.model.image_encoder(x)
            return tokens.float()

        tokens = torch.cat(with_smaller_batches(one, images, self.encode_batch))
        valid = (rows / self.input_size, columns / self.input_size)
        return Embedding(tokens, tokens, (), (height, width), valid)

    @torch.no_grad()
    def decode(self, embedding: Embedding, prompts: Prompts, multimask: bool = False) -> Decoded:
        """Decode N prompts on one image: logits (N, 1 or 3, 256, 256) at 1024 pixels of input, IoU (N, 1 or 3).

        Points, boxes and masks are combined by SAM's own prompt encoder, which adds its padding point where there are
        points and no box. Coordinates are scaled with the image, as ``ResizeLongestSide.apply_coords`` does.

        Raises:
            OutOfMemory: not even one prompt fits.
        """
        if len(embedding) != 1:
            raise ValueError(f"decode takes one image at a time, {len(embedding)} were given")
        encoder = self.model.prompt_encoder
        place = encoder.get_dense_pe()
        height, width = embedding.image_shape
        rows, columns = self.resized_shape(height, width)
        scale = (columns / width, rows / height)

        def some(part: Slice) -> Decoded:
            points = None
            if part.points is not None and part.labels is not None:
                points = (scaled(part.points.to(self.device, torch.float32), scale), part.labels.to(self.device))
            boxes = None
            if part.boxes is not None:
                boxes = scaled(part.boxes.to(self.device, torch.float32).reshape(-1, 2, 2), scale).reshape(-1, 4)
            masks = None if part.masks is None else part.masks.to(self.device, torch.float32)
            sparse, dense = encoder(points=points, boxes=boxes, masks=masks)
            logits, iou = self.model.mask_decoder(
                image_embeddings=embedding.tokens.to(self.device),
                image_pe=place,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
            )
            return Decoded(logits.float(), iou.float())

        return join(with_smaller_batches(some, slices(prompts), self.decode_batch), prompts)


def load_sam(
    path: Path, device: torch.device | str, architecture: str = "vit_b", name: str = "", fingerprint: str = ""
) -> SamBackbone:
    """Load an official SAM checkpoint, or one of the same format; ``fingerprint`` is computed when not given.

    ``architecture`` is "vit_b", "vit_l", "vit_h", or "medsam": ViT-B that takes values in [0, 1].

    Raises:
        WeightsError: unreadable, unsafe, or weights of another architecture.
        OutOfMemory: the model does not fit into the device's memory.
    """
    with out_of_memory_guard(f"Loading {name or architecture}"):
        state = load_state(path)
        model = sam_model_registry["vit_b" if architecture == MEDSAM else architecture]()
        fit_state(model, state, path, architecture)
        digest = fingerprint or file_sha256(path)[:16]
        return SamBackbone(model, torch.device(device), name or architecture, digest, unit_range=architecture == MEDSAM)
