"""Where the points land: on hand-made features whose right answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from samprompt.contract.errors import ParameterError
from samprompt.contract.prompting import PUBLISHED_MEDICAL, PUBLISHED_NATURAL, P2SamParameters
from samprompt.models.backbone import Embedding
from samprompt.prompting.points import part_counts, point_prompts
from samprompt.prompting.reference import Reference
from samprompt.prompting.similarity import highest, peaks, similarity_maps

TISSUE, LESION, RIM = torch.eye(6)[0] * 3, torch.eye(6)[1] * 5, torch.eye(6)[2] * 4


def picture(lesions: list[tuple[int, int]], height: int = 128, width: int = 128, strength: float = 1.0) -> Embedding:
    """Tissue everywhere, a lesion token with a rim token on its right at each (row, column) of the 16 x 16 grid."""
    features = TISSUE[:, None, None].repeat(1, 16, 16)
    for place, (row, column) in enumerate(lesions):
        weight = 1.0 if place == 0 else strength
        features[:, row, column] = weight * LESION + (1 - weight) * TISSUE
        features[:, row, column + 1] = weight * RIM + (1 - weight) * TISSUE
    side = max(height, width)
    return Embedding(features[None], features[None], (), (height, width), (height / side, width / side))


def reference(row: int = 4, column: int = 5, **options: object) -> Reference:
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[8 * row : 8 * row + 8, 8 * column : 8 * column + 16] = True
    return Reference.from_mask(mask, picture([(row, column)]), 128, P2SamParameters(**options))


def in_token(point: torch.Tensor, row: int, column: int, pixel: float = 8.0) -> bool:
    return column <= float(point[0]) / pixel < column + 1 and row <= float(point[1]) / pixel < row + 1


@pytest.mark.parametrize(("height", "width"), [(128, 128), (512, 512), (100, 128), (77, 61)])
def test_the_parts_of_a_lesion_that_moved_are_found_where_they_went(height: int, width: int):
    target = picture([(9, 3)], height, width)
    pixel = max(height, width) / 16
    two = next(one for one in point_prompts(reference(), target, 128, PUBLISHED_MEDICAL) if one.n == 2)
    assert two.labels.tolist() == [1, 1, 0]
    found = {(9, 3): 0, (9, 4): 0}
    for point in two.points[:2]:
        for place in found:
            found[place] += in_token(point, *place, pixel=pixel)
    assert set(found.values()) == {1}
    assert not in_token(two.points[2], 9, 3, pixel)
    assert not in_token(two.points[2], 9, 4, pixel)


def test_points_are_pixel_centres_and_never_in_the_padding():
    target = picture([(14, 3)], 64, 128)  # the only lesion lies in the padding
    for prompt in point_prompts(reference(), target, 128, PUBLISHED_MEDICAL):
        assert bool(((prompt.points % 1) == 0.5).all())
        assert bool((prompt.points[:, 1] < 64).all())


def test_the_negative_of_natural_images_is_the_least_similar_pixel_of_the_mean_map():
    target = picture([(9, 3)])
    target.matching[0, :, 2, 12] = -(LESION + RIM)
    for prompt in point_prompts(reference(), target, 128, PUBLISHED_NATURAL):
        assert (prompt.m, prompt.labels.tolist().count(0)) == (1, 1)
        assert in_token(prompt.points[-1], 2, 12)


def test_every_pair_of_n_and_m_is_made_and_impossible_ones_are_skipped():
    options = replace(PUBLISHED_MEDICAL, positive_parts=(1, 5), negative_parts=(0, 2))
    pairs = [(one.n, one.m) for one in point_prompts(reference(), picture([(9, 3)]), 128, options)]
    assert pairs == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]  # the lesion has two tokens
    assert point_prompts(reference(), picture([(9, 3)]), 128, replace(options, positive_parts=(3, 5))) == []
    assert point_prompts(reference(), picture([(9, 3)]), 128, replace(options, negative_parts=(400, 400))) == []


@pytest.mark.parametrize(("n", "m"), [((0, 2), (1, 1)), ((3, 2), (1, 1)), ((1, 2), (2, 1)), ((1, 2), (-1, 1))])
def test_senseless_ranges_are_refused(n: tuple[int, int], m: tuple[int, int]):
    with pytest.raises(ParameterError):
        part_counts(P2SamParameters(positive_parts=n, negative_parts=m))


def test_a_look_alike_wins_without_a_prior_and_loses_with_one():
    target = picture([(2, 2), (12, 10)], strength=0.9)  # the second, weaker one is ours
    prior = torch.zeros(128, 128)
    prior[90:112, 70:110] = 1.0
    options = replace(PUBLISHED_MEDICAL, positive_parts=(1, 1))
    without = point_prompts(reference(), target, 128, options, prior)[0]
    assert without.points[0, 1] < 40
    with_prior = point_prompts(reference(), target, 128, replace(options, prior_weight=0.9), prior)[0]
    assert in_token(with_prior.points[0], 12, 10) or in_token(with_prior.points[0], 12, 11)
    negative = with_prior.points[1].long()
    assert prior[negative[1], negative[0]] == 0  # negatives keep out of the prior


def test_a_box_keeps_all_points_inside_and_is_ignored_when_not_asked_for():
    target = picture([(2, 2), (12, 10)], strength=0.9)
    box = (64.0, 80.0, 120.0, 120.0)
    regular = replace(PUBLISHED_MEDICAL, box_regularisation=True)
    for prompt in point_prompts(reference(), target, 128, regular, box=box):
        assert bool((prompt.points > torch.tensor(box[:2])).all() and (prompt.points < torch.tensor(box[2:])).all())
    free = point_prompts(reference(), target, 128, PUBLISHED_MEDICAL, box=box)[0]
    assert in_token(free.points[0], 2, 2) or in_token(free.points[0], 2, 3)


def test_a_missing_or_empty_box_and_a_prior_of_another_size_are_refused():
    regular = replace(PUBLISHED_MEDICAL, box_regularisation=True)
    with pytest.raises(ParameterError, match="box"):
        point_prompts(reference(), picture([(9, 3)]), 128, regular)
    with pytest.raises(ParameterError, match="no pixel"):
        point_prompts(reference(), picture([(9, 3)]), 128, regular, box=(200.0, 0.0, 210.0, 9.0))
    with pytest.raises(ParameterError, match="prior"):
        point_prompts(reference(), picture([(9, 3)]), 128, PUBLISHED_MEDICAL, prior=torch.zeros(64, 64))


def test_points_of_one_sign_keep_their_distance_and_repeated_prompts_are_dropped():
    options = replace(PUBLISHED_MEDICAL, positive_parts=(1, 2), minimum_distance=3.0)
    prompts = point_prompts(reference(), picture([(9, 3)]), 128, options)
    assert all(len(prompt.points) == 2 for prompt in prompts)  # lesion and rim are one token apart
    sets = {tuple(map(tuple, prompt.points.tolist())) for prompt in prompts}
    assert len(sets) == len(prompts)
    near = point_prompts(reference(), picture([(9, 3)]), 128, replace(options, minimum_distance=0.5))
    assert [len(prompt.points) for prompt in near] == [2, 3]


def test_the_first_pixel_wins_a_tie():
    maps = torch.zeros(2, 4, 5)
    maps[1, 2, 3] = maps[1, 3, 0] = 1.0
    assert highest(maps).tolist() == [[0.5, 0.5], [3.5, 2.5]]


def test_similarity_is_the_cosine_and_many_maps_are_the_same_as_one_at_a_time():
    random = torch.Generator().manual_seed(0)
    features = torch.randn(6, 16, 16, generator=random)
    target = Embedding(features[None], features[None], (), (16, 16), (1.0, 1.0))
    queries = torch.nn.functional.normalize(torch.randn(20, 6, generator=random), dim=1)
    maps = similarity_maps(queries, target, 16)  # input, tokens and image are one grid: nothing is interpolated
    wanted = np.einsum("pd,dhw->phw", queries.numpy(), (features / features.norm(dim=0)).numpy())
    np.testing.assert_allclose(maps.numpy(), wanted, atol=1e-5)
    single = torch.cat([peaks(query[None], target, 16) for query in queries])
    assert torch.equal(peaks(queries, target, 16), single)
