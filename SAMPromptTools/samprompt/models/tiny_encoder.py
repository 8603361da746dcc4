"""Image encoder of the built-in model: plain residual blocks, a small feature pyramid, matching tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with GroupNorm; plain convolutions beat depthwise ones on CPU (methods page, section 8)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = _norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = _norm(outputs)
        self.skip: nn.Module = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), _norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x), inplace=True)


class TinyEncoder(nn.Module):
    """Three slices to decoder tokens at stride 8, matching tokens at stride 4 and skips at strides 4 and 2.

    ``widths`` and ``blocks`` are per stage at strides 2, 4, 8, 16; ``dim`` is the decoder's width, ``matching_dim``
    the length of a matching token (unit vectors), ``skips`` the channels of the skips at strides 4 and 2.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (24, 48, 96, 192),
        blocks: tuple[int, int, int, int] = (1, 2, 3, 3),
        dim: int = 128,
        matching_dim: int = 64,
        skips: tuple[int, int] = (32, 16),
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2, bias=False)
        self.stem_norm = _norm(widths[0])
        stages = []
        inputs = widths[0]
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stride = 1 if index == 0 else 2
            stages.append(
                nn.Sequential(
                    *[ResidualBlock(inputs if b == 0 else width, width, stride if b == 0 else 1) for b in range(count)]
                )
            )
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.lateral16 = nn.Conv2d(widths[3], dim, 1)
        self.lateral8 = nn.Conv2d(widths[2], dim, 1)
        self.neck = nn.Sequential(nn.Conv2d(dim, dim, 3, 1, 1, bias=False), _norm(dim))
        self.lateral4 = nn.Conv2d(widths[1], matching_dim, 1)
        self.top4 = nn.Conv2d(dim, matching_dim, 1)
        self.matching = nn.Sequential(
            _norm(matching_dim), nn.ReLU(inplace=True), nn.Conv2d(matching_dim, matching_dim, 3, 1, 1)
        )
        self.skip4 = nn.Conv2d(widths[1], skips[0], 1)
        self.skip2 = nn.Conv2d(widths[0], skips[1], 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, 3, S, S) in [0, 1] to tokens (B, dim, S/8, S/8), matching (B, D, S/4, S/4), skips at S/4 and S/2."""
        x = F.relu(self.stem_norm(self.stem((images - 0.5) * 4.0)), inplace=True)
        s2 = self.stages[0](x)
        s4 = self.stages[1](s2)
        s8 = self.stages[2](s4)
        s16 = self.stages[3](s8)
        top = F.interpolate(self.lateral16(s16), s8.shape[-2:], mode="bilinear", align_corners=False)
        tokens = self.neck(top + self.lateral8(s8))
        up4 = F.interpolate(self.top4(tokens), s4.shape[-2:], mode="bilinear", align_corners=False)
        matching = F.normalize(self.matching(up4 + self.lateral4(s4)), dim=1)
        return tokens, matching, self.skip4(s4), self.skip2(s2)
