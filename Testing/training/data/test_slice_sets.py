"""Sets of slices and their cache: items as promised, nothing read twice, errors with names from any process."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from balls import SPACING, Ball, disc, save_nifti, save_picture
from PIL import Image
from pydantic import ValidationError
from samprompt.contract.errors import Cancelled, ParameterError, StructureError, UnreadableFileError
from samprompt.contract.progress import Progress
from samprompt.io.notes import collected_notes
from samprompt_training.data import cache
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.parameters import SliceParameters
from samprompt_training.data.slices import SliceSet


def test_the_set_gives_items_of_the_form_promised(nnunet_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset("nnunet", nnunet_folder)
    items = SliceSet(dataset.cases, SliceParameters(size=96, least_pixels=1), tmp_path / "cache")
    areas: dict[str, float] = dict.fromkeys((case.name for case in dataset.cases), 0.0)
    pixel = max(SPACING[0] * 24, SPACING[1] * 30) / 96
    for n in range(len(items)):
        item = items[n]
        assert item["image"].shape == (3, 96, 96)
        assert item["image"].dtype == item["mask"].dtype == torch.float32
        assert 0.0 <= float(item["image"].min()) <= float(item["image"].max()) <= 1.0
        assert set(item["mask"].unique().tolist()) <= {0.0, 1.0}
        areas[item["case"]] += float(item["mask"].sum()) * pixel**2 * SPACING[2]
    for number, case in enumerate(dataset.cases):
        assert areas[case.name] == pytest.approx(Ball(8.0 + number).volume, rel=0.06)
    assert items.slices_used()["lung_000"]["tumour"] == [k for k in range(10) if Ball(8.0).mask[k].any()]


def test_the_second_time_nothing_is_read_but_the_cache(nnunet_folder: Path, tmp_path: Path) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases
    first = SliceSet(cases, SliceParameters(size=64), tmp_path / "cache")
    for case in cases:  # same size and time, but nothing that could be read
        stat = case.images[0].stat()
        case.images[0].write_bytes(b"\0" * stat.st_size)
        os.utime(case.images[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = SliceSet(cases, SliceParameters(size=64), tmp_path / "cache")
    assert len(second) == len(first)
    assert all(torch.equal(first[n]["image"], second[n]["image"]) for n in range(len(first)))
    with pytest.raises(UnreadableFileError):  # other parameters: cut anew
        SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")


def test_slices_cut_in_an_older_way_are_cut_anew(
    nnunet_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases
    SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")
    for case in cases:  # same size and time, but nothing that could be read
        stat = case.images[0].stat()
        case.images[0].write_bytes(b"\0" * stat.st_size)
        os.utime(case.images[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    with pytest.raises(UnreadableFileError):
        SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")


def test_a_changed_mask_is_cut_anew(nnunet_folder: Path, tmp_path: Path) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases[:1]
    before = len(SliceSet(cases, SliceParameters(size=32), tmp_path / "cache"))
    save_nifti(cases[0].masks["tumour"].path, Ball(14.0).mask.astype(np.uint8), Ball(14.0))
    assert len(SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")) > before


def test_a_changed_mask_of_equal_size_is_cut_anew(tmp_path: Path) -> None:
    save_picture(tmp_path / "images" / "a.png", disc(15.0) * np.uint8(200))
    sums = []
    for radius in (5.0, 10.0):
        save_picture(tmp_path / "masks" / "a.bmp", disc(radius) * np.uint8(255))  # not compressed
        cases = open_dataset("folders", tmp_path, kind="xray").cases
        items = SliceSet(cases, SliceParameters(size=50), tmp_path / "cache")
        sums.append(float(items[0]["mask"].sum()))
    assert sums == pytest.approx([disc(5.0).sum(), disc(10.0).sum()])


def test_a_damaged_cache_is_cut_anew(nnunet_folder: Path, tmp_path: Path) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases
    first = SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")
    expected = [first[n]["mask"] for n in range(len(first))]
    for file in (tmp_path / "cache").rglob("*.masks.npy"):
        file.write_bytes(file.read_bytes()[:150])
    second = SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")
    assert all(torch.equal(second[n]["mask"], mask) for n, mask in enumerate(expected))


def test_two_processes_cut_the_same_as_one(nnunet_folder: Path, tmp_path: Path) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases
    one = SliceSet(cases, SliceParameters(size=32), tmp_path / "one")
    two = SliceSet(cases, SliceParameters(size=32), tmp_path / "two", workers=2)
    assert len(one) == len(two)
    assert all(torch.equal(one[n]["image"], two[n]["image"]) for n in range(len(one)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_an_error_with_its_name_from_any_process(
    nnunet_folder: Path, tmp_path: Path, workers: int
) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases
    cases[3].images[0].write_bytes(cases[3].images[0].read_bytes()[:300])
    with pytest.raises(UnreadableFileError, match="lung_003_0000") as caught:
        SliceSet(cases, SliceParameters(size=32), tmp_path / "cache", workers=workers)
    assert caught.value.hint


def test_cutting_can_be_cancelled(nnunet_folder: Path, tmp_path: Path) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases
    progress = Progress(lambda stage, done, total: progress.cancel() if done == 2 else None)
    with pytest.raises(Cancelled):
        SliceSet(cases, SliceParameters(size=32), tmp_path / "cache", progress=progress)


def test_a_structure_that_is_nowhere_is_refused(nnunet_folder: Path, tmp_path: Path) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases
    with pytest.raises(StructureError, match="'liver' is in no slice of these 5 cases"):
        SliceSet(cases, SliceParameters(size=32, structures=("tumour", "liver")), tmp_path / "cache")
    noted = SliceSet(cases, SliceParameters(size=32, structures=("tumour", "liver")), tmp_path, absent="note")
    assert len(noted) > 0
    for case in cases:
        save_nifti(case.masks["tumour"].path, np.zeros((10, 30, 24), dtype=np.uint8), Ball(1.0))
    with pytest.raises(StructureError, match="'tumour' is in no slice"):
        SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")
    with collected_notes() as notes:
        assert len(SliceSet(cases, SliceParameters(size=32), tmp_path / "cache", absent="note")) == 0
    assert "In none of 5 cases: tumour." in notes


def test_parameters_without_sense_are_refused(folders_folder: Path, tmp_path: Path) -> None:
    for wrong in ({"window": (100.0, -100.0)}, {"sequences": (0, 1)}, {"size": 4}, {"pixels": 3}):
        with pytest.raises(ValidationError):
            SliceParameters(**wrong)  # type: ignore[arg-type]
    cases = open_dataset("folders", folders_folder, kind="ultrasound").cases
    with pytest.raises(ParameterError, match="pixel size is unknown"):
        SliceSet(cases, SliceParameters(crop_mm=50.0), tmp_path / "cache")
    with pytest.raises(ParameterError, match="has 3 sequences, so there is no number 5"):
        SliceSet(cases, SliceParameters(sequences=(5,)), tmp_path / "cache")


def test_slices_without_the_structure_are_counted_apart(nnunet_folder: Path, tmp_path: Path) -> None:
    cases = open_dataset("nnunet", nnunet_folder).cases[:1]
    items = SliceSet(cases, SliceParameters(size=32, empty_share=0.5), tmp_path / "cache")
    shown, empty = items.slices_used()["lung_000"]["tumour"], items.slices_used(empty=True)["lung_000"]["tumour"]
    assert len(shown) + len(empty) == len(items)
    assert all(Ball(8.0).mask[k].any() for k in shown)
    assert empty
    assert not any(Ball(8.0).mask[k].any() for k in empty)


def test_a_picture_keeps_its_colours_and_its_form(tmp_path: Path) -> None:
    picture = np.zeros((60, 100, 3), dtype=np.uint8)
    picture[:, :50] = (250, 100, 0)
    save_picture(tmp_path / "images" / "a.png", picture)
    save_picture(tmp_path / "masks" / "a.png", disc(20.0, (60, 100)) * np.uint8(255))
    items = SliceSet(
        open_dataset("folders", tmp_path, kind="endoscopy").cases, SliceParameters(size=50), tmp_path / "c"
    )
    assert items[0]["extent"].tolist() == [30, 50]
    assert items[0]["image"][:, 10, 10] * 255 == pytest.approx([250, 100, 0], abs=0.6)
    assert float(items[0]["mask"].sum()) == pytest.approx(np.pi * 10.0**2, rel=0.03)


def test_a_model_of_neighbours_sees_the_brightness_of_a_coloured_picture(tmp_path: Path) -> None:
    picture = np.zeros((40, 50, 3), dtype=np.uint8)
    picture[:] = (200, 100, 10)
    picture[:, 25:] = (10, 100, 200)
    save_picture(tmp_path / "images" / "a.png", picture)
    save_picture(tmp_path / "masks" / "a.png", disc(10.0) * np.uint8(255))
    cases = open_dataset("folders", tmp_path, kind="endoscopy").cases
    items = SliceSet(cases, SliceParameters(size=50, channels="neighbours"), tmp_path / "c")
    grey = np.asarray(Image.fromarray(picture).convert("L"), dtype=np.float64)
    for channel in items[0]["image"].numpy():
        assert np.abs(channel[:40] * 255 - grey).max() <= 1.0
    assert len(np.unique(grey)) == 2


def test_real_images_of_the_shared_folder_are_read_whole(shared_data: Path, tmp_path: Path) -> None:
    """Ultrasound of several images a patient, X-rays with a suffix of their masks, MR with two labels."""
    for name, options, structures in (
        ("ultrasound_thyroid", {"kind": "ultrasound", "patient": r"^(\d+)_", "structure": "nodule"}, ["nodule"]),
        (
            "xray_lungs",
            {"kind": "xray", "mask_suffix": "_mask", "structure": "lungs"},
            ["lungs"],
        ),
        ("mr_hippocampus", {"kind": "mr", "masks": "labels", "labels": {"anterior": 1, "posterior": 2}}, None),
    ):
        dataset = open_dataset("folders", shared_data / name, **options)
        cases = dataset.cases[:6]
        items = SliceSet(cases, SliceParameters(size=64), tmp_path / "cache")
        assert {items[n]["case"] for n in range(len(items))} == {case.name for case in cases}
        assert {items[n]["structure"] for n in range(len(items))} == set(structures or ("anterior", "posterior"))
        assert all(float(items[n]["image"].std()) > 0.02 for n in range(len(items)))
