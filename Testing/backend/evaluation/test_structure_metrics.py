"""The measures against hand-made cases, analytic shapes and a second, deliberately simple implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samprompt.contract.errors import GridError
from samprompt.evaluation.metrics import compare
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure

ONE_MM = Grid.from_spacing((24, 40, 40), (1.0, 1.0, 1.0))


def structure(mask: np.ndarray, grid: Grid = ONE_MM) -> Structure:
    return Structure("gtv", mask, grid)


def block(k: slice, j: slice, i: slice, grid: Grid = ONE_MM) -> Structure:
    mask = np.zeros(grid.shape, bool)
    mask[k, j, i] = True
    return structure(mask, grid)


def ball(radius: float, grid: Grid, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Structure:
    """A ball round the middle of the grid, moved by ``shift`` (RAS mm)."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    middle = grid.to_ras((np.array(grid.shape) - 1) / 2)
    return structure(((grid.to_ras(index) - middle - np.array(shift)) ** 2).sum(-1) <= radius**2, grid)


CUBE = block(slice(5, 15), slice(10, 20), slice(10, 20))


def test_a_perfect_result_has_perfect_measures():
    found = compare(CUBE, CUBE)
    assert (found.state, found.dice, found.hd95_mm, found.mean_surface_distance_mm) == ("both", 1.0, 0.0, 0.0)
    assert found.surface_dice == {1.0: 1.0, 2.0: 1.0, 3.0: 1.0}
    assert (found.added_path_exact.length_mm, found.added_path.length_mm) == (0.0, 0.0)
    assert (found.slices_to_delete, found.slices_to_draw) == (0, 0)
    assert (found.volume_difference_percent, found.centroid_distance_mm) == (0.0, 0.0)


def test_a_cube_shifted_along_a_row_has_the_measures_computed_by_hand():
    moved = block(slice(5, 15), slice(10, 20), slice(14, 24))
    found = compare(CUBE, moved)
    assert found.dice == pytest.approx(0.6)  # 6 of 10 columns are shared
    assert found.centroid_distance_mm == pytest.approx(4.0)
    assert found.hd95_mm == pytest.approx(4.0)  # the two faces across the row, a fifth of the surface, are 4 mm apart
    assert found.volume_difference_percent == pytest.approx(0.0)
    assert found.truth_ml == pytest.approx(1.0)
    # Per slice the truth's boundary has 36 pixels. Shared with the result: columns 14-18 of the two rows along the
    # shift lie on its rows, and column 19's ends too; the rest of column 19 is inside the result, not on its boundary.
    # So 12 are met exactly; within one pixel also columns 13 (4 pixels away from nothing else).
    assert found.added_path_exact.length_mm == pytest.approx(10 * (36 - 12))
    assert found.added_path_exact.relative == pytest.approx(24 / 36)
    assert found.added_path.tau_mm == 1.0
    # Within 1 mm: column 13 of both rows next to column 14's ends, and rows 11 and 18 of column 19.
    assert found.added_path.length_mm == pytest.approx(10 * (36 - 16))


def test_slices_beyond_the_truth_are_counted_apart_from_the_added_path():
    longer = block(slice(3, 17), slice(10, 20), slice(10, 20))
    found = compare(CUBE, longer)
    assert (found.slices_to_delete, found.slices_to_draw) == (4, 0)
    assert found.added_path_exact.length_mm == 0.0
    shorter = compare(longer, CUBE)
    assert (shorter.slices_to_delete, shorter.slices_to_draw) == (0, 4)
    assert shorter.added_path_exact.length_mm == pytest.approx(4 * 36)
    assert shorter.added_path_exact.relative == pytest.approx(4 / 14)
    assert shorter.volume_difference_percent == pytest.approx(100 * (10 / 14 - 1))


def test_slices_are_axial_whichever_way_the_array_is_stored():
    """The same two blocks stored as sagittal planes: the slices to delete and the path stay what they were."""
    longer = block(slice(3, 17), slice(10, 22), slice(10, 20))
    expected = compare(CUBE, longer)
    matrix = np.eye(4)[:, [2, 1, 0, 3]]  # i runs along S, k along R
    turned = Grid((40, 40, 24), matrix)
    found = compare(structure(CUBE.mask.transpose(2, 1, 0), turned), structure(longer.mask.transpose(2, 1, 0), turned))
    assert found.slices_to_delete == expected.slices_to_delete == 4
    assert found.added_path_exact == expected.added_path_exact
    assert found.added_path == expected.added_path


def test_both_empty_is_a_true_negative_without_any_measure():
    empty = block(slice(0, 0), slice(0, 0), slice(0, 0))
    found = compare(empty, empty)
    assert found.state == "true negative"
    assert not found.distances_failed
    assert all(math.isnan(v) for v in (found.dice, found.hd95_mm, found.mean_surface_distance_mm))
    assert all(math.isnan(v) for v in found.surface_dice.values())
    assert math.isnan(found.added_path.relative)


def test_one_empty_has_dice_zero_and_failed_distances():
    empty = block(slice(0, 0), slice(0, 0), slice(0, 0))
    missed, invented = compare(CUBE, empty), compare(empty, CUBE)
    for found, state in ((missed, "missed"), (invented, "invented")):
        assert (found.state, found.dice, found.distances_failed) == (state, 0.0, True)
        assert set(found.surface_dice.values()) == {0.0}
        assert math.isnan(found.hd95_mm)
        assert math.isnan(found.mean_surface_distance_mm)
        assert math.isnan(found.centroid_distance_mm)
    assert missed.added_path.relative == missed.added_path_exact.relative == 1.0
    assert missed.slices_to_draw == invented.slices_to_delete == 10
    assert missed.volume_difference_percent == -100.0
    assert math.isnan(invented.volume_difference_percent)
    assert invented.added_path.length_mm == 0.0


def test_concentric_spheres_have_the_distances_of_the_formula():
    grid = Grid.from_spacing((60, 60, 60), (0.8, 0.8, 0.8))
    found = compare(ball(20, grid), ball(15, grid))
    assert found.dice == pytest.approx(2 * 15**3 / (15**3 + 20**3), abs=0.01)
    # The package's surface points are the corners of voxels on both sides: up to half a voxel short.
    assert found.mean_surface_distance_mm == pytest.approx(5.0, abs=0.5)
    assert found.hd95_mm == pytest.approx(5.0, abs=0.5)
    assert found.surface_dice[3.0] == 0.0
    assert compare(ball(20, grid), ball(18, grid)).surface_dice[3.0] == 1.0
    assert found.volume_difference_percent == pytest.approx(100 * (0.75**3 - 1), abs=1.0)


def test_spacing_counts_along_its_own_axis():
    """A ball moved by 6 mm along the thick slices is as far off as one moved by 6 mm in the plane."""
    grid = Grid.from_spacing((24, 70, 70), (1.0, 1.0, 3.0))
    up = compare(ball(18, grid), ball(18, grid, (0.0, 0.0, 6.0)))
    aside = compare(ball(18, grid), ball(18, grid, (6.0, 0.0, 0.0)))
    assert up.centroid_distance_mm == pytest.approx(6.0, abs=0.01)
    assert up.dice == pytest.approx(aside.dice, abs=0.02)
    assert up.mean_surface_distance_mm == pytest.approx(aside.mean_surface_distance_mm, abs=0.5)
    assert up.hd95_mm == pytest.approx(6.0, abs=0.8)


def test_a_structure_at_the_border_of_the_scan_keeps_its_boundary_there():
    corner = block(slice(0, 5), slice(0, 8), slice(0, 8))
    found = compare(corner, block(slice(0, 0), slice(0, 0), slice(0, 0)))
    assert found.added_path_exact.length_mm == pytest.approx(5 * 28)
    shifted = compare(corner, block(slice(0, 5), slice(0, 8), slice(1, 9)))
    assert shifted.hd95_mm == pytest.approx(1.0)


def test_different_grids_are_refused():
    other = Grid.from_spacing(ONE_MM.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 2.0))
    with pytest.raises(GridError, match="different grids"):
        compare(CUBE, structure(CUBE.mask, other))


# --- a second implementation ------------------------------------------------------------------------------------------
def surfels(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Corner points (mm) of the voxel lattice whose eight voxels are neither all inside nor all outside."""
    padded = np.pad(mask, 1)
    points = []
    for corner in np.ndindex(*(n - 1 for n in padded.shape)):
        cell = padded[tuple(slice(c, c + 2) for c in corner)]
        if cell.any() and not cell.all():
            points.append(np.array(corner) * spacing)
    return np.array(points)


def plain_added_path(truth: np.ndarray, result: np.ndarray, spacing: np.ndarray, tau: float) -> float:
    """Boundary pixels of the truth with no boundary pixel of the result within tau, one by one."""

    def boundary(plane: np.ndarray) -> list[tuple[int, int]]:
        found = []
        for j, i in np.argwhere(plane):
            for dj, di in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                y, x = j + dj, i + di
                if not (0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]) or not plane[y, x]:
                    found.append((int(j), int(i)))
                    break
        return found

    missing = 0
    for true, made in zip(truth, result, strict=True):
        others = boundary(made)
        for j, i in boundary(true):
            gaps = [math.hypot((j - y) * spacing[1], (i - x) * spacing[2]) for y, x in others]
            missing += not gaps or min(gaps) > tau + 1e-6
    return missing * math.sqrt(spacing[1] * spacing[2])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), thick=st.sampled_from([1.0, 2.5, 3.0]), pixel=st.sampled_from([0.7, 1.0, 1.5]))
def test_random_blobs_agree_with_a_plain_implementation(seed: int, thick: float, pixel: float):
    rng = np.random.default_rng(seed)
    grid = Grid.from_spacing((5, 9, 10), (pixel, pixel, thick))
    spacing = grid.spacing_kji
    truth, result = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    for mask in (truth, result):
        for _ in range(3):
            low = rng.integers(0, (4, 7, 8))
            mask[tuple(slice(a, a + b) for a, b in zip(low, rng.integers(1, 5, 3), strict=True))] = True
    found = compare(structure(truth, grid), structure(result, grid))
    assert found.dice == pytest.approx(2 * (truth & result).sum() / (truth.sum() + result.sum()))
    for path, tau in ((found.added_path_exact, 0.0), (found.added_path, max(1.0, pixel))):
        assert path.length_mm == pytest.approx(plain_added_path(truth, result, spacing, tau))
    one, other = surfels(truth, spacing), surfels(result, spacing)
    gaps = np.linalg.norm(one[:, None] - other[None], axis=-1)
    there, back = gaps.min(axis=1), gaps.min(axis=0)
    # Without the surfels' areas only what does not depend on them can be compared exactly.
    assert found.hd95_mm <= max(there.max(), back.max()) + 1e-6
    for tolerance, value in found.surface_dice.items():
        if (there <= tolerance).all() and (back <= tolerance).all():
            assert value == 1.0
        elif (there > tolerance).all() and (back > tolerance).all():
            assert value == 0.0
        else:
            assert 0.0 <= value <= 1.0
    low, high = min(there.min(), back.min()), max(there.max(), back.max())
    assert low - 1e-9 <= found.mean_surface_distance_mm <= high + 1e-9
    swapped = compare(structure(result, grid), structure(truth, grid))
    assert swapped.hd95_mm == pytest.approx(found.hd95_mm)
    assert swapped.mean_surface_distance_mm == pytest.approx(found.mean_surface_distance_mm)


def test_hd95_is_the_larger_of_the_two_directions():
    """A second cube beside the right one: the truth is met everywhere, the result's far face is 16 mm away.

    That face is one of twelve, more than 5 % of the result's surface, so the 95th percentile lies on it.
    """
    both = CUBE.mask | block(slice(5, 15), slice(10, 20), slice(26, 36)).mask
    assert compare(CUBE, structure(both)).hd95_mm == pytest.approx(16.0)
    assert compare(structure(both), CUBE).hd95_mm == pytest.approx(16.0)
