"""Volumes in the layouts of nnU-Net, the Decathlon, BraTS and AbdomenCT-1K: volumes as the formula has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from balls import SPACING, Ball, polyp, save_nifti, save_picture
from nnunet_raw import describe_dataset
from samprompt.contract.errors import GridError, MissingFileError, ParameterError, StructureError, UnreadableFileError
from samprompt.io.notes import collected_notes
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.content import read_case


def test_tumours_of_nnunet_have_the_volume_of_their_balls(nnunet_folder: Path) -> None:
    dataset = open_dataset("nnunet", nnunet_folder)
    assert [case.name for case in dataset.cases] == [f"lung_{n:03d}" for n in range(5)]
    assert dataset.cases[0].kind == "ct"
    for number, case in enumerate(dataset.cases):
        content = read_case(case)
        assert content.grid is not None
        volume = float(content.masks["tumour"].sum()) * content.grid.voxel_volume
        assert volume == pytest.approx(Ball(8.0 + number).volume, rel=0.05)
        inside = content.image[0][content.masks["tumour"]]
        assert set(np.unique(inside)) == {40.0}


def test_what_is_read_is_what_simpleitk_reads(nnunet_folder: Path) -> None:
    case = open_dataset("nnunet", nnunet_folder).cases[2]
    content = read_case(case)
    image = sitk.ReadImage(str(case.images[0]))
    assert np.array_equal(content.image[0], sitk.GetArrayFromImage(image))
    assert content.grid is not None
    assert content.grid.spacing == pytest.approx(image.GetSpacing())
    voxel = (3, 7, 2)  # i, j, k
    lps = np.array(image.TransformIndexToPhysicalPoint(voxel))
    assert content.grid.to_ras(voxel[::-1]) == pytest.approx(lps * [-1, -1, 1])


def test_nnunet_with_two_sequences_regions_and_a_label_to_ignore(tmp_path: Path) -> None:
    ball = Ball(9.0)
    labels = ball.mask.astype(np.uint8) + Ball(5.0).mask + 2 * Ball(2.5).mask
    for channel in (0, 1):
        save_nifti(tmp_path / "imagesTr" / f"a_{channel:04d}.nii.gz", ball.hu + channel, ball)
    save_nifti(tmp_path / "labelsTr" / "a.nii.gz", labels.astype(np.uint8), ball)
    describe_dataset(tmp_path, 1, {"whole": [1, 2], "core": 2, "ignore": 4}, ("T1", "FLAIR"))
    (case,) = open_dataset("nnunet", tmp_path).cases
    assert case.kind == "mr"
    assert list(case.masks) == ["whole", "core"]
    content = read_case(case)
    assert content.image.shape == (2, *ball.shape)
    assert np.array_equal(content.masks["whole"], ball.mask & ~Ball(2.5).mask)
    assert np.array_equal(content.masks["core"], Ball(5.0).mask & ~Ball(2.5).mask)


def test_nnunet_in_two_dimensions_as_png(tmp_path: Path) -> None:
    picture, mask = polyp(4)
    save_picture(tmp_path / "imagesTr" / "polyp_4_0000.png", picture)
    save_picture(tmp_path / "labelsTr" / "polyp_4.png", mask.astype(np.uint8))
    for names in (("R", "G", "B"), ("rgb_to_0_1",)):  # three channels of one file, or one name
        describe_dataset(tmp_path, 1, {"polyp": 1}, names, ".png")
        content = read_case(open_dataset("nnunet", tmp_path).cases[0])
        assert np.array_equal(content.image[:, 0].transpose(1, 2, 0), picture)
        assert np.array_equal(content.masks["polyp"][0], mask)


def test_three_channels_of_nnunet_as_three_grey_pictures_or_not_at_all(tmp_path: Path) -> None:
    picture, mask = polyp(4)
    for channel in range(3):
        save_picture(tmp_path / "imagesTr" / f"a_{channel:04d}.png", picture[:, :, channel])
    save_picture(tmp_path / "labelsTr" / "a.png", mask.astype(np.uint8))
    describe_dataset(tmp_path, 1, {"polyp": 1}, ("R", "G", "B"), ".png")
    content = read_case(open_dataset("nnunet", tmp_path).cases[0])
    assert np.array_equal(content.image[:, 0].transpose(1, 2, 0), picture)
    for gone in (2, 1):  # a grey picture alone is not the three channels that are named
        (tmp_path / "imagesTr" / f"a_{gone:04d}.png").unlink()
        with pytest.raises(MissingFileError, match=r"Channels are missing .*a_0002"):
            open_dataset("nnunet", tmp_path)


def test_a_missing_channel_mask_image_or_case_of_nnunet_is_named(nnunet_folder: Path, tmp_path: Path) -> None:
    for number, (gone, message) in enumerate(
        (
            ("labelsTr/lung_002.nii.gz", "1 of 5 images have no mask: lung_002"),
            ("imagesTr/lung_003_0000.nii.gz", "1 of 5 masks have no image: lung_003"),
            ("labelsTr", "no folder 'labelsTr'"),
            ("dataset.json", r"dataset\.json is missing"),
        )
    ):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(nnunet_folder, copy)
        target = copy / gone
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        with pytest.raises(MissingFileError, match=message):
            open_dataset("nnunet", copy)
    for gone in ("imagesTr/lung_004_0000.nii.gz", "labelsTr/lung_004.nii.gz"):
        (nnunet_folder / gone).unlink()
    with pytest.raises(MissingFileError, match="4 of 5 training cases: it is copied in part"):
        open_dataset("nnunet", nnunet_folder)


def test_a_dataset_json_that_is_damaged_or_names_no_labels_is_refused(nnunet_folder: Path) -> None:
    path = nnunet_folder / "dataset.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    for text in (path.read_text(encoding="utf-8")[:40], "[]", json.dumps(described | {"labels": {}})):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UnreadableFileError, match=r"dataset\.json"):
            open_dataset("nnunet", nnunet_folder)


def test_a_mask_on_another_grid_than_its_image_is_refused(nnunet_folder: Path) -> None:
    case = open_dataset("nnunet", nnunet_folder).cases[0]
    path = case.masks["tumour"].path
    good = nibabel.load(path)
    array = np.asarray(good.dataobj)
    nibabel.save(nibabel.Nifti1Image(array[:-1], good.affine), path)
    with pytest.raises(GridError, match=r"has 23 x 30 x 10 voxels, but .* has 24 x 30 x 10"):
        read_case(case)
    moved = good.affine.copy()
    moved[2, 3] += 0.5 * SPACING[2]
    nibabel.save(nibabel.Nifti1Image(array, moved), path)
    with pytest.raises(GridError, match="lies at another place"):
        read_case(case)
    rounded = good.affine.copy()
    rounded[:3, 3] += 0.01
    nibabel.save(nibabel.Nifti1Image(array, rounded), path)
    assert np.array_equal(read_case(case).masks["tumour"], Ball(8.0).mask)


def test_a_volume_copied_in_part_is_refused_when_it_is_read(nnunet_folder: Path) -> None:
    case = open_dataset("nnunet", nnunet_folder).cases[1]
    data = case.images[0].read_bytes()
    case.images[0].write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableFileError, match=r"lung_001_0000.*truncated"):
        read_case(case)


def test_a_ct_whose_values_are_no_hu_is_noted(nnunet_folder: Path) -> None:
    case = open_dataset("nnunet", nnunet_folder).cases[0]
    with collected_notes() as notes:
        read_case(case)
    assert notes == []
    save_nifti(case.images[0], (Ball(8.0).hu + 1024).astype(np.int16), Ball(8.0))
    with collected_notes() as notes:
        read_case(case)
    assert "are these HU" in notes[0]


def test_a_mask_of_grey_levels_or_strange_labels_is_refused(nnunet_folder: Path) -> None:
    case = open_dataset("nnunet", nnunet_folder).cases[1]
    ball = Ball(9.0)
    save_nifti(case.masks["tumour"].path, (ball.mask * 0.4).astype(np.float32), ball)
    with pytest.raises(StructureError, match="not whole numbers"):
        read_case(case)
    save_nifti(case.masks["tumour"].path, (ball.mask * 7).astype(np.uint8), ball)
    with pytest.raises(StructureError, match="label 7, which the dataset does not name"):
        read_case(case)


def test_a_decathlon_task_gives_its_sequences_and_leaves_hidden_files_alone(msd_folder: Path) -> None:
    dataset = open_dataset("msd", msd_folder)
    assert [case.name for case in dataset.cases] == ["BRATS_001", "BRATS_002", "BRATS_003", "BRATS_004"]
    content = read_case(dataset.cases[1])
    ball = Ball(9.0)
    assert content.modality == "MR"
    assert content.image.shape == (2, *ball.shape)
    assert np.array_equal(content.image[1], ball.mask * 300.0 + 20.0)
    assert np.array_equal(content.masks["core"], Ball(4.0).mask)
    assert np.array_equal(content.masks["edema"], ball.mask & ~Ball(4.0).mask)
    stored = nibabel.load(dataset.cases[1].images[0])
    assert content.grid is not None
    assert content.grid.ijk_to_ras == pytest.approx(stored.affine)


def test_a_decathlon_task_copied_in_part_is_said(msd_folder: Path) -> None:
    (msd_folder / "labelsTr" / "BRATS_003.nii.gz").unlink()
    with pytest.raises(MissingFileError, match=r"1 files listed .* are missing: labelsTr/BRATS_003"):
        open_dataset("msd", msd_folder)
    image = msd_folder / "imagesTr" / "BRATS_001.nii.gz"
    image.write_bytes(image.read_bytes()[:-200])
    described = json.loads((msd_folder / "dataset.json").read_text(encoding="utf-8"))
    described["training"].pop(2)
    (msd_folder / "imagesTr" / "BRATS_003.nii.gz").unlink()
    (msd_folder / "dataset.json").write_text(json.dumps(described | {"numTraining": 3}), encoding="utf-8")
    with pytest.raises(UnreadableFileError, match="BRATS_001"):
        read_case(open_dataset("msd", msd_folder).cases[0])


def test_regions_of_brats_are_the_same_whatever_the_edition_calls_its_labels(brats_folder: Path) -> None:
    dataset = open_dataset("brats", brats_folder)
    assert dataset.patients == ("BraTS-GLI-00005", "BraTS2021_00000", "BraTS2021_00002")
    assert [case.visit for case in dataset.cases if case.patient == "BraTS-GLI-00005"] == ["100", "101"]
    for case in dataset.cases:
        content = read_case(case)
        assert content.image.shape[0] == 4
        assert [float(s[0, 0, 0] - content.image[0, 0, 0, 0]) for s in content.image] == [0, 1, 2, 3]  # T1 to FLAIR
        for name, radius in (("whole tumour", 10.0), ("tumour core", 7.0)):
            assert np.array_equal(content.masks[name], Ball(radius).mask)
        assert np.array_equal(content.masks["enhancing tumour"], Ball(7.0).mask & ~Ball(4.0).mask)


@pytest.mark.parametrize("year", ["Brats17", "Brats18", "BraTS19"])
def test_scans_of_one_patient_stay_together_in_every_edition_of_brats(tmp_path: Path, year: str) -> None:
    for number, scan in enumerate(("CBICA_AAB_1", "CBICA_AAB_2", "TCIA10_103_1", "2013_0_1")):
        name = f"{year}_{scan}"
        for place, word in enumerate(("t1", "t1ce", "t2", "flair")):
            image = (Ball(10.0).mask * 50 + place + 10 * number).astype(np.int16)
            save_nifti(tmp_path / "HGG" / name / f"{name}_{word}.nii.gz", image, Ball(1))
        save_nifti(tmp_path / "HGG" / name / f"{name}_seg.nii.gz", Ball(8.0).mask.astype(np.uint8), Ball(1))
    dataset = open_dataset("brats", tmp_path)
    assert dataset.patients == (f"{year}_2013_0", f"{year}_CBICA_AAB", f"{year}_TCIA10_103")
    assert [case.visit for case in dataset.cases if "AAB" in case.patient] == ["1", "2"]


def test_a_brats_case_without_a_sequence_or_of_children_is_refused(brats_folder: Path) -> None:
    gone = brats_folder / "BraTS2021_00002" / "BraTS2021_00002_t1ce.nii.gz"
    other = gone.with_name("BraTS2021_00002_flair.nii.gz")
    gone.unlink()
    with pytest.raises(MissingFileError, match=r"BraTS2021_00002 \(t1ce\)"):
        open_dataset("brats", brats_folder)
    other.rename(gone)
    child = brats_folder / "BraTS-PED-00001-000"
    save_nifti(child / "BraTS-PED-00001-000-seg.nii.gz", Ball(4.0).mask.astype(np.uint8), Ball(4.0))
    with pytest.raises(ParameterError, match="labels mean other things"):
        open_dataset("brats", brats_folder)


def test_organs_of_abdomenct_are_found_in_all_its_archives(abdomenct_folder: Path) -> None:
    dataset = open_dataset("abdomenct-1k", abdomenct_folder)
    assert dataset.patients == ("Case_00001", "Case_00500")
    content = read_case(dataset.cases[1])
    assert np.array_equal(np.logical_or.reduce(list(content.masks.values())), Ball(10.0).mask)
    assert content.masks["liver"][:, :, :6].sum() == content.masks["liver"].sum()
    save_nifti(abdomenct_folder / "AbdomenCT-1K-ImagePart2" / "Case_00777_0000.nii.gz", Ball(3.0).hu, Ball(3.0))
    with pytest.raises(MissingFileError, match="1 of 3 images have no mask: Case_00777"):
        open_dataset("abdomenct-1k", abdomenct_folder)
    left = open_dataset("abdomenct-1k", abdomenct_folder, unlabelled="leave out")
    assert len(left.cases) == 2
    assert left.notes == ("1 images without mask were left out.",)
    shutil.rmtree(abdomenct_folder / "Mask")
    with pytest.raises(MissingFileError, match="no folder 'Mask'"):
        open_dataset("abdomenct-1k", abdomenct_folder)


def test_volumes_by_folder_with_labels_by_name(tmp_path: Path) -> None:
    ball = Ball(9.0)
    labels = ball.mask.astype(np.uint8) + Ball(5.0).mask
    save_nifti(tmp_path / "images" / "P1.nii.gz", ball.hu, ball)
    save_nifti(tmp_path / "masks" / "P1.nii", labels.astype(np.uint8), ball)
    (case,) = open_dataset("folders", tmp_path, kind="ct", labels={"organ": 1, "lesion": 2}).cases
    content = read_case(case, ["lesion"])
    assert list(content.masks) == ["lesion"]
    assert np.array_equal(content.masks["lesion"], Ball(5.0).mask)
