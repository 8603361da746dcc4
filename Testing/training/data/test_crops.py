"""Where crops lie, and slices in which nothing of the structure would be left: none is taken for an absent one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from balls import disc, save_picture
from samprompt.io.notes import collected_notes
from samprompt.space.grid import Grid
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.content import Content
from samprompt_training.data.cutting import cut_case
from samprompt_training.data.parameters import SliceParameters
from samprompt_training.data.slices import SliceSet

MILLIMETRE = np.diag([-1.0, -1.0, 3.0, 1.0])


def content_of(mask: np.ndarray) -> Content:
    grid = Grid((mask.shape[0], mask.shape[1], mask.shape[2]), MILLIMETRE)
    return Content(np.where(mask, 40.0, -100.0).astype(np.float32)[None], {"s": mask}, grid, "CT")


def discs(*places: tuple[float, float, float], side: int = 256, slices: int = 6) -> np.ndarray:
    """Discs (row, column, radius) in every slice."""
    j, i = np.indices((side, side))
    plane = np.logical_or.reduce([np.hypot(j - row, i - column) < radius for row, column, radius in places])
    return np.broadcast_to(plane, (slices, side, side)).copy()


def test_a_crop_between_two_kidneys_shows_the_larger_one_whole() -> None:
    mask = discs((128, 60, 20), (128, 196, 24))
    cut = cut_case(content_of(mask), "a", SliceParameters(size=80, crop_mm=80.0))
    assert len(cut.items) == 6
    for found in cut.masks:
        assert found.sum() == pytest.approx(np.pi * 24.0**2, rel=0.03)


def test_two_parts_that_fit_into_the_crop_are_both_shown() -> None:
    mask = discs((128, 100, 10), (128, 150, 6))
    cut = cut_case(content_of(mask), "a", SliceParameters(size=80, crop_mm=80.0))
    for found in cut.masks:
        assert found.sum() == pytest.approx(np.pi * (10.0**2 + 6.0**2), rel=0.05)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_a_crop_of_a_ring_larger_than_itself_holds_a_piece_of_the_ring(shift: float) -> None:
    ring = discs((128, 128, 100), slices=12) & ~discs((128, 128, 92), slices=12)
    parameters = SliceParameters(size=60, crop_mm=60.0, crop_shift=shift)
    cut = cut_case(content_of(ring), "a", parameters)
    assert len(cut.items) == 12
    assert all(item.pixels > 8 * 40 for item in cut.items)  # at least 40 mm along the ring, which is 8 mm thick
    assert len({found.tobytes() for found in cut.masks}) > 6  # of another place in nearly every slice
    again = cut_case(content_of(ring), "a", parameters)
    assert np.array_equal(again.masks, cut.masks)


def test_a_crop_of_a_long_structure_holds_its_whole_width() -> None:
    mask = np.zeros((4, 256, 256), bool)
    mask[:, 10:240, 120:140] = True
    cut = cut_case(content_of(mask), "a", SliceParameters(size=60, crop_mm=60.0))
    for found in cut.masks:
        assert found.any(axis=0).sum() == 20
        assert found.any(axis=1).sum() >= 30


def test_a_lesion_too_small_to_be_left_in_the_square_is_left_out_not_called_absent(tmp_path: Path) -> None:
    lesion = np.zeros((2048, 2048), bool)
    lesion[1003:1009, 1003:1009] = True  # 36 pixels, but less than one of a square of 256
    save_picture(tmp_path / "images" / "small.png", np.full((2048, 2048), 90, np.uint8))
    save_picture(tmp_path / "masks" / "small.png", lesion * np.uint8(255))
    save_picture(tmp_path / "images" / "large.png", np.full((64, 64), 90, np.uint8))
    save_picture(tmp_path / "masks" / "large.png", disc(12.0, (64, 64)) * np.uint8(255))
    cases = open_dataset("folders", tmp_path, kind="xray").cases
    with collected_notes() as notes:
        items = SliceSet(cases, SliceParameters(size=256), tmp_path / "cache")
    assert [items[n]["case"] for n in range(len(items))] == ["large"]
    assert items.slices_used(empty=True) == {}
    assert any("1 slices" in said and "fewer than 4 pixels" in said for said in notes)
    with collected_notes() as again:  # also when it comes from the cache
        SliceSet(cases, SliceParameters(size=256), tmp_path / "cache")
    assert again == notes
    finer = SliceSet(cases, SliceParameters(size=1024), tmp_path / "cache")
    assert {finer[n]["case"]: int(finer[n]["mask"].sum()) for n in range(len(finer))}["small"] >= 4


def test_slices_that_were_drawn_as_empty_stay_beside_those_that_are_left_out() -> None:
    mask = np.zeros((20, 512, 512), bool)
    mask[3, 100:103, 100:104] = True  # 12 pixels of which a square of 64 keeps none
    mask[8:12, 200:260, 200:260] = True
    cut = cut_case(content_of(mask), "a", SliceParameters(size=64, empty_share=0.4))
    shown = [item.index for item in cut.items if item.pixels > 0]
    empty = [item.index for item in cut.items if item.pixels == 0]
    assert shown == [8, 9, 10, 11]
    assert len(empty) == 2
    assert not mask[empty].any()
    assert cut.lost == 1
    assert len(cut.images) == len(shown) + len(empty)  # no view is kept of what was left out


def test_no_crop_of_real_organs_is_without_its_organ(shared_data: Path) -> None:
    from samprompt.io.images import read_volume

    volume = read_volume(shared_data / "ct_organs" / "ct_small.nii.gz")
    labels = read_volume(shared_data / "ct_organs" / "organs_small.nii.gz").array
    masks = {str(int(label)): labels == label for label in np.unique(labels)[1:]}
    content = Content(volume.array[None], masks, volume.grid, "CT")
    cut = cut_case(content, "a", SliceParameters(size=64, crop_mm=128.0))
    assert len(cut.items) > 100
    assert all(item.pixels >= 4 for item in cut.items)
