"""Images that a model stretches to its square (SAM 2): masks lie where the model has the image, not in a padded one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samprompt.contract.prompting import ADAPTED
from samprompt.models.backbone import Decoded, Embedding, Prompts
from samprompt.prompting import p2sam
from samprompt.prompting.reduction import covered_tokens, reduce_mask
from samprompt.prompting.reference import Reference

INPUT, TOKENS, LOGITS = 128, 16, 64
SHAPES = [(100, 300), (300, 100)]


class Stretching:
    """A backbone that answers nothing and remembers the mask prompts it was given."""

    name, fingerprint, uses_neighbours = "stretching", "0", False
    input_size, mask_size, matching_stride = INPUT, LOGITS, INPUT / TOKENS
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.masks: list[torch.Tensor | None] = []

    def encode(self, images: torch.Tensor) -> Embedding:
        tokens = torch.randn(len(images), 8, TOKENS, TOKENS, generator=torch.Generator().manual_seed(0))
        return Embedding(tokens, tokens, (), tuple(images.shape[-2:]), (1.0, 1.0), stretched=True)

    def decode(self, embedding: Embedding, prompts: Prompts, multimask: bool = False) -> Decoded:
        self.masks.append(prompts.masks)
        return Decoded(torch.full((len(prompts), 1, LOGITS, LOGITS), -5.0), torch.zeros(len(prompts), 1))


def rectangle(shape: tuple[int, int]) -> tuple[torch.Tensor, tuple[slice, slice]]:
    """A mask far from the middle, and its rows and columns."""
    rows, columns = slice(shape[0] // 5, 3 * shape[0] // 5), slice(2 * shape[1] // 3, 14 * shape[1] // 15)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[rows, columns] = True
    return mask, (rows, columns)


def share(cells: int, length: int, inside: slice) -> np.ndarray:
    """How much of each of ``cells`` equal parts of a line of ``length`` pixels lies ``inside``."""
    edges = np.arange(cells + 1) * length / cells
    covered = np.minimum(edges[1:], inside.stop) - np.maximum(edges[:-1], inside.start)
    return np.clip(covered, 0.0, None) * cells / length


@pytest.mark.parametrize("shape", SHAPES)
def test_the_prior_is_given_where_the_model_has_the_structure(shape: tuple[int, int]) -> None:
    backbone = Stretching()
    embedding = backbone.encode(torch.zeros(1, 3, *shape))
    mask, (rows, columns) = rectangle(shape)
    options = replace(ADAPTED, prior_mask=True, positive_parts=(1, 1), negative_parts=(1, 1))
    reference = Reference.from_mask(mask, embedding, INPUT, options)
    assert p2sam.candidates(reference, embedding, backbone, options, mask.float())
    given = backbone.masks[0]
    assert given is not None
    found = given[0, 0].numpy() > 0
    covered = share(LOGITS, shape[0], rows)[:, None] * share(LOGITS, shape[1], columns)[None]
    sure = np.abs(covered - 0.5) > 0.4  # not on the edge
    assert (covered > 0.9).sum() > 300
    np.testing.assert_array_equal(found[sure], covered[sure] > 0.5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tokens_of_a_mask_are_those_that_see_it(shape: tuple[int, int]) -> None:
    embedding = Stretching().encode(torch.zeros(1, 3, *shape))
    mask, (rows, columns) = rectangle(shape)
    covered = share(TOKENS, shape[0], rows)[:, None] * share(TOKENS, shape[1], columns)[None]
    sure = np.abs(covered - ADAPTED.coverage_threshold) > 0.15
    found = covered_tokens(mask, embedding, INPUT, ADAPTED).numpy()
    assert (covered > 0.9).sum() > 10
    np.testing.assert_array_equal(found[sure], covered[sure] > ADAPTED.coverage_threshold)


@pytest.mark.parametrize("shape", [*SHAPES, (90, 90)])
def test_reducing_a_stretched_mask_is_resizing_it_to_the_square_first(shape: tuple[int, int]) -> None:
    mask = torch.from_numpy(np.random.default_rng(0).random(shape) > 0.5).float()
    square = F.interpolate(mask[None, None], (INPUT, INPUT), mode="bilinear", align_corners=False, antialias=True)
    area = F.avg_pool2d(square, INPUT // TOKENS)[0, 0]
    published = F.interpolate(square, (TOKENS, TOKENS), mode="bilinear", align_corners=False)[0, 0]
    grid = (TOKENS, TOKENS)
    torch.testing.assert_close(reduce_mask(mask, INPUT, grid, area=True, stretched=True), area, atol=1e-5, rtol=0)
    torch.testing.assert_close(reduce_mask(mask, INPUT, grid, stretched=True), published, atol=1e-5, rtol=0)
