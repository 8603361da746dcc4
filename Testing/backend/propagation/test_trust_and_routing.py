"""The trust score, its words, and the roads structures take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from samprompt.contract.propagation import TrustParameters
from samprompt.propagation.routing import cut_by_border, route_of, typical_width
from samprompt.propagation.trust import score_trust, slices_to_check
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure

GRID = Grid.from_spacing((12, 60, 60), (1.0, 1.0, 3.0))


def ball(name: str, radius: float, centre: tuple[int, int, int] = (6, 30, 30)) -> Structure:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), axis=-1)
    mask = np.linalg.norm((index - np.array(centre)) * GRID.spacing_kji, axis=-1) <= radius
    return Structure(name, mask, GRID)


def test_without_doubts_the_score_is_the_logistic_of_the_bias() -> None:
    parameters = TrustParameters()
    trust = score_trust({}, parameters, [])
    assert trust.score == pytest.approx(1 / (1 + math.exp(-parameters.bias)))
    assert not trust.flagged
    assert trust.reasons == ()


@pytest.mark.parametrize("name", ["alignment", "contrast", "cycle", "disagreement", "retrieval", "absent"])
def test_every_doubt_lowers_the_score(name: str) -> None:
    parameters = TrustParameters()
    if getattr(parameters, name) == 0.0:
        pytest.skip(f"{name} has no weight after calibration")
    assert score_trust({name: 1.0}, parameters, []).score < score_trust({name: 0.2}, parameters, []).score


def test_of_an_empty_result_only_reasons_are_given_that_one_can_look_at() -> None:
    parts = {"cycle": 1.0, "separation": 1.5, "retrieval": 3.0, "alignment": 0.6}
    found = score_trust(parts, TrustParameters(), [])
    empty = score_trust({**parts, "absent": 1.0}, TrustParameters(), [], ["nothing was found"])
    assert len(found.reasons) == 4
    assert len(empty.reasons) == 2
    assert empty.reasons[0] == "nothing was found"
    assert "aligned" in empty.reasons[1]
    assert empty.score < found.score


def test_missing_and_nan_doubts_count_nothing() -> None:
    parameters = TrustParameters()
    assert score_trust({"cycle": math.nan}, parameters, []).score == score_trust({}, parameters, []).score


def test_a_true_responder_is_not_punished_for_differing_from_the_prior() -> None:
    parameters = TrustParameters()
    assert (
        score_trust({"departure": 0.9}, parameters, []).score >= score_trust({"departure": 0.0}, parameters, []).score
    )


def test_an_untrusted_alignment_flags_whatever_the_rest_says() -> None:
    trust = score_trust({}, TrustParameters(), [], ["the alignment is not trusted"])
    assert trust.flagged
    assert trust.score < TrustParameters().low
    assert trust.reasons[0] == "the alignment is not trusted"


def test_slices_to_check_are_ordered_and_apart() -> None:
    doubt = np.array([0.0, 9.0, 8.5, 0.0, 3.0, np.nan, 7.0, 0.0])
    assert slices_to_check(doubt) == [1, 6, 4]


@pytest.mark.parametrize("name", ["PTV", "CTV_60", "ptv 1", "ITV", "prv-cord", "PTV1", "iCTV"])
def test_planning_constructs_are_carried_by_geometry(name: str) -> None:
    assert route_of(ball(name, 15.0), 2.0).kind == "geometric"


@pytest.mark.parametrize("name", ["GTV", "GTVp", "activity", "Liver", "captive"])
def test_visible_things_are_not_taken_for_constructs(name: str) -> None:
    assert route_of(ball(name, 15.0), 2.0).kind == "model"


def test_thin_and_tiny_structures_follow_the_registration() -> None:
    assert route_of(ball("cord", 4.0), 5.0).kind == "thin"
    three = np.zeros(GRID.shape, bool)
    three[5, 30, 30:33] = True
    assert route_of(Structure("met", three, GRID), 1.0).kind == "small"


def test_the_typical_width_of_a_ball_is_its_diameter() -> None:
    assert typical_width(ball("b", 15.0)) == pytest.approx(26.0, abs=5.0)


def test_a_structure_at_the_border_is_called_cut() -> None:
    assert not cut_by_border(ball("GTV", 9.0))
    assert cut_by_border(ball("GTV", 9.0, (0, 30, 30)))
    assert cut_by_border(ball("GTV", 9.0, (6, 30, 58)))
