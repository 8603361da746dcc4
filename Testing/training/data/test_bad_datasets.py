"""Datasets that are empty, half copied or contradict themselves: every one has an error that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from balls import disc, polyp, save_picture
from PIL import Image
from samprompt.contract.errors import (
    GridError,
    InputError,
    MissingFileError,
    NotAnImageError,
    ParameterError,
    StructureError,
    UnreadableFileError,
)
from samprompt_training.data.cases import LAYOUTS, open_dataset
from samprompt_training.data.content import read_case
from samprompt_training.data.pictures import read_binary_mask, read_picture
from samprompt_training.data.recipe import DataRecipe, prepare

OPTIONS = {"folders": {"kind": "ct"}}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_that_is_absent_empty_or_a_file_is_refused_in_every_layout(layout: str, tmp_path: Path) -> None:
    options = OPTIONS.get(layout, {})
    with pytest.raises(MissingFileError, match="does not exist"):
        open_dataset(layout, tmp_path / "nowhere", **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="is empty") as caught:
        open_dataset(layout, tmp_path / "empty", **options)
    assert caught.value.hint
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(MissingFileError, match="is a file, not the folder"):
        open_dataset(layout, tmp_path / "archive.zip", **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_of_something_else_is_refused_in_every_layout(layout: str, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    save_picture(tmp_path / "holiday" / "beach.jpg", polyp(1)[0])
    with pytest.raises(MissingFileError) as caught:
        open_dataset(layout, tmp_path, **OPTIONS.get(layout, {}))
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_an_unknown_layout_or_option_is_refused_with_what_there_is(folders_folder: Path) -> None:
    with pytest.raises(ParameterError, match="no layout 'nnunett'") as caught:
        open_dataset("nnunett", folders_folder)
    assert "nnunet" in caught.value.hint
    with pytest.raises(ParameterError, match="colour"):
        open_dataset("folders", folders_folder, kind="ct", colour="red")
    with pytest.raises(ParameterError, match="kind"):
        open_dataset("folders", folders_folder)
    with pytest.raises(ParameterError, match="'kind' has the value 'pet'"):
        open_dataset("folders", folders_folder, kind="pet")


def test_missing_or_empty_folders_of_images_and_masks_are_named(folders_folder: Path) -> None:
    shutil.rmtree(folders_folder / "masks")
    with pytest.raises(MissingFileError, match="no folder 'masks'"):
        open_dataset("folders", folders_folder, kind="ct")
    (folders_folder / "masks").mkdir()
    with pytest.raises(MissingFileError, match="masks is empty"):
        open_dataset("folders", folders_folder, kind="ct")


def test_an_image_without_mask_and_a_mask_without_image_are_named(folders_folder: Path) -> None:
    (folders_folder / "masks" / "P2_1.png").unlink()
    with pytest.raises(MissingFileError, match="1 of 6 images have no mask: P2_1"):
        open_dataset("folders", folders_folder, kind="ct")
    (folders_folder / "images" / "P2_1.png").unlink()
    (folders_folder / "images" / "P3_2.png").unlink()
    with pytest.raises(MissingFileError, match="1 of 5 masks have no image: P3_2"):
        open_dataset("folders", folders_folder, kind="ct")


def test_many_missing_masks_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    for number in range(12):
        save_picture(tmp_path / "images" / f"{number:02d}.png", polyp(number)[0])
    save_picture(tmp_path / "masks" / "00.png", polyp(0)[1] * np.uint8(255))
    with pytest.raises(MissingFileError, match="11 of 12 images have no mask: 01, 02, 03, 04, 05 and 6 more"):
        open_dataset("folders", tmp_path, kind="ct")


def test_two_files_of_one_name_are_refused(folders_folder: Path) -> None:
    save_picture(folders_folder / "images" / "P1_1.jpg", polyp(1)[0])
    with pytest.raises(MissingFileError, match=r"P1_1\.png and P1_1\.jpg have the same name"):
        open_dataset("folders", folders_folder, kind="ct")


def test_a_mask_of_another_size_is_refused_with_both_sizes(folders_folder: Path) -> None:
    save_picture(folders_folder / "masks" / "P1_1.png", disc(5, (20, 25)) * np.uint8(255))
    with pytest.raises(GridError, match=r"has 25 x 20 pixels, but .* has 50 x 40"):
        read_case(open_dataset("folders", folders_folder, kind="ultrasound").cases[0])


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_a_picture_copied_in_part_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    save_picture(path, polyp(3, (200, 300))[0])
    whole = path.read_bytes()
    for share in (0.02, 0.5, 0.97):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadableFileError, match="damaged, truncated or no picture"):
            read_picture(path)


def test_masks_that_are_no_masks_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = (np.linspace(0, 255, 100)[None] * np.ones((80, 1))).astype(np.uint8)
    for name, array in (
        ("grey", rng.integers(0, 256, (80, 100), dtype=np.uint8)),
        ("soft", smooth),
        ("labels", (disc(20).astype(np.uint8) + disc(10) + disc(5)).astype(np.uint8)),
    ):
        save_picture(tmp_path / f"{name}.png", array)
        with pytest.raises(StructureError, match=f"{name}.png is no mask of two values"):
            read_binary_mask(tmp_path / f"{name}.png")
    save_picture(tmp_path / "colour.png", polyp(1)[0])
    with pytest.raises(NotAnImageError, match="coloured picture"):
        read_binary_mask(tmp_path / "colour.png")


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_a_mask_stored_as_jpeg_loses_at_most_pixels_of_its_border(tmp_path: Path, quality: int) -> None:
    mask = disc(60.0, (300, 400)) | np.roll(disc(10.0, (300, 400)), 120, axis=1)
    save_picture(tmp_path / "m.jpg", mask * np.uint8(255), quality=quality)
    with Image.open(tmp_path / "m.jpg") as stored:
        assert len(np.unique(np.asarray(stored))) > 2
    found = read_binary_mask(tmp_path / "m.jpg")
    assert int((found != mask).sum()) <= 0.003 * mask.sum()


@pytest.mark.parametrize("white", [1, 7, 255])
def test_two_values_are_a_mask_whatever_the_higher_one_is(tmp_path: Path, white: int) -> None:
    save_picture(tmp_path / "m.png", disc(10.0) * np.uint8(white))
    assert np.array_equal(read_binary_mask(tmp_path / "m.png"), disc(10.0))
    save_picture(tmp_path / "none.png", disc(0.1) * np.uint8(white))
    assert not read_binary_mask(tmp_path / "none.png").any()


def test_masks_with_a_palette_transparency_or_one_bit_are_read(tmp_path: Path) -> None:
    mask = disc(10.0)
    Image.fromarray(mask).save(tmp_path / "bit.png")
    palette = Image.fromarray(mask.astype(np.uint8))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "palette.png")
    grey = np.repeat((mask * np.uint8(255))[..., None], 3, axis=2)
    alpha = np.full((*mask.shape, 1), 255, dtype=np.uint8)
    Image.fromarray(np.concatenate([grey, alpha], axis=2)).save(tmp_path / "alpha.png")
    for name in ("bit", "palette", "alpha"):
        assert np.array_equal(read_binary_mask(tmp_path / f"{name}.png"), mask), name


def test_what_systems_leave_behind_is_not_taken_for_images(folders_folder: Path) -> None:
    for name in ("._P1_1.png", ".DS_Store"):
        (folders_folder / "images" / name).write_bytes(b"\0")
    (folders_folder / "masks" / "Thumbs.db").write_bytes(b"\0")
    assert len(open_dataset("folders", folders_folder, kind="ct").cases) == 6


def test_one_patient_cannot_be_split(folders_folder: Path, tmp_path: Path) -> None:
    recipe = DataRecipe(options={"kind": "ultrasound", "patient": "^P"})
    with pytest.raises(ParameterError, match="only one patient"):
        prepare(recipe, folders_folder, tmp_path / "cache", tmp_path / "manifest.json")
    assert not (tmp_path / "manifest.json").exists()


def test_a_whole_recipe_prepares_its_parts_and_writes_the_manifest(folders_folder: Path, tmp_path: Path) -> None:
    recipe = DataRecipe.model_validate(
        {
            "options": {"kind": "ultrasound", "patient": r"^P\d", "structure": "nodule"},
            "shares": [0.4, 0.3, 0.3],
            "slices": {"size": 32},
        }
    )
    parts = prepare(recipe, folders_folder, tmp_path / "cache", tmp_path / "manifest.json")
    sets = (parts.train, parts.validation, parts.test)
    assert [len(items) for items in sets if items is not None] == [2, 2, 2]
    patients = [{items[n]["patient"] for n in range(2)} for items in sets if items is not None]
    assert len(set.union(*patients)) == 3
    assert parts.train.augmentation is not None
    assert parts.validation is not None
    assert parts.validation.augmentation is None
    summary = parts.manifest["summary"]
    assert {name: part["slices"] for name, part in summary.items()} == {name: {"nodule": 2} for name in summary}


def test_errors_of_datasets_are_errors_of_input() -> None:
    assert all(issubclass(kind, InputError) for kind in (MissingFileError, GridError, StructureError, ParameterError))
