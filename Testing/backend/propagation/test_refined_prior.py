"""The refined prior: alone as a method, as one more candidate, and what happens without its weights."""

from __future__ import annotations

import gc
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from samprompt.contract.errors import WeightsMissingError
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PathParameters, PropagationParameters, TrustParameters
from samprompt.models.refiner import FILE, Refiner, RefinerNetwork, save_refiner
from samprompt.propagation.align.transform import identity_alignment
from samprompt.propagation.candidates import fuse, prior_field
from samprompt.propagation.path import unary_costs
from samprompt.propagation.patient import propagate_visits
from samprompt.propagation.refining import FAR, prior_region, refine_prior, refined_fields
from samprompt.propagation.routing import route_of, route_without_model
from samprompt.propagation.trust import score_trust
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.windows import WINDOWS
from scipy import ndimage

REFINER = PropagationParameters("refiner")


def one(baseline, followup, backbone=None, **options):
    return next(propagate_visits(baseline, [followup], backbone, **options))


@pytest.fixture(scope="module")
def baseline(phantom):
    return phantom.draw(name="baseline")


@pytest.fixture(scope="module")
def shrunken(phantom):
    return phantom.draw(lesion=13.0, shift=(4.0, 3.0, -3.0), seed=2, name="later")


@pytest.fixture(scope="module")
def cache() -> dict[object, object]:
    """Alignments, kept for all tests of this file."""
    return {}


@pytest.fixture
def other_resources(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Resources with a catalogue and nothing else; the folder of models."""
    folder = tmp_path / "resources" / "models"
    folder.mkdir(parents=True)
    shutil.copy(repository / "Resources" / "models" / "catalogue.toml", folder)
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(folder.parent))
    return folder


# --- the method -----------------------------------------------------------------------------------------------------
def test_without_any_other_model_a_shrunken_lesion_is_drawn_nearer_to_the_truth(
    phantom, baseline, shrunken, cache
) -> None:
    result = one(baseline, phantom.bare(shrunken), parameters=REFINER, cache=cache)
    outcome, truth = result.outcomes[0], shrunken.structures[0].mask
    mine, free = (phantom.dice(s.mask, truth) for s in (outcome.structure, outcome.prior))
    assert mine > free + 0.3 * (1.0 - free)
    assert outcome.route == "prior refined"
    assert "refining" in result.seconds
    assert outcome.trust.parts["without_model"] == 1.0
    assert outcome.trust.parts["disagreement"] == pytest.approx(
        1.0 - phantom.dice(outcome.structure.mask, outcome.prior.mask)
    )
    assert outcome.trust.check_slices


def test_an_unchanged_lesion_is_left_where_the_alignment_has_it(phantom, baseline, cache) -> None:
    followup = phantom.draw(shift=(7.0, -4.0, 5.0), seed=1, name="same")
    outcome = one(baseline, phantom.bare(followup), parameters=REFINER, cache=cache).outcomes[0]
    truth = followup.structures[0].mask
    assert phantom.dice(outcome.structure.mask, truth) > phantom.dice(outcome.prior.mask, truth) - 0.01


def test_an_untrained_refiner_gives_exactly_the_warped_contour(
    phantom, baseline, shrunken, cache, other_resources
) -> None:
    save_refiner(RefinerNetwork(), other_resources / FILE)
    refined = one(baseline, phantom.bare(shrunken), parameters=REFINER, cache=cache).outcomes[0]
    warped = one(
        baseline, phantom.bare(shrunken), parameters=PropagationParameters("deformable"), cache=cache
    ).outcomes[0]
    assert np.array_equal(refined.structure.mask, warped.structure.mask)


def test_a_contour_moved_as_far_as_the_network_may_is_not_trusted_like_another(
    phantom, baseline, shrunken, cache, other_resources
) -> None:
    shrinking = RefinerNetwork()
    torch.nn.init.constant_(shrinking.head.bias, -20.0)
    save_refiner(shrinking, other_resources / FILE)
    outcome = one(baseline, phantom.bare(shrunken), parameters=REFINER, cache=cache).outcomes[0]
    assert outcome.trust.parts["saturated"] > 0.95
    assert any("as far as it may" in reason for reason in outcome.trust.reasons)
    # eight millimetres off every side of the warped contour, as counted on its largest section; its ends are gone
    depth = prior_depth(outcome.prior)
    largest = int(outcome.prior.mask.sum(axis=(1, 2)).argmax())
    left, inner = outcome.structure.mask, depth[largest] > 8.0 + 2.5
    assert inner.any()
    assert left[largest][inner].all()
    assert not (left & (depth < 8.0 - 2.5)).any()
    assert left.any(axis=(1, 2)).sum() < outcome.prior.mask.any(axis=(1, 2)).sum()
    plain = score_trust({}, TrustParameters(), []).score
    assert score_trust({"saturated": 1.0}, TrustParameters(), []).score < plain


@pytest.mark.parametrize(("bias", "moved"), [(-20.0, True), (0.0, False)])
def test_the_road_with_a_model_says_too_how_much_of_the_contour_went_as_far_as_it_may(
    phantom, baseline, shrunken, cache, tiny, other_resources, bias: float, moved: bool
) -> None:
    network = RefinerNetwork()
    torch.nn.init.constant_(network.head.bias, bias)
    save_refiner(network, other_resources / FILE)
    outcome = one(baseline, phantom.bare(shrunken), tiny, parameters=PropagationParameters(), cache=cache).outcomes[0]
    assert outcome.route == "model"
    assert (outcome.trust.parts["saturated"] > 0.95) == moved
    assert any("as far as it may" in reason for reason in outcome.trust.reasons) == moved


def prior_depth(structure: Structure) -> np.ndarray:
    """Depth in mm inside each section."""
    spacing = structure.grid.spacing_kji[1:]
    return np.stack([ndimage.distance_transform_edt(section, spacing) for section in structure.mask])


def test_planning_targets_and_unaligned_structures_are_not_refined(phantom, baseline, cache) -> None:
    followup = phantom.draw(shift=(6.0, 0.0, 3.0), seed=7, name="later")
    gtv = baseline.structures[0]
    visit = Visit("baseline", baseline.volume, (replace(gtv, name="PTV"), gtv))
    ptv, plain = one(visit, phantom.bare(followup), parameters=REFINER).outcomes
    assert ptv.route.startswith("geometry only")
    assert np.array_equal(ptv.structure.mask, ptv.prior.mask)
    assert plain.route == "prior refined"
    other = phantom.draw(seed=4, name="other", other_anatomy=True, lesion=0.0)
    stranger = one(baseline, phantom.bare(other), parameters=REFINER).outcomes[0]
    assert stranger.route == "prior only: not aligned"
    assert stranger.trust.flagged
    assert np.array_equal(stranger.structure.mask, stranger.prior.mask)


def test_a_structure_outside_the_follow_up_comes_out_empty_and_flagged(phantom, baseline) -> None:
    low = Grid.from_spacing((8, 96, 112), (2.5, 2.5, 3.0), (-139.0, -118.0, -80.0))
    outcome = one(baseline, phantom.bare(phantom.draw(low, seed=6, name="below")), parameters=REFINER).outcomes[0]
    assert outcome.structure.is_empty
    assert outcome.trust.flagged


def test_single_slices_are_refined(phantom) -> None:
    flat = Grid.from_spacing((1, 96, 112), (2.5, 2.5, 3.0), (-139.0, -118.0, 4.0))
    first, later = phantom.draw(flat, name="baseline"), phantom.draw(flat, seed=8, name="later")
    outcome = one(first, phantom.bare(later), parameters=REFINER).outcomes[0]
    assert phantom.dice(outcome.structure.mask, later.structures[0].mask) > 0.9


def test_corrections_within_the_dead_zone_are_left_out_and_larger_ones_lessened_by_it(phantom) -> None:
    visit = phantom.draw()
    prior = visit.structures[0].mask
    region = prior_region(visit.volume.grid, prior, PropagationParameters().region)
    grey = WINDOWS["soft"].apply(region.sample(visit.volume.array, -1000.0))
    for given, expected in ((0.9, 0.0), (-0.9, 0.0), (3.0, 2.0), (-8.0, -7.0)):
        constant = Recording(given)
        fields, moved = refined_fields(
            constant, grey, region.mask(prior), region, WINDOWS["soft"], visit.volume, identity_alignment(), 1.0
        )
        looked_at = (fields > -FAR).any(axis=(1, 2))
        assert np.allclose(moved[looked_at], expected)
        assert np.allclose((fields - moved)[looked_at], constant.shown[2])


# --- without its weights --------------------------------------------------------------------------------------------
def test_missing_weights_are_an_error_and_never_another_result(
    phantom, tiny, baseline, shrunken, other_resources
) -> None:
    candidate = PropagationParameters("p2sam3d", path=PathParameters(refiner=True))
    for parameters, backbone in ((REFINER, None), (candidate, tiny)):
        with pytest.raises(WeightsMissingError, match="refiner"):
            one(baseline, phantom.bare(shrunken), backbone, parameters=parameters)


def test_with_the_candidate_off_the_weights_are_not_even_looked_for(
    phantom, tiny, baseline, shrunken, cache, other_resources
) -> None:
    off = PropagationParameters("p2sam3d", path=PathParameters(refiner=False))
    assert not off.uses_refiner
    outcome = one(baseline, phantom.bare(shrunken), tiny, parameters=off, cache=cache).outcomes[0]
    assert outcome.route == "model"


# --- the candidate --------------------------------------------------------------------------------------------------
def test_the_refined_prior_is_one_candidate_of_every_slice_that_it_reaches(
    phantom, tiny, baseline, shrunken, cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    from samprompt.propagation import carry as carrying

    seen = []
    settle = carrying.settle
    monkeypatch.setattr(carrying, "settle", lambda proposed, *rest: seen.append(proposed) or settle(proposed, *rest))
    for refiner in (True, False):
        parameters = PropagationParameters("p2sam3d", path=PathParameters(refiner=refiner))
        one(baseline, phantom.bare(shrunken), tiny, parameters=parameters, cache=cache)
    with_it, without = seen
    for index, found in enumerate(with_it.slices):
        kinds = [c.kind for c in found.candidates]
        field = with_it.refined[index]
        assert kinds.count("refined by network") == int((field > 0).any() and len(kinds) > 1)
        assert [k for k in kinds if k != "refined by network"] == [c.kind for c in without.slices[index].candidates]
    assert without.refined is None
    assert sum("refined by network" in [c.kind for c in s.candidates] for s in with_it.slices) >= 5


def test_leaving_the_warped_prior_for_the_refined_one_must_still_gain_the_margin() -> None:
    prior = np.zeros((8, 8), bool)
    prior[1:7, 1:7] = True
    refined = prior.copy()
    refined[1] = False
    masks = np.stack([np.zeros_like(prior), prior, refined])
    flat, sure = np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32)
    p = PathParameters(refiner_share=0.5)
    cost = unary_costs(masks, flat, prior, sure, np.zeros(3), 1.0, p, (refined, sure))
    margin = p.leave_prior_margin * 36
    assert cost[1] == pytest.approx(0.5 * p.prior_weight * 6)
    assert cost[2] == pytest.approx(0.5 * p.prior_weight * 6 + margin)
    none = unary_costs(masks, flat, prior, sure, np.zeros(3), 1.0, replace(p, refiner_share=0.0), (refined, sure))
    without = unary_costs(masks, flat, prior, sure, np.zeros(3), 1.0, p)
    assert np.allclose(none, without)


def test_the_fused_candidate_follows_the_refined_prior_by_its_share_alone() -> None:
    prior, refined = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    prior[8:32, 8:32] = True
    refined[14:26, 14:26] = True
    nothing = np.zeros((40, 40), np.float32)
    field = prior_field(refined, 1.0)

    def area(share: float, given) -> int:
        return int(fuse(nothing, nothing, prior, 1.0, 3.0, PathParameters(refiner_share=share), 0.0, given).mask.sum())

    assert area(0.0, field) == area(0.9, None)
    assert abs(area(1.0, field) - refined.sum()) < 30
    assert refined.sum() < area(0.5, field) < prior.sum()


# --- the region -----------------------------------------------------------------------------------------------------
class Recording:
    """In the refiner's place: notes what it is shown."""

    def __init__(self, constant: float = 0.0) -> None:
        self.step_mm, self.limit_mm, self.constant = (2.0, 6.0), 8.0, constant
        self.shown: tuple = ()

    def correction(self, followup, baseline, distance, pixel, step):
        """Remember the inputs and correct by the constant."""
        self.shown = (followup, baseline, distance, pixel, step)
        return np.full(distance.shape, self.constant, np.float32)


def test_the_network_sees_both_visits_on_the_same_planes_and_neighbours_at_least_two_millimetres_away(phantom) -> None:
    thin = Grid.from_spacing((40, 96, 112), (2.5, 2.5, 1.25), (-139.0, -118.0, -20.0))
    first, later = phantom.draw(name="baseline"), phantom.draw(thin, seed=3, name="later")
    prior, recording = later.structures[0].mask, Recording()
    region = prior_region(thin, prior, PropagationParameters().region)
    window = WINDOWS["soft"]
    grey = window.apply(region.sample(later.volume.array, -1000.0))
    fields, moved = refined_fields(
        recording, grey, region.mask(prior), region, window, first.volume, identity_alignment(), 1.0
    )
    followup, warped, distance, pixel, step = recording.shown
    assert (pixel, step) == (region.pixel, 2.5)
    there = np.flatnonzero(region.mask(prior).any(axis=(1, 2)))
    looked_at = np.flatnonzero((fields > -FAR).any(axis=(1, 2)))
    assert looked_at.tolist() == list(range(there[0] - 2, there[-1] + 3))
    middle = len(looked_at) // 2
    index = looked_at[middle]
    assert np.array_equal(followup[middle], grey[[index - 2, index, index + 2]])
    # the same patient at the same place: the warped baseline is the follow-up but for noise and thickness
    assert np.corrcoef(warped[middle, 1].ravel(), followup[middle, 1].ravel())[0, 1] > 0.9
    assert np.array_equal(distance[middle] > 0, region.mask(prior)[index])
    assert not moved.any()


@pytest.mark.parametrize("sections", [1, 2, 7])
def test_a_prior_of_few_thin_slices_grows_without_gaps(phantom, sections: int) -> None:
    thin = Grid.from_spacing((40, 64, 64), (2.5, 2.5, 0.5), (-80.0, -80.0, -10.0))
    volume = phantom.draw(thin, name="baseline").volume
    prior = np.zeros(thin.shape, bool)
    prior[20 : 20 + sections, 24:40, 24:40] = True
    visit = Visit("thin", volume, (Structure("lesion", prior, thin),))
    wider = Recording(2.0)
    refined = refine_prior(
        wider, visit, visit.structures[0], visit, prior, identity_alignment(), PropagationParameters("refiner")
    )
    # 2 mm less the dead zone of 0.5 mm on all sides; the surface lies half a slice beyond the last section
    drawn = np.flatnonzero(refined.mask.any(axis=(1, 2)))
    assert drawn.tolist() == list(range(20 - 3, 20 + sections + 3))


def test_a_very_large_structure_is_seen_whole() -> None:
    scan = Grid.from_spacing((5, 250, 250), (2.0, 2.0, 3.0))
    prior = np.zeros(scan.shape, bool)
    prior[1:4, 5:245, 5:245] = True
    region = prior_region(scan, prior, PropagationParameters().region)
    assert region.pixel <= PropagationParameters().region.maximum_pixel
    assert region.mask(prior)[2].sum() * region.pixel_area == pytest.approx(prior[2].sum() * 4.0, rel=0.03)


# --- the road ---------------------------------------------------------------------------------------------------------
def cylinder(name: str, radius: float) -> Structure:
    grid = Grid.from_spacing((12, 60, 60), (1.0, 1.0, 3.0))
    rows, columns = np.indices((60, 60))
    return Structure(name, np.repeat((np.hypot(rows - 30, columns - 30) <= radius)[None], 12, 0), grid)


def test_thin_structures_take_the_prior_and_the_refiner_where_there_is_one() -> None:
    cord = cylinder("Spinal cord", 4.0)
    assert route_of(cord, 3.0).kind == "thin"
    assert route_of(cord, 3.0, refiner=True).kind == "thin refined"
    assert "refined" in route_of(cord, 3.0, refiner=True).note
    assert route_without_model(cord, aligned=True).kind == "refined"
    assert route_without_model(cylinder("PTV", 12.0), aligned=True).kind == "geometric"
    assert route_without_model(cord, aligned=False).kind == "not refined"


def test_a_cord_is_carried_by_prior_and_refiner_within_a_run_of_the_model(phantom, tiny) -> None:
    fine = Grid.from_spacing((26, 192, 224), (1.25, 1.25, 3.0), (-139.0, -118.0, -37.0))
    first = phantom.draw(fine, name="baseline")
    points = fine.to_ras(np.stack(np.meshgrid(*[np.arange(n) for n in fine.shape], indexing="ij"), axis=-1))
    mask = (np.hypot(points[..., 0], points[..., 1] + 58.0) <= 4.0) & (np.abs(points[..., 2]) < 14.0)
    visit = Visit("baseline", first.volume, (Structure("Spinal cord", mask, fine),))
    followup = phantom.bare(phantom.draw(shift=(3.0, 2.0, 0.0), seed=9, name="later"))
    stages: list[str] = []
    progress = Progress(lambda stage, done, total: stages.append(stage))
    on = PropagationParameters("p2sam3d", path=PathParameters(refiner=True))
    outcome = one(visit, followup, tiny, parameters=on, progress=progress).outcomes[0]
    assert outcome.route == "prior refined: thin"
    assert "refining Spinal cord" in stages
    assert not any(stage.startswith("prompting") for stage in stages)
    assert phantom.dice(outcome.structure.mask, outcome.prior.mask) > 0.6
    assert "saturated" in outcome.trust.parts


def test_the_shipped_refiner_is_read_once(repository: Path) -> None:
    from samprompt.models.refiner import load_refiner

    first = load_refiner()
    assert isinstance(first, Refiner)
    assert load_refiner() is first


def test_a_refiner_for_another_device_is_a_copy_of_the_one_that_is_kept() -> None:
    from samprompt.models.refiner import load_refiner

    first = load_refiner()
    there = load_refiner(device="meta")
    assert {str(p.device) for p in there.network.parameters()} == {"meta"}
    assert {str(p.device) for p in first.network.parameters()} == {"cpu"}
    assert there.fingerprint == first.fingerprint != ""
    gone = weakref.ref(there.network)
    del there
    gc.collect()
    assert gone() is None, "nobody but the caller holds it"
