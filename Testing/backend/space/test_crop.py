"""Boxes round masks, cut out with padding and put back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samprompt.contract.errors import StructureError
from samprompt.space.crop import Box, crop_array, crop_volume, paste
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume

BOXES = st.builds(Box, st.tuples(*[st.integers(-6, 9)] * 3), st.tuples(*[st.integers(0, 8)] * 3))


def test_the_box_of_a_mask_is_tight_and_grows_in_millimetres() -> None:
    mask = np.zeros((10, 20, 30), dtype=bool)
    mask[3, 4:7, 9] = mask[5, 4, 20] = True
    box = Box.around(mask)
    assert (box.start, box.stop) == ((3, 4, 9), (6, 7, 21))
    grown = box.grown(5.0, (2.5, 1.0, 0.9))
    assert (grown.start, grown.stop) == ((1, -1, 3), (8, 12, 27))
    assert grown.clipped(mask.shape).start == (1, 0, 3)


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(StructureError):
        Box.around(np.zeros((3, 4, 5), dtype=bool))


@settings(deadline=None)
@given(box=BOXES)
def test_cropping_is_padding_then_slicing(box: Box) -> None:
    array = np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7) + 1
    padded = np.pad(array, 20, constant_values=-1)
    expected = padded[tuple(slice(a + 20, b + 20) for a, b in zip(box.start, box.stop, strict=True))]
    assert np.array_equal(crop_array(array, box, -1), expected)


@settings(deadline=None)
@given(box=BOXES)
def test_a_crop_pasted_back_changes_nothing(box: Box) -> None:
    array = np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7)
    again = array.copy()
    paste(again, crop_array(array, box, -1), box)
    assert np.array_equal(again, array)
    blank = np.full_like(array, -5)
    paste(blank, crop_array(array, box, -1), box)
    assert (blank != -5).sum() == np.prod(box.clipped((5, 6, 7)).shape)


def test_a_cropped_volume_keeps_every_voxel_at_its_place() -> None:
    turn = np.array([[0.0, -1, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([1.0, 2.0, 3.0])
    matrix[:3, 3] = [5, 6, 7]
    volume = Volume(np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32), Grid((5, 6, 7), matrix))
    part = crop_volume(volume, Box((-1, 2, 3), (4, 3, 9)))
    assert part.array[2, 1, 1] == volume.array[1, 3, 4]
    assert np.allclose(part.grid.to_ras([2, 1, 1]), volume.grid.to_ras([1, 3, 4]))
    assert (part.array[0] == -1000).all()
