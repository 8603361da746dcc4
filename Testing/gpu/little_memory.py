"""A program that encodes images when little memory is left, really left: python little_memory.py DEVICE IMAGES.

IMAGES, a fraction too, is how many of them what is left would do for. On CUDA the card is filled; on the CPU (Linux)
the process may not grow by more. Says, as one line of JSON,
in which batches the encoder was called, what came of it, and the memory before and after.
"""

from __future__ import annotations

import gc
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from samprompt.contract.errors import OutOfMemory
from samprompt.models.device import release_cached_memory
from samprompt.models.sam import SamBackbone
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

try:
    import resource
except ImportError:  # Windows, where only a card can be filled
    resource = None  # type: ignore[assignment]

MIB = 1 << 20
IMAGES = 6
NEED = 300 * MIB  # of one image on a CPU; on CUDA it is measured


def hungry_sam() -> Sam:
    """A SAM that computes little and needs about 300 MiB for each image: attention among 4096 tokens."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=256, patch_size=4, depth=1, embed_dim=16, num_heads=1, out_chans=16, use_rel_pos=True, window_size=0,
        global_attn_indexes=(0,), norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    decoder = MaskDecoder(
        transformer_dim=16, transformer=TwoWayTransformer(depth=1, embedding_dim=16, mlp_dim=16, num_heads=2)
    )
    return Sam(encoder, PromptEncoder(16, (64, 64), (256, 256), 16), decoder)


def in_use(device: torch.device) -> int:
    """Bytes: allocated on CUDA, address space of the process on the CPU."""
    gc.collect()
    release_cached_memory()
    if device.type == "cuda":
        torch._C._cuda_clearCublasWorkspaces()  # the library's own, which it keeps
        return torch.cuda.memory_allocated(device)
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


class Little:
    """Inside the block hardly more than so many bytes can be taken."""

    def __init__(self, device: torch.device, left: int) -> None:
        self.device, self.left = device, left
        self._filling: list[torch.Tensor] = []
        self._limits = (0, 0) if device.type == "cuda" else resource.getrlimit(resource.RLIMIT_AS)

    def __enter__(self) -> None:
        used = in_use(self.device)
        if self.device.type == "cpu":
            resource.setrlimit(resource.RLIMIT_AS, (used + self.left, self._limits[1]))
            return
        most = 4096 * MIB
        while (free := torch.cuda.mem_get_info(self.device)[0]) > self.left + 8 * MIB and most > MIB:
            try:
                size = min(free - self.left, most)
                self._filling.append(torch.empty(size, dtype=torch.uint8, device=self.device))
            except torch.OutOfMemoryError:  # what is free is in pieces
                most //= 2

    def __exit__(self, *error: object) -> None:
        self._filling.clear()
        if self.device.type == "cpu":
            resource.setrlimit(resource.RLIMIT_AS, self._limits)


def main(device: torch.device, fit: float) -> dict[str, Any]:
    """Encode with all memory, one after the other, and with little memory, together; what happened."""
    torch.set_num_threads(1)
    backbone = SamBackbone(hungry_sam(), device)
    images = torch.rand(IMAGES, 3, 256, 256)
    backbone.encode_batch = 1
    backbone.encode(images[:1])
    start = in_use(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    expected = backbone.encode(images).tokens.cpu()
    need = torch.cuda.max_memory_allocated(device) - start if device.type == "cuda" else NEED
    backbone.encode_batch = IMAGES
    asked: list[int] = []
    backbone.model.image_encoder.register_forward_pre_hook(lambda _module, given: asked.append(len(given[0])))
    found: dict[str, Any] = {"before": in_use(device), "hint": "", "same": False, "asked": asked}
    with Little(device, int(fit * need)):
        try:
            tokens = backbone.encode(images).tokens.cpu()
            found["same"] = bool(torch.allclose(tokens, expected, atol=2e-2))
            del tokens
        except OutOfMemory as error:
            found |= {"message": error.message, "hint": error.hint}
    found["after"] = in_use(device)
    asked_before = list(asked)
    found["again"] = bool(torch.allclose(backbone.encode(images).tokens.cpu(), expected, atol=2e-2))
    return found | {"asked": asked_before}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(torch.device(sys.argv[1]), float(sys.argv[2]))) + "\n")
