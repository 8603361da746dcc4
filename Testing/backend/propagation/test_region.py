"""Regions cut from slices, orientation of visits, and the way back to the scan's own pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samprompt.contract.propagation import RegionParameters
from samprompt.propagation.region import make_region, side_of
from samprompt.space.grid import Grid
from samprompt.space.orientation import slice_normal, towards
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume
from scipy.spatial.transform import Rotation


def oblique_grid(shape: tuple[int, int, int], angles: tuple[float, float, float], flips: tuple[int, int, int]) -> Grid:
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ np.diag(np.array([0.9, 1.1, 3.0]) * flips)
    matrix[:3, 3] = (12.0, -40.0, 7.0)
    return Grid(shape, matrix)


def blob(grid: Grid, centre: np.ndarray, radius: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return np.linalg.norm(grid.to_ras(index) - centre, axis=-1) <= radius


@settings(max_examples=25, deadline=None)
@given(
    axes=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.sampled_from([1, -1])] * 3),
    angles=st.tuples(*[st.floats(-20, 20)] * 3),
)
def test_reorienting_keeps_every_voxel_at_its_place_and_comes_back(axes, flips, angles) -> None:
    grid = oblique_grid((4, 5, 6), angles, flips)
    permuted = np.eye(4)
    permuted[:3] = grid.ijk_to_ras[:3][:, [*axes, 3]]
    grid = Grid((4, 5, 6), permuted)
    array = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    orientation = towards(grid, slice_normal(grid))
    moved = orientation.volume(Volume(array, grid))
    assert orientation.axes[0] == 0  # the slice axis stays the slice axis
    for _ in range(10):
        kji = np.random.default_rng(1).integers(0, moved.grid.shape)
        place = np.round(grid.to_kji(moved.grid.to_ras(kji))).astype(int)
        assert moved.array[tuple(kji)] == array[tuple(place)]
    assert np.array_equal(orientation.undo(orientation.apply(array)), array)
    for k in range(grid.shape[0]):
        assert np.array_equal(
            np.sort(moved.array[k].ravel()), np.sort(array[orientation.slice_index(k, grid.shape)].ravel())
        )


def test_axial_slices_come_out_as_radiologists_look_at_them() -> None:
    grid = oblique_grid((4, 5, 6), (0, 0, 0), (1, 1, -1))
    moved = towards(grid, slice_normal(grid)).grid(grid)
    assert np.allclose(moved.directions[:, 0], (-1, 0, 0))  # columns to the patient's left
    assert np.allclose(moved.directions[:, 1], (0, -1, 0))  # rows to the back
    assert np.allclose(moved.directions[:, 2], (0, 0, 1))  # slices upwards


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (10.0, -15.0, 30.0)])
def test_a_mask_goes_to_the_region_and_back_almost_unchanged(flips, angles) -> None:
    grid = oblique_grid((9, 80, 90), angles, flips)
    centre = grid.to_ras((4.0, 38.0, 47.0))
    mask = blob(grid, centre, 14.0)
    region = make_region(grid, centre, 60.0, 128, 1, 7)
    field = region.sample(mask.astype(np.float32), 0.0) * 2 - 1
    values, block = region.back(field)
    back = np.zeros(grid.shape, bool)
    back[block] = values > 0
    assert 2 * (back & mask)[1:8].sum() / (back.sum() + mask[1:8].sum()) > 0.97


def test_region_pixels_show_what_lies_at_their_place() -> None:
    grid = oblique_grid((5, 60, 70), (5.0, 8.0, -12.0), (1, -1, 1))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    linear = (grid.to_ras(index) @ np.array([0.3, -0.7, 0.2])).astype(np.float32)
    region = make_region(grid, grid.to_ras((2.0, 30.0, 35.0)), 40.0, 64, 0, 4)
    shown = region.sample(linear, 0.0)
    places = np.stack(np.meshgrid(*[np.arange(n) for n in region.grid.shape], indexing="ij"), axis=-1)
    expected = region.grid.to_ras(places) @ np.array([0.3, -0.7, 0.2])
    assert np.abs(shown - expected).max() < 1e-3


def test_a_square_beyond_the_scan_is_filled_and_marked() -> None:
    grid = Grid.from_spacing((3, 20, 20), (1.0, 1.0, 1.0))
    region = make_region(grid, grid.to_ras((1.0, 2.0, 2.0)), 30.0, 60, -5, 50)
    assert region.grid.shape[0] == 3
    shown = region.sample(np.zeros(grid.shape, np.float32), -1000.0)
    assert (shown[:, ~region.inside] == -1000.0).all()
    assert np.abs(shown[:, region.inside]).max() < 1e-3
    assert (~region.inside).any()


def test_the_square_is_never_smaller_than_the_minimum_and_leaves_a_margin() -> None:
    parameters = RegionParameters()
    assert side_of(np.array([4.0, 6.0]), parameters) == parameters.minimum_side
    assert side_of(np.array([90.0, 60.0]), parameters) == pytest.approx(
        max(90.0 * parameters.enlargement, 90.0 + 2 * parameters.margin)
    )


def test_structures_follow_their_volume_through_reorientation() -> None:
    grid = oblique_grid((4, 30, 33), (3.0, 4.0, 5.0), (-1, 1, -1))
    centre = grid.to_ras((2.0, 10.0, 20.0))
    structure = Structure("GTV", blob(grid, centre, 6.0), grid)
    moved = towards(grid, slice_normal(grid)).structure(structure)
    assert np.allclose(moved.centroid_ras(), structure.centroid_ras())
    assert moved.volume_ml == pytest.approx(structure.volume_ml)
