"""Synthetic patients: plausible grey levels, exact masks, everything from the seed."""

from __future__ import annotations

import numpy as np
import pytest
from samprompt.contract.errors import ParameterError
from samprompt.synthesis.body import add_table, body_mask, posterior_axis
from samprompt.synthesis.patient import PATIENT_KINDS, demo_patient, synthetic_patient
from scipy import ndimage

SHAPE, SPACING = (28, 96, 108), (3.3, 3.3, 4.0)


@pytest.mark.parametrize("kind", PATIENT_KINDS)
def test_a_synthetic_patient_has_a_tumour_and_organs_of_the_grey_level_they_should_have(kind: str):
    patient = synthetic_patient(7, kind, SHAPE, SPACING)
    found = {s.name: s for s in patient.structures}
    assert patient.structures[0].name == "GTV"
    assert 1.0 < found["GTV"].volume_ml < 250.0
    assert ndimage.label(found["GTV"].mask, np.ones((3, 3, 3)))[1] <= 3
    assert all("~SCT^" in s.terminology and s.grid is patient.volume.grid for s in patient.structures)
    median = {name: float(np.median(patient.volume.array[s.mask])) for name, s in found.items()}
    expected = {"Lung left": (-950, -650), "Lung right": (-950, -650), "Heart": (20, 130), "Liver": (50, 140)}
    for name, (low, high) in expected.items():
        if name in median:
            assert low < median[name] < high
    assert patient.volume.array.min() >= -1024


def test_structures_do_not_overlap_and_the_seed_decides_everything():
    one, same, other = (synthetic_patient(seed, "lung", SHAPE, SPACING) for seed in (1, 1, 2))
    assert np.array_equal(one.volume.array, same.volume.array)
    assert not np.array_equal(one.volume.array, other.volume.array)
    assert sum(s.mask.astype(int) for s in one.structures).max() == 1


def test_an_unknown_kind_of_patient_is_refused():
    with pytest.raises(ParameterError, match="horse"):
        synthetic_patient(1, "horse")


def test_the_demo_has_a_baseline_and_three_later_visits_with_truth_on_their_own_grids():
    visits = demo_patient(1)
    assert len(visits) == 4
    assert len({v.name for v in visits}) == 4
    for visit in visits:
        assert {s.name for s in visit.structures} == {s.name for s in visits[0].structures}
        assert all(s.grid.same_as(visit.volume.grid) for s in visit.structures)
    volumes = [v.structures[0].volume_ml for v in visits]
    assert volumes[1] < volumes[0]
    assert volumes[2] < volumes[0]
    assert volumes[3] > volumes[0]


def test_the_body_holds_the_lungs_and_leaves_out_table_and_room():
    patient = synthetic_patient(4, "lung", SHAPE, SPACING)
    grid = patient.volume.grid
    body = body_mask(patient.volume.array, grid)
    for structure in patient.structures:
        assert body[structure.mask].mean() > 0.98
    axis, sign = posterior_axis(grid)
    assert (axis, sign) == (1, 1)  # j runs to the back in this patient
    assert body[:, -3:].mean() < 0.02  # the couch lies there
    assert body[:, :, :3].mean() < 0.02


def test_a_table_is_drawn_under_the_patient_and_never_in_him():
    patient = synthetic_patient(4, "limb", SHAPE, SPACING)
    grid = patient.volume.grid
    body = body_mask(patient.volume.array, grid)
    clean = np.where(body, patient.volume.array, -1000.0).astype(np.float32)
    drawn = clean.copy()
    assert add_table(drawn, body, grid, np.random.default_rng(0), 5.0)
    changed = drawn != clean
    assert not (changed & body).any()
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    middle = int(np.argwhere(body)[:, 2].mean())
    assert np.flatnonzero(changed[:, :, middle].any(axis=0))[0] > rows[-1]  # under him in the middle of the couch
    assert np.flatnonzero(changed.any(axis=(0, 2)))[0] > rows.mean()  # a cradle rises at the sides, not to the front
    full = np.ones_like(body)
    assert not add_table(drawn, full, grid, np.random.default_rng(0), 5.0)
