"""DICOM series: order, rescaling, place; and what is wrong with a series is said before anything is computed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from samprompt.contract.errors import DicomSeriesError, GridError, NotAnImageError, UnreadableFileError
from samprompt.io.dicom_series import list_series, series_info
from samprompt.io.images import read_volume
from samprompt.io.notes import collected_notes
from samprompt.space.grid import Grid

WriteCt = Callable[..., list[Path]]


@pytest.fixture
def straight() -> Grid:
    return Grid.from_spacing((6, 8, 9), (0.9, 0.8, 2.5), (10, 20, 30))


@pytest.fixture
def stored() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 2000, (6, 8, 9)).astype(np.int16)


def test_a_series_is_read_in_order_with_its_place_and_hu(
    tmp_path: Path, write_ct: WriteCt, oblique_grid: Grid, stored: np.ndarray
) -> None:
    paths = write_ct(tmp_path, stored, oblique_grid)
    volume = read_volume(tmp_path)
    # The stored order runs along the planes' normal, so k may be reversed: compare by place, not by index.
    index = np.rint(oblique_grid.to_kji(volume.grid.to_ras(np.indices(volume.grid.shape).reshape(3, -1).T))).astype(int)
    assert np.array_equal(volume.array.ravel(), (stored - 1024)[tuple(index.T)].astype(np.float32))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    itk = reader.Execute()
    corner = np.array(itk.TransformIndexToPhysicalPoint((2, 3, 4))) * [-1, -1, 1]
    assert np.abs(volume.grid.to_ras([4, 3, 2]) - corner).max() < 1e-3
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(itk).astype(np.float32))
    assert volume.modality == "CT"
    assert len(paths) == 6


def test_a_slope_per_slice_is_applied_per_slice(tmp_path: Path, write_ct: WriteCt, straight: Grid) -> None:
    stored = np.full((6, 8, 9), 10, dtype=np.int16)
    for k, path in enumerate(write_ct(tmp_path, stored, straight)):
        data = pydicom.dcmread(path)
        data.RescaleSlope = 0.5 * (k + 1)
        data.save_as(path)
    assert read_volume(tmp_path).array[:, 0, 0].tolist() == [5 * (k + 1) - 1024 for k in range(6)]


def test_a_ct_without_rescale_is_reported(
    tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray
) -> None:
    write_ct(tmp_path, stored, straight, RescaleSlope=None, RescaleIntercept=None)
    with collected_notes() as notes:
        assert np.array_equal(read_volume(tmp_path).array, stored.astype(np.float32))
    assert any("probably not HU" in text for text in notes)


def test_a_missing_slice_is_named(tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray) -> None:
    write_ct(tmp_path, stored, straight, skip=(3,))
    with pytest.raises(DicomSeriesError, match=r"1 slices are missing.*35\.00 and 40\.00"):
        read_volume(tmp_path)


def test_uneven_spacing_is_refused(tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray) -> None:
    for k, path in enumerate(write_ct(tmp_path, stored, straight)):
        data = pydicom.dcmread(path)
        data.ImagePositionPatient[2] += 0.9 * (k % 2)
        data.save_as(path)
    with pytest.raises(DicomSeriesError, match="unevenly spaced"):
        read_volume(tmp_path)


def test_positions_rounded_by_the_scanner_are_no_uneven_spacing(tmp_path: Path, write_ct: WriteCt) -> None:
    grid = Grid.from_spacing((20, 4, 5), (1, 1, 3.27))
    for path in write_ct(tmp_path, np.zeros(grid.shape, dtype=np.int16), grid):
        data = pydicom.dcmread(path)
        data.ImagePositionPatient[2] = round(float(data.ImagePositionPatient[2]), 1)
        data.save_as(path)
    assert read_volume(tmp_path).grid.spacing[2] == pytest.approx(3.27, abs=0.01)


def test_slices_stored_twice_are_dropped_with_a_note(
    tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray
) -> None:
    paths = write_ct(tmp_path, stored, straight)
    shutil.copy(paths[2], tmp_path / "copy")
    with collected_notes() as notes:
        volume = read_volume(tmp_path)
    assert volume.grid.same_as(straight)
    assert np.array_equal(volume.array, (stored - 1024).astype(np.float32))
    assert any("stored twice" in text for text in notes)


def test_two_different_images_at_one_place_are_refused(
    tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray
) -> None:
    paths = write_ct(tmp_path, stored, straight)
    data = pydicom.dcmread(paths[2])
    data.PixelData = (stored[2] + 1).astype("<i2").tobytes()
    data.save_as(tmp_path / "other")
    with pytest.raises(DicomSeriesError, match="different images at the same place"):
        read_volume(tmp_path)


def test_gantry_tilt_is_refused_and_named(
    tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray
) -> None:
    for k, path in enumerate(write_ct(tmp_path, stored, straight, GantryDetectorTilt=15)):
        data = pydicom.dcmread(path)
        data.ImagePositionPatient[1] += k * 2.5 * np.tan(np.radians(15))
        data.save_as(path)
    with pytest.raises(GridError, match="gantry tilt 15"):
        read_volume(tmp_path)


def test_mixed_series_are_listed_and_one_file_chooses(
    tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray
) -> None:
    write_ct(tmp_path, stored, straight, SeriesDescription="arterial")
    venous = write_ct(tmp_path, stored + 7, straight, SeriesDescription="venous")
    with pytest.raises(DicomSeriesError, match=r"2 series.*arterial.*venous|2 series.*venous.*arterial"):
        read_volume(tmp_path)
    assert np.array_equal(read_volume(venous[4]).array, (stored + 7 - 1024).astype(np.float32))
    assert sorted(info.description for info in list_series(tmp_path)) == ["arterial", "venous"]


def test_a_scout_beside_the_scan_is_no_second_choice(
    tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray
) -> None:
    write_ct(tmp_path, stored, straight)
    scout = Grid.from_spacing((1, 5, 6), (1, 1, 1))
    write_ct(tmp_path, np.zeros((1, 5, 6), dtype=np.int16), scout, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    with collected_notes() as notes:
        assert read_volume(tmp_path).grid.same_as(straight)
    assert any("scout" in text for text in notes)


def test_files_that_are_no_images_are_ignored(
    tmp_path: Path, write_ct: WriteCt, write_rtstruct: Callable[..., Path], straight: Grid, stored: np.ndarray
) -> None:
    write_ct(tmp_path, stored, straight)
    (tmp_path / "README.txt").write_text("hello")
    (tmp_path / "Thumbs.db").write_bytes(b"\0" * 500)
    (tmp_path / "empty").write_bytes(b"")
    write_rtstruct(tmp_path / "RS.dcm", {"GTV": []})
    assert read_volume(tmp_path).grid.same_as(straight)


def test_a_single_slice_takes_its_thickness(tmp_path: Path, write_ct: WriteCt) -> None:
    grid = Grid.from_spacing((1, 4, 5), (1, 2, 7))
    write_ct(tmp_path, np.zeros(grid.shape, dtype=np.int16), grid)
    assert read_volume(tmp_path).grid.same_as(grid)


def test_colour_and_multi_frame_files_are_refused(
    tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray
) -> None:
    for name, change in (("colour", {"SamplesPerPixel": 3}), ("frames", {"NumberOfFrames": 4})):
        for path in write_ct(tmp_path / name, stored, straight):
            data = pydicom.dcmread(path)
            for key, value in change.items():
                setattr(data, key, value)
            data.save_as(path)
        with pytest.raises(NotAnImageError):
            read_volume(tmp_path / name)


def test_a_truncated_slice_is_named(tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray) -> None:
    paths = write_ct(tmp_path, stored, straight)
    paths[3].write_bytes(paths[3].read_bytes()[:-60])
    with pytest.raises(UnreadableFileError, match=paths[3].name):
        read_volume(tmp_path)


def test_a_series_says_its_date_and_hides_the_patient(
    tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray
) -> None:
    write_ct(tmp_path / "a", stored, straight)
    write_ct(tmp_path / "b", stored, straight, StudyDate="20240301")
    write_ct(tmp_path / "c", stored, straight, PatientID="P2", PatientName="Roe^Rick")
    first, second, other = (series_info(tmp_path / name) for name in "abc")
    assert (first.study_date, first.study_time, second.study_date) == ("20240131", "101500", "20240301")
    assert first.patient_hash == second.patient_hash != other.patient_hash
    assert "Doe" not in repr(first)
    assert "P1" not in first.patient_hash


def test_compressed_slices_are_decoded(tmp_path: Path, write_ct: WriteCt, straight: Grid, stored: np.ndarray) -> None:
    paths = write_ct(tmp_path, stored, straight)
    for path in paths[:3]:
        data = pydicom.dcmread(path)
        data.compress(pydicom.uid.RLELossless)
        data.save_as(path)
    assert np.array_equal(read_volume(tmp_path).array, (stored - 1024).astype(np.float32))


def test_real_jpeg_2000_slices_are_what_pydicom_decodes(shared_data: Path) -> None:
    files = sorted((shared_data / "ct_organs" / "dicom").iterdir())
    try:
        decoded = {path: pydicom.dcmread(path).pixel_array - 1024.0 for path in files[::9]}
    except RuntimeError as error:
        pytest.skip(f"pydicom has no JPEG 2000 decoder here: {error}")
    volume = read_volume(files[0])
    assert volume.array.shape[1:] == (512, 512)
    for expected in decoded.values():
        assert (np.abs(volume.array - expected).max(axis=(1, 2)) == 0).sum() == 1


def test_a_folder_with_ct_mr_and_contours_lists_the_two_images(shared_data: Path) -> None:
    folder = shared_data / "dicom_sarcoma" / "STS_008"
    with pytest.raises(DicomSeriesError, match="2 series"):
        read_volume(folder)
    mr = read_volume(folder / "MR_T1" / "image" / "000003.dcm")
    assert (mr.modality, mr.grid.shape) == ("MR", (28, 79, 77))
