"""SAM 2.1 (Ravi et al., arXiv 2408.00714) on single images through ``sam2``, as its ``SAM2ImagePredictor`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from samprompt.contract.errors import EnvironmentProblem
from samprompt.models.backbone import Decoded, Embedding, Prompts
from samprompt.models.checkpoint import file_sha256, fit_state, load_state, safetensors_metadata
from samprompt.models.device import autocast, out_of_memory_guard, with_smaller_batches
from samprompt.models.prompts import Slice, join, scaled, slices

CONFIGURATIONS = {
    "sam2.1_hiera_tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1_hiera_small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1_hiera_base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1_hiera_large": "configs/sam2.1/sam2.1_hiera_l.yaml",
}
ARCHITECTURES = tuple(CONFIGURATIONS)

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # sam2.utils.transforms.SAM2Transforms
_ONE_MASK = {"masks": "single"}  # the note in files of adapted weights
_LOGIT_LIMIT = 32.0  # SAM2ImagePredictor hands on low-resolution logits within this


class Sam2Backbone:
    """``Backbone`` of a SAM 2.1 image model; gives what ``SAM2ImagePredictor`` gives for the same image and prompts.

    SAM 2 resizes an image to the square without keeping its aspect; so does this, and says so in
    ``Embedding.stretched``. ``Decoded.presence`` is SAM 2's object score. Low-resolution logits are kept within +-32,
    as the predictor hands them on for the next pass.

    ``single_mask``: every answer is the mask of the single mask token. The predictor replaces such a mask by one of the
    three others where it is unstable; an adaptation trains the single one alone, and the others would answer as if
    there had been none. Adapted weights are therefore loaded so (``answer_with_single_mask``).
    """

    uses_neighbours = False

    def __init__(self, model: Any, device: torch.device, name: str = "sam2.1", fingerprint: str = "") -> None:
        self.model = model.to(device).eval()
        self.device, self.name, self.fingerprint = device, name, fingerprint
        self.single_mask = False
        self.input_size = int(model.image_size)
        self.mask_size = int(model.sam_prompt_encoder.mask_input_size[0])
        self.matching_stride = float(model.backbone_stride)
        self.encode_batch = 8 if device.type == "cuda" else 1
        self.decode_batch = 64 if device.type == "cuda" else 16
        self._mean = torch.tensor(_MEAN, device=device).view(1, 3, 1, 1)
        self._spread = torch.tensor(_SPREAD, device=device).view(1, 3, 1, 1)

    def answer_with_single_mask(self) -> None:
        """From here on there is no choice among masks, and ``multimask`` changes nothing."""
        self.single_mask = True
        self.model.sam_mask_decoder.dynamic_multimask_via_stability = False

    @torch.no_grad()
    def encode(self, images: Tensor) -> Embedding:
        """Encode (B, 3, H, W) in [0, 1]: resize to the square (bilinear, antialiased), normalise.

        Raises:
            OutOfMemory: not even one image fits.
        """
        height, width = int(images.shape[-2]), int(images.shape[-1])

        def one(batch: Tensor) -> tuple[Tensor, ...]:
            x = batch.to(self.device, torch.float32)
            square = (self.input_size, self.input_size)
            if (height, width) != square:
                x = F.interpolate(x, square, mode="bilinear", align_corners=False, antialias=True)
            with autocast(self.device):
                found = self.model.forward_image((x - self._mean) / self._spread)
            # Coarsest last, as many levels as the decoder reads.
            levels = [level.float() for level in found["backbone_fpn"][-self.model.num_feature_levels :]]
            if self.model.directly_add_no_mem_embed:  # "no earlier frame", as in training on single images
                levels[-1] = levels[-1] + self.model.no_mem_embed.view(1, -1, 1, 1)
            return tuple(reversed(levels))

        pieces = with_smaller_batches(one, images, self.encode_batch)
        tokens, *high_res = (torch.cat(level) for level in zip(*pieces, strict=True))
        return Embedding(tokens, tokens, tuple(high_res), (height, width), (1.0, 1.0), stretched=True)

    @torch.no_grad()
    def decode(self, embedding: Embedding, prompts: Prompts, multimask: bool = False) -> Decoded:
        """Decode N prompts on one image: logits (N, 1 or 3, 256, 256) at 1024 pixels of input, IoU, object score (N,).

        A box is given to the prompt encoder as two corner points before the others, as SAM 2 was trained.

        Raises:
            OutOfMemory: not even one prompt fits.
        """
        if len(embedding) != 1:
            raise ValueError(f"decode takes one image at a time, {len(embedding)} were given")
        encoder = self.model.sam_prompt_encoder
        place = encoder.get_dense_pe()
        height, width = embedding.image_shape
        scale = (self.input_size / width, self.input_size / height)
        tokens = embedding.tokens.to(self.device)
        skips = [skip.to(self.device) for skip in reversed(embedding.high_res)]  # the decoder wants the finest first

        def some(part: Slice) -> Decoded:
            coordinates, labels = self._points(part, scale)
            sparse, dense = encoder(
                points=None if coordinates is None else (coordinates, labels),
                boxes=None,
                masks=None if part.masks is None else part.masks.to(self.device, torch.float32),
            )
            logits, iou, _, presence = self.model.sam_mask_decoder(
                image_embeddings=tokens,
                image_pe=place,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask and not self.single_mask,
                repeat_image=True,
                high_res_features=skips,
            )
            return Decoded(logits.float().clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT), iou.float(), presence[:, 0].float())

        return join(with_smaller_batches(some, slices(prompts), self.decode_batch), prompts)

    def _points(self, part: Slice, scale: tuple[float, float]) -> tuple[Tensor | None, Tensor | None]:
        """Corners of the boxes (labels 2 and 3), then the points, in pixels of the input square."""
        coordinates, labels = [], []
        if part.boxes is not None:
            coordinates.append(scaled(part.boxes.to(self.device, torch.float32).reshape(-1, 2, 2), scale))
            labels.append(torch.arange(2, 4, dtype=torch.int32, device=self.device).expand(len(part), -1))
        if part.points is not None and part.labels is not None:
            coordinates.append(scaled(part.points.to(self.device, torch.float32), scale))
            labels.append(part.labels.to(self.device, torch.int32))
        if not coordinates:
            return None, None
        return torch.cat(coordinates, dim=1), torch.cat(labels, dim=1)


def adapted_notes(architecture: str) -> dict[str, str]:
    """What files of adapted weights of this architecture note, so that they are loaded as they were trained."""
    return dict(_ONE_MASK) if architecture in ARCHITECTURES else {}


def _single_mask_noted(path: Path) -> bool:
    """Whether a readable file holds adapted weights: by its notes, in a torch file beside the weights."""
    found: Any = safetensors_metadata(path)
    if not found:
        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("notes")
        except (RuntimeError, AttributeError):  # torch's older form, which no adaptation writes; or no dictionary
            return False
    return isinstance(found, dict) and _ONE_MASK.items() <= found.items()


def build_sam2_model(architecture: str) -> Any:
    """A SAM 2.1 network with fresh weights on the CPU, in the official configuration.

    Raises:
        EnvironmentProblem: the package sam2 is not installed, or does not have this configuration.
    """
    try:
        from sam2.build_sam import build_sam2
    except ImportError as error:
        raise EnvironmentProblem(
            f"{architecture} needs the package sam2, which is not installed ({error}).",
            "Install it: SAM2_BUILD_CUDA=0 pip install --no-build-isolation sam2.",
        ) from error
    try:
        return build_sam2(CONFIGURATIONS[architecture], ckpt_path=None, device="cpu")
    except Exception as error:  # hydra raises classes of its own for a missing configuration
        raise EnvironmentProblem(
            f"The installed sam2 cannot build {architecture} ({type(error).__name__}: {error}).",
            "Install the version named in constraints.txt.",
        ) from error


def load_sam2(
    path: Path, device: torch.device | str, architecture: str, name: str = "", fingerprint: str = ""
) -> Sam2Backbone:
    """Load an official SAM 2.1 checkpoint, or one of the same format; ``fingerprint`` is computed when not given.

    Weights that an adaptation wrote answer with their single mask.

    Raises:
        EnvironmentProblem: sam2 is not installed.
        WeightsError: unreadable, unsafe, or weights of another architecture.
        OutOfMemory: the model does not fit into the device's memory.
    """
    with out_of_memory_guard(f"Loading {name or architecture}"):
        state = load_state(path)
        model = build_sam2_model(architecture)
        fit_state(model, state, path, architecture)
        digest = fingerprint or file_sha256(path)[:16]
        backbone = Sam2Backbone(model, torch.device(device), name or architecture, digest)
        if _single_mask_noted(path):
            backbone.answer_with_single_mask()
        return backbone
