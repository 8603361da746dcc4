"""The cheapest path along z, against trying every combination."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from samprompt.contract.propagation import PathParameters
from samprompt.propagation.path import Section, cheapest_path, transition_costs, unary_costs

PARAMETERS = PathParameters()


def random_sections(rng: np.random.Generator, slices: int, candidates: int) -> list[Section]:
    sections = []
    for _ in range(slices):
        masks = rng.random((candidates, 6, 6)) < 0.4
        masks[0] = False
        sections.append(Section(masks, np.concatenate([[0.0], rng.normal(-2.0, 6.0, candidates - 1)])))
    return sections


def exhaustive(sections: list[Section], allowed: list[float], area: float, one_run: bool) -> float:
    best = np.inf
    for choice in itertools.product(*[range(len(s.masks)) for s in sections]):
        filled = [c > 0 for c in choice]
        runs = sum(1 for n, here in enumerate(filled) if here and (n == 0 or not filled[n - 1]))
        if one_run and runs > 1:
            continue
        cost = sum(float(s.unary[c]) for s, c in zip(sections, choice, strict=True))
        for n in range(len(sections) - 1):
            left, right = sections[n].masks[choice[n]], sections[n + 1].masks[choice[n + 1]]
            excess = max(0.0, float((left != right).sum()) * area - allowed[n])
            cost += PARAMETERS.smoothness_weight * excess
        best = min(best, cost)
    return best


@pytest.mark.parametrize("one_run", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_the_path_costs_what_the_best_of_all_combinations_costs(seed: int, one_run: bool) -> None:
    rng = np.random.default_rng(seed)
    sections = random_sections(rng, 5, 4)
    allowed = list(rng.uniform(0, 8, 4))
    chosen, cost = cheapest_path(sections, allowed, 1.5, PARAMETERS, one_run)
    assert cost == pytest.approx(exhaustive(sections, allowed, 1.5, one_run))
    filled = [c > 0 for c in chosen]
    if one_run:
        assert sum(1 for n, here in enumerate(filled) if here and (n == 0 or not filled[n - 1])) <= 1


def test_one_slice_takes_its_cheapest_candidate() -> None:
    section = random_sections(np.random.default_rng(3), 1, 5)[0]
    chosen, cost = cheapest_path([section], [], 1.0, PARAMETERS)
    assert chosen == [int(np.argmin(section.unary))]
    assert cost == pytest.approx(float(section.unary.min()))


def test_nothing_is_chosen_where_everything_costs_more_than_nothing() -> None:
    masks = np.zeros((2, 4, 4), bool)
    masks[1, 1:3, 1:3] = True
    sections = [Section(masks, np.array([0.0, 5.0]))] * 4
    assert cheapest_path(sections, [0.0] * 3, 1.0, PARAMETERS)[0] == [0, 0, 0, 0]


def test_a_bad_slice_between_good_ones_is_bridged() -> None:
    masks = np.zeros((2, 10, 10), bool)
    masks[1, 2:8, 2:8] = True
    unary = [-30.0, -30.0, 4.0, -30.0, -30.0]
    sections = [Section(masks, np.array([0.0, u])) for u in unary]
    assert cheapest_path(sections, [0.0] * 4, 1.0, PARAMETERS)[0] == [1, 1, 1, 1, 1]


def test_tapering_like_the_prior_costs_nothing() -> None:
    big, small = np.zeros((1, 8, 8), bool), np.zeros((1, 8, 8), bool)
    big[0, 1:7, 1:7] = True
    small[0, 2:6, 2:6] = True
    assert transition_costs(big, small, 20.0, 1.0, PARAMETERS)[0, 0] == 0.0
    assert transition_costs(big, small, 0.0, 1.0, PARAMETERS)[0, 0] == pytest.approx(
        PARAMETERS.smoothness_weight * 20.0
    )


def test_the_empty_section_costs_nothing_without_a_prior() -> None:
    masks = np.zeros((2, 5, 5), bool)
    masks[1, 1:4, 1:4] = True
    evidence = np.full((5, 5), 0.7, np.float32)
    cost = unary_costs(masks, evidence, None, np.ones((5, 5), np.float32), np.zeros(2), 2.0, PARAMETERS)
    assert cost[0] == 0.0
    assert cost[1] == pytest.approx(-0.7 * 9 * 2.0)


def test_leaving_the_prior_must_gain_more_than_the_margin() -> None:
    prior = np.zeros((6, 6), bool)
    prior[1:5, 1:5] = True
    other = prior.copy()
    other[1, 1] = False
    masks = np.stack([np.zeros_like(prior), prior, other])
    flat = np.zeros((6, 6), np.float32)
    cost = unary_costs(masks, flat, prior, np.ones((6, 6), np.float32), np.zeros(3), 1.0, PARAMETERS)
    assert cost[1] == 0.0
    expected = PARAMETERS.prior_weight * 1 + PARAMETERS.leave_prior_margin * 16
    assert cost[2] == pytest.approx(expected)
