"""From a mask to tokens, and from tokens to parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samprompt.contract.errors import ParameterError, StructureError
from samprompt.contract.prompting import ADAPTED, PUBLISHED_MEDICAL
from samprompt.models.backbone import Embedding
from samprompt.prompting import p2sam
from samprompt.prompting.parts import cluster_means, even_subsample, part_features
from samprompt.prompting.reduction import covered_tokens, reduce_mask, valid_tokens
from samprompt.prompting.reference import Reference
from samprompt.prompting.retrieval import EMPTY_DISTANCE


def embedding_of(features: torch.Tensor, height: int, width: int) -> Embedding:
    side = max(height, width)
    return Embedding(features[None], features[None], (), (height, width), (height / side, width / side))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 150), st.integers(2, 150), st.integers(0, 10_000))
def test_the_one_matrix_per_axis_is_resizing_padding_and_reducing(height: int, width: int, seed: int):
    mask = torch.from_numpy(np.random.default_rng(seed).random((height, width)) > 0.5).float()
    scale = 128 / max(height, width)
    rows, columns = int(height * scale + 0.5), int(width * scale + 0.5)
    assume(min(rows, columns) > 1)  # torch's own antialiased resize is wrong for a single column
    resized = F.interpolate(mask[None, None], (rows, columns), mode="bilinear", align_corners=False, antialias=True)
    square = F.pad(resized, (0, 128 - columns, 0, 128 - rows))
    published = F.interpolate(square, (16, 16), mode="bilinear", align_corners=False)[0, 0]
    area = F.avg_pool2d(square, 8)[0, 0]
    torch.testing.assert_close(reduce_mask(mask, 128, (16, 16)), published, atol=1e-5, rtol=0)
    torch.testing.assert_close(reduce_mask(mask, 128, (16, 16), area=True), area, atol=1e-5, rtol=0)


def test_area_coverage_is_the_share_of_pixels_in_the_token():
    mask = torch.from_numpy(np.random.default_rng(0).random((128, 128)) > 0.6)
    by_hand = mask.numpy().reshape(16, 8, 16, 8).mean(axis=(1, 3))
    np.testing.assert_allclose(reduce_mask(mask, 128, (16, 16), area=True).numpy(), by_hand, atol=1e-6)


@pytest.mark.parametrize("place", [(0, 0), (61, 90), (127, 125), (8, 8)])
def test_a_lesion_of_three_pixels_keeps_the_token_it_lies_in(place: tuple[int, int]):
    row, column = min(place[0], 127), min(place[1], 125)
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[row, column : column + 3] = True
    reference = Reference.from_mask(mask, embedding_of(torch.rand(4, 16, 16), 128, 128), 128, ADAPTED)
    assert reference.foreground.shape == (1, 4)
    inside = reference.pieces[0][1]
    shares = mask.float().view(16, 8, 16, 8).mean(dim=(1, 3))
    assert bool(inside.flatten()[shares.argmax()])
    assert reference.background.shape == (255, 4)


def test_the_published_rule_loses_a_lesion_between_its_samples_and_nothing_is_found(small_sam_backbone, scenes):
    image = scenes.draw(0)[0]
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[40:43, 40] = True  # token centres lie at 44
    embedding = small_sam_backbone.encode(image[None])
    reference = Reference.from_mask(mask, embedding, 128, PUBLISHED_MEDICAL)
    assert reference.lost
    assert p2sam.candidates(reference, embedding, small_sam_backbone) == []
    nothing = p2sam.segment(reference, embedding, small_sam_backbone)
    assert nothing.empty
    assert (nothing.n, nothing.m, nothing.distance) == (0, 0, EMPTY_DISTANCE)
    kept = Reference.from_mask(mask, embedding, 128, ADAPTED)
    found = p2sam.candidates(kept, embedding, small_sam_backbone, ADAPTED)
    assert [(one.n, one.m) for one in found] == [(1, 1), (1, 2)]  # one token: only n = 1, and both m
    chosen = p2sam.segment(kept, embedding, small_sam_backbone, ADAPTED)
    assert chosen.distance == min(one.distance for one in found) < EMPTY_DISTANCE


def test_an_empty_mask_is_refused_with_a_hint():
    with pytest.raises(StructureError) as error:
        Reference.from_mask(torch.zeros(64, 64), embedding_of(torch.rand(4, 16, 16), 64, 64), 128)
    assert error.value.hint


def test_a_mask_of_another_size_or_several_images_at_once_are_refused():
    one = embedding_of(torch.rand(4, 16, 16), 64, 64)
    with pytest.raises(ParameterError, match="63"):
        Reference.from_mask(torch.ones(63, 64), one, 128)
    two = Embedding(torch.rand(2, 4, 16, 16), torch.rand(2, 4, 16, 16), (), (64, 64), (1.0, 1.0))
    with pytest.raises(ParameterError, match="2"):
        Reference.from_mask(torch.ones(64, 64), two, 128)


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(64, 128, 8, 16), (128, 50, 16, 6), (1, 128, 1, 16)])
def test_padding_is_neither_foreground_nor_background(height: int, width: int, rows: int, columns: int):
    embedding = embedding_of(torch.rand(4, 16, 16), height, width)
    valid = valid_tokens(embedding)
    assert valid.sum() == rows * columns
    assert bool(valid[:rows, :columns].all())
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[: (height + 1) // 2] = True
    reference = Reference.from_mask(mask, embedding, 128, ADAPTED)
    assert len(reference.foreground) + len(reference.background) == rows * columns
    full = covered_tokens(torch.ones(height, width, dtype=torch.bool), embedding, 128, ADAPTED)
    assert not bool((full & ~valid).any())


def test_tokens_come_unnormalised_and_in_raster_order():
    features = torch.arange(2 * 16 * 16, dtype=torch.float32).view(2, 16, 16)
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[8:16, 16:40] = True
    reference = Reference.from_mask(mask, embedding_of(features, 128, 128), 128, ADAPTED)
    torch.testing.assert_close(reference.foreground[:, 0], torch.tensor([18.0, 19.0, 20.0]))
    both = Reference.join([reference, reference])
    assert both.foreground.shape == (6, 2)
    assert len(both.background) == 2 * len(reference.background)


def clouds(seed: int = 0) -> tuple[torch.Tensor, list[torch.Tensor]]:
    random = torch.Generator().manual_seed(seed)
    parts = [
        torch.randn(size, 5, generator=random) * 0.1 + 10 * torch.eye(5)[axis]
        for size, axis in [(9, 0), (30, 1), (4, 2)]
    ]
    tokens = torch.cat(parts)
    return tokens[torch.randperm(len(tokens), generator=random)], parts


@pytest.mark.parametrize("cluster_tokens", [0, 25])
def test_parts_of_three_clouds_are_their_normalised_means(cluster_tokens: int):
    tokens, parts = clouds()
    found = part_features(tokens, 3, cluster_tokens=cluster_tokens)
    wanted = F.normalize(torch.stack([part.mean(dim=0) for part in parts]), dim=1)
    order = found.argmax(dim=1).argsort()
    torch.testing.assert_close(found[order], wanted, atol=1e-5, rtol=0)


def test_more_parts_than_tokens_are_skipped_and_identical_tokens_make_fewer_parts():
    tokens, _ = clouds()
    assert part_features(tokens[:2], 3) is None
    assert part_features(tokens[:0], 1) is None
    assert part_features(tokens[:3], 3).shape == (3, 5)
    assert cluster_means(torch.ones(6, 5), 3).shape == (1, 5)


def test_parts_are_computed_once_and_remembered_per_setting(monkeypatch):
    from samprompt.prompting import reference as module

    calls = []

    def counted(*arguments):
        calls.append(arguments[1:])
        return part_features(*arguments)

    monkeypatch.setattr(module, "part_features", counted)
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[30:90, 30:90] = True
    reference = Reference.from_mask(mask, embedding_of(torch.rand(4, 16, 16), 128, 128), 128)
    first = reference.parts(3, PUBLISHED_MEDICAL)
    assert reference.parts(3, PUBLISHED_MEDICAL) is first
    reference.background_parts(3, PUBLISHED_MEDICAL)
    reference.parts(3, ADAPTED)
    assert calls == [(3, 0, 0), (3, 0, 0), (3, 0, 512)]


@given(st.integers(1, 500), st.integers(1, 600))
@settings(max_examples=60, deadline=None)
def test_an_even_subsample_has_the_size_asked_for_and_no_gap_twice_as_wide_as_another(count: int, maximum: int):
    index = even_subsample(torch.arange(count)[:, None], maximum)[:, 0]
    assert len(index) == min(count, maximum)
    gaps = torch.diff(index)
    assert len(gaps) == 0 or (int(gaps.min()) >= 1 and int(gaps.max()) - int(gaps.min()) <= 1)
    assert int(index[0]) <= int(count / min(count, maximum))
    assert int(index[-1]) >= count - 1 - count / maximum
