"""Splits by patient and the manifest: the same for any order of files, no patient twice, nothing unnamed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from balls import polyp, save_picture
from hypothesis import given
from hypothesis import strategies as st
from samprompt.contract.errors import InputError, ParameterError, UnreadableFileError
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.manifest import make_manifest, manifest_summary, read_manifest, write_manifest
from samprompt_training.data.split import split_dataset, split_patients


def second_implementation(patients: list[str], seed: int, validation: int, test: int) -> dict[str, str]:
    """The rule, written again: the last by SHA-256 of "seed:patient" test, those before validate, the rest train."""
    ranked = sorted((int.from_bytes(hashlib.sha256(f"{seed}:{p}".encode()).digest(), "big"), p) for p in patients)
    parts = ["train"] * (len(patients) - validation - test) + ["validation"] * validation + ["test"] * test
    return {patient: part for (_, patient), part in zip(ranked, parts, strict=True)}


@given(st.sets(st.text(min_size=1), min_size=3, max_size=40), st.integers(0, 2**40))
def test_the_parts_are_those_of_a_second_implementation(patients: set[str], seed: int) -> None:
    listed = sorted(patients)
    held_out = max(1, round(0.1 * len(listed)))
    assert split_patients(listed, seed) == second_implementation(listed, seed, held_out, held_out)


def test_the_parts_of_ten_patients_are_these() -> None:
    """Written down once: an update that changes splits would mix training and test patients of older models."""
    split = split_patients([f"LUNG1-{n:03d}" for n in range(1, 11)], seed=4)
    assert {patient for patient, part in split.items() if part == "validation"} == {"LUNG1-004"}
    assert {patient for patient, part in split.items() if part == "test"} == {"LUNG1-005"}


def test_the_order_of_patients_does_not_matter_but_the_seed_does() -> None:
    patients = [f"P{n}" for n in range(30)]
    assert split_patients(patients, 1) == split_patients(patients[::-1] + patients, 1)
    assert split_patients(patients, 1) != split_patients(patients, 2)


def test_shares_are_kept_and_a_share_of_nothing_gets_nobody() -> None:
    split = split_patients([str(n) for n in range(200)], 0, (0.7, 0.3, 0.0))
    assert sorted(split.values()).count("validation") == 60
    assert "test" not in split.values()


def test_too_few_patients_or_shares_without_sense_are_refused() -> None:
    with pytest.raises(ParameterError, match="only one patient") as caught:
        split_patients(["P1", "P1"], 0)
    assert "share" in caught.value.hint
    with pytest.raises(ParameterError, match="2 patients, too few for the parts train, validation, test"):
        split_patients(["P1", "P2"], 0)
    assert set(split_patients(["P1", "P2"], 0, (0.5, 0.5, 0.0)).values()) == {"train", "validation"}
    assert set(split_patients(["P1"], 0, (1.0, 0.0, 0.0)).values()) == {"train"}
    with pytest.raises(ParameterError, match="no patient"):
        split_patients([], 0)
    for shares in ((0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)):
        with pytest.raises(ParameterError, match="no shares"):
            split_patients(["P1", "P2", "P3"], 0, shares)


def test_parts_as_delivered_need_a_dataset_that_comes_with_parts(kvasir_folder: Path, qata_folder: Path) -> None:
    with pytest.raises(ParameterError, match="comes without parts"):
        split_dataset(open_dataset("kvasir-seg", kvasir_folder), 0, delivered=True)
    base = qata_folder / "QaTa-COV19-v2" / "Test Set"
    save_picture(base / "Images" / "sub-S09345_x.png", polyp(50)[0])
    save_picture(base / "Ground-truths" / "mask_sub-S09345_x.png", polyp(50)[1] * np.uint8(255))
    with pytest.raises(ParameterError, match="'sub-S09345' is in the parts 'train' and 'test' as delivered"):
        split_dataset(open_dataset("qata-cov19", qata_folder), 0, delivered=True)


def test_one_image_under_two_patients_is_refused_or_makes_them_one(folders_folder: Path) -> None:
    for kind in ("images", "masks"):
        shutil.copy(folders_folder / kind / "P1_2.png", folders_folder / kind / "P3_9.png")
    with pytest.raises(InputError, match=r"Patients 'P1' and 'P3' have the same image \(P1_2 and P3_9\)"):
        open_dataset("folders", folders_folder, kind="ultrasound", patient=r"^P\d")
    joined = open_dataset("folders", folders_folder, kind="ultrasound", patient=r"^P\d", duplicates="join")
    assert joined.patients == ("P1", "P2")
    assert any("count as one patient" in note for note in joined.notes)


def test_where_no_patients_are_named_equal_images_are_kept_together(kvasir_folder: Path) -> None:
    folder = kvasir_folder / "Kvasir-SEG"
    for kind in ("images", "masks"):
        shutil.copy(folder / kind / "cju0qkwl35piu0993l0dewei0.jpg", folder / kind / "zz.jpg")
    dataset = open_dataset("kvasir-seg", kvasir_folder)
    assert len(dataset.cases) == 7
    assert len(dataset.patients) == 6


def test_images_of_equal_size_but_other_content_are_not_taken_for_duplicates(tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 2)):
        save_picture(tmp_path / "images" / f"{name}.bmp", polyp(number)[0])  # uncompressed: all files of one length
        save_picture(tmp_path / "masks" / f"{name}.bmp", polyp(number)[0][:, :, 0])
    assert (tmp_path / "images" / "a.bmp").stat().st_size == (tmp_path / "images" / "b.bmp").stat().st_size
    assert open_dataset("folders", tmp_path, kind="endoscopy", duplicates="refuse").patients == ("a", "b")


def test_two_spellings_of_a_patient_are_refused(folders_folder: Path) -> None:
    for kind in ("images", "masks"):
        (folders_folder / kind / "P1_2.png").rename(folders_folder / kind / "p1_2.png")
    with pytest.raises(InputError, match="'P1' and 'p1' seem to be one patient"):
        open_dataset("folders", folders_folder, kind="ultrasound", patient=r"^[Pp]\d")


def test_the_manifest_says_what_went_where_and_notices_changes(folders_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset("folders", folders_folder, kind="ultrasound", patient=r"^P\d")
    split = split_patients(dataset.patients, 7)
    used = {"P1_1": {"structure": [0]}, "P2_2": {"structure": [0]}}
    path = tmp_path / "manifest.json"
    written = make_manifest(dataset, split, seed=7, shares=(0.8, 0.1, 0.1), slices=used)
    write_manifest(path, written)
    assert read_manifest(path) == written
    by_name = {case["case"]: case for case in written["cases"]}
    assert set(by_name) == {f"P{p}_{n}" for p in (1, 2, 3) for n in (1, 2)}
    assert all(case["part"] == split[case["patient"]] for case in written["cases"])
    for case in written["cases"]:
        for file in case["files"]:
            content = (folders_folder / file["path"]).read_bytes()
            assert file["sha256"] == hashlib.sha256(content).hexdigest()
            assert file["bytes"] == len(content)
    assert by_name["P2_2"]["slices"] == {"structure": [0]}
    text = json.dumps(manifest_summary(written))
    assert "P1" not in text
    assert sum(part["cases"] for part in manifest_summary(written)["parts"].values()) == 6
    path.write_text(path.read_text(encoding="utf-8").replace('"train"', '"test"', 1), encoding="utf-8")
    with pytest.raises(UnreadableFileError, match="was changed after it was written"):
        read_manifest(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(UnreadableFileError, match="no manifest"):
        read_manifest(path)


def test_a_manifest_without_hashes_has_none_and_another_split_another_digest(
    folders_folder: Path, tmp_path: Path
) -> None:
    dataset = open_dataset("folders", folders_folder, kind="ultrasound", patient=r"^P\d")
    digests = set()
    for seed in range(8):
        split = split_patients(dataset.patients, seed)
        manifest = make_manifest(dataset, split, seed=0, shares=(0.8, 0.1, 0.1), hashes=False)
        digests.add(manifest["digest"])
        assert all(file["sha256"] is None for case in manifest["cases"] for file in case["files"])
    assert len(digests) == len({tuple(sorted(split_patients(dataset.patients, s).items())) for s in range(8)})
