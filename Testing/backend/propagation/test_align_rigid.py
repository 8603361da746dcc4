"""The body mask and the whole-scan rigid step, against an anatomy that is a formula and movements that are known."""

from __future__ import annotations

import numpy as np
import pytest
from samprompt.contract.errors import IntensityError
from samprompt.contract.propagation import AlignParameters
from samprompt.propagation.align import align_rigid
from samprompt.propagation.align.body import find_body
from samprompt.propagation.align.matching import rotation
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume


class Anatomy:
    """HU of a made-up trunk as a function of RAS: fat and muscle, bones and organs at random places, lungs of air."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.size = np.array([110.0, 80.0]) * rng.uniform(0.85, 1.15, 2)
        self.centres = rng.uniform(-1, 1, (28, 3)) * [75.0, 50.0, 110.0]
        self.radii = rng.uniform(9.0, 28.0, (28, 3))
        self.values = rng.choice([-900.0, 250.0, 400.0, 80.0, -90.0, 120.0], 28)

    def __call__(self, ras: np.ndarray) -> np.ndarray:
        skin = np.sqrt((ras[..., 0] / self.size[0]) ** 2 + (ras[..., 1] / self.size[1]) ** 2)
        hu = np.where(skin < 0.9, 50.0, -100.0)
        for centre, radius, value in zip(self.centres, self.radii, self.values, strict=True):
            hu = np.where((((ras - centre) / radius) ** 2).sum(axis=-1) < 1, value, hu)
        return np.where(skin < 1.0, hu, -1000.0)


def oblique_grid(shape, spacing, turn=(0.0, 0.0, 0.0), flip=(1, 1, 1), centre=(0.0, 0.0, 0.0)) -> Grid:
    """Grid whose middle is at ``centre``, turned by a rotation vector and flipped along some axes."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(np.array(turn)) @ np.diag(np.array(spacing) * np.array(flip))
    middle = (np.array(shape[::-1]) - 1) / 2.0
    matrix[:3, 3] = np.array(centre) - matrix[:3, :3] @ middle
    return Grid(shape, matrix)


def scan(anatomy, grid: Grid, movement: np.ndarray, seed: int, noise: float = 15.0) -> Volume:
    """The anatomy seen through ``movement`` (4x4, this scan's RAS to the anatomy's), with noise of its own."""
    kji = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    ras = grid.to_ras(kji) @ movement[:3, :3].T + movement[:3, 3]
    hu = anatomy(ras) + noise * np.random.default_rng(seed).standard_normal(grid.shape)
    return Volume(hu.astype(np.float32), grid, "CT", f"scan {seed}")


def movement(turn, shift) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(np.array(turn, dtype=float))
    matrix[:3, 3] = shift
    return matrix


def error_mm(found: np.ndarray, true: np.ndarray, heights=(-90, 0, 90)) -> float:
    """Largest distance between two matrices' answers over the trunk, at some heights."""
    points = np.array([[x, y, z] for x in (-80, 0, 80) for y in (-60, 0, 60) for z in heights], dtype=float)
    points = (points - true[:3, 3]) @ np.linalg.inv(true[:3, :3]).T
    return float(np.abs(points @ (found - true)[:3, :3].T + (found - true)[:3, 3]).max())


PLAIN = oblique_grid((60, 50, 64), (4.0, 4.0, 4.0))
GRIDS = {
    "plain": PLAIN,
    "flipped": oblique_grid((60, 50, 64), (4.0, 4.0, 4.0), flip=(-1, -1, 1)),
    "oblique": oblique_grid((60, 56, 70), (3.7, 4.1, 4.3), turn=(0.2, -0.1, 0.15)),
    "thick slices": oblique_grid((30, 100, 120), (2.0, 2.2, 8.0), flip=(-1, 1, -1)),
}


@pytest.mark.parametrize("name", list(GRIDS))
def test_a_known_movement_is_recovered_on_any_grid(name):
    true = movement((0.03, -0.05, 0.04), (9.0, -7.0, 11.0))
    anatomy = Anatomy(1)
    found = align_rigid(scan(anatomy, PLAIN, np.eye(4), 1), scan(anatomy, GRIDS[name], true, 2))
    assert error_mm(found.matrix, true) < 1.0
    assert found.trusted
    assert found.quality > 0.8


def test_two_scanners_with_coordinates_far_apart_are_brought_together():
    true = movement((0.0, 0.03, -0.04), (250.0, -140.0, 430.0))
    anatomy = Anatomy(2)
    elsewhere = oblique_grid(PLAIN.shape, (4.0, 4.0, 4.0), centre=(-250.0, 140.0, -430.0))
    found = align_rigid(scan(anatomy, PLAIN, np.eye(4), 1), scan(anatomy, elsewhere, true, 2))
    assert error_mm(found.matrix, true) < 1.0
    assert found.trusted


def test_a_scan_of_the_upper_half_finds_its_place_in_the_whole():
    true = movement((0.02, 0.0, 0.03), (6.0, 5.0, -60.0))
    anatomy = Anatomy(3)
    half = oblique_grid((28, 50, 64), (4.0, 4.0, 4.0), centre=(0.0, 0.0, 110.0))
    found = align_rigid(scan(anatomy, PLAIN, np.eye(4), 1), scan(anatomy, half, true, 2))
    assert error_mm(found.matrix, true, heights=(10, 50, 90)) < 1.0
    assert found.trusted


def test_an_image_aligned_to_itself_does_not_move():
    volume = scan(Anatomy(4), PLAIN, np.eye(4), 1)
    found = align_rigid(volume, volume)
    assert error_mm(found.matrix, np.eye(4)) < 0.05
    assert found.body_overlap > 0.99


def test_the_answer_is_the_same_every_time():
    anatomy = Anatomy(5)
    pair = scan(anatomy, PLAIN, np.eye(4), 1), scan(anatomy, PLAIN, movement((0, 0, 0.05), (8, 0, 0)), 2)
    assert np.array_equal(align_rigid(*pair).matrix, align_rigid(*pair).matrix)


def test_another_anatomy_is_not_trusted_or_of_low_quality():
    # Inside the bodies nothing agrees but that both are bodies.
    found = align_rigid(scan(Anatomy(6), PLAIN, np.eye(4), 1), scan(Anatomy(7), PLAIN, np.eye(4), 2))
    assert found.quality < 0.5


def test_noise_without_a_body_is_not_trusted():
    rng = np.random.default_rng(0)
    noise = Volume((-1000.0 + 30.0 * rng.standard_normal(PLAIN.shape)).astype(np.float32), PLAIN)
    found = align_rigid(scan(Anatomy(8), PLAIN, np.eye(4), 1), noise)
    assert not found.trusted
    assert "No body" in found.reasons[0]
    assert np.isfinite(found.matrix).all()


@pytest.mark.parametrize("value", [0.0, -1000.0, np.nan])
def test_an_image_of_one_value_is_refused_by_name(value):
    blank = Volume(np.full(PLAIN.shape, value, dtype=np.float32), PLAIN, "CT", "blank.nii.gz")
    with pytest.raises(IntensityError, match=r"blank\.nii\.gz"):
        align_rigid(scan(Anatomy(8), PLAIN, np.eye(4), 1), blank)


def test_missing_values_do_not_spoil_the_result():
    true = movement((0.0, 0.0, 0.05), (7.0, -5.0, 6.0))
    anatomy = Anatomy(9)
    followup = scan(anatomy, PLAIN, true, 2)
    followup.array[:, :, :8] = np.nan
    followup.array[:6] = -3024.0
    found = align_rigid(scan(anatomy, PLAIN, np.eye(4), 1), followup)
    assert error_mm(found.matrix, true) < 1.5


@pytest.mark.parametrize("shape", [(1, 50, 64), (60, 1, 64), (60, 50, 1), (2, 2, 2)])
def test_a_scan_of_one_slice_gives_a_finite_matrix(shape):
    anatomy = Anatomy(10)
    thin = scan(anatomy, oblique_grid(shape, (4.0, 4.0, 4.0)), np.eye(4), 2)
    found = align_rigid(scan(anatomy, PLAIN, np.eye(4), 1), thin)
    assert np.isfinite(found.matrix).all()
    assert np.allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-6)


def test_an_mr_image_of_another_scale_aligns_to_its_follow_up():
    true = movement((0.03, 0.0, -0.03), (6.0, 8.0, -5.0))
    anatomy = Anatomy(11)
    baseline = scan(anatomy, PLAIN, np.eye(4), 1)
    followup = scan(anatomy, PLAIN, true, 2)
    baseline = Volume(baseline.array + 1000.0, PLAIN, "MR")
    followup = Volume(3.0 * (followup.array + 1000.0) + 40.0, PLAIN, "MR")
    assert error_mm(align_rigid(baseline, followup).matrix, true) < 1.5


def test_the_table_is_not_part_of_the_body():
    anatomy = Anatomy(12)
    anatomy.size = np.array([110.0, 80.0])
    volume = scan(anatomy, oblique_grid((20, 60, 64), (4.0, 4.0, 4.0)), np.eye(4), 1)
    kji = np.stack(np.meshgrid(*[np.arange(n) for n in volume.grid.shape], indexing="ij"), axis=-1)
    ras = volume.grid.to_ras(kji)
    table = (ras[..., 1] < -84.0) & (ras[..., 1] > -92.0)
    volume.array[table] = 100.0
    body = find_body(volume)
    assert body.at(ras[table]).mean() < 0.05
    inside = ((ras[..., :2] / anatomy.size) ** 2).sum(axis=-1) < 0.85
    assert body.at(ras[inside]).mean() > 0.99


def test_the_whole_crop_is_body_where_no_air_is_seen():
    rng = np.random.default_rng(1)
    volume = Volume(
        (40.0 + 10.0 * rng.standard_normal((20, 30, 30))).astype(np.float32), Grid.from_spacing((20, 30, 30), [2, 2, 3])
    )
    assert find_body(volume).mask.all()


def test_too_small_an_overlap_is_said():
    anatomy = Anatomy(13)
    parameters = AlignParameters(minimum_shared_field=1.1)
    found = align_rigid(scan(anatomy, PLAIN, np.eye(4), 1), scan(anatomy, PLAIN, np.eye(4), 2), parameters)
    assert not found.trusted
    assert "share only" in found.reasons[0]


def test_two_kinds_of_scan_are_never_trusted():
    ct = scan(Anatomy(14), PLAIN, np.eye(4), 1)
    found = align_rigid(ct, Volume(1000.0 - ct.array, PLAIN, "MR"))
    assert not found.trusted
    assert "different kinds (CT and MR)" in found.reasons[0]
