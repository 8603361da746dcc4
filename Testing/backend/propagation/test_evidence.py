"""The evidence of a structure: likelihood, reliability on the baseline, candidates in batches, and calling it gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PathParameters, PropagationParameters
from samprompt.propagation.candidates import CandidateMaker, Request
from samprompt.propagation.doubts import is_gone
from samprompt.propagation.knowledge import encode_structures, learn, make_groups, on_region, token_width
from samprompt.propagation.likelihood import separation
from samprompt.propagation.reliability import measure_reliability
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit

PARAMETERS = PropagationParameters()


def knowledge_of(visit: Visit, backbone):
    group = make_groups(visit, visit.structures, backbone, PARAMETERS)[0]
    encoded = encode_structures(visit, visit.structures[:1], group, backbone, PARAMETERS, Progress())
    mask = on_region(visit.structures[0].mask, encoded)
    return learn([(encoded, mask)], backbone, PARAMETERS, use_grey=True)


@pytest.fixture(scope="module")
def visible(phantom, tiny):
    return knowledge_of(phantom.draw(name="baseline"), tiny)


def test_the_likelihood_is_positive_inside_and_negative_in_the_ring(visible, tiny) -> None:
    encoded, mask = visible.pieces[0]
    index = int(mask.sum(axis=(1, 2)).argmax())
    ratio = visible.likelihood.ratio(encoded, index, tiny)
    assert float((ratio[mask[index]] > 0).mean()) > 0.9
    rows, columns = np.nonzero(mask[index])
    beside = ratio[rows.min() - 12 : rows.min() - 6, int(columns.mean())]
    assert float(beside.mean()) < 0


def test_a_visible_lesion_is_found_again_from_wrong_priors_and_an_invisible_one_is_not(phantom, tiny, visible) -> None:
    seen, bias = measure_reliability(visible, tiny, PARAMETERS)
    plain = phantom.draw(name="plain", lesion=0.0)
    ball = phantom.draw(name="drawn").structures[0]
    shifted = np.roll(ball.mask, 24, axis=2)  # the same shape in the middle of evenly grey tissue
    invisible = knowledge_of(Visit("plain", plain.volume, (Structure("GTV", shifted, ball.grid),)), tiny)
    unseen, _ = measure_reliability(invisible, tiny, PARAMETERS)
    assert seen > 0.5
    assert bias < 0.1
    assert unseen < seen - 0.2


def test_slices_prompted_together_answer_as_each_alone(visible, tiny) -> None:
    encoded, mask = visible.pieces[0]
    maker = CandidateMaker(tiny, visible.reference, PARAMETERS, 2.0)
    planes = np.flatnonzero(mask.any(axis=(1, 2)))[2:6].tolist()
    requests = [Request(n, mask[n]) for n in planes] + [Request(planes[0], None, mask[planes[0]]), Request(planes[1])]
    together = maker.make(encoded, requests)
    for request, many in zip(requests, together, strict=True):
        one = maker.make(encoded, [request])[0]
        assert [c.kind for c in one.candidates] == [c.kind for c in many.candidates]
        for left, right in zip(one.candidates, many.candidates, strict=True):
            assert np.abs(np.clip(left.field, -9, 9) - np.clip(right.field, -9, 9)).max() < 2e-2
            if np.isfinite(left.distance):
                assert left.distance == pytest.approx(right.distance, abs=1e-3)
    assert together[0].candidates[0].kind == "empty"
    assert together[0].candidates[1].kind == "prior"
    assert together[-2].candidates[1].kind != "prior"
    assert together[-1].guide is None


def test_separation_is_the_difference_between_inside_and_ring() -> None:
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 12:28, 12:28] = True
    ratios = np.where(mask, 2.0, -2.0).astype(np.float32)
    assert separation(ratios, mask, 1.0, 2.0) == pytest.approx(0.0)
    assert separation(-ratios, mask, 1.0, 2.0) == pytest.approx(2.0)
    assert separation(np.zeros_like(ratios), mask, 1.0, 2.0) == pytest.approx(1.0)
    assert separation(ratios, np.zeros_like(mask), 1.0, 2.0) == 1.0


def test_gone_is_said_only_of_what_the_evidence_could_tell_apart_before(visible) -> None:
    p = PathParameters()
    clear = replace(visible, reliability=0.9, separation=0.1)
    assert is_gone({"separation": 0.1 + p.gone + 0.05}, clear, True, p)
    assert not is_gone({"separation": 0.1 + p.gone - 0.05}, clear, True, p)
    assert not is_gone({"separation": 1.0}, replace(clear, separation=0.7), True, p)
    assert not is_gone({"separation": 1.2}, replace(clear, reliability=0.2), True, p)
    assert is_gone({"separation": 0.1, "cycle": 0.9}, clear, False, p)
    assert not is_gone({}, clear, True, p)


def test_structures_under_one_window_share_a_square_and_far_ones_do_not(phantom, tiny) -> None:
    visit = phantom.draw(name="baseline")
    gtv = visit.structures[0]
    near = replace(gtv, name="near", mask=np.roll(gtv.mask, 3, axis=2))
    groups = make_groups(visit, (gtv, near), tiny, PARAMETERS)
    assert len(groups) == 1
    assert set(groups[0].members) == {0, 1}
    assert groups[0].side >= PARAMETERS.region.minimum_side
    assert token_width(groups[0], tiny) == pytest.approx(groups[0].side / 32)
