"""Images and masks on other grids: exact where voxels coincide, right partial volume where they do not."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from samprompt.contract.errors import GridError
from samprompt.space.grid import Grid
from samprompt.space.resample import grids_overlap, resample_mask, resample_volume
from samprompt.space.volume import Volume


def turned(shape: tuple[int, int, int], spacing: tuple[float, float, float], angle: float) -> Grid:
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(spacing)
    matrix[:3, 3] = [3, -4, 10]
    return Grid(shape, matrix)


def ball(grid: Grid, center: np.ndarray, radius: float) -> np.ndarray:
    return np.linalg.norm(grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1)) - center, axis=-1) <= radius


@settings(max_examples=60, deadline=None)
@given(
    axes=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3), start=st.tuples(*[st.integers(-4, 4)] * 3),
    shape=st.tuples(*[st.integers(1, 9)] * 3),
)  # fmt: skip
def test_flipped_permuted_and_shifted_grids_copy_voxels(
    axes: list[int], flips: tuple[bool, ...], start: tuple[int, ...], shape: tuple[int, int, int]
) -> None:
    source = turned((5, 6, 7), (0.9, 1.1, 2.7), 0.4)
    values = np.random.default_rng(1).normal(size=source.shape).astype(np.float32)
    matrix = source.ijk_to_ras.copy()
    matrix[:3, :3] = matrix[:3, axes] * np.where(flips, -1, 1)
    target = Grid((5, 6, 7), matrix).crop(start, shape)
    found = resample_volume(Volume(values, source), target)
    for index in np.ndindex(*shape):
        at = np.rint(source.to_kji(target.to_ras(index))).astype(int)
        inside = (at >= 0).all() and (at < source.shape).all()
        assert found.array[index] == (values[tuple(at)] if inside else -1000)
    mask = resample_mask(values > 0, source, target)
    assert np.array_equal(mask, (found.array > 0))


@pytest.mark.parametrize("order", [0, 1, 3])
def test_interpolation_agrees_with_itk(order: int) -> None:
    source = turned((12, 20, 22), (1.0, 1.2, 2.0), 0.0)
    k, j, i = np.indices(source.shape)
    values = (100 * np.sin(i / 3.0) + 50 * np.cos(j / 4.0) + 20 * k).astype(np.float32)
    target = turned((20, 24, 24), (0.8, 0.7, 1.1), 0.25)
    found = resample_volume(Volume(values, source), target, order=order)
    lps = np.diag([-1.0, -1.0, 1.0])
    images = []
    for grid in (source, target):
        image = sitk.GetImageFromArray(values if grid is source else np.zeros(grid.shape, dtype=np.float32))
        image.SetSpacing(grid.spacing.tolist())
        image.SetOrigin((lps @ grid.ijk_to_ras[:3, 3]).tolist())
        image.SetDirection((lps @ grid.directions).ravel().tolist())
        images.append(image)
    method = {0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline}[order]
    itk = sitk.GetArrayFromImage(sitk.Resample(images[0], images[1], sitk.Transform(), method, -1000.0))
    at = source.to_kji(target.to_ras(np.moveaxis(np.indices(target.shape), 0, -1)))
    within = ((at > 0) & (at < np.array(source.shape) - 1)).all(axis=-1)  # at the rim the two extend differently
    assert within.sum() > 1000
    assert np.abs(found.array - itk)[within].max() < 0.01
    beyond = ((at < -0.51) | (at > np.array(source.shape) - 0.49)).any(axis=-1)
    assert (found.array[beyond] == -1000).all()


def test_thicker_slices_show_the_mean_of_the_thin_ones() -> None:
    thin = Grid.from_spacing((60, 8, 8), (1, 1, 1))
    values = np.random.default_rng(0).normal(scale=100, size=thin.shape).astype(np.float32)
    thick = Grid.from_spacing((20, 8, 8), (1, 1, 3), (0, 0, 1))  # the middle of three thin slices
    found = resample_volume(Volume(values, thin), thick).array
    mean = values.reshape(20, 3, 8, 8).mean(axis=1)
    assert np.abs(found - mean).mean() < 0.15 * np.abs(values[1::3] - mean).mean()
    assert found.std() == pytest.approx(100 / np.sqrt(3), rel=0.1)  # noise falls as averaging over three does


@pytest.mark.parametrize("spacing", [1.0, 1.7, 2.0, 3.0, 4.5, 7.0])
def test_a_linear_image_stays_linear_at_any_thickness(spacing: float) -> None:
    fine = Grid.from_spacing((60, 40, 40), (1, 1, 1))
    k, j, i = np.indices(fine.shape)
    volume = Volume((2 * i - 3 * j + 5 * k).astype(np.float32), fine)
    target = Grid.from_spacing((4, 4, 4), (spacing,) * 3, (8.3, 8.9, 9.4))
    at = target.to_ras(np.moveaxis(np.indices(target.shape), 0, -1))
    expected = at @ [2, -3, 5]
    assert np.abs(resample_volume(volume, target).array - expected).max() < 1e-2


def test_a_ball_keeps_its_volume_on_coarser_finer_and_turned_grids() -> None:
    source = turned((40, 60, 60), (1, 1, 1.5), 0.0)
    center = source.to_ras([20, 30, 30])
    mask = ball(source, center, 14.0)
    true = 4 / 3 * np.pi * 14**3
    for target in (
        Grid.from_spacing((20, 30, 30), (2, 2, 3), source.to_ras([0.4, 0.3, 0.2])),
        Grid.from_spacing((70, 70, 70), (0.7, 0.7, 0.7), center - 25),
        turned((60, 90, 90), (0.9, 1.1, 1.3), 0.5),
    ):
        found = resample_mask(mask, source, target)
        assert found.sum() * target.voxel_volume == pytest.approx(true, rel=0.04)
        assert np.linalg.norm(target.to_ras(np.argwhere(found).mean(axis=0)) - center) < 0.3


def test_a_lesion_smaller_than_a_voxel_does_not_vanish() -> None:
    source = Grid.from_spacing((20, 40, 40), (1, 1, 1))
    mask = np.zeros(source.shape, dtype=bool)
    mask[9, 20, 20:23] = True
    coarse = Grid.from_spacing((4, 8, 8), (5, 5, 5), (2, 2, 2))
    found = resample_mask(mask, source, coarse)
    assert 1 <= found.sum() <= 2
    assert np.linalg.norm(coarse.to_ras(np.argwhere(found)) - [21, 20, 9], axis=1).max() < 5
    far = Grid.from_spacing((4, 8, 8), (5, 5, 5), (202, 2, 2))
    assert not resample_mask(mask, source, far).any()
    assert not resample_mask(np.zeros(source.shape, dtype=bool), source, coarse).any()


def test_one_slice_volumes_are_resampled() -> None:
    source = Grid.from_spacing((1, 20, 20), (1, 1, 5))
    volume = Volume(np.full(source.shape, 40, dtype=np.float32), source)
    target = Grid.from_spacing((9, 10, 10), (1, 1, 1), (2.5, 2.5, -4))
    found = resample_volume(volume, target).array
    # The slice is 5 mm thick: it fills its own voxels and nothing beyond them.
    assert [bool((plane == 40).all()) for plane in found] == [False, False] + [True] * 5 + [False, False]
    assert (found[[0, 1, 7, 8]] == -1000).all()


def test_a_mask_of_another_shape_than_its_grid_is_refused() -> None:
    grid = Grid.from_spacing((3, 4, 5), (1, 1, 1))
    with pytest.raises(GridError):
        resample_mask(np.zeros((5, 4, 3), dtype=bool), grid, grid)


def test_grids_overlap_when_their_blocks_meet() -> None:
    one = Grid.from_spacing((10, 10, 10), (1, 1, 1))
    assert grids_overlap(one, turned((10, 10, 10), (1, 1, 1), 0.7).crop((-8, 0, 0), (5, 10, 10)))
    assert not grids_overlap(one, one.crop((0, 0, 10), (10, 10, 10)))
    assert grids_overlap(one, one.crop((0, 0, 9), (10, 10, 10)))
    assert not grids_overlap(one, Grid.from_spacing((10, 10, 10), (1, 1, 1), (500, 0, 0)))


def test_memory_grows_with_the_target_and_not_with_the_source() -> None:
    source = Grid.from_spacing((80, 200, 200), (1, 1, 1))  # 12.8 MB
    volume = Volume(np.zeros(source.shape, dtype=np.float32), source)
    target = Grid.from_spacing((10, 20, 20), (1.3, 1.3, 1.3), (50, 60, 20))
    tracemalloc.start()
    resample_volume(volume, target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
