"""NSCLC-Radiomics and 4D-Lung as the NBIA Data Retriever leaves them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from balls import Ball
from dicom_balls import save_seg
from samprompt.contract.errors import (
    DicomSeriesError,
    GridError,
    InputError,
    MissingFileError,
    StructureError,
    UnreadableFileError,
)
from samprompt.io.images import read_volume
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.content import read_case
from samprompt_training.data.dicom_seg import read_dicom_seg
from samprompt_training.data.parameters import SliceParameters
from samprompt_training.data.slices import SliceSet


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_rows(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def place_of(folder: Path, row: dict[str, str]) -> Path:
    return folder / row["File Location"].replace("\\", "/")


@pytest.mark.parametrize("source", ["RTSTRUCT", "SEG"])
def test_the_tumours_of_nsclc_radiomics_have_the_volume_of_their_balls(nsclc_folder: Path, source: str) -> None:
    dataset = open_dataset("nsclc-radiomics", nsclc_folder, source=source)
    assert dataset.patients == ("LUNG1-001", "LUNG1-002", "LUNG1-003")
    assert dataset.notes == (f"1 CT series without {source} were left out.",)
    for number, case in enumerate(dataset.cases, 1):
        ball, content = Ball(8.0 + number), read_case(case)
        assert content.grid is not None
        assert content.grid.ijk_to_ras == pytest.approx(ball.affine, abs=1e-3)
        assert np.array_equal(content.image[0], ball.hu)
        mask = content.masks["GTV-1"]
        assert float(mask.sum()) * content.grid.voxel_volume == pytest.approx(ball.volume, rel=0.05)
        if source == "SEG":
            assert np.array_equal(mask, ball.mask)
        else:  # a voxel whose centre the circle runs through may fall to either side
            assert int((mask != ball.mask).sum()) <= 0.01 * ball.mask.sum()


def test_other_structures_are_chosen_by_pattern_and_those_not_contoured_are_absent(nsclc_folder: Path) -> None:
    wanted = {"lungs": "lung*", "heart": ["Heart"]}
    case = open_dataset("nsclc-radiomics", nsclc_folder, structures=wanted).cases[0]
    assert list(read_case(case).masks) == ["lungs"]


def test_a_structure_that_nobody_contoured_is_refused(nsclc_folder: Path, tmp_path: Path) -> None:
    cases = open_dataset("nsclc-radiomics", nsclc_folder, structures={"heart": "Heart"}).cases
    with pytest.raises(StructureError, match="'heart' is in no slice of these 3 cases"):
        SliceSet(cases, SliceParameters(size=32), tmp_path / "cache")


def test_every_contoured_phase_of_4d_lung_goes_with_the_ct_it_was_drawn_on(lung_4d_folder: Path) -> None:
    dataset = open_dataset("4d-lung", lung_4d_folder)
    assert dataset.patients == ("100_HM10395", "101_HM10395")
    assert len(dataset.cases) == 8
    assert {case.visit for case in dataset.cases} == {"07-02-2003", "07-15-2003"}
    assert dataset.notes == ("4 CT series without RTSTRUCT were left out.",)
    for case in dataset.cases:
        radius = 8.0 + (2.0 if "Gated 50.0A" in case.name else 0.0)
        content = read_case(case)
        assert np.array_equal(content.image[0], Ball(radius).hu)
        assert content.grid is not None
        volume = float(content.masks["tumour"].sum()) * content.grid.voxel_volume
        assert volume == pytest.approx(Ball(radius).volume, rel=0.05)


def test_contours_in_two_files_of_one_series_are_refused_with_both_names(nsclc_folder: Path) -> None:
    row = next(row for row in rows_of(nsclc_folder) if row["Modality"] == "RTSTRUCT")
    folder = place_of(nsclc_folder, row)
    first = next(folder.glob("*.dcm"))
    shutil.copyfile(first, folder / "1-2.dcm")
    with pytest.raises(DicomSeriesError, match=rf"holds 2 files of contours: {first.name}, 1-2\.dcm") as caught:
        open_dataset("nsclc-radiomics", nsclc_folder)
    assert caught.value.hint
    assert len(open_dataset("nsclc-radiomics", nsclc_folder, source="SEG").cases) == 3


def test_the_folder_of_the_collection_itself_will_do(nsclc_folder: Path) -> None:
    assert len(open_dataset("nsclc-radiomics", nsclc_folder / "NSCLC-Radiomics").cases) == 3


def test_a_series_downloaded_in_part_is_named(nsclc_folder: Path) -> None:
    ct = next(row for row in rows_of(nsclc_folder) if row["Modality"] == "CT")
    (place_of(nsclc_folder, ct) / "1-004.dcm").unlink()
    with pytest.raises(MissingFileError, match=r"1 series .* LUNG1-001/.*82046 \(9 of 10 files\)"):
        open_dataset("nsclc-radiomics", nsclc_folder)


def test_a_series_that_is_listed_and_absent_is_named(nsclc_folder: Path) -> None:
    rows = rows_of(nsclc_folder)
    write_rows(nsclc_folder, [*rows, rows[0] | {"Series UID": "1.2.3", "File Location": "./NSCLC-Radiomics/X/Y/Z"}])
    with pytest.raises(MissingFileError, match=r"X/Y/Z \(0 of 10 files\)"):
        open_dataset("nsclc-radiomics", nsclc_folder)


def test_a_download_without_its_list_is_refused(nsclc_folder: Path) -> None:
    (nsclc_folder / "metadata.csv").unlink()
    with pytest.raises(MissingFileError, match=r"no metadata\.csv"):
        open_dataset("nsclc-radiomics", nsclc_folder)
    (nsclc_folder / "metadata.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UnreadableFileError, match="no column 'Series UID'"):
        open_dataset("nsclc-radiomics", nsclc_folder)


def test_a_series_under_two_patients_is_refused(nsclc_folder: Path) -> None:
    rows = rows_of(nsclc_folder)
    write_rows(nsclc_folder, [*rows, rows[0] | {"Subject ID": "LUNG1-009"}])
    with pytest.raises(InputError, match="for the patients 'LUNG1-001' and 'LUNG1-009'"):
        open_dataset("nsclc-radiomics", nsclc_folder)


def test_another_collection_is_refused(nsclc_folder: Path) -> None:
    with pytest.raises(MissingFileError, match="lists no series of 4D-Lung"):
        open_dataset("4d-lung", nsclc_folder)


def test_contours_whose_ct_was_not_downloaded_are_refused(nsclc_folder: Path) -> None:
    rows = rows_of(nsclc_folder)
    write_rows(nsclc_folder, rows[1:])  # the first line is a CT
    with pytest.raises(DicomSeriesError, match=r"drawn on the series .* which is not here"):
        open_dataset("nsclc-radiomics", nsclc_folder)


def test_a_slice_lost_from_the_middle_of_a_series_is_refused_when_it_is_read(nsclc_folder: Path) -> None:
    rows = rows_of(nsclc_folder)
    (place_of(nsclc_folder, rows[0]) / "1-005.dcm").unlink()
    write_rows(nsclc_folder, [rows[0] | {"Number of Images": "9"}, *rows[1:]])
    case = open_dataset("nsclc-radiomics", nsclc_folder).cases[0]
    with pytest.raises(DicomSeriesError):
        read_case(case)


def test_a_seg_of_another_series_or_cut_off_is_refused(nsclc_folder: Path, tmp_path: Path) -> None:
    case = open_dataset("nsclc-radiomics", nsclc_folder).cases[0]
    volume = read_volume(case.images[0])
    save_seg(tmp_path / "moved", Ball(9.0), "1.2.3", "GTV", shift_mm=1.0)
    with pytest.raises(GridError, match="no plane of the image"):
        read_dicom_seg(tmp_path / "moved" / "1-1.dcm", volume.grid)
    save_seg(tmp_path / "small", Ball(9.0, (10, 30, 20)), "1.2.3", "GTV")
    with pytest.raises(GridError, match="planes of 20 x 30 pixels, the image of 24 x 30"):
        read_dicom_seg(tmp_path / "small" / "1-1.dcm", volume.grid)
    path = tmp_path / "moved" / "1-1.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFileError):
        read_dicom_seg(path, volume.grid)
