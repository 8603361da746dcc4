"""Distances between token sets against closed forms and brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from samprompt.contract.errors import ParameterError
from samprompt.contract.prompting import P2SamParameters
from samprompt.prompting.candidate import Candidate
from samprompt.prompting.p2sam import choose
from samprompt.prompting.retrieval import EMPTY_DISTANCE, distance, hungarian, jensen_shannon, wasserstein
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance


def cloud(seed: int, count: int, dimensions: int = 8, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (count, dimensions))


def test_transport_between_two_tokens_is_their_squared_distance():
    one, other = cloud(0, 1), cloud(1, 1)
    assert wasserstein(one, other) == pytest.approx(((one - other) ** 2).sum())


def test_transport_between_equally_many_tokens_is_the_best_assignment():
    one, other = cloud(0, 40), cloud(1, 40)
    cost = cdist(one, other, "sqeuclidean")
    assert wasserstein(one, other) == pytest.approx(cost[linear_sum_assignment(cost)].mean())


def test_transport_of_unequal_sets_of_zeros_and_ones_is_the_mass_that_moves():
    one, other = np.repeat([[0.0], [1.0]], [3, 5], axis=0), np.repeat([[0.0], [1.0]], [4, 3], axis=0)
    assert wasserstein(one, other) == pytest.approx(
        wasserstein_distance(one[:, 0], other[:, 0])
    )  # 0 and 1: squares too
    assert wasserstein(one, other) == pytest.approx(abs(5 / 8 - 3 / 7))


def test_jensen_shannon_is_zero_for_equal_sets_one_for_distant_ones_and_symmetric():
    one = cloud(0, 60)
    assert jensen_shannon(one, one[::-1].copy()) == pytest.approx(0.0, abs=1e-9)
    far = jensen_shannon(one, cloud(1, 30, shift=50.0))
    assert 0.8 < far <= 1.0
    other = cloud(2, 25, shift=0.5)
    assert jensen_shannon(one, other) == pytest.approx(jensen_shannon(other, one))
    steps = [jensen_shannon(one, cloud(3, 60, shift=shift)) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert steps == sorted(steps)


def test_jensen_shannon_of_two_tokens_is_that_of_two_gaussians_on_a_line():
    value = jensen_shannon(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    # Spread 2.5 about the middle, kernels as wide: two Gaussians two widths apart.
    x = np.linspace(-9, 9, 20001)
    p, q = (np.exp(-0.5 * (x - centre) ** 2) / np.sqrt(2 * np.pi) for centre in (-1, 1))
    middle = (p + q) / 2
    wanted = 0.5 * np.trapezoid(p * np.log2(p / middle) + q * np.log2(q / middle), x)
    assert value == pytest.approx(wanted, rel=0.02)


def test_jensen_shannon_does_not_change_when_feature_space_is_turned():
    turn = np.linalg.qr(cloud(9, 8))[0]
    one, other = cloud(0, 50) * np.arange(1, 9), cloud(1, 40) * np.arange(1, 9) + 1
    assert jensen_shannon(one @ turn, other @ turn) == pytest.approx(jensen_shannon(one, other), rel=1e-6)


def test_jensen_shannon_of_identical_tokens_is_zero():
    assert jensen_shannon(np.ones((3, 4)), np.ones((1, 4))) == 0.0


def test_hungarian_matches_the_means_of_clouds_in_the_cheapest_way():
    centres = np.eye(4) * 20
    one = np.concatenate([cloud(i, 6, 4) * 0.01 + centres[i] for i in range(3)])
    other = np.concatenate([cloud(9 + i, 4, 4) * 0.01 + centres[i] + 1.0 for i in (2, 0, 1)])
    means = [[part.reshape(3, -1, 4).mean(axis=1)] for part in (one, other)]
    wanted = min(
        np.mean([((means[0][0][i] - means[1][0][j]) ** 2).sum() for i, j in enumerate(order)])
        for order in permutations(range(3))
    )
    found = hungarian(torch.from_numpy(one).float(), torch.from_numpy(other).float(), 3)
    assert found == pytest.approx(wanted, rel=1e-4)
    assert hungarian(torch.from_numpy(one).float(), torch.from_numpy(other[:1]).float(), 3) > 0


@pytest.mark.parametrize("retrieval", ["wasserstein", "js", "hungarian", "none"])
def test_an_empty_set_is_further_than_anything_and_one_token_works(retrieval: str):
    options = P2SamParameters(retrieval=retrieval)
    tokens = torch.from_numpy(cloud(0, 5)).float()
    assert distance(tokens, tokens[:0], options) == EMPTY_DISTANCE
    assert distance(tokens[:0], tokens, options) == EMPTY_DISTANCE
    one = distance(tokens[:1], tokens[1:2], options)
    assert np.isfinite(one)
    assert one < EMPTY_DISTANCE


@pytest.mark.parametrize("retrieval", ["wasserstein", "js", "hungarian"])
def test_the_set_from_the_same_distribution_is_nearer(retrieval: str):
    options = P2SamParameters(retrieval=retrieval, maximum_tokens=0)
    reference = torch.from_numpy(cloud(0, 60)).float()
    same, other = torch.from_numpy(cloud(1, 45)).float(), torch.from_numpy(cloud(2, 45, shift=2.0)).float()
    assert distance(reference, same, options) < distance(reference, other, options)


def test_large_sets_are_thinned_only_when_asked():
    one, other = torch.from_numpy(cloud(0, 80)).float(), torch.from_numpy(cloud(1, 70)).float()
    exact = distance(one, other, P2SamParameters())
    assert exact == pytest.approx(wasserstein(one.double().numpy(), other.double().numpy()))
    assert distance(one, other, P2SamParameters(maximum_tokens=80)) == exact
    index = [int((i + 0.5) * 80 / 20) for i in range(20)], [int((i + 0.5) * 70 / 20) for i in range(20)]
    wanted = wasserstein(one[index[0]].double().numpy(), other[index[1]].double().numpy())
    assert distance(one, other, P2SamParameters(maximum_tokens=20)) == pytest.approx(wanted)


def test_an_unknown_retrieval_is_refused():
    with pytest.raises(ParameterError, match="nearest"):
        distance(torch.ones(2, 2), torch.ones(2, 2), P2SamParameters(retrieval="nearest"))


def test_the_smallest_distance_wins_and_without_retrieval_the_largest_n_and_m():
    nothing = torch.zeros(0)
    found = [
        Candidate(n, m, nothing, nothing, nothing, nothing, 0.0, None, far)
        for n, m, far in [(1, 1, 3.0), (1, 2, 1.0), (2, 1, 1.0), (2, 2, EMPTY_DISTANCE)]
    ]
    assert choose(found, P2SamParameters()) is found[1]
    assert choose(found, P2SamParameters(retrieval="none")) is found[3]
