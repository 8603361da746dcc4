"""Whole visits carried with the built-in model, on a phantom whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samprompt.contract.errors import Cancelled, EnvironmentProblem, StructureError
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import METHODS, PropagationParameters
from samprompt.propagation.patient import propagate_visits
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from scipy.spatial.transform import Rotation


def one(baseline, followup, backbone, **options):
    return next(propagate_visits(baseline, [followup], backbone, **options))


@pytest.fixture(scope="module")
def baseline(phantom):
    return phantom.draw(name="baseline")


@pytest.fixture(scope="module")
def cache() -> dict[object, object]:
    return {}


def test_an_unchanged_lesion_is_found_where_the_patient_moved_to(phantom, tiny, baseline) -> None:
    followup = phantom.draw(shift=(7.0, -4.0, 5.0), seed=1, name="later")
    result = one(baseline, phantom.bare(followup), tiny)
    outcome = result.outcomes[0]
    assert phantom.dice(outcome.structure.mask, followup.structures[0].mask) > 0.9
    assert outcome.structure.name == "GTV"
    assert outcome.structure.color == (0.8, 0.1, 0.2)
    assert outcome.structure.terminology == "terminology of a tumour"
    assert abs(outcome.change_percent) < 15.0
    assert not outcome.trust.flagged
    assert outcome.trust.check_slices


def test_a_shrunken_lesion_is_drawn_smaller_than_the_registration_says(phantom, tiny, baseline) -> None:
    followup = phantom.draw(lesion=12.0, shift=(4.0, 3.0, -3.0), seed=2, name="later")
    outcome = one(baseline, phantom.bare(followup), tiny).outcomes[0]
    truth = followup.structures[0].mask
    assert phantom.dice(outcome.structure.mask, truth) > max(0.8, phantom.dice(outcome.prior.mask, truth))
    assert outcome.change_percent < -40.0
    assert any("clinical decision" in note for note in outcome.notes)


def test_a_vanished_lesion_is_not_trusted(phantom, tiny, baseline) -> None:
    followup = phantom.draw(lesion=0.0, seed=3, name="later")
    outcome = one(baseline, phantom.bare(followup), tiny).outcomes[0]
    assert outcome.trust.flagged
    assert outcome.structure.mask.sum() < 0.2 * baseline.structures[0].mask.sum()


def test_another_patient_is_not_trusted_and_said_so(phantom, tiny, baseline) -> None:
    other = phantom.draw(seed=4, name="later", other_anatomy=True, lesion=0.0)
    outcome = one(baseline, phantom.bare(other), tiny).outcomes[0]
    assert outcome.trust.flagged
    assert outcome.trust.reasons


@pytest.mark.parametrize("method", METHODS)
def test_flipped_and_oblique_follow_up_grids_give_masks_at_the_same_place(
    phantom, tiny, baseline, method, cache
) -> None:
    rotation = Rotation.from_euler("xyz", (4.0, -3.0, 6.0), degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ np.diag([-2.2, 2.4, -4.0])
    middle = np.array([55.0, 45.0, 9.0])
    matrix[:3, 3] = -matrix[:3, :3] @ middle
    grid = Grid((20, 92, 112), matrix)
    followup = phantom.draw(grid, seed=5, name="oblique")
    outcome = one(
        baseline, phantom.bare(followup), tiny, parameters=PropagationParameters(method), cache=cache
    ).outcomes[0]
    assert outcome.structure.grid is followup.volume.grid or outcome.structure.grid.same_as(grid)
    if method in ("copied", "rigid", "deformable", "p2sam3d"):
        assert phantom.dice(outcome.structure.mask, followup.structures[0].mask) > 0.85
    assert outcome.structure.mask.shape == grid.shape
    if method == "p2sam":  # whole slices at 128 pixels: coarse, but at the right place
        assert phantom.dice(outcome.structure.mask, followup.structures[0].mask) > 0.3


def test_a_structure_outside_the_follow_up_comes_out_empty_and_flagged(phantom, tiny, baseline) -> None:
    low = Grid.from_spacing((8, 96, 112), (2.5, 2.5, 3.0), (-139.0, -118.0, -80.0))
    outcome = one(baseline, phantom.bare(phantom.draw(low, seed=6, name="below")), tiny).outcomes[0]
    assert outcome.structure.is_empty
    assert outcome.trust.flagged
    assert np.isnan(outcome.shift_mm)


def test_a_planning_target_and_three_voxels_are_moved_with_the_patient_only(phantom, tiny, baseline) -> None:
    gtv = baseline.structures[0]
    small = np.zeros_like(gtv.mask)
    small[13, 50, 40:43] = True
    visit = Visit("baseline", baseline.volume, (replace(gtv, name="PTV"), Structure("met", small, gtv.grid)))
    followup = phantom.draw(shift=(6.0, 0.0, 3.0), seed=7, name="later")
    ptv, met = one(visit, phantom.bare(followup), tiny).outcomes
    assert ptv.route.startswith("geometry only")
    assert ptv.trust.flagged
    assert phantom.dice(ptv.structure.mask, followup.structures[0].mask) > 0.85
    assert met.route.startswith("prior only")
    assert 1 <= met.structure.mask.sum() <= 9
    moved = met.structure.centroid_ras() - Structure("met", small, gtv.grid).centroid_ras()
    assert np.abs(moved - np.array([6.0, 0.0, 3.0])).max() < 3.0


def test_single_slices_are_carried(phantom, tiny) -> None:
    flat = Grid.from_spacing((1, 96, 112), (2.5, 2.5, 3.0), (-139.0, -118.0, 4.0))
    first, later = phantom.draw(flat, name="baseline"), phantom.draw(flat, seed=8, name="later")
    outcome = one(first, phantom.bare(later), tiny).outcomes[0]
    assert outcome.structure.mask.shape == (1, 96, 112)
    assert phantom.dice(outcome.structure.mask, later.structures[0].mask) > 0.8
    assert outcome.change_percent is None


def test_the_encoder_sees_each_slice_once_for_all_structures_and_the_baseline_once_for_all_visits(
    phantom, tiny, baseline
) -> None:
    class Counting:
        def __init__(self, inner) -> None:
            self.inner, self.images = inner, 0

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def encode(self, images):
            self.images += len(images)
            return self.inner.encode(images)

    gtv = baseline.structures[0]
    pair = Visit("baseline", baseline.volume, (gtv, replace(gtv, name="GTV 2")))
    visits = [phantom.bare(phantom.draw(seed=s, name=f"later {s}")) for s in (9, 10)]
    cache: dict[object, object] = {}
    counts = []
    for structures, followups in ((baseline, visits[:1]), (pair, visits[:1]), (pair, visits)):
        counting = Counting(tiny)
        list(propagate_visits(structures, followups, counting, cache=cache))
        counts.append(counting.images)
    assert counts[0] == counts[1]
    baseline_slices = int(gtv.mask.any(axis=(1, 2)).sum()) + 4
    assert counts[2] == pytest.approx(2 * counts[1] - baseline_slices, abs=2)


def test_a_corrected_visit_helps_as_a_further_reference(phantom, tiny, baseline) -> None:
    second = phantom.draw(lesion=13.0, seed=11, name="second")
    third = phantom.draw(lesion=11.0, seed=12, name="third")
    outcome = one(baseline, phantom.bare(third), tiny, references=[second]).outcomes[0]
    assert phantom.dice(outcome.structure.mask, third.structures[0].mask) > 0.8


def test_the_result_is_the_same_every_time(phantom, tiny, baseline) -> None:
    followup = phantom.bare(phantom.draw(lesion=15.0, seed=13, name="later"))
    first, again = (one(baseline, followup, tiny).outcomes[0] for _ in range(2))
    assert np.array_equal(first.structure.mask, again.structure.mask)
    assert first.trust.score == again.trust.score


def test_cancel_is_felt(phantom, tiny, baseline) -> None:
    progress = Progress(lambda stage, done, total: progress.cancel() if stage.startswith("prompting") else None)
    with pytest.raises(Cancelled):
        one(baseline, phantom.bare(phantom.draw(seed=14, name="later")), tiny, progress=progress)


def test_no_structure_an_empty_one_and_no_model_are_refused(phantom, tiny, baseline) -> None:
    followup = phantom.bare(baseline)
    with pytest.raises(StructureError):
        one(phantom.bare(baseline), followup, tiny)
    empty = Structure("nothing", np.zeros(baseline.volume.grid.shape, bool), baseline.volume.grid)
    with pytest.raises(StructureError, match="nothing"):
        one(Visit("b", baseline.volume, (empty,)), followup, tiny)
    with pytest.raises(EnvironmentProblem):
        one(baseline, followup, None)
