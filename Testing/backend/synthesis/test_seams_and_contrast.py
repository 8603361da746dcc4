"""Seams cannot be found, and contrast is measured as it is defined."""

from __future__ import annotations

import numpy as np
import pytest
from samprompt.contract.errors import GridError
from samprompt.space.contrast import contrast_to_noise
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume
from samprompt.synthesis.controls import seam_auroc
from samprompt.synthesis.fields import rank_auroc, scanner_noise, signed_distance, smooth_field
from samprompt.synthesis.patient import synthetic_patient
from samprompt.synthesis.visits import simulate_visit
from scipy import ndimage
from sklearn.metrics import roc_auc_score

GRID = Grid.from_spacing((30, 60, 60), (1.5, 1.5, 3.0))


def ball(grid: Grid, radius: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    middle = (np.array(grid.shape) - 1) / 2
    return np.linalg.norm((index - middle) * grid.spacing_kji, axis=-1) <= radius


def test_a_control_that_sees_only_seams_scores_at_chance():
    found = []
    for kind, seed in (("limb", 1), ("limb", 3), ("abdomen", 1), ("lung", 1)):
        simulated = simulate_visit(synthetic_patient(seed, kind, (30, 100, 100), (2.6, 2.6, 4.0)), 3, "disappearance")
        found.append(list(seam_auroc(simulated.visit.volume, simulated.edited).values()))
    mean = np.nanmean(found, axis=0)
    assert np.abs(mean - 0.5).max() < 0.1
    assert np.nanmax(found) < 0.7


def test_the_control_does_see_a_constant_patch_and_copied_noise_that_was_smoothed():
    rng = np.random.default_rng(0)
    array = 50.0 + 15.0 * scanner_noise(rng, GRID.shape, (0.3, 0.7, 0.7))
    edited = ball(GRID, 16.0)
    honest = seam_auroc(Volume(array, GRID), edited)
    assert honest["roughness"] == pytest.approx(0.5, abs=0.05)
    assert honest["edge"] == pytest.approx(0.5, abs=0.05)
    cut = array.copy()
    cut[edited] += 25.0
    assert seam_auroc(Volume(cut, GRID), edited)["edge"] > 0.6
    bad = array.copy()
    rim = ndimage.binary_dilation(edited) ^ ndimage.binary_erosion(edited)
    bad[rim] = ndimage.uniform_filter(array, 3)[rim]
    assert seam_auroc(Volume(bad, GRID), edited)["roughness"] < 0.4
    assert np.isnan(seam_auroc(Volume(array, GRID), np.zeros(GRID.shape, bool))["edge"])


def test_contrast_to_noise_is_what_its_formula_says():
    rng = np.random.default_rng(2)
    mask = ball(GRID, 14.0)
    array = np.where(mask, 60.0, 20.0) + 16.0 * rng.standard_normal(GRID.shape)
    assert contrast_to_noise(Volume(array.astype(np.float32), GRID), mask) == pytest.approx(40.0 / 16.0, rel=0.03)
    flat = np.full(GRID.shape, 30.0, np.float32)
    assert contrast_to_noise(Volume(flat, GRID), mask) == 0.0
    assert np.isinf(contrast_to_noise(Volume(np.where(mask, 60, 20).astype(np.float32), GRID), mask))


def test_the_ring_holds_lung_but_not_the_air_outside_the_patient():
    mask = ball(GRID, 10.0)
    beyond = ~ball(GRID, 14.0)
    rng = np.random.default_rng(3)
    noise = 10.0 * rng.standard_normal(GRID.shape)
    lung = np.where(mask, 40.0, -800.0) + noise
    assert contrast_to_noise(Volume(lung.astype(np.float32), GRID), mask) == pytest.approx(84.0, rel=0.05)
    skin = np.where(beyond, -1000.0, np.where(mask, 40.0, 20.0) + noise)
    assert contrast_to_noise(Volume(skin.astype(np.float32), GRID), mask) == pytest.approx(2.0, rel=0.1)


def test_contrast_of_nothing_is_not_a_number_and_of_another_grid_an_error():
    volume = Volume(np.zeros(GRID.shape, np.float32), GRID)
    assert np.isnan(contrast_to_noise(volume, np.zeros(GRID.shape, bool)))
    assert np.isnan(contrast_to_noise(volume, np.ones(GRID.shape, bool)))
    with pytest.raises(GridError):
        contrast_to_noise(volume, np.ones((3, 3, 3), bool))


def test_signed_distance_of_a_ball_is_its_analytic_distance():
    grid = Grid.from_spacing((40, 50, 50), (1.0, 1.0, 1.0))
    signed = signed_distance(ball(grid, 12.0), grid.spacing_kji, 8.0)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    radius = np.linalg.norm(index - (np.array(grid.shape) - 1) / 2, axis=-1)
    near = np.abs(12.0 - radius) < 6.0
    assert np.abs(signed - (12.0 - radius))[near].max() < 1.2
    assert np.all(signed[radius > 22] == -8.0)
    assert np.all(signed_distance(np.zeros(grid.shape, bool), grid.spacing_kji, 8.0) == -8.0)


def test_random_fields_have_unit_variance_and_the_stated_smoothness():
    rng = np.random.default_rng(4)
    spacing = np.array([3.0, 1.0, 1.0])
    fields = np.stack([smooth_field(rng, (12, 40, 40), spacing, 6.0) for _ in range(60)])
    assert fields.std(axis=0).mean() == pytest.approx(1.0, abs=0.05)
    assert fields[:, 0, 0, 0].std() == pytest.approx(1.0, abs=0.3)  # also in the corner
    lag = (fields[:, :, :, :-6] * fields[:, :, :, 6:]).mean()
    assert lag == pytest.approx(np.exp(-(6.0**2) / (4 * 6.0**2)), abs=0.08)  # kernel of 6 mm: covariance of 6 sqrt(2)


def test_rank_auroc_agrees_with_scikit_learn_ties_included():
    rng = np.random.default_rng(5)
    positive, negative = rng.integers(0, 9, 300).astype(float), rng.integers(0, 7, 500).astype(float)
    expected = roc_auc_score(np.r_[np.ones(300), np.zeros(500)], np.r_[positive, negative])
    assert rank_auroc(positive, negative) == pytest.approx(expected)
