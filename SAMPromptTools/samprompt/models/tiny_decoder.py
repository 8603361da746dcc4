"""Prompt encoder and mask decoder of the built-in model: SAM's, with dense prompts, skips and an object score."""

from __future__ import annotations

import torch
from segment_anything.modeling import PromptEncoder, TwoWayTransformer
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn

from samprompt.models.tiny_encoder import ResidualBlock

_POINT_SIGMA = 6.0 / 128.0  # of the image's side; a point drawn smaller does not start the learning (methods page, 8)


def draw_dense(
    size: int,
    side: float,
    points: Tensor | None,
    labels: Tensor | None,
    boxes: Tensor | None,
    masks: Tensor | None,
    n: int,
    device: torch.device,
    ellipse: bool = False,
) -> Tensor:
    """Prompts as an image (N, 4, size, size): mask logits / 4, "a mask is given", filled boxes, signed points.

    With ``ellipse`` a fifth channel rises from -1 outside over 0 on the ellipse touching the box's edges to 1 in its
    middle: what is most likely where the image shows no edge (it alone has a Dice of .93 on tumours; methods page, 8).

    Coordinates are pixels of a square of ``side`` pixels. With SAM's sparse tokens alone a from-scratch model of this
    size does not start to learn within hundreds of steps; with the same prompts drawn it starts within a hundred
    (methods page, section 8).
    """
    dense = torch.zeros(n, 5 if ellipse else 4, size, size, device=device)
    centres = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (side / size)
    if masks is not None:
        dense[:, 0] = masks[:, 0].clamp(-8.0, 8.0) / 4.0
        dense[:, 1] = 1.0
    if boxes is not None:
        half = side / size / 2.0
        inside_x = ((centres[None] - boxes[:, 0:1] + half).clamp(0, 2 * half) / (2 * half)) * (
            (boxes[:, 2:3] - centres[None] + half).clamp(0, 2 * half) / (2 * half)
        )
        inside_y = ((centres[None] - boxes[:, 1:2] + half).clamp(0, 2 * half) / (2 * half)) * (
            (boxes[:, 3:4] - centres[None] + half).clamp(0, 2 * half) / (2 * half)
        )
        dense[:, 2] = inside_y[:, :, None] * inside_x[:, None, :]
        if ellipse:
            middle, radius = (boxes[:, :2] + boxes[:, 2:]) / 2, ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp_min(half)
            x = ((centres[None] - middle[:, 0:1]) / radius[:, 0:1]) ** 2
            y = ((centres[None] - middle[:, 1:2]) / radius[:, 1:2]) ** 2
            dense[:, 4] = (1.0 - y[:, :, None] - x[:, None, :]).clamp_min(-1.0)
    if points is not None and labels is not None:
        sigma = _POINT_SIGMA * side
        gx = torch.exp(-((centres[None, None] - points[..., 0:1]) ** 2) / (2 * sigma**2))
        gy = torch.exp(-((centres[None, None] - points[..., 1:2]) ** 2) / (2 * sigma**2))
        sign = (labels == 1).float() - (labels == 0).float()
        positive = torch.einsum("npy,npx->npyx", gy * (sign > 0)[..., None], gx).amax(dim=1)
        negative = torch.einsum("npy,npx->npyx", gy * (sign < 0)[..., None], gx).amax(dim=1)
        dense[:, 3] = positive - negative
    return dense


class TinyDecoder(nn.Module):
    """SAM's two-way transformer on tokens at stride 8, upscaled to stride 2 with the encoder's skips.

    One mask per prompt, its predicted IoU, and the logit of "the object is there" (as SAM 2's object score).
    """

    def __init__(
        self,
        dim: int = 128,
        input_size: int = 128,
        widths: tuple[int, int] = (32, 16),
        blocks: tuple[int, ...] = (),
        ellipse: bool = False,
    ) -> None:
        """``widths`` are the channels at strides 4 and 2; ``blocks`` the residual blocks at strides 8, 4 and 2.

        Without ``blocks`` strides 4 and 2 have one convolution each; ``ellipse``: see ``draw_dense``. The first version
        of the model had neither.
        """
        super().__init__()
        self.ellipse = ellipse
        grid = input_size // 8
        wide, fine = widths
        self.dim, self.input_size = dim, input_size
        self.sparse = PromptEncoder(dim, (grid, grid), (input_size, input_size), 16)
        self.sparse.mask_downscaling = nn.Identity()  # dense prompts have their own path below
        self.dense2 = nn.Sequential(nn.Conv2d(5 if ellipse else 4, fine, 3, 1, 1), nn.GroupNorm(4, fine), nn.ReLU())
        self.dense4 = nn.Sequential(nn.Conv2d(fine, wide, 3, 2, 1), nn.GroupNorm(8, wide), nn.ReLU())
        self.dense8 = nn.Sequential(
            nn.Conv2d(wide, dim, 3, 2, 1), nn.GroupNorm(8, dim), nn.ReLU(), nn.Conv2d(dim, dim, 1)
        )
        self.transformer = TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=8, mlp_dim=512)
        self.output_tokens = nn.Embedding(3, dim)  # presence, IoU, mask
        self.up4 = nn.ConvTranspose2d(dim, wide, 2, 2)
        self.refine4 = nn.Sequential(nn.GroupNorm(8, wide), nn.ReLU(), nn.Conv2d(wide, wide, 3, 1, 1))
        self.up2 = nn.ConvTranspose2d(wide, fine, 2, 2)
        self.refine2 = nn.Sequential(nn.GroupNorm(4, fine), nn.ReLU(), nn.Conv2d(fine, fine, 3, 1, 1))
        at8, at4, at2 = blocks or (0, 0, 0)
        self.mix8 = nn.Sequential(*[ResidualBlock(dim, dim) for _ in range(at8)])
        self.mix4 = nn.Sequential(*[ResidualBlock(wide, wide) for _ in range(at4)])
        self.mix2 = nn.Sequential(*[ResidualBlock(fine, fine) for _ in range(at2)])
        self.hyper = MLP(dim, dim, fine, 3)
        self.iou_head = MLP(dim, dim, 1, 3)
        self.presence_head = MLP(dim, dim, 1, 3)

    def forward(
        self,
        tokens: Tensor,
        skip4: Tensor,
        skip2: Tensor,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Per prompt image features (N, dim, g, g) and skips to logits (N, 1, 4g, 4g), IoU (N,), presence (N,).

        ``points`` are coordinates (N, P, 2) in pixels of the input square and labels (N, P); ``boxes`` (N, 4);
        ``masks`` (N, 1, 4g, 4g) logits.
        """
        n = tokens.shape[0]
        size = tokens.shape[-1] * 4
        sparse, _ = self.sparse(points, boxes, None)
        if sparse.shape[0] != n:
            sparse = sparse.expand(n, -1, -1)
        dense = draw_dense(
            size,
            float(self.input_size),
            None if points is None else points[0],
            None if points is None else points[1],
            boxes,
            masks,
            n,
            tokens.device,
            self.ellipse,
        )
        dense2 = self.dense2(dense)
        dense4 = self.dense4(dense2)
        source = self.mix8(tokens + self.dense8(dense4))
        place = self.sparse.get_dense_pe()
        if place.shape[-1] != tokens.shape[-1]:
            place = self.sparse.pe_layer(tokens.shape[-2:]).unsqueeze(0)
        query = torch.cat((self.output_tokens.weight[None].expand(n, -1, -1), sparse), dim=1)
        answer, source = self.transformer(source, place.expand(n, -1, -1, -1), query)
        x = source.transpose(1, 2).reshape(n, self.dim, *tokens.shape[-2:])
        x4 = self.up4(x) + skip4 + dense4
        x4 = self.mix4(x4 + self.refine4(x4))
        x2 = self.up2(x4) + skip2 + dense2
        x2 = self.mix2(x2 + self.refine2(x2))
        logits = torch.einsum("nc,nchw->nhw", self.hyper(answer[:, 2]), x2)[:, None]
        return logits, self.iou_head(answer[:, 1])[:, 0], self.presence_head(answer[:, 0])[:, 0]
