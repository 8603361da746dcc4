"""Pieces, their boxes, and where one clicks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samprompt.evaluation.prompted_clicks import next_click
from samprompt.evaluation.prompted_parameters import PromptedParameters
from samprompt.evaluation.prompted_pieces import even_choice, jittered, pieces_of, tight_box

ONE = np.ones(2)
KNOWN = PromptedParameters()


def test_an_empty_mask_has_no_pieces():
    assert list(pieces_of(np.zeros((4, 6, 6), bool), "x", KNOWN)) == []


def test_a_lesion_of_three_voxels_is_a_piece_and_one_of_two_is_not():
    mask = np.zeros((3, 12, 12), bool)
    mask[1, 2, 2:5] = True
    mask[1, 8, 8:10] = True
    found = list(pieces_of(mask, "x", KNOWN))
    assert [(p.k, p.mask.sum()) for p in found] == [(1, 3)]
    x0, y0, x1, y1 = found[0].box
    assert x0 == pytest.approx(2, abs=0.15)
    assert x1 == pytest.approx(5, abs=0.15)
    assert (y0, y1) == pytest.approx((2, 3), abs=0.05)


def test_pieces_that_touch_at_a_corner_are_one_and_others_are_several():
    mask = np.zeros((1, 10, 10), bool)
    mask[0, 1:3, 1:3] = True
    mask[0, 3:5, 3:5] = True
    mask[0, 7:9, 7:9] = True
    assert sorted(int(p.mask.sum()) for p in pieces_of(mask, "x", KNOWN)) == [4, 8]


def test_slices_are_chosen_evenly_with_both_ends():
    assert even_choice(np.arange(5, 8), 10) == [5, 6, 7]
    assert even_choice(np.arange(100), 5) == [0, 25, 50, 74, 99]
    assert even_choice(np.array([3, 9, 40]), 2) == [3, 40]
    assert even_choice(np.array([3, 9, 40]), 1) == [9]
    assert even_choice(np.array([], dtype=np.intp), 4) == []
    mask = np.zeros((30, 8, 8), bool)
    mask[3:28, 2:6, 2:6] = True
    assert [p.k for p in pieces_of(mask, "x", replace(KNOWN, slices=4))] == [3, 11, 19, 27]


def test_the_tight_box_touches_the_outermost_pixels():
    mask = np.zeros((20, 30), bool)
    mask[4:9, 11] = True
    mask[6, 7:15] = True
    assert tight_box(mask).tolist() == [7, 4, 15, 9]


def test_every_edge_of_a_box_moves_by_up_to_five_per_cent_of_its_side_evenly():
    random = np.random.default_rng(1)
    box = np.array([100.0, 50.0, 300.0, 90.0])
    moved = np.array([jittered(box, 0.05, random) - box for _ in range(4000)])
    limit = np.array([10.0, 2.0, 10.0, 2.0])
    assert (np.abs(moved) <= limit).all()
    # evenly: the variance of an even distribution is a third of its limit's square; and no edge knows of another
    assert np.allclose(moved.var(axis=0), limit**2 / 3, rtol=0.08)
    assert np.allclose(moved.mean(axis=0), 0, atol=limit * 0.05)
    assert np.abs(np.corrcoef(moved.T) - np.eye(4)).max() < 0.06


def test_a_box_depends_on_the_seed_and_the_pieces_name_and_not_on_what_else_is_measured():
    mask = np.zeros((9, 20, 20), bool)
    mask[4, 3:9, 3:9] = True
    alone = next(iter(pieces_of(mask, "set/patient/image/liver", KNOWN)))
    mask[2:8:2, 12:18, 12:18] = True
    among = [p for p in pieces_of(mask, "set/patient/image/liver", KNOWN) if p.k == 4 and p.number == 1]
    assert np.array_equal(alone.box, among[0].box)
    other = next(iter(pieces_of(mask, "set/patient/image/spleen", KNOWN)))
    seeded = next(p for p in pieces_of(mask, "set/patient/image/liver", replace(KNOWN, seed=2)) if p.k == 4)
    assert not np.array_equal(alone.box, other.box)
    assert not np.array_equal(alone.box, seeded.box)


def test_the_first_click_is_the_middle_of_the_largest_disc_in_the_object():
    y, x = np.indices((60, 80))
    truth = ((y - 30) ** 2 + (x - 20) ** 2 <= 14**2) | ((np.abs(y - 30) <= 3) & (x >= 20) & (x < 75))
    click = next_click(truth, np.zeros_like(truth), ONE)
    assert click is not None
    assert click.positive
    assert (click.x, click.y) == pytest.approx((20.5, 30.5), abs=2)


def test_the_first_click_is_inside_every_object_whatever_its_shape():
    random = np.random.default_rng(5)
    y, x = np.indices((40, 40))
    ring = (np.hypot(y - 20, x - 20) < 15) & (np.hypot(y - 20, x - 20) > 12)
    shapes = [ring, *(random.random((40, 40)) < 0.02 * (n + 1) for n in range(10))]
    shapes.append(np.eye(40, dtype=bool))
    for truth in shapes:
        click = next_click(truth, np.zeros_like(truth), ONE)
        assert click is not None
        assert truth[int(click.y), int(click.x)]
        assert click.positive


def test_a_correction_goes_to_the_larger_error_and_says_which_kind_it_is():
    truth, answer = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    truth[5:25, 5:25] = True
    answer[5:25, 9:25] = True  # 4 x 20 missed on the left
    answer[28:38, 40:49] = True  # 90 pixels too much
    click = next_click(truth, answer, ONE)
    assert click is not None
    assert not click.positive
    assert answer[int(click.y), int(click.x)]
    assert not truth[int(click.y), int(click.x)]
    assert (click.x, click.y) == pytest.approx((44.5, 33), abs=1.6)
    answer[28:38, 47:49] = False  # 70 left: now what is missed is the larger one
    click = next_click(truth, answer, ONE)
    assert click is not None
    assert click.positive
    assert 5 <= click.x < 9


def test_the_middle_is_measured_in_the_slices_unit_and_the_images_border_is_an_edge():
    truth = np.zeros((12, 40), bool)
    truth[:, :30] = True  # touches three borders
    click = next_click(truth, np.zeros_like(truth), ONE)
    assert click is not None
    assert click.y == pytest.approx(6, abs=1)
    assert 5 <= click.x <= 25
    high = next_click(truth, np.zeros_like(truth), np.array([10.0, 1.0]))  # 120 high, 30 wide
    assert high is not None
    assert high.x == pytest.approx(15, abs=1)


def test_a_perfect_answer_is_not_corrected():
    truth = np.zeros((9, 9), bool)
    truth[3:6, 3:6] = True
    assert next_click(truth, truth.copy(), ONE) is None
    assert next_click(np.zeros((9, 9), bool), np.zeros((9, 9), bool), ONE) is None
