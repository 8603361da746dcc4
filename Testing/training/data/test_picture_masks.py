"""Masks and images stored as pictures: a third value is never taken for a fringe, signed values never wrap round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from balls import disc, save_picture
from PIL import Image
from samprompt.contract.errors import StructureError
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.content import read_case
from samprompt_training.data.pictures import read_binary_mask, read_labels, read_picture

SIDE = (400, 400)


def labels_of(background: int, *classes: tuple[int, float]) -> np.ndarray:
    """Discs (value, radius) on one another, the later ones on top."""
    found = np.full(SIDE, background, np.uint8)
    for value, radius in classes:
        found[disc(radius, SIDE)] = value
    return found


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
@pytest.mark.parametrize(
    "labels",
    [
        labels_of(0, (255, 100.0), (128, 30.0)),  # the third value covers less than 2 %
        labels_of(255, (128, 50.0), (0, 25.0)),  # cup and disc of an eye on white
        labels_of(0, (255, 60.0), (100, 20.0)),
        labels_of(0, (255, 60.0), (50, 20.0)),  # near black
        labels_of(0, (255, 60.0), (220, 20.0)),  # near white
        labels_of(0, (1, 60.0), (2, 20.0)),
    ],
)
def test_three_values_are_refused_however_few_pixels_the_third_has(
    tmp_path: Path, labels: np.ndarray, ending: str
) -> None:
    save_picture(tmp_path / f"m.{ending}", labels)
    with pytest.raises(StructureError, match="no mask of two values") as caught:
        read_binary_mask(tmp_path / f"m.{ending}")
    assert "labels" in caught.value.hint


@pytest.mark.parametrize("value", [50, 100, 128])
@pytest.mark.parametrize("quality", [75, 95])
def test_a_third_class_is_refused_in_a_jpeg_too(tmp_path: Path, value: int, quality: int) -> None:
    save_picture(tmp_path / "m.jpg", labels_of(0, (255, 100.0), (value, 30.0)), quality=quality)
    with pytest.raises(StructureError, match="no mask of two values"):
        read_binary_mask(tmp_path / "m.jpg")


def test_a_class_with_a_smooth_border_is_no_fringe(tmp_path: Path) -> None:
    smooth = Image.fromarray(labels_of(0, (255, 100.0), (128, 30.0))).resize((380, 380), Image.Resampling.BILINEAR)
    smooth.save(tmp_path / "m.png")
    assert len(np.unique(np.asarray(smooth))) > 20
    with pytest.raises(StructureError, match="no mask of two values"):
        read_binary_mask(tmp_path / "m.png")


@pytest.mark.parametrize("quality", [30, 50, 75, 90])
def test_a_mask_that_was_once_a_jpeg_is_still_one_as_png(tmp_path: Path, quality: int) -> None:
    mask = disc(100.0, SIDE) | np.roll(disc(12.0, SIDE), 150, axis=1)
    save_picture(tmp_path / "m.jpg", mask * np.uint8(255), quality=quality)
    with Image.open(tmp_path / "m.jpg") as picture:
        picture.save(tmp_path / "m.png")
    for name in ("m.jpg", "m.png"):
        assert int((read_binary_mask(tmp_path / name) != mask).sum()) <= 0.003 * mask.sum()


def test_real_masks_of_pictures_are_masks(shared_data: Path) -> None:
    found = 0
    for folder in ("ultrasound_thyroid", "xray_lungs"):
        for path in sorted((shared_data / folder / "masks").iterdir())[:8]:
            found += read_binary_mask(path).any()
    assert found >= 10


def test_hounsfield_units_of_a_signed_tiff_stay_what_they_are(tmp_path: Path) -> None:
    hu = np.where(disc(10.0), 40, -1000).astype(np.int16)
    (tmp_path / "images").mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(tmp_path / "images" / "a.tif"))
    save_picture(tmp_path / "masks" / "a.png", disc(10.0) * np.uint8(255))
    content = read_case(open_dataset("folders", tmp_path, kind="ct").cases[0])
    assert np.array_equal(content.image[0, 0], hu)
    assert content.image.dtype == np.float32


def test_values_beyond_sixteen_bits_stay_what_they_are(tmp_path: Path) -> None:
    counts = (np.arange(12, dtype=np.int32) * 30_000).reshape(3, 4)
    sitk.WriteImage(sitk.GetImageFromArray(counts), str(tmp_path / "a.tif"))
    assert np.array_equal(read_picture(tmp_path / "a.tif")[0], counts)
    assert np.array_equal(read_labels(tmp_path / "a.tif"), counts)


def test_sixteen_bits_of_grey_are_read_as_stored(tmp_path: Path) -> None:
    grey = (np.arange(2000, dtype=np.uint16) * 32).reshape(40, 50)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png")[0], grey)
    Image.fromarray(disc(10.0) * np.uint16(65535)).save(tmp_path / "m.png")
    assert np.array_equal(read_binary_mask(tmp_path / "m.png"), disc(10.0))
