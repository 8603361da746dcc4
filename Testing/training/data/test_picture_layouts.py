"""Picture sets in the layouts of their releases: patients, parts as delivered, masks read as drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from balls import disc, polyp, save_picture
from PIL import Image
from samprompt.contract.errors import MissingFileError, ParameterError, StructureError
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.content import read_case
from samprompt_training.data.layouts.endoscopy import CVC_FRAMES, cvc_sequence
from samprompt_training.data.split import split_dataset, split_patients


def test_the_29_sequences_of_cvc_hold_612_frames() -> None:
    assert len(CVC_FRAMES) == 29
    assert sum(CVC_FRAMES) == 612


# First frames as the release lists them (1-25, 26-50, 51-67, ... 592-612).
CVC_FIRST = (
    1, 26, 51, 68, 79, 104, 127, 152, 178, 200, 206, 228, 253, 278, 298, 318, 343, 364, 384, 409, 429, 448, 467, 479,
    504, 529, 547, 572, 592,
)  # fmt: skip


def test_every_frame_of_cvc_belongs_to_the_sequence_the_release_lists_it_in() -> None:
    expected = [sum(first <= frame for first in CVC_FIRST) for frame in range(1, 613)]
    assert [cvc_sequence(frame) for frame in range(1, 613)] == expected


def test_a_sequence_of_cvc_is_a_patient_and_is_never_torn_apart(cvc_folder: Path) -> None:
    dataset = open_dataset("cvc-clinicdb", cvc_folder)
    assert len(dataset.cases) == 612
    assert len(dataset.patients) == 29
    split = split_patients(dataset.patients, seed=3)
    parts = {name: {int(case.name) for case in dataset.part(split, name)} for name in ("train", "validation", "test")}
    assert sum(map(len, parts.values())) == 612
    for first, last in zip(CVC_FIRST, (*CVC_FIRST[1:], 613), strict=True):
        assert sum(bool(frames & set(range(first, last))) for frames in parts.values()) == 1


def test_a_frame_missing_from_cvc_is_said(cvc_folder: Path) -> None:
    for folder in ("Original", "Ground Truth"):
        (cvc_folder / folder / "317.tif").unlink()
    with pytest.raises(MissingFileError, match=r"1 of 612 frames are missing: 317"):
        open_dataset("cvc-clinicdb", cvc_folder)
    assert len(open_dataset("cvc-clinicdb", cvc_folder, complete=False).cases) == 611


def test_a_renamed_frame_of_cvc_is_refused_since_its_sequence_is_unknown(cvc_folder: Path) -> None:
    for folder in ("Original", "Ground Truth"):
        (cvc_folder / folder / "5.tif").rename(cvc_folder / folder / "polyp5.tif")
    with pytest.raises(MissingFileError, match="polyp5: not the number of a frame"):
        open_dataset("cvc-clinicdb", cvc_folder)


def test_the_jpeg_masks_of_kvasir_are_the_discs_that_were_drawn(kvasir_folder: Path) -> None:
    dataset = open_dataset("kvasir-seg", kvasir_folder)
    assert len(dataset.cases) == 6
    assert not dataset.patients_known
    for number, case in enumerate(dataset.cases):
        with Image.open(case.masks["polyp"].path) as stored:
            assert len(np.unique(np.asarray(stored))) > 2  # JPEG left a fringe of grey
        content = read_case(case)
        assert content.image.shape == (3, 1, 40, 50)
        assert np.array_equal(content.masks["polyp"][0], polyp(number)[1])


def test_a_kvasir_that_lacks_a_listed_image_is_copied_in_part(kvasir_folder: Path) -> None:
    for folder in ("images", "masks"):
        (kvasir_folder / "Kvasir-SEG" / folder / "cju0qkwl35piu0993l0dewei2.jpg").unlink()
    with pytest.raises(MissingFileError, match=r"1 of 6 images that kavsir_bboxes.json lists are missing: cju.*2"):
        open_dataset("kvasir-seg", kvasir_folder)


def test_two_x_rays_of_one_subject_of_qata_stay_together(qata_folder: Path) -> None:
    dataset = open_dataset("qata-cov19", qata_folder)
    patients = {case.name.split("/")[1].split("_ses")[0]: case.patient for case in dataset.cases}
    assert sorted(c.patient for c in dataset.cases).count("sub-S09345") == 2
    assert patients["covid_1"] == "covid_1"
    assert any("2 of 5 images name no patient" in note for note in dataset.notes)
    assert [case.delivered for case in dataset.cases] == ["train"] * 3 + ["test"] * 2
    content = read_case(dataset.cases[0])
    assert content.image.shape == (1, 1, 40, 50)
    assert np.array_equal(content.masks["infection"][0], polyp(1)[1])


def test_the_test_images_of_tn3k_can_be_kept_as_delivered(tn3k_folder: Path) -> None:
    dataset = open_dataset("tn3k", tn3k_folder)
    assert len(dataset.cases) == 6
    assert len({case.name for case in dataset.cases}) == 6  # 0000.jpg is there twice
    split = split_dataset(dataset, seed=0, shares=(0.5, 0.25, 0.25), delivered=True)
    assert {p for p, part in split.items() if part == "test"} == {"test/0000", "test/0001"}
    assert sorted(split.values()).count("validation") == 1


def test_a_tn3k_that_lacks_a_listed_image_is_copied_in_part(tn3k_folder: Path) -> None:
    for folder in ("test-image", "test-mask"):
        (tn3k_folder / folder / "0001.jpg").unlink()
    with pytest.raises(MissingFileError, match=r"label4test\.csv lists are missing: 0001"):
        open_dataset("tn3k", tn3k_folder)


def test_the_patient_is_found_in_the_name_by_a_pattern(folders_folder: Path) -> None:
    dataset = open_dataset("folders", folders_folder, kind="ultrasound", patient=r"^(P\d+)_")
    assert dataset.patients == ("P1", "P2", "P3")
    assert dataset.patients_known
    with pytest.raises(ParameterError, match="finds no patient in the name 'P1_1'"):
        open_dataset("folders", folders_folder, kind="ultrasound", patient=r"^N(\d+)")
    with pytest.raises(ParameterError, match="not a regular expression"):
        open_dataset("folders", folders_folder, kind="ultrasound", patient=r"^(P")


def test_a_subfolder_per_patient_names_the_patient(tmp_path: Path) -> None:
    for patient in ("anna", "berta"):
        for number in (1, 2):
            picture, mask = polyp(number + len(patient))
            save_picture(tmp_path / "images" / patient / f"{number}.png", picture + np.uint8(patient == "anna"))
            save_picture(tmp_path / "masks" / patient / f"{number}.png", mask * np.uint8(255))
    dataset = open_dataset("folders", tmp_path, kind="endoscopy")
    assert dataset.patients == ("anna", "berta")
    assert [case.name for case in dataset.cases] == ["anna/1", "anna/2", "berta/1", "berta/2"]


def test_one_mask_file_per_structure_in_a_folder_of_the_image(tmp_path: Path) -> None:
    save_picture(tmp_path / "images" / "a.png", polyp(1)[0])
    save_picture(tmp_path / "masks" / "a" / "nodule.png", disc(5) * np.uint8(255))
    save_picture(tmp_path / "masks" / "a" / "thyroid.png", disc(15) * np.uint8(1))
    (case,) = open_dataset("folders", tmp_path, kind="ultrasound").cases
    masks = read_case(case).masks
    assert int(masks["nodule"].sum()) == int(disc(5).sum())
    assert int(masks["thyroid"].sum()) == int(disc(15).sum())


def test_labels_of_a_picture_tell_structures_apart_and_a_strange_one_is_refused(tmp_path: Path) -> None:
    labels = (disc(15).astype(np.uint8) + disc(5)).astype(np.uint8)
    save_picture(tmp_path / "images" / "a.png", polyp(1)[0])
    save_picture(tmp_path / "masks" / "a.png", labels)
    (case,) = open_dataset("folders", tmp_path, kind="ultrasound", labels={"gland": 1, "nodule": 2}).cases
    masks = read_case(case).masks
    assert np.array_equal(masks["nodule"][0], disc(5))
    assert np.array_equal(masks["gland"][0], disc(15) & ~disc(5))
    (case,) = open_dataset("folders", tmp_path, kind="ultrasound", labels={"gland": 1}).cases
    with pytest.raises(StructureError, match="label 2, which the dataset does not name"):
        read_case(case)
