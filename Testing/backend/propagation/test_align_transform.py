"""What is carried through an alignment: contours, images and points, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samprompt.propagation.align import Alignment, copied_mask, identity_alignment, warp_mask, warp_volume
from samprompt.propagation.align.matching import rotation
from samprompt.propagation.align.sampling import block_mean, grid_points
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume


def indices(shape) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)


def ball(grid: Grid, centre, radius: float) -> np.ndarray:
    return ((grid.to_ras(indices(grid.shape)) - centre) ** 2).sum(axis=-1) <= radius**2


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * (a & b).sum() / (a.sum() + b.sum())


def alignment(local=None, displacement=None, grid=None) -> Alignment:
    matrix = np.eye(4) if local is None else local
    return Alignment(matrix, matrix, displacement, grid, "deformable", 1.0, 1.0, 1.0, 0.0, True, 1.0)


def wave(amplitude: float) -> tuple[np.ndarray, Grid, callable]:
    """A displacement that is a formula, sampled every 3 mm over 120 mm, and the formula."""

    def formula(ras):
        x, y, z = np.moveaxis(np.asarray(ras), -1, 0) / 25.0
        return amplitude * np.stack([np.sin(y) * np.cos(z), np.cos(x), np.sin(x + z)], axis=-1)

    grid = Grid.from_spacing((41, 41, 41), [3.0] * 3, [-60.0] * 3)
    field = np.moveaxis(formula(grid_points(grid)), -1, 0).astype(np.float32)
    return field, grid, formula


@given(st.integers(0, 2**31), st.sampled_from([1, -1]), st.sampled_from([1, -1]), st.floats(-0.5, 0.5))
@settings(max_examples=30, deadline=None)
def test_a_contour_comes_back_unchanged_on_its_own_grid(seed, flip_i, flip_k, turn):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 9, 3))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(np.array([turn, 0.3 * turn, -turn])) @ np.diag([0.9 * flip_i, 1.1, 3.0 * flip_k])
    grid = Grid(shape, matrix)
    mask = rng.random(shape) < 0.4
    structure = Structure("any", mask, grid)
    assert np.array_equal(copied_mask(structure, grid), mask)
    assert np.array_equal(warp_mask(structure, identity_alignment(), grid, "deformable"), mask)


def test_contours_3_mm_apart_become_a_smooth_ball_on_1_mm_slices():
    coarse = Grid.from_spacing((30, 80, 80), [1.0, 1.0, 3.0], [-40.0, -40.0, -45.0])
    fine = Grid.from_spacing((80, 80, 80), [1.0, 1.0, 1.0], [-40.3, -39.8, -40.0])
    structure = Structure("ball", ball(coarse, [2.0, -3.0, 1.0], 18.0), coarse)
    assert dice(copied_mask(structure, fine), ball(fine, [2.0, -3.0, 1.0], 18.0)) > 0.97


def test_a_rigid_movement_carries_a_ball_where_the_matrix_says():
    grid = Grid.from_spacing((40, 60, 60), [2.0, 2.0, 3.0], [-60.0, -60.0, -60.0])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(np.array([0.1, -0.2, 0.3]))
    matrix[:3, 3] = [7.0, -9.0, 4.0]
    structure = Structure("ball", ball(grid, [10.0, 5.0, -8.0], 20.0), grid)
    expected = np.linalg.inv(matrix) @ [10.0, 5.0, -8.0, 1.0]
    assert dice(warp_mask(structure, alignment(matrix), grid, "local"), ball(grid, expected[:3], 20.0)) > 0.96


def test_points_follow_the_displacement_and_return():
    field, grid, formula = wave(5.0)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(np.array([0.05, 0.0, 0.1]))
    matrix[:3, 3] = [100.0, 20.0, -30.0]
    moved = alignment(matrix, field, grid)
    points = np.random.default_rng(0).uniform(-50, 50, (200, 3))
    exact = (points + formula(points)) @ matrix[:3, :3].T + matrix[:3, 3]
    there = moved.map_to_baseline(points)
    assert np.abs(there - exact).max() < 0.1
    assert np.abs(moved.map_to_followup(there) - points).max() < 0.01
    for stage in ("copied", "rigid", "local"):
        assert np.abs(moved.map_to_followup(moved.map_to_baseline(points, stage), stage) - points).max() < 1e-9


def test_outside_its_region_the_displacement_fades():
    field, grid, _ = wave(5.0)
    moved = alignment(None, field, grid)
    edge, beyond, far = (moved.displacement_at(np.array([[x, 3.0, 5.0]]))[0] for x in (60.0, 100.0, 1000.0))
    assert np.allclose(beyond, edge * np.exp(-1.0), atol=1e-4)
    assert np.abs(far).max() < 1e-6


def test_an_image_is_resampled_to_the_value_at_the_mapped_point():
    source = Grid.from_spacing((30, 40, 40), [2.0, 2.0, 2.0], [-40.0, -40.0, -30.0])
    ramp = (source.to_ras(indices(source.shape)) @ [1.0, 2.0, -1.5]).astype(np.float32)
    target = Grid.from_spacing((10, 20, 20), [1.5, 1.5, 2.0], [-15.0, -14.0, -10.0])
    field, grid, formula = wave(4.0)
    warped = warp_volume(Volume(ramp, source), alignment(None, field, grid), target)
    points = grid_points(target)
    assert np.abs(warped - (points + formula(points)) @ [1.0, 2.0, -1.5]).max() < 0.3


def test_where_the_baseline_has_no_voxel_the_fill_value_stands():
    source = Grid.from_spacing((10, 10, 10), [2.0] * 3)
    target = Grid.from_spacing((10, 10, 10), [2.0] * 3, [10.0, 0.0, 0.0])
    warped = warp_volume(Volume(np.full(source.shape, 7.0, np.float32), source), identity_alignment(), target)
    assert np.allclose(warped[:, :, :5], 7.0)
    assert (warped[:, :, 5:] == -1000.0).all()


def test_thicker_slices_show_the_mean_of_the_thin_ones():
    thin = Grid.from_spacing((30, 4, 4), [2.0, 2.0, 1.0])
    values = np.where(np.arange(30) % 3 == 1, 300.0, 0.0)[:, None, None] * np.ones((1, 4, 4))
    thick = Grid.from_spacing((8, 4, 4), [2.0, 2.0, 3.0], [0.0, 0.0, 4.0])
    warped = warp_volume(Volume(values.astype(np.float32), thin), identity_alignment(), thick)
    assert np.allclose(warped, 100.0, atol=1.0)


def test_a_structure_cut_by_the_border_ends_at_the_border():
    grid = Grid.from_spacing((10, 20, 20), [1.0, 1.0, 3.0])
    mask = np.zeros(grid.shape, dtype=bool)
    mask[6:, 5:15, 5:15] = True
    wider = Grid.from_spacing((30, 20, 20), [1.0, 1.0, 1.5])
    found = copied_mask(Structure("cut", mask, grid), wider)
    # The outer voxel ends 1.5 mm beyond its centre at 27 mm; the tie at 28.5 mm counts as inside.
    assert np.flatnonzero(found.any(axis=(1, 2))).max() == 19


def test_an_empty_structure_and_one_outside_stay_empty():
    grid = Grid.from_spacing((5, 5, 5), [1.0] * 3)
    empty = Structure("empty", np.zeros(grid.shape, dtype=bool), grid)
    assert not copied_mask(empty, grid).any()
    full = Structure("full", np.ones(grid.shape, dtype=bool), grid)
    away = Grid.from_spacing((5, 5, 5), [1.0] * 3, [500.0, 0.0, 0.0])
    assert not copied_mask(full, away).any()


def test_one_voxel_and_one_slice_survive():
    grid = Grid.from_spacing((1, 7, 7), [1.0, 1.0, 5.0])
    mask = np.zeros(grid.shape, dtype=bool)
    mask[0, 3, 3] = True
    assert np.array_equal(copied_mask(Structure("dot", mask, grid), grid), mask)


@pytest.mark.parametrize("spacing", [2.0, 3.1, 6.0, 100.0])
def test_block_means_stay_in_their_place(spacing):
    grid = Grid.from_spacing((13, 17, 19), [1.0, 0.9, 2.0], [5.0, -3.0, 2.0])
    ramp = (grid.to_ras(indices(grid.shape)) @ [1.0, -2.0, 0.5]).astype(np.float32)
    pooled, coarse = block_mean(ramp, grid, spacing)
    assert np.allclose(pooled, coarse.to_ras(indices(coarse.shape)) @ [1.0, -2.0, 0.5], atol=1e-3)
