"""Corrupted priors: how far they may move, and that something is always left of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samprompt.evaluation.metrics import volumetric_dice
from samprompt.evaluation.prompted_parameters import PriorParameters
from samprompt.evaluation.prompted_prior import corrupted
from scipy import ndimage

MOVED_ONLY = PriorParameters(scale=1.0, cut=0.0)
SPACING = np.array([1.5, 0.8])


@pytest.fixture(scope="module")
def tumour() -> np.ndarray:
    y, x = np.indices((120, 160)).astype(float)
    y, x = (y - 60) * SPACING[0], (x - 80) * SPACING[1]
    return np.asarray((x / 34) ** 2 + (y / 26) ** 2 + 0.15 * np.sin(x / 6) <= 1)


def farthest(one: np.ndarray, other: np.ndarray) -> float:
    """Hausdorff distance between two masks' outlines, in the unit of SPACING."""
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (one, other)]
    maps = [ndimage.distance_transform_edt(~edge, sampling=SPACING) for edge in edges]
    return float(max(maps[1][edges[0]].max(), maps[0][edges[1]].max()))


def test_a_contour_moves_by_at_most_ten_millimetres_and_by_all_of_them_now_and_then(tumour: np.ndarray):
    moved = [farthest(tumour, corrupted(tumour, SPACING, np.random.default_rng(n), MOVED_ONLY)) for n in range(60)]
    pixel = float(np.hypot(*SPACING))
    assert max(moved) <= 10.0 + pixel
    assert max(moved) > 7.0
    assert min(moved) < 2.0
    assert 2.0 < float(np.mean(moved)) < 6.0


def test_small_things_move_less_and_pictures_by_their_own_size():
    y, x = np.indices((60, 60))
    small = np.hypot(y - 30, x - 30) <= 6  # diameter 12, of which 35 % are 4.2
    one = np.ones(2)
    for in_mm, most in ((True, 0.35 * 12.2), (False, 0.2 * 12.2)):
        shifts = []
        for n in range(40):
            prior = corrupted(small, one, np.random.default_rng(n), MOVED_ONLY, in_mm=in_mm)
            shifts.append(float(np.hypot(*(np.argwhere(prior).mean(0) - 30))))
        assert max(shifts) <= most + 0.5
        assert max(shifts) > 0.4 * most


def test_without_any_error_the_prior_is_the_truth(tumour: np.ndarray):
    still = replace(MOVED_ONLY, reach=0.0)
    assert np.array_equal(corrupted(tumour, SPACING, np.random.default_rng(1), still), tumour)


def test_scaling_changes_the_size_within_its_limits(tumour: np.ndarray):
    scaled = replace(MOVED_ONLY, reach=0.0, scale=1.25)
    areas = [corrupted(tumour, SPACING, np.random.default_rng(n), scaled).sum() / tumour.sum() for n in range(40)]
    assert min(areas) >= 1 / 1.25**2 - 0.02
    assert max(areas) <= 1.25**2 + 0.02
    assert min(areas) < 0.85
    assert max(areas) > 1.15


def test_a_cut_prior_ends_in_a_straight_line_and_lacks_less_than_half(tumour: np.ndarray):
    cut = replace(MOVED_ONLY, reach=0.0, cut=1.0)
    for n in range(20):
        prior = corrupted(tumour, SPACING, np.random.default_rng(n), cut)
        assert not (prior & ~tumour).any()
        missing = tumour & ~prior
        assert 0.05 < missing.sum() / tumour.sum() < 0.5
        # a straight line: what is missing and what is left can be told apart by one linear function
        gone, left = np.argwhere(missing) * SPACING, np.argwhere(prior) * SPACING
        direction = gone.mean(0) - left.mean(0)
        angles = np.linspace(0, 2 * np.pi, 720)
        gaps = [(gone @ d).min() - (left @ d).max() for d in np.stack([np.cos(angles), np.sin(angles)], axis=1)]
        assert max(gaps) > -1.0, direction


def test_three_pixels_in_a_corner_always_leave_a_prior():
    mask = np.zeros((20, 20), bool)
    mask[0, 0:3] = True
    for n in range(60):
        for in_mm in (True, False):
            prior = corrupted(mask, np.full(2, 3.0), np.random.default_rng(n), in_mm=in_mm)
            assert prior.any()
            assert prior.sum() < 30


def test_priors_are_repeatable_differ_by_seed_and_leave_the_truth_alone(tumour: np.ndarray):
    before = tumour.copy()
    one, same, other = (corrupted(tumour, SPACING, np.random.default_rng(n)) for n in (4, 4, 5))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(tumour, before)
    assert one.shape == tumour.shape


def test_priors_are_wrong_and_not_worthless(tumour: np.ndarray):
    dices = [volumetric_dice(tumour, corrupted(tumour, SPACING, np.random.default_rng(n))) for n in range(60)]
    assert 0.75 < float(np.mean(dices)) < 0.95
    assert min(dices) > 0.4
    assert max(dices) < 1.0
