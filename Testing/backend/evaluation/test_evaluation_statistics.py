"""Intervals over patients, the AUROC of trust and the silent failures, against counting by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from samprompt.evaluation.rows import Row
from samprompt.evaluation.statistics import failed, mean_interval, risk_coverage, trust_auroc, trust_summary

RowMaker = Callable[..., Row]


def test_more_structures_per_patient_do_not_narrow_the_interval():
    values, patients = [0.6, 0.7, 0.9, 0.8], ["A", "B", "C", "D"]
    few = mean_interval(values, patients)
    many = mean_interval(values * 50, patients * 50)
    assert (many.low, many.high, many.value) == pytest.approx((few.low, few.high, few.value))
    assert (few.count, many.count, few.patients, many.patients) == (4, 200, 4, 4)


def test_the_interval_is_that_of_all_possible_draws_of_patients():
    """Three patients have 27 equally likely draws: the interval's ends are quantiles of their means."""
    rows = {"A": [0.5, 0.7], "B": [0.9], "C": [0.2, 0.3, 0.4]}
    values = [v for vs in rows.values() for v in vs]
    patients = [p for p, vs in rows.items() for _ in vs]
    means = [float(np.mean([v for p in draw for v in rows[p]])) for draw in itertools.product(rows, repeat=3)]
    found = mean_interval(values, patients, repeats=20_000)
    assert found.low == pytest.approx(np.quantile(means, 0.025, method="inverted_cdf"))
    assert found.high == pytest.approx(np.quantile(means, 0.975, method="inverted_cdf"))
    assert found.value == pytest.approx(np.mean(values))


def test_one_patient_gives_a_mean_and_no_interval():
    found = mean_interval([0.5, 0.7, 0.9], ["A"] * 3)
    assert found.value == pytest.approx(0.7)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_what_was_not_measured_is_in_no_mean():
    found = mean_interval([0.5, math.nan, 0.7], ["A", "B", "C"])
    assert (found.value, found.count, found.patients) == (pytest.approx(0.6), 2, 2)
    nothing = mean_interval([math.nan], ["A"])
    assert math.isnan(nothing.value)
    assert nothing.count == 0
    assert mean_interval([], []).count == 0


def test_the_same_rows_give_the_same_interval_again():
    rng = np.random.default_rng(3)
    values, patients = list(rng.random(30)), [str(n % 6) for n in range(30)]
    assert mean_interval(values, patients) == mean_interval(values, patients)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(5)
    trust = rng.integers(0, 6, 40) / 5.0  # with ties
    bad = rng.random(40) < 0.4
    pairs = [(s, f) for s in trust[~bad] for f in trust[bad]]
    expected = np.mean([1.0 if s > f else 0.5 if s == f else 0.0 for s, f in pairs])
    found = trust_auroc(trust, bad, [str(n % 8) for n in range(40)], repeats=50)
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


def test_auroc_without_a_failure_or_a_success_has_no_value():
    assert math.isnan(trust_auroc([0.1, 0.9], [False, False], ["A", "B"]).value)
    assert math.isnan(trust_auroc([0.1, 0.9], [True, True], ["A", "B"]).value)


@pytest.mark.parametrize(
    ("dice", "surface_dice", "bad"),
    [(0.7, 0.8, False), (0.69, 0.95, True), (0.95, 0.79, True), (0.0, 0.0, True), (0.9, 0.9, False)],
)
def test_a_failure_is_a_low_dice_or_a_low_surface_dice(a_row: RowMaker, dice: float, surface_dice: float, bad: bool):
    assert failed(a_row(dice=dice, surface_dice_3mm=surface_dice)) is bad


def test_silent_failures_are_counted_among_what_was_not_flagged(a_row: RowMaker):
    rows = [
        a_row("A", dice=0.9, trust=0.9),
        a_row("A", "growth-2", dice=0.9, trust=0.8),
        a_row("B", dice=0.3, trust=0.7),  # silent
        a_row("B", "growth-2", dice=0.2, trust=0.1, flagged=True),
        a_row("C", dice=0.9, trust=0.2, flagged=True),  # a false alarm
        a_row("C", "growth-2", dice=math.nan, surface_dice_3mm=math.nan, state="true negative", trust=0.1),
        a_row("D", status="error", dice=math.nan, trust=math.nan),
    ]
    found = trust_summary(rows)
    assert (found.count, found.failures, found.flagged, found.flagged_failures) == (5, 2, 2, 1)
    assert found.false_reassurance.value == pytest.approx(1 / 3)
    assert found.auroc.value == pytest.approx(5 / 6)  # of 3 x 2 pairs only (0.2 right, 0.7 wrong) is in wrong order


def test_risk_falls_with_coverage_where_trust_ranks_right():
    curve = risk_coverage([0.9, 0.8, 0.8, 0.1], [0.0, 0.0, 1.0, 1.0])
    assert curve == [(0.25, 0.0), (0.75, pytest.approx(1 / 3)), (1.0, 0.5)]
    assert risk_coverage([], []) == []


def test_the_area_under_risk_and_coverage_lies_between_ideal_and_reversed(a_row: RowMaker):
    def rows(trust: list[float]) -> list[Row]:
        dices = [0.9, 0.9, 0.9, 0.2]
        return [a_row(p, dice=d, trust=t) for p, d, t in zip("ABCD", dices, trust, strict=True)]

    right, wrong = trust_summary(rows([0.9, 0.8, 0.7, 0.1])), trust_summary(rows([0.7, 0.6, 0.5, 0.9]))
    assert right.risk_area == pytest.approx(0.25 * (0 + 0 + 0 + 1 / 4))
    assert right.risk_area == right.ideal_area == wrong.ideal_area
    assert wrong.risk_area == pytest.approx(0.25 * (1 + 1 / 2 + 1 / 3 + 1 / 4))
