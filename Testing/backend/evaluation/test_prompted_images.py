"""The data sets as they lie on disk, whole and damaged; files are written by nibabel and Pillow."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from samprompt.contract.errors import GridError, MissingFileError, ParameterError, UnreadableFileError
from samprompt.evaluation.prompted_images import DATA_SETS, measured_structures, open_data_sets, patient_of

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)


def volume(folder: Path, image: str, mask: str, *labels: tuple[int, int]) -> None:
    """A scan with one cube per (label, side)."""
    grey = np.full((24, 24, 12), -900, np.int16)
    drawn = np.zeros(grey.shape, np.uint8)
    for label, side in labels:
        place = (slice(2 + 6 * (label - 1), 2 + 6 * (label - 1) + side), slice(4, 4 + side), slice(3, 3 + side))
        grey[place], drawn[place] = 40, label
    save(folder / image, grey)
    save(folder / mask, drawn)


def picture(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Every data set with one or two small images."""
    volume(tmp_path / "ct_organs", "ct.nii.gz", "organs.nii.gz", (1, 5), (2, 4))  # 125 and 64 voxels
    volume(tmp_path / "ct_lung_tumour", "ct.nii.gz", "gtv.nii.gz", (1, 4))
    for name in ("STS_002", "STS_003"):
        volume(tmp_path / "ct_sarcoma" / name, "ct.nii.gz", "gtv.nii.gz", (1, 4))
    (tmp_path / "ct_sarcoma" / "LICENSE.md").write_text("CC BY", encoding="utf-8")
    volume(tmp_path / "mr_hippocampus", "images/h_1.nii.gz", "labels/h_1.nii.gz", (1, 4), (2, 5))
    grey = np.full((60, 80), 100, np.uint8)
    mask = np.zeros((60, 80), np.uint8)
    grey[20:50, 10:40], mask[20:50, 10:40] = 200, 255
    thyroid, xray = tmp_path / "ultrasound_thyroid", tmp_path / "xray_lungs"
    picture(thyroid / "images" / "157_1_2.png", grey)
    picture(thyroid / "masks" / "157_1_2.png", mask)
    large = np.repeat(np.repeat(grey, 16, 0), 16, 1)
    picture(xray / "images" / "16660_2_1.jpg", large)
    picture(xray / "masks" / "16660_2_1_mask.png", np.repeat(np.repeat(mask, 16, 0), 16, 1))
    return tmp_path


def test_every_data_set_is_found_and_read(root: Path):
    images, absent = open_data_sets(root)
    assert absent == []
    assert [(i.data_set, i.patient, i.unit) for i in images] == [
        ("ct_organs", "ct_organs", "mm"),
        ("ct_lung_tumour", "ct_lung_tumour", "mm"),
        ("ct_sarcoma", "STS_002", "mm"),
        ("ct_sarcoma", "STS_003", "mm"),
        ("mr_hippocampus", "h_1", "mm"),
        ("ultrasound_thyroid", "157", "pixels"),
        ("xray_lungs", "16660", "pixels"),
    ]
    visits = {image.data_set: image.load() for image in images}
    assert visits["ct_organs"].volume.modality == "CT"
    assert [int(s.mask.sum()) for s in visits["mr_hippocampus"].structures] == [64, 125]


def test_organs_of_less_than_a_hundred_voxels_are_left_out_and_small_tumours_are_not(root: Path):
    images, _ = open_data_sets(root)
    sizes = {}
    for image in images:
        sizes.setdefault(image.data_set, [int(s.mask.sum()) for s in measured_structures(image.data_set, image.load())])
    assert sizes["ct_organs"] == [125]
    assert sizes["ct_lung_tumour"] == [64]


def test_a_large_picture_is_reduced_with_its_mask_and_a_small_one_is_not(root: Path):
    images, _ = open_data_sets(root, ("xray_lungs", "ultrasound_thyroid"))
    xray, thyroid = images[0].load(), images[1].load()
    assert xray.volume.array.shape == (1, 384, 512)
    # 60 x 80 times 16, reduced to 0.4: the square of 480 x 480 pixels becomes 192 x 192
    assert xray.structures[0].mask.sum() == pytest.approx(192 * 192, rel=0.01)
    assert xray.volume.array[xray.structures[0].mask].mean() == pytest.approx(200, abs=2)
    assert thyroid.volume.array.shape == (1, 60, 80)
    assert thyroid.structures[0].mask.sum() == 900
    assert xray.volume.modality != "CT"


def test_colours_and_transparency_become_grey_levels(root: Path):
    coloured = np.full((60, 80, 4), 90, np.uint8)
    coloured[..., 3] = 255
    picture(root / "ultrasound_thyroid" / "images" / "157_1_2.png", coloured)
    images, _ = open_data_sets(root, ("ultrasound_thyroid",))
    assert np.allclose(images[0].load().volume.array, 90, atol=1)


def test_sixteen_bits_are_kept(root: Path):
    deep = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80) * 13
    picture(root / "ultrasound_thyroid" / "images" / "157_1_2.png", deep)
    images, _ = open_data_sets(root, ("ultrasound_thyroid",))
    assert np.array_equal(images[0].load().volume.array[0], deep)


def test_pictures_of_one_person_are_one_patients():
    assert patient_of("157_1_2") == patient_of("157_2") == "157"
    assert patient_of("15_1") == "15"
    assert patient_of("covid-19-pneumonia-20") == patient_of("covid-19-pneumonia-20-pa-on-admission")
    assert patient_of("covid-19-pneumonia-22-day1-pa") != patient_of("covid-19-pneumonia-23-day1")
    rapid = {patient_of(f"covid-19-pneumonia-rapidly-progressive-{when}") for when in ("12-hours", "admission")}
    assert len(rapid) == 1
    assert patient_of("jkms-35-e79-g001-l-a") == patient_of("jkms-35-e79-g001-l-c")
    assert patient_of("something") == "something"


def test_the_shared_images_have_the_patients_that_their_page_names(shared_data: Path):
    images, absent = open_data_sets(shared_data)
    assert absent == []
    patients = {name: {i.patient for i in images if i.data_set == name} for name in DATA_SETS}
    assert {name: len(found) for name, found in patients.items()} == {
        "ct_organs": 1, "ct_lung_tumour": 1, "ct_sarcoma": 8, "mr_hippocampus": 40, "ultrasound_thyroid": 31,
        "xray_lungs": 10,
    }  # fmt: skip
    assert sum(i.data_set == "xray_lungs" for i in images) == 28
    assert sum(i.data_set == "ultrasound_thyroid" for i in images) == 60


def test_absent_data_sets_are_named_unless_they_were_asked_for(root: Path):
    (root / "ct_organs").rename(root / "elsewhere")
    images, absent = open_data_sets(root)
    assert absent == ["ct_organs"]
    assert len(images) == 6
    with pytest.raises(MissingFileError, match="ct_organs does not exist"):
        open_data_sets(root, ("ct_sarcoma", "ct_organs"))


def test_a_folder_without_any_data_set_is_refused(tmp_path: Path):
    with pytest.raises(MissingFileError, match="none of the data sets"):
        open_data_sets(tmp_path)
    with pytest.raises(MissingFileError, match="does not exist"):
        open_data_sets(tmp_path / "nowhere")
    with pytest.raises(ParameterError, match="no data set 'ct_liver'"):
        open_data_sets(tmp_path, ("ct_liver",))


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("ct_organs/organs.nii.gz", "ct_organs lacks"),
        ("ct_sarcoma/STS_003/ct.nii.gz", "STS_003 lacks"),
        ("mr_hippocampus/labels/h_1.nii.gz", "h_1.nii.gz has no mask"),
        ("ultrasound_thyroid/masks/157_1_2.png", "157_1_2.png has no mask"),
        ("xray_lungs/images/16660_2_1.jpg", "xray_lungs holds no image"),
    ],
)
def test_a_half_copied_data_set_is_refused_before_anything_is_measured(root: Path, gone: str, said: str):
    (root / gone).unlink()
    with pytest.raises(MissingFileError, match=said):
        open_data_sets(root)


def test_an_empty_folder_is_no_data_set(root: Path):
    for path in sorted((root / "mr_hippocampus").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(MissingFileError, match="mr_hippocampus holds no image"):
        open_data_sets(root)


def test_a_mask_of_another_size_and_a_truncated_picture_are_named(root: Path):
    mask = root / "ultrasound_thyroid" / "masks" / "157_1_2.png"
    picture(mask, np.zeros((50, 80), np.uint8))
    images, _ = open_data_sets(root, ("ultrasound_thyroid",))
    with pytest.raises(GridError, match=r"157_1_2\.png is 80 x 50 pixels, its image 80 x 60"):
        images[0].load()
    mask.write_bytes(mask.read_bytes()[:40])
    with pytest.raises(UnreadableFileError, match=r"157_1_2\.png cannot be read as a picture"):
        images[0].load()


def test_the_fringe_of_a_jpeg_mask_is_cut_at_half_its_level(root: Path):
    disc = np.hypot(*(np.indices((96, 96)) - 48)) < 20
    folder = root / "ultrasound_thyroid"
    picture(folder / "images" / "900_1.png", np.full((96, 96), 90, np.uint8))
    (folder / "masks").mkdir(exist_ok=True)
    Image.fromarray(disc.astype(np.uint8) * 255).save(folder / "masks" / "900_1.jpg", quality=60)
    images, _ = open_data_sets(root, ["ultrasound_thyroid"])
    visit = next(image for image in images if image.name == "900_1").load()
    assert (visit.structures[0].mask[0] ^ disc).sum() <= 0.02 * disc.sum()
