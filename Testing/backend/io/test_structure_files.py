"""Structures in Slicer's segmentations, label maps and folders of masks: nothing lost, nothing moved."""

from __future__ import annotations

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
    MissingFileError,
    NotAnImageError,
    OutputError,
    StructureError,
    UnreadableFileError,
)
from samprompt.io._files import safe_file_name
from samprompt.io.images import read_volume, write_array
from samprompt.io.notes import collected_notes
from samprompt.io.structures import read_structures, write_structures
from samprompt.space.crop import Box
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume

TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^49755003^Morphologically Altered Structure"
    "~SCT^4147007^Mass~^^~Anatomic codes - DICOM master list~SCT^39607008^Lung~SCT^24028007^Right"
)


def on(grid: Grid) -> Volume:
    return Volume(np.zeros(grid.shape, dtype=np.float32), grid)


def block(grid: Grid, start: tuple[int, int, int], stop: tuple[int, int, int], name: str = "x") -> Structure:
    mask = np.zeros(grid.shape, dtype=bool)
    mask[Box.between(start, stop).slices] = True
    return Structure(name, mask, grid)


def test_a_segmentation_written_by_slicer_is_read_in_its_place(oblique_grid: Grid) -> None:
    # Written by vtkMRMLSegmentationStorageNode of Slicer 5.13: three segments in two layers, cropped to their extent,
    # on a grid of 9 x 8 x 6 voxels turned by 0.3 rad.
    c, s = np.cos(0.3), np.sin(0.3)
    matrix = np.array([[-c * 0.9, s * 0.8, 0, 12.5], [-s * 0.9, -c * 0.8, 0, -30.25], [0, 0, 2.5, 101], [0, 0, 0, 1]])
    grid = Grid((6, 8, 9), matrix)
    found = read_structures(Path(__file__).parent / "data" / "written_by_slicer.seg.nrrd", on(grid))
    assert [s.name for s in found] == ["GTV Läsion 肺", "Lymph node/left", "PTV"]
    expected = [block(grid, (1, 2, 3), (4, 6, 7)), block(grid, (4, 1, 1), (5, 3, 4)), block(grid, (0, 1, 2), (5, 7, 8))]
    for structure, truth in zip(found, expected, strict=True):
        assert np.array_equal(structure.mask, truth.mask)
    assert found[0].terminology == TERMINOLOGY
    assert found[0].tags == {"Segmentation.Status": "inprogress"}
    assert np.allclose([s.color for s in found], [(0.8, 0.25, 0.1), (0.1, 0.9, 0.3), (0, 0, 1)])
    # On a grid cropped elsewhere the voxels stay where they are in space.
    (cropped, *_) = read_structures(
        Path(__file__).parent / "data" / "written_by_slicer.seg.nrrd", on(grid.crop((2, 3, -4), (5, 5, 12)))
    )
    assert np.array_equal(np.argwhere(cropped.mask), np.add(np.argwhere(expected[0].mask[2:, 3:]), (0, 0, 4)))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_overlapping_segments_survive_a_round_trip(data: st.DataObject) -> None:
    angle = data.draw(st.floats(-3, 3))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn[:, data.draw(st.permutations(range(3)))] * data.draw(st.tuples(*[st.floats(0.4, 5)] * 3))
    matrix[:3, 3] = data.draw(st.tuples(*[st.floats(-500, 500)] * 3))
    grid = Grid(data.draw(st.tuples(*[st.integers(1, 5)] * 3)), matrix)
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    structures = tuple(
        Structure(
            data.draw(
                st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), min_size=1, max_size=9)
            ),
            random.random(grid.shape) < data.draw(st.sampled_from([0.0, 0.2, 0.7])),
            grid,
            tuple(round(x, 4) for x in random.random(3)),
            data.draw(st.sampled_from(["", TERMINOLOGY])),
            data.draw(st.sampled_from([{}, {"Segmentation.Status": "completed", "k": "a:b"}])),
        )
        for _ in range(data.draw(st.integers(1, 5)))
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "result.seg.nrrd"
        write_structures(path, structures, grid, "ct.nii.gz")
        back = read_structures(path, on(grid))
    for one, other in zip(structures, back, strict=True):
        assert np.array_equal(one.mask, other.mask)
        assert (one.name, one.terminology, one.tags) == (other.name, other.terminology, other.tags)
        assert np.allclose(one.color, other.color, atol=1e-6)


def test_the_header_is_what_slicer_asks_for(tmp_path: Path, oblique_grid: Grid) -> None:
    one, two = block(oblique_grid, (0, 0, 0), (3, 3, 3), "Läsion"), block(oblique_grid, (2, 2, 2), (5, 5, 5), "b")
    apart = block(oblique_grid, (5, 6, 6), (6, 7, 7), "c")
    write_structures(tmp_path / "x.seg.nrrd", (one, two, apart), oblique_grid, "ct.nrrd")
    data, header = nrrd.read(str(tmp_path / "x.seg.nrrd"))
    assert list(header["sizes"]) == [2, 9, 8, 6]
    assert header["kinds"] == ["list", "domain", "domain", "domain"]
    lps = np.diag([-1.0, -1.0, 1.0])
    assert np.allclose(header["space directions"][1:] @ lps, oblique_grid.ijk_to_ras[:3, :3].T, atol=0)
    layers = [int(header[f"Segment{n}_Layer"]) for n in range(3)]
    labels = [int(header[f"Segment{n}_LabelValue"]) for n in range(3)]
    assert layers == [0, 1, 0]
    for structure, layer, label in zip((one, two, apart), layers, labels, strict=True):
        assert np.array_equal(data[layer].transpose(2, 1, 0) == label, structure.mask)
    assert len({header[f"Segment{n}_ID"] for n in range(3)}) == 3
    # Slicer cuts a layer to the extent of its first segment.
    assert all(header[f"Segment{n}_Extent"] == "0 8 0 7 0 5" for n in range(3))
    assert header["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert header["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    assert header["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    geometry = header["Segmentation_ConversionParameters"].split("|")[1].split(";")
    assert np.array_equal(np.array(geometry[:16], float).reshape(4, 4), oblique_grid.ijk_to_ras)
    assert b"Name:=L\xc3\xa4sion" in (tmp_path / "x.seg.nrrd").read_bytes()


def test_segments_of_the_same_name_and_empty_ones_are_kept(tmp_path: Path, oblique_grid: Grid) -> None:
    small = block(oblique_grid, (2, 2, 2), (3, 3, 5), "GTV")  # a lesion of three voxels
    empty = Structure("GTV", np.zeros(oblique_grid.shape, dtype=bool), oblique_grid)
    write_structures(tmp_path / "x.seg.nrrd", (small, empty), oblique_grid)
    back = read_structures(tmp_path / "x.seg.nrrd", on(oblique_grid))
    assert [(s.name, int(s.mask.sum())) for s in back] == [("GTV", 3), ("GTV", 0)]


def test_a_line_break_in_a_name_does_not_break_the_header(tmp_path: Path, oblique_grid: Grid) -> None:
    write_structures(tmp_path / "x.seg.nrrd", (block(oblique_grid, (0, 0, 0), (1, 1, 1), "a\n\nb"),), oblique_grid)
    (back,) = read_structures(tmp_path / "x.seg.nrrd", on(oblique_grid))
    assert back.name.split() == ["a", "b"]
    assert back.mask.sum() == 1


def test_a_label_map_of_300_labels_keeps_them_apart(tmp_path: Path) -> None:
    grid = Grid.from_spacing((10, 10, 10), (1, 2, 3))
    labels = np.zeros(grid.shape, dtype=np.int16)
    labels.ravel()[:300] = np.arange(1, 301)
    write_array(tmp_path / "organs.nii.gz", labels, grid, {})
    found = read_structures(tmp_path / "organs.nii.gz", on(grid))
    assert len(found) == 300
    assert [s.name for s in found[:2]] == ["organs_1", "organs_2"]
    assert all(int(s.mask.sum()) == 1 and s.mask.ravel()[n] for n, s in enumerate(found))
    write_structures(tmp_path / "organs.seg.nrrd", found, grid)
    back = read_structures(tmp_path / "organs.seg.nrrd", on(grid))
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(found, back, strict=True))
    assert nrrd.read_header(str(tmp_path / "organs.seg.nrrd"))["type"] == "uint16"


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_label_map_of_any_type_is_read_and_named_after_its_file(tmp_path: Path, dtype: type) -> None:
    labels = np.zeros((4, 5, 6), dtype=dtype)
    labels[1:3, 2:4, 3] = 1
    nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), np.diag([2, 2, 3, 1])), tmp_path / "gtv.nii.gz")
    (found,) = read_structures(tmp_path / "gtv.nii.gz", on(Grid.from_spacing((4, 5, 6), (2, 2, 3))))
    assert found.name == "gtv"
    assert np.array_equal(found.mask, labels == 1)


@pytest.mark.parametrize("extension", ["nii.gz", "nrrd", "mha"])
def test_a_label_map_we_write_keeps_names_and_colours_in_a_slicer_colour_table(
    tmp_path: Path, oblique_grid: Grid, extension: str
) -> None:
    one, two = block(oblique_grid, (0, 0, 0), (2, 3, 3), "Lunge links"), block(oblique_grid, (3, 3, 3), (5, 5, 5), "肺")
    none = Structure("gone", np.zeros(oblique_grid.shape, dtype=bool), oblique_grid, (0.0, 1.0, 0.2))
    write_structures(tmp_path / f"v.{extension}", (one, two, none), oblique_grid)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"v.{extension}"))).max() == 2
    back = read_structures(tmp_path / f"v.{extension}", on(oblique_grid))
    assert [s.name for s in back] == ["Lunge_links", "肺", "gone"]
    for before, after in zip((one, two, none), back, strict=True):
        assert np.array_equal(before.mask, after.mask)
        assert np.allclose(before.color, after.color, atol=1 / 255)


def test_overlap_in_a_label_map_is_refused(tmp_path: Path, oblique_grid: Grid) -> None:
    one, two = block(oblique_grid, (0, 0, 0), (3, 3, 3), "a"), block(oblique_grid, (2, 2, 2), (5, 5, 5), "b")
    with pytest.raises(StructureError, match="'b' and 'a' overlap"):
        write_structures(tmp_path / "x.nii.gz", (one, two), oblique_grid)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_masks_has_one_file_per_structure_with_a_safe_name(tmp_path: Path, oblique_grid: Grid) -> None:
    names = ["GTV/links", "gtv_links", "肺", "..", "CON", "a" * 300]
    structures = [block(oblique_grid, (n, 0, 0), (n + 1, 4, 4), name) for n, name in enumerate(names)]
    write_structures(tmp_path / "masks", structures, oblique_grid)
    files = sorted(p.name for p in (tmp_path / "masks").iterdir())
    assert len(files) == 6
    assert all(len(name.encode()) < 200 for name in files)
    assert {"GTV_links.nii.gz", "gtv_links_2.nii.gz", "肺.nii.gz", "structure.nii.gz", "CON_.nii.gz"} < set(files)
    back = {s.name: s for s in read_structures(tmp_path / "masks", on(oblique_grid))}
    assert np.array_equal(back["肺"].mask, structures[2].mask)
    assert [p.name for p in tmp_path.iterdir()] == ["masks"]
    with pytest.raises(OutputError):
        write_structures(tmp_path / "masks", structures, oblique_grid)
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == files


def test_safe_names_never_leave_the_folder() -> None:
    for name in ("../../etc/passwd", "a\\b", "C:\\x", "", " . ", "nul", "a\0b", "x\ny"):
        safe = safe_file_name(name)
        assert safe
        assert not set(safe) & set('/\\:\0\n<>|?*"')
        assert safe not in (".", "..")


def test_a_segmentation_on_a_finer_grid_is_resampled_by_coverage(tmp_path: Path) -> None:
    coarse = Grid.from_spacing((6, 10, 10), (2, 2, 4))
    fine = Grid.from_spacing((24, 40, 40), (0.5, 0.5, 1), (-0.75, -0.75, -1.5))  # four fine voxels per coarse one
    truth = block(coarse, (1, 2, 3), (4, 7, 9))
    mask = truth.mask.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    write_structures(tmp_path / "x.seg.nrrd", (Structure("x", mask, fine),), fine)
    (found,) = read_structures(tmp_path / "x.seg.nrrd", on(coarse))
    assert np.array_equal(found.mask, truth.mask)


def test_structures_elsewhere_in_space_are_refused_and_cut_ones_are_said(tmp_path: Path, oblique_grid: Grid) -> None:
    structure = block(oblique_grid, (0, 0, 0), (6, 4, 4), "GTV")
    write_structures(tmp_path / "x.seg.nrrd", (structure,), oblique_grid)
    with pytest.raises(GridError, match=r"x\.seg\.nrrd.*share no space"):
        read_structures(tmp_path / "x.seg.nrrd", on(oblique_grid.crop((50, 0, 0), oblique_grid.shape)))
    with collected_notes() as notes:
        (cut,) = read_structures(tmp_path / "x.seg.nrrd", on(oblique_grid.crop((3, 0, 0), (3, 8, 9))))
    assert cut.mask.sum() * 2 == structure.mask.sum()
    assert any("50 % of 'GTV' lies outside" in text for text in notes)


def test_an_image_given_as_structures_is_refused(tmp_path: Path) -> None:
    grid = Grid.from_spacing((20, 20, 20), (1, 1, 1))
    random = np.random.default_rng(0)
    write_array(tmp_path / "p.nii.gz", random.random(grid.shape).astype(np.float32), grid, {})
    with pytest.raises(NotAnImageError, match="not whole numbers"):
        read_structures(tmp_path / "p.nii.gz", on(grid))
    write_array(tmp_path / "ct.nii.gz", np.arange(8000, dtype=np.int16).reshape(grid.shape), grid, {})
    with pytest.raises(NotAnImageError, match="an image, not a label map"):
        read_structures(tmp_path / "ct.nii.gz", on(grid))


def test_a_segmentation_given_as_image_is_refused(tmp_path: Path, oblique_grid: Grid) -> None:
    overlapping = (block(oblique_grid, (0, 0, 0), (3, 3, 3)), block(oblique_grid, (2, 2, 2), (4, 4, 4)))
    write_structures(tmp_path / "x.seg.nrrd", overlapping, oblique_grid)
    write_structures(tmp_path / "one.seg.nrrd", overlapping[:1], oblique_grid)
    for name in ("x.seg.nrrd", "one.seg.nrrd"):
        with pytest.raises(NotAnImageError, match="segmentation"):
            read_volume(tmp_path / name)


def test_what_holds_no_structures_is_refused(tmp_path: Path, oblique_grid: Grid) -> None:
    volume = on(oblique_grid)
    with pytest.raises(MissingFileError):
        read_structures(tmp_path / "nowhere", volume)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFileError, match="neither masks nor an RTSTRUCT"):
        read_structures(tmp_path / "empty", volume)
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(UnreadableFileError):
        read_structures(tmp_path / "x.txt", volume)
    write_structures(tmp_path / "x.seg.nrrd", (block(oblique_grid, (0, 0, 0), (6, 8, 9)),), oblique_grid)
    whole = (tmp_path / "x.seg.nrrd").read_bytes()
    for length in (20, 300, len(whole) - 10):
        (tmp_path / "cut.seg.nrrd").write_bytes(whole[:length])
        with pytest.raises(UnreadableFileError):
            read_structures(tmp_path / "cut.seg.nrrd", volume)


def test_an_empty_segmentation_and_an_empty_mask_are_told_apart(tmp_path: Path, oblique_grid: Grid) -> None:
    write_structures(tmp_path / "x.seg.nrrd", (), oblique_grid)
    with pytest.raises(StructureError, match="no structure"):
        read_structures(tmp_path / "x.seg.nrrd", on(oblique_grid))
    write_array(tmp_path / "gtv.nii.gz", np.zeros(oblique_grid.shape, dtype=np.uint8), oblique_grid, {})
    with collected_notes() as notes:
        (found,) = read_structures(tmp_path / "gtv.nii.gz", on(oblique_grid))
    assert found.is_empty
    assert any("empty" in text for text in notes)


def test_a_structure_on_another_grid_is_not_written(tmp_path: Path, oblique_grid: Grid) -> None:
    other = Grid.from_spacing(oblique_grid.shape, (1, 1, 1))
    with pytest.raises(GridError):
        write_structures(tmp_path / "x.seg.nrrd", (block(oblique_grid, (0, 0, 0), (2, 2, 2)),), other)
    assert list(tmp_path.iterdir()) == []


def test_every_real_organ_survives_a_round_trip(shared_data: Path, tmp_path: Path) -> None:
    volume = read_volume(shared_data / "ct_organs" / "ct_small.nii.gz")
    organs = read_structures(shared_data / "ct_organs" / "organs_small.nii.gz", volume)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data / "ct_organs" / "organs_small.nii.gz")))
    assert len(organs) == len(np.unique(labels)) - 1
    write_structures(tmp_path / "organs.seg.nrrd", organs, volume.grid)
    back = read_structures(tmp_path / "organs.seg.nrrd", volume)
    for before, after in zip(organs, back, strict=True):
        assert np.array_equal(before.mask, after.mask)
