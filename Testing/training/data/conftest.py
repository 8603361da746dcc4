"""Tiny datasets in the layout of each public set, written with pillow, nibabel and pydicom."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from nnunet_raw import describe_dataset
from pydicom.uid import generate_uid

sys.path.insert(0, str(Path(__file__).parent))  # balls.py, dicom_balls.py

from balls import SHAPE, Ball, polyp, save_nifti, save_picture
from dicom_balls import Download, save_ct, save_rtstruct, save_seg


@pytest.fixture
def nnunet_folder(tmp_path: Path) -> Path:
    """nnU-Net raw data, version 2: five CTs with a tumour each, radius 8, 9, ... mm."""
    folder = tmp_path / "Dataset501_Balls"
    for number in range(5):
        ball = Ball(8.0 + number)
        save_nifti(folder / "imagesTr" / f"lung_{number:03d}_0000.nii.gz", ball.hu, ball)
        save_nifti(folder / "labelsTr" / f"lung_{number:03d}.nii.gz", ball.mask.astype(np.uint8), ball)
    describe_dataset(folder, 5, {"tumour": 1})
    return folder


@pytest.fixture
def msd_folder(tmp_path: Path) -> Path:
    """A Decathlon task of four brains with two sequences in one 4D file, and the hidden files of its archive."""
    folder = tmp_path / "Task01_BrainTumour"
    pairs = []
    for number in range(1, 5):
        ball = Ball(7.0 + number)
        labels = ball.mask.astype(np.uint8) + Ball(4.0).mask
        image = np.stack([ball.mask * 100.0, ball.mask * 300.0 + 20.0], axis=-1).astype(np.float32)
        save_nifti(folder / "imagesTr" / f"BRATS_{number:03d}.nii.gz", image, ball)
        save_nifti(folder / "labelsTr" / f"BRATS_{number:03d}.nii.gz", labels.astype(np.uint8), ball)
        (folder / "imagesTr" / f"._BRATS_{number:03d}.nii.gz").write_bytes(b"\0\5\x16\7")
        name = f"BRATS_{number:03d}.nii.gz"
        pairs.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    description = {
        "name": "BRATS", "tensorImageSize": "4D", "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "edema", "2": "core"}, "numTraining": 4, "numTest": 0,
        "training": pairs, "test": [],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


@pytest.fixture
def brats_folder(tmp_path: Path) -> Path:
    """Two patients as BraTS 2021 names them, and one patient at two time points as BraTS 2023 does."""
    folder = tmp_path / "brats"
    inner, middle, outer = Ball(4.0).mask, Ball(7.0).mask, Ball(10.0).mask
    old = np.where(inner, 1, np.where(middle, 4, np.where(outer, 2, 0))).astype(np.uint8)
    for number in (0, 2):
        name = f"BraTS2021_{number:05d}"
        for place, word in enumerate(("t1", "t1ce", "t2", "flair")):
            save_nifti(folder / name / f"{name}_{word}.nii.gz", (outer * 50 + place + number).astype(np.int16), Ball(1))
        save_nifti(folder / name / f"{name}_seg.nii.gz", old, Ball(1))
    new = np.where(old == 4, 3, old).astype(np.uint8)
    for point in ("100", "101"):
        name = f"BraTS-GLI-00005-{point}"
        for place, word in enumerate(("t1n", "t1c", "t2w", "t2f")):
            image = (outer * 50 + place + int(point)).astype(np.int16)
            save_nifti(folder / "training" / name / f"{name}-{word}.nii.gz", image, Ball(1))
        save_nifti(folder / "training" / name / f"{name}-seg.nii.gz", new, Ball(1))
    return folder


@pytest.fixture
def abdomenct_folder(tmp_path: Path) -> Path:
    """AbdomenCT-1K with one case in each of two image archives, the first unpacked into a folder more."""
    folder = tmp_path / "AbdomenCT-1K"
    places = {
        "Case_00001": folder / "AbdomenCT-1K-ImagePart1" / "AbdomenCT-1K-ImagePart1",
        "Case_00500": folder / "AbdomenCT-1K-ImagePart2",
    }
    for number, (name, place) in enumerate(places.items()):
        ball = Ball(9.0 + number)
        labels = np.zeros(SHAPE, dtype=np.uint8)
        for label, quarter in enumerate(np.array_split(np.arange(SHAPE[2]), 4), 1):
            labels[:, :, quarter] = label
        save_nifti(place / f"{name}_0000.nii.gz", ball.hu, ball)
        save_nifti(folder / "Mask" / f"{name}.nii.gz", labels * ball.mask, ball)
    return folder


@pytest.fixture
def nsclc_folder(tmp_path: Path) -> Path:
    """NSCLC-Radiomics: three patients with CT, RTSTRUCT and SEG, and one with a CT alone (Windows' paths)."""
    download = Download(tmp_path / "manifest-1603198545583", "NSCLC-Radiomics")
    for number in range(1, 5):
        patient, study = f"LUNG1-{number:03d}", generate_uid()
        date = "09-18-2008-StudyID-NA-69331"
        ball, uid = Ball(8.0 + number), generate_uid()
        image = download.place(patient, date, "0.000000-NA-82046")
        save_ct(image, ball, uid, PatientID=patient)
        download.add(image, patient, study, uid, "CT", "09-18-2008", windows=True)
        if number < 4:
            rtstruct = download.place(patient, date, "3.000000-NA-78236")
            save_rtstruct(rtstruct, ball, uid, ("GTV-1", "Lung-Left"))
            download.add(rtstruct, patient, study, generate_uid(), "RTSTRUCT", "09-18-2008", windows=True)
            seg = download.place(patient, date, "300.000000-Segmentation-9.554")
            save_seg(seg, ball, uid, "Neoplasm, Primary")
            download.add(seg, patient, study, generate_uid(), "SEG", "09-18-2008", windows=True)
    return download.write()


@pytest.fixture
def lung_4d_folder(tmp_path: Path) -> Path:
    """4D-Lung: two patients, two dates, two contoured phases each, and a cone-beam CT without contours."""
    download = Download(tmp_path / "manifest-1665386976937", "4D-Lung")
    for patient in ("100_HM10395", "101_HM10395"):
        for date in ("07-02-2003", "07-15-2003"):
            study, folder = generate_uid(), f"{date}-NA-p4-14571"
            for phase in (0, 50):
                ball, uid = Ball(8.0 + phase / 25), generate_uid()
                series = f"{phase + 1}.000000-P4P{patient[:3]}S300I00003 Gated {phase}.0A-{phase:05d}"
                image = download.place(patient, folder, series)
                save_ct(image, ball, uid, PatientID=patient)
                download.add(image, patient, study, uid, "CT", date, windows=False)
                contour = download.place(patient, folder, f"1.000000-P4P{patient[:3]}S300-9{phase:04d}")
                save_rtstruct(contour, ball, uid, (f"Tumor_c{phase:02d}", f"Heart_c{phase:02d}"))
                download.add(contour, patient, study, generate_uid(), "RTSTRUCT", date, windows=False)
            cone_beam = download.place(patient, folder, "900.000000-CBCT-11111")
            uid = generate_uid()
            save_ct(cone_beam, Ball(3.0), uid, PatientID=patient)
            download.add(cone_beam, patient, study, uid, "CT", date, windows=False)
    return download.write()


@pytest.fixture
def kvasir_folder(tmp_path: Path) -> Path:
    """Kvasir-SEG: six polyps whose masks are JPEG, and the file of boxes that lists them."""
    folder = tmp_path / "kvasir" / "Kvasir-SEG"
    boxes = {}
    for number in range(6):
        picture, mask = polyp(number)
        name = f"cju0qkwl35piu0993l0dewei{number}"
        save_picture(folder / "images" / f"{name}.jpg", picture, quality=90)
        save_picture(folder / "masks" / f"{name}.jpg", np.repeat(mask[..., None] * np.uint8(255), 3, axis=2))
        boxes[name] = {"height": 40, "width": 50, "bbox": []}
    (folder / "kavsir_bboxes.json").write_text(json.dumps(boxes), encoding="utf-8")
    return folder.parent


@pytest.fixture
def cvc_folder(tmp_path: Path) -> Path:
    """CVC-ClinicDB with all 612 frames, of 8 x 10 pixels."""
    folder = tmp_path / "CVC-ClinicDB"
    for number in range(1, 613):
        picture, mask = polyp(number, (8, 10))
        save_picture(folder / "Original" / f"{number}.tif", picture)
        save_picture(folder / "Ground Truth" / f"{number}.tif", mask * np.uint8(255))
    return folder


@pytest.fixture
def qata_folder(tmp_path: Path) -> Path:
    """QaTa-COV19 version 2: two images of one subject and one of another in training, two without subject in test."""
    folder = tmp_path / "QaTa-COV19" / "QaTa-COV19-v2"
    names = {
        "Train Set": [
            "sub-S09345_ses-E18384_run-1_bp-chest_vp-ap_dx",
            "sub-S09345_ses-E19999_run-1_bp-chest_vp-ap_dx",
            "sub-S09346_ses-E20001_run-1_bp-chest_vp-pa_cr",
        ],
        "Test Set": ["covid_1", "covid_2"],
    }
    number = 0
    for part, listed in names.items():
        for name in listed:
            number += 1
            picture, mask = polyp(number)
            save_picture(folder / part / "Images" / f"{name}.png", picture[:, :, 0])
            save_picture(folder / part / "Ground-truths" / f"mask_{name}.png", mask * np.uint8(255))
    return folder.parent


@pytest.fixture
def tn3k_folder(tmp_path: Path) -> Path:
    """TN3K: four images to train with and two to test, and the lists of both."""
    folder = tmp_path / "tn3k"
    for part, count in (("trainval", 4), ("test", 2)):
        rows = ["name,label"]
        for number in range(count):
            picture, mask = polyp(number + 10 * count)
            save_picture(folder / f"{part}-image" / f"{number:04d}.jpg", picture[:, :, 0])
            save_picture(folder / f"{part}-mask" / f"{number:04d}.jpg", mask * np.uint8(255))
            rows.append(f"{number:04d}.jpg,{number % 2}")
        (folder / f"label4{part}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def folders_folder(tmp_path: Path) -> Path:
    """Images and masks by folder: three patients with two pictures each, as P1_1.png."""
    folder = tmp_path / "scans"
    for patient in (1, 2, 3):
        for number in (1, 2):
            picture, mask = polyp(10 * patient + number)
            save_picture(folder / "images" / f"P{patient}_{number}.png", picture)
            save_picture(folder / "masks" / f"P{patient}_{number}.png", mask * np.uint8(255))
    return folder
