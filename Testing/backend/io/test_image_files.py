"""Images in NIfTI, NRRD and MetaImage: where their voxels are, and what is refused."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from samprompt.contract.errors import (
    GridError,
    IntensityError,
    MissingFileError,
    NotAnImageError,
    OutputError,
    UnreadableFileError,
)
from samprompt.io.images import read_volume, write_volume
from samprompt.io.notes import collected_notes
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume

FORMATS = ["nii.gz", "nii", "nrrd", "mha"]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Any rotation, flips, permuted axes and anisotropic spacing."""
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
    quaternion = np.array(draw(st.tuples(*[st.floats(-1, 1, width=32)] * 4)))
    if np.linalg.norm(quaternion) < 0.1:
        quaternion = np.array([1.0, 0, 0, 0])
    a, b, c, d = quaternion / np.linalg.norm(quaternion)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    flips = np.array(draw(st.tuples(*[st.sampled_from([1.0, -1.0])] * 3)))
    spacing = np.array(draw(st.tuples(*[st.floats(0.3, 6.0)] * 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation[:, draw(st.permutations(range(3)))] * flips * spacing
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-900, 900)] * 3))
    return Grid(shape, matrix)


def itk_matrix(path: Path) -> np.ndarray:
    """IJK-to-RAS as ITK reads it, without our code."""
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return LPS @ matrix


@settings(max_examples=40, deadline=None)
@given(grid=grids(), extension=st.sampled_from(FORMATS), whole=st.booleans())
def test_any_grid_survives_a_round_trip(grid: Grid, extension: str, whole: bool) -> None:
    values = np.random.default_rng(0).normal(scale=500, size=grid.shape).astype(np.float32)
    volume = Volume(np.rint(values) if whole else values, grid)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"scan.{extension}"
        write_volume(volume, path)
        back = read_volume(path)
        seen_by_itk = itk_matrix(path)
    assert np.array_equal(back.array, volume.array)
    assert back.grid.same_as(grid, tolerance=1e-3)
    assert np.abs(seen_by_itk - grid.ijk_to_ras).max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(grid=grids())
def test_nibabel_sees_the_same_affine_in_what_we_write(grid: Grid) -> None:
    volume = Volume(np.arange(np.prod(grid.shape), dtype=np.float32).reshape(grid.shape), grid)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii"
        write_volume(volume, path)
        image = nibabel.load(path)
        assert np.abs(image.affine - grid.ijk_to_ras).max() < 1e-4
        assert np.abs(image.get_qform() - grid.ijk_to_ras).max() < 5e-3
        assert image.get_qform(coded=True)[1] == 1
        assert np.array_equal(image.get_fdata().transpose(2, 1, 0), volume.array)


@settings(max_examples=25, deadline=None)
@given(grid=grids(), codes=st.sampled_from([(1, 0), (0, 1), (1, 1), (2, 1)]), kind=st.sampled_from([1, 2]))
def test_what_nibabel_writes_is_read_where_nibabel_puts_it(grid: Grid, codes: tuple[int, int], kind: int) -> None:
    values = np.random.default_rng(1).integers(-1000, 1000, grid.shape[::-1]).astype(np.int16)
    image = (nibabel.Nifti1Image if kind == 1 else nibabel.Nifti2Image)(values, grid.ijk_to_ras)
    image.set_sform(grid.ijk_to_ras, code=codes[0])
    image.set_qform(grid.ijk_to_ras, code=codes[1])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii.gz"
        nibabel.save(image, path)
        back = read_volume(path)
    assert back.grid.same_as(grid, tolerance=5e-3)
    assert np.array_equal(back.array, values.transpose(2, 1, 0))


def test_pynrrd_sees_the_same_header_in_what_we_write(tmp_path: Path, oblique_grid: Grid) -> None:
    values = np.random.default_rng(0).normal(size=oblique_grid.shape).astype(np.float32)
    write_volume(Volume(values, oblique_grid), tmp_path / "scan.nrrd")
    data, header = nrrd.read(str(tmp_path / "scan.nrrd"))
    assert header["space"] == "left-posterior-superior"
    assert np.array_equal(header["space directions"] @ LPS[:3, :3], oblique_grid.ijk_to_ras[:3, :3].T)
    assert np.array_equal(header["space origin"] @ LPS[:3, :3], oblique_grid.ijk_to_ras[:3, 3])
    assert np.array_equal(data.transpose(2, 1, 0), values)


def test_an_nrrd_in_ras_is_read_where_it_says(tmp_path: Path, oblique_grid: Grid) -> None:
    values = np.zeros(oblique_grid.shape[::-1], dtype=np.uint8)
    header = {
        "space": "right-anterior-superior",
        "space directions": oblique_grid.ijk_to_ras[:3, :3].T,
        "space origin": oblique_grid.ijk_to_ras[:3, 3],
        "kinds": ["domain"] * 3,
    }
    nrrd.write(str(tmp_path / "ras.nrrd"), values, header)
    assert read_volume(tmp_path / "ras.nrrd").grid.same_as(oblique_grid)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("extension", FORMATS)
def test_every_voxel_type_is_read_as_itk_reads_it(tmp_path: Path, dtype: type, extension: str) -> None:
    values = np.arange(-10, 50).reshape(3, 4, 5) if np.issubdtype(dtype, np.signedinteger) else np.arange(60)
    array = values.reshape(3, 4, 5).astype(dtype)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"x.{extension}"))
    assert np.array_equal(read_volume(tmp_path / f"x.{extension}").array, array.astype(np.float32))


def test_scaled_nifti_values_are_what_nibabel_gives(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(2.5, -1024.0)
    nibabel.save(image, tmp_path / "x.nii")
    raw = bytearray((tmp_path / "x.nii").read_bytes())
    raw[112:120] = np.array([2.5, -1024.0], dtype="<f4").tobytes()
    (tmp_path / "x.nii").write_bytes(raw)
    expected = nibabel.load(tmp_path / "x.nii").get_fdata().transpose(2, 1, 0)
    assert np.array_equal(read_volume(tmp_path / "x.nii").array, expected.astype(np.float32))
    assert expected.min() < -100


def test_a_big_endian_nifti_is_read(tmp_path: Path, oblique_grid: Grid) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    values = np.arange(np.prod(oblique_grid.shape), dtype=np.int16).reshape(oblique_grid.shape[::-1])
    nibabel.save(nibabel.Nifti1Image(values, oblique_grid.ijk_to_ras, header), tmp_path / "x.nii")
    back = read_volume(tmp_path / "x.nii")
    assert (tmp_path / "x.nii").read_bytes()[:4] == b"\0\0\1\x5c"
    assert np.array_equal(back.array, values.transpose(2, 1, 0))
    assert back.grid.same_as(oblique_grid, 5e-3)


@pytest.mark.parametrize("codes", [(s, q) for s in range(5) for q in range(3)])
def test_two_contradicting_nifti_matrices_are_resolved_as_itk_does(tmp_path: Path, codes: tuple[int, int]) -> None:
    sform, qform = np.diag([1.0, 2.0, 3.0, 1.0]), np.diag([-1.0, 2.0, 3.0, 1.0])
    sform[:3, 3], qform[:3, 3] = [10, 20, 30], [-5, 0, 5]
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), dtype=np.int16), None)
    image.header.set_zooms((1, 2, 3))
    image.set_qform(qform, code=codes[1])
    image.set_sform(sform, code=codes[0])
    nibabel.save(image, tmp_path / "x.nii")
    with collected_notes() as notes:
        back = read_volume(tmp_path / "x.nii")
    assert np.abs(back.grid.ijk_to_ras - itk_matrix(tmp_path / "x.nii")).max() < 1e-4
    assert bool(notes) == ((codes[0] > 0 and codes[1] > 0) or codes == (0, 0))


def test_a_sheared_nifti_is_refused_even_with_a_good_qform(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), dtype=np.int16), None)
    sheared = np.eye(4)
    sheared[0, 2] = 0.3
    image.set_qform(np.eye(4), code=1)
    image.set_sform(sheared, code=2)
    nibabel.save(image, tmp_path / "x.nii")
    with pytest.raises(GridError, match=r"x\.nii"):
        read_volume(tmp_path / "x.nii")


def test_a_sheared_nrrd_is_refused(tmp_path: Path) -> None:
    header = {"space": "left-posterior-superior", "space directions": [[1, 0, 0], [0, 1, 0], [0, 0.3, 1]],
              "space origin": [0, 0, 0], "kinds": ["domain"] * 3}  # fmt: skip
    nrrd.write(str(tmp_path / "x.nrrd"), np.zeros((3, 4, 5), dtype=np.int16), header)
    with pytest.raises(GridError, match=r"x\.nrrd"):
        read_volume(tmp_path / "x.nrrd")


@pytest.mark.parametrize("extension", FORMATS)
def test_a_volume_of_one_slice_stays_one(tmp_path: Path, extension: str) -> None:
    volume = Volume(np.ones((1, 4, 5), dtype=np.float32), Grid.from_spacing((1, 4, 5), (1, 2, 7)))
    write_volume(volume, tmp_path / f"x.{extension}")
    back = read_volume(tmp_path / f"x.{extension}")
    assert back.array.shape == (1, 4, 5)
    assert back.grid.same_as(volume.grid)
    assert back.grid.spacing[2] == pytest.approx(7)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("extension", FORMATS)
def test_a_truncated_file_is_refused(tmp_path: Path, extension: str, kept: float) -> None:
    noise = np.random.default_rng(0).normal(size=(5, 20, 20)).astype(np.float32)
    path = tmp_path / f"x.{extension}"
    write_volume(Volume(noise, Grid.from_spacing(noise.shape, (1, 1, 1))), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UnreadableFileError, match=f"x.{extension}"):
        read_volume(path)


def test_a_damaged_gzip_is_refused_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    write_volume(Volume(np.zeros((5, 20, 20), dtype=np.float32), Grid.from_spacing((5, 20, 20), (1, 1, 1))), path)
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_volume(path)


@pytest.mark.parametrize("name", ["x.nii.gz", "x.nii", "x.nrrd", "x.mha", "x.mhd", "x.txt", "x"])
# by name: gzip writes the time into what it makes, and two processes that collect tests would see different ones
@pytest.mark.parametrize(
    "content",
    [b"", b"this is a text\n" * 50, gzip.compress(b"text in a gzip" * 40)],
    ids=["empty", "text", "gzip"],
)
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFileError):
        read_volume(tmp_path / name)


def test_a_missing_file_and_a_picture_are_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere"):
        read_volume(tmp_path / "nowhere.nii.gz")
    (tmp_path / "shot.png").write_bytes(b"\x89PNG")
    with pytest.raises(NotAnImageError, match="picture"):
        read_volume(tmp_path / "shot.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFileError, match="no DICOM image"):
        read_volume(tmp_path / "empty")


@pytest.mark.parametrize("extension", ["nii", "nrrd", "mha"])
def test_colours_four_and_two_dimensions_are_refused(tmp_path: Path, extension: str) -> None:
    color = sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3)
    series = sitk.Image([4, 5, 6, 2], sitk.sitkInt16)
    flat = sitk.Image([4, 5], sitk.sitkInt16)
    for image in (color, series, flat):
        sitk.WriteImage(image, str(tmp_path / f"x.{extension}"))
        with pytest.raises(NotAnImageError):
            read_volume(tmp_path / f"x.{extension}")


def test_a_fourth_dimension_of_one_is_no_reason_to_refuse(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5, 1)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
    assert np.array_equal(read_volume(tmp_path / "x.nii").array, values[..., 0].transpose(2, 1, 0))


def test_nan_and_infinity_become_the_minimum_and_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5) - 20
    values[0, 0, 0], values[1, 1, 1] = np.nan, np.inf
    write_volume(Volume(values, Grid.from_spacing(values.shape, (1, 1, 1))), tmp_path / "x.nrrd")
    with caplog.at_level(logging.WARNING, "samprompt.io"), collected_notes() as notes:
        back = read_volume(tmp_path / "x.nrrd")
    assert back.array[0, 0, 0] == back.array[1, 1, 1] == -19
    assert np.isfinite(back.array).all()
    assert len(notes) == 1
    assert "2 voxels" in notes[0]
    assert "2 voxels" in caplog.text


def test_nan_everywhere_is_refused(tmp_path: Path) -> None:
    volume = Volume(np.full((3, 4, 5), np.nan, dtype=np.float32), Grid.from_spacing((3, 4, 5), (1, 1, 1)))
    write_volume(volume, tmp_path / "x.nii.gz")
    with pytest.raises(IntensityError):
        read_volume(tmp_path / "x.nii.gz")


def test_the_modality_is_kept_by_nrrd_and_guessed_elsewhere(tmp_path: Path) -> None:
    grid = Grid.from_spacing((2, 3, 4), (1, 1, 1))
    bright, dark = np.full(grid.shape, 300, dtype=np.float32), np.full(grid.shape, -1000, dtype=np.float32)
    write_volume(Volume(bright, grid, "MR"), tmp_path / "mr.nrrd")
    write_volume(Volume(bright, grid, "MR"), tmp_path / "mr.nii")
    write_volume(Volume(dark, grid, "CT"), tmp_path / "ct.nii")
    modalities = [read_volume(tmp_path / name).modality for name in ("mr.nrrd", "mr.nii", "ct.nii")]
    assert modalities == ["MR", "OT", "CT"]


def test_an_unknown_format_is_not_written(tmp_path: Path) -> None:
    volume = Volume(np.zeros((2, 3, 4), dtype=np.float32), Grid.from_spacing((2, 3, 4), (1, 1, 1)))
    for name in ("x.png", "x.mhd", "x.nhdr", "x"):
        with pytest.raises(OutputError):
            write_volume(volume, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_real_ct_is_read_as_itk_and_nibabel_read_it(shared_data: Path) -> None:
    path = shared_data / "ct_lung_tumour" / "ct.nii.gz"
    volume = read_volume(path)
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(np.float32))
    assert np.abs(volume.grid.ijk_to_ras - itk_matrix(path)).max() < 1e-3
    assert np.abs(volume.grid.ijk_to_ras - nibabel.load(path).affine).max() < 1e-3
    assert volume.modality == "CT"
