"""The ellipse and Otsu's threshold against loops over every pixel and every threshold, and against ITK."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK
from samprompt.evaluation.metrics import volumetric_dice
from samprompt.evaluation.prompted_baselines import ellipse, filled_box, otsu, otsu_threshold


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.indices(shape)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def test_the_ellipse_holds_exactly_the_pixels_whose_centre_lies_in_it():
    box = np.array([3.3, 5.1, 22.8, 13.9])
    found = ellipse(box, (20, 30))
    a, b = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    for j in range(20):
        for i in range(30):
            inside = ((i + 0.5 - cx) / a) ** 2 + ((j + 0.5 - cy) / b) ** 2 <= 1
            assert found[j, i] == inside, (j, i)
    assert found.any()


def test_the_ellipse_of_a_large_box_has_an_ellipses_area():
    box = np.array([10.0, 20.0, 290.0, 180.0])
    assert ellipse(box, (200, 300)).sum() == pytest.approx(math.pi / 4 * 280 * 160, rel=2e-3)


def test_the_ellipse_in_the_exact_box_of_a_disc_is_the_disc():
    truth = disc((60, 60), (30, 28), 17.5)
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
    assert volumetric_dice(truth, ellipse(box, truth.shape)) == 1.0


def test_the_ellipse_of_a_single_pixel_is_that_pixel_and_a_box_beyond_the_image_is_cut():
    found = ellipse(np.array([4.0, 2.0, 5.0, 3.0]), (6, 8))
    assert np.argwhere(found).tolist() == [[2, 4]]
    cut = ellipse(np.array([-5.0, -5.0, 5.0, 5.0]), (6, 8))
    assert cut[0, 0]
    assert cut.sum() == pytest.approx(math.pi / 4 * 25, abs=4)


@pytest.mark.parametrize("seed", range(8))
def test_otsus_threshold_separates_as_well_as_the_best_of_all_thresholds(seed: int):
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(0.3, 0.1, 150), random.normal(0.7, 0.05, 60 + 20 * seed)])
    values = values.astype(np.float32).round(2)

    def within(threshold: float) -> float:
        """Sum of squares within both classes: what the best threshold makes the smallest (Otsu's other criterion)."""
        parts = values[values <= threshold].astype(float), values[values > threshold].astype(float)
        return sum(float(((part - part.mean()) ** 2).sum()) for part in parts)

    found = otsu_threshold(values)
    assert found is not None
    best = min(within(float(t)) for t in np.unique(values)[:-1])
    assert within(found) == pytest.approx(best, rel=1e-9)


def test_otsus_threshold_is_itks_but_for_the_width_of_its_bins():
    random = np.random.default_rng(3)
    values = np.where(random.random((64, 64)) < 0.3, random.normal(80, 6, (64, 64)), random.normal(20, 9, (64, 64)))
    values = values.astype(np.float32)
    image = SimpleITK.OtsuThresholdImageFilter()
    image.SetNumberOfHistogramBins(2000)
    image.Execute(SimpleITK.GetImageFromArray(values))
    ours = otsu_threshold(values.ravel())
    assert ours is not None
    assert (values <= ours).sum() == pytest.approx((values <= image.GetThreshold()).sum(), abs=8)


@pytest.mark.parametrize("bright", [True, False])
def test_otsu_finds_a_disc_in_its_box_whether_it_is_bright_or_dark(bright: bool):
    truth = disc((50, 50), (25, 25), 12)
    grey = np.where(truth == bright, 0.8, 0.2).astype(np.float32)
    assert np.array_equal(otsu(grey, np.array([12.0, 12.0, 39.0, 39.0])), truth)


def test_otsu_leaves_everything_beyond_the_box_alone():
    grey = np.ones((30, 30), np.float32)
    grey[:, 20:] = 0.0
    box = np.array([2.0, 3.0, 12.0, 14.0])
    assert np.array_equal(otsu(grey, box), filled_box(box, (30, 30)))  # one value: there is nothing to separate
    assert filled_box(box, (30, 30)).sum() == 10 * 11


def test_a_single_value_has_no_threshold():
    assert otsu_threshold(np.full(5, 0.4, np.float32)) is None
    assert otsu_threshold(np.array([0.1, 0.9], np.float32)) == pytest.approx(0.1)
