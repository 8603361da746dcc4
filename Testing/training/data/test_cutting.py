"""Slices cut from volumes: areas by the formula, every part and hole kept, no distortion, windows."""

from __future__ import annotations

import numpy as np
import pytest
from balls import disc
from samprompt.space.grid import Grid
from samprompt.space.windows import WINDOWS
from samprompt_training.data.content import Content
from samprompt_training.data.cutting import cut_case
from samprompt_training.data.parameters import SliceParameters
from scipy import ndimage

# RAS matrix of an axial scan with pixels of 0.8 x 1.6 mm (i, j): a square on the screen is no square of voxels.
MATRIX = np.diag([-0.8, -1.6, 3.0, 1.0])


def content_of(mask: np.ndarray, image: np.ndarray | None = None, matrix: np.ndarray = MATRIX) -> Content:
    """A CT of one sequence with one structure; the image is 40 HU in it and -100 HU around unless given."""
    grid = Grid((mask.shape[0], mask.shape[1], mask.shape[2]), matrix)
    image = np.where(mask, 40.0, -100.0) if image is None else image
    return Content(image.astype(np.float32)[None], {"lesion": mask}, grid, "CT")


def ellipse(shape: tuple[int, int, int], centre: tuple[float, float], radius_mm: float) -> np.ndarray:
    """A circle on the patient, in every slice, on pixels of 1.6 x 0.8 mm (j, i)."""
    j, i = np.indices(shape[1:])
    plane = np.hypot((j - centre[0]) * 1.6, (i - centre[1]) * 0.8) < radius_mm
    return np.broadcast_to(plane, shape).copy()


def test_a_circle_on_the_patient_is_a_circle_in_the_square() -> None:
    mask = ellipse((2, 100, 120), (60.0, 40.0), 25.0)
    cut = cut_case(content_of(mask), "a", SliceParameters(size=320))
    pixel = 160.0 / 320  # the longer side, 100 rows of 1.6 mm, fills the square
    assert cut.items[0].extent == (320, 192)  # 120 columns of 0.8 mm
    rows, columns = ndimage.find_objects(cut.masks[0].astype(int))[0]
    assert rows.stop - rows.start == pytest.approx(50.0 / pixel, abs=3.5)
    assert columns.stop - columns.start == pytest.approx(50.0 / pixel, abs=3.5)
    assert cut.masks[0].sum() * pixel**2 == pytest.approx(np.pi * 25.0**2, rel=0.01)
    assert not cut.masks[0][:, 192:].any()
    assert not cut.images[0, 0][:, 192:].any()
    centre = np.array(ndimage.center_of_mass(cut.masks[0])) * pixel
    # The centre of pixel n lies at n + 1/2 pixels from the border, before and after.
    assert centre + pixel / 2 == pytest.approx([60.5 * 1.6, 40.5 * 0.8], abs=0.3)


def test_parts_and_holes_are_kept() -> None:
    ring = ellipse((1, 120, 240), (40.0, 60.0), 40.0) & ~ellipse((1, 120, 240), (40.0, 60.0), 15.0)
    second, third = ellipse((1, 120, 240), (100.0, 180.0), 12.0), ellipse((1, 120, 240), (30.0, 200.0), 8.0)
    cut = cut_case(content_of(ring | second | third), "a", SliceParameters(size=128))
    _, parts = ndimage.label(cut.masks[0])
    assert parts == 3
    holes = ndimage.binary_fill_holes(cut.masks[0]) & ~cut.masks[0]
    pixel = 240 * 0.8 / 128
    assert holes.sum() * pixel**2 == pytest.approx(np.pi * 15.0**2, rel=0.06)


def test_grey_levels_are_those_of_the_window() -> None:
    mask = ellipse((1, 60, 60), (30.0, 30.0), 15.0)
    for window, (low, high) in (
        ((-910.0, 590.0), (-910.0, 590.0)),
        ("soft", (WINDOWS["soft"].low, WINDOWS["soft"].high)),
        ("auto", (WINDOWS["soft"].low, WINDOWS["soft"].high)),  # 40 and -100 HU fit into it
    ):
        cut = cut_case(content_of(mask), "a", SliceParameters(size=96, window=window))
        grey = cut.images[0, 0] / 65535.0
        assert grey[48, 24] == pytest.approx((40 - low) / (high - low), abs=1e-4)
        assert grey[5, 3] == pytest.approx((-100 - low) / (high - low), abs=1e-4)


def test_the_window_of_a_lung_nodule_is_chosen_round_the_nodule() -> None:
    mask = ellipse((1, 60, 60), (30.0, 30.0), 6.0)
    image = np.where(mask, 20.0, -850.0)
    cut = cut_case(content_of(mask, image), "a", SliceParameters(size=96, window="auto"))
    low, high = WINDOWS["lung"].low, WINDOWS["lung"].high
    assert cut.images[0, 0, 48, 24] / 65535.0 == pytest.approx((20 - low) / (high - low), abs=1e-3)


def test_mr_is_shown_from_its_first_to_its_last_percentile() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(500.0, 100.0, (1, 64, 64))
    grid = Grid((1, 64, 64), np.diag([-1.0, -1.0, 1.0, 1.0]))
    mask = np.ones((1, 64, 64), dtype=bool)
    cut = cut_case(Content(image.astype(np.float32)[None], {"a": mask}, grid, "MR"), "a", SliceParameters(size=64))
    low, high = np.percentile(image, [1, 99])
    expected = np.clip((image[0] - low) / (high - low), 0, 1)
    assert np.abs(cut.images[0, 0] / 65535.0 - expected).max() < 1e-4


def test_three_sequences_become_three_channels_each_on_its_own_scale() -> None:
    rng = np.random.default_rng(1)
    sequences = rng.normal(0.0, 1.0, (4, 1, 48, 48)) * np.array([1.0, 10.0, 300.0, 2.0])[:, None, None, None] + 1000.0
    grid = Grid((1, 48, 48), np.diag([-1.0, -1.0, 1.0, 1.0]))
    content = Content(sequences.astype(np.float32), {"a": np.ones((1, 48, 48), dtype=bool)}, grid, "MR")
    cut = cut_case(content, "a", SliceParameters(size=48, sequences=(3, 1, 2)))
    for channel, number in enumerate((3, 1, 2)):
        low, high = np.percentile(sequences[number], [1, 99])
        expected = np.clip((sequences[number, 0] - low) / (high - low), 0, 1)
        assert np.abs(cut.images[0, channel] / 65535.0 - expected).max() < 1e-3


def test_a_slice_lies_as_a_radiologist_looks_at_it_however_it_was_stored() -> None:
    """The same patient stored with i to the right and j to the front, or as scanners do, gives the same slices."""
    mask = ellipse((3, 80, 90), (20.0, 60.0), 12.0)
    mask[2] = False
    image = np.where(mask, 40.0, -100.0) + np.arange(3)[:, None, None] * 10
    stored = cut_case(content_of(mask, image), "a", SliceParameters(size=64))
    turned = np.diag([0.8, 1.6, -3.0, 1.0])
    flipped = cut_case(
        content_of(mask[::-1, ::-1, ::-1].copy(), image[::-1, ::-1, ::-1].copy(), turned), "a", SliceParameters(size=64)
    )
    assert np.array_equal(stored.images, flipped.images)
    assert np.array_equal(stored.masks, flipped.masks)
    assert [item.index for item in stored.items] == [0, 1]
    assert [item.index for item in flipped.items] == [2, 1]  # numbered as stored


def test_a_sagittal_scan_is_cut_in_its_own_plane_or_axially() -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0, 0, 3.0], [-1.0, 0, 0], [0, -1.0, 0]])  # i to the back, j down, k to the right
    mask = np.zeros((6, 50, 40), dtype=bool)
    mask[1:4, 10:30, 5:25] = True
    content = content_of(mask, matrix=matrix)
    assert len(cut_case(content, "a", SliceParameters(size=64)).items) == 3
    axial = cut_case(content, "a", SliceParameters(size=64, plane="axial"))
    assert len(axial.items) == 20
    assert axial.items[0].extent == (64, 29)  # 40 mm from front to back, 18 mm from left to right


def test_neighbours_are_the_slices_on_both_sides() -> None:
    mask = np.broadcast_to(disc(12.0, (40, 40)), (4, 40, 40)).copy()
    image = np.broadcast_to(np.array([0.0, 100.0, 200.0, 300.0])[:, None, None], (4, 40, 40))
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
    parameters = SliceParameters(size=40, window=(0.0, 400.0), channels="neighbours")
    cut = cut_case(content_of(mask, image, matrix), "a", parameters)
    grey = cut.images[:, :, 20, 20] / 65535.0
    expected = [[0, 0, 0.25], [0, 0.25, 0.5], [0.25, 0.5, 0.75], [0.5, 0.75, 0.75]]
    assert grey == pytest.approx(np.array(expected), abs=1e-4)


def test_a_crop_has_its_size_in_mm_holds_the_lesion_and_is_not_centred_on_it() -> None:
    mask = ellipse((12, 100, 200), (50.0, 90.0), 10.0)
    parameters = SliceParameters(size=100, crop_mm=50.0)
    cut = cut_case(content_of(mask), "a", parameters)
    assert cut.images.shape == (12, 1, 100, 100)
    for found in cut.masks:
        assert found.sum() * 0.5**2 == pytest.approx(np.pi * 10.0**2, rel=0.05)
    centres = np.array([ndimage.center_of_mass(found) for found in cut.masks])
    assert centres.std(axis=0).min() > 5.0
    again = cut_case(content_of(mask), "a", parameters)
    assert np.array_equal(again.images, cut.images)
    assert not np.array_equal(cut_case(content_of(mask), "b", parameters).images, cut.images)


def test_empty_slices_come_in_the_share_asked_for() -> None:
    mask = np.zeros((30, 40, 40), dtype=bool)
    mask[5:15] = disc(8.0, (40, 40))
    cut = cut_case(content_of(mask), "a", SliceParameters(size=40, empty_share=0.5))
    assert sum(item.pixels == 0 for item in cut.items) == 5
    assert all(item.pixels > 0 for item in cut.items if 5 <= item.index < 15)


def test_slivers_are_left_out() -> None:
    mask = np.zeros((3, 40, 40), dtype=bool)
    mask[0, 10, 10:19] = True
    mask[1, 10, 10:20] = True
    assert [item.index for item in cut_case(content_of(mask), "a", SliceParameters(size=40)).items] == [1]
