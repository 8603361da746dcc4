"""RTSTRUCT contours become masks: holes, skipped slices, oblique images, and a second implementation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from samprompt.contract.errors import GridError, StructureError, UnreadableFileError
from samprompt.io.images import read_volume
from samprompt.io.notes import collected_notes
from samprompt.io.polygons import fill_even_odd
from samprompt.io.rtstruct import find_rtstructs, read_rtstruct
from samprompt.io.structures import read_structures
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume
from scipy import ndimage

WriteRtstruct = Callable[..., Path]


def ring(center: tuple[float, float], radius: float, k: float, grid: Grid, points: int = 400) -> np.ndarray:
    """A circle in slice k round (j, i) with a radius in mm, as RAS mm."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    j = center[0] + radius / grid.spacing[1] * np.sin(angle)
    i = center[1] + radius / grid.spacing[0] * np.cos(angle)
    return grid.to_ras(np.stack([np.full(points, float(k)), j, i], axis=-1))


def box(k: float, low: tuple[float, float], high: tuple[float, float], grid: Grid) -> np.ndarray:
    """A rectangle in slice k from (j, i) to (j, i), as RAS mm."""
    corners = [(low[0], low[1]), (low[0], high[1]), (high[0], high[1]), (high[0], low[1])]
    return grid.to_ras(np.array([[k, j, i] for j, i in corners], dtype=float))


@pytest.fixture
def wide() -> Grid:
    """An oblique grid of 5 slices of 60 x 70 pixels."""
    a = 0.4
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-0.9, -1.1, 3.0])
    matrix[:3, 3] = [30, 25, -400]
    return Grid((5, 60, 70), matrix)


def test_a_circle_with_a_hole_holds_the_voxels_between_the_radii(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    contours = [ring((30.2, 34.7), radius, k, wide) for k in (1, 2, 3) for radius in (20.0, 9.0)]
    (found,) = read_rtstruct(write_rtstruct(tmp_path / "rs.dcm", {"GTV": contours}), wide)
    j, i = np.indices((60, 70))
    distance = np.hypot((j - 30.2) * 1.1, (i - 34.7) * 0.9)
    expected = (distance < 20) & (distance > 9)
    close = (np.abs(distance - 20) < 0.02) | (np.abs(distance - 9) < 0.02)  # the polygon's chords
    assert (found.mask[2] == expected)[~close].all()
    assert not found.mask[[0, 4]].any()
    assert found.volume_ml == pytest.approx(np.pi * (20**2 - 9**2) * 9 / 1000, rel=0.01)
    assert found.color == (1.0, 128 / 255, 0.0)
    assert found.tags["RTROIInterpretedType"] == "GTV"


def test_a_keyhole_contour_is_the_same_hole(tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid) -> None:
    outer, inner = ring((30, 34), 20.0, 2, wide), ring((30, 34), 9.0, 2, wide)
    keyhole = np.concatenate([outer, outer[:1], inner[::-1][-1:], inner[::-1], outer[:1]])
    path = write_rtstruct(tmp_path / "rs.dcm", {"two": [outer, inner], "keyhole": [keyhole]})
    two, one = read_rtstruct(path, wide)
    assert two.mask.sum() > 500
    assert np.array_equal(two.mask, one.mask)


def test_an_island_in_a_hole_and_a_second_contour_on_the_slice_are_kept(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    contours = [
        box(2, (9.5, 9.5), (39.5, 39.5), wide), box(2, (14.5, 14.5), (34.5, 34.5), wide),
        box(2, (19.5, 19.5), (29.5, 29.5), wide), box(2, (49.5, 49.5), (54.5, 59.5), wide),
    ]  # fmt: skip
    (found,) = read_rtstruct(write_rtstruct(tmp_path / "rs.dcm", {"x": contours}), wide)
    expected = np.zeros((60, 70), dtype=bool)
    expected[10:40, 10:40] = True
    expected[15:35, 15:35] = False
    expected[20:30, 20:30] = True
    expected[50:55, 50:60] = True
    assert np.array_equal(found.mask[2], expected)


def test_areas_that_share_a_border_through_voxel_centres_share_no_voxel(wide: Grid) -> None:
    # Borders run exactly through centres: the rule gives each centre to one side.
    left, right = np.array([[5, 5], [5, 20], [30, 20], [30, 5]]), np.array([[5, 20], [5, 40], [30, 40], [30, 20]])
    whole = np.array([[5, 5], [5, 40], [30, 40], [30, 5]])
    a, b, c = (fill_even_odd([p.astype(float)], (60, 70)) for p in (left, right, whole))
    assert not (a & b).any()
    assert np.array_equal(a | b, c)
    expected = np.zeros((60, 70), dtype=bool)
    expected[5:30, 5:40] = True
    assert np.array_equal(c, expected)
    # Noise of a coordinate transform does not change it.
    noise = np.random.default_rng(0).normal(scale=1e-7, size=whole.shape)
    assert np.array_equal(fill_even_odd([whole + noise], (60, 70)), expected)


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 30)), min_size=3, max_size=12),
)
def test_the_rasteriser_agrees_with_a_point_in_polygon_test(points: list[tuple[float, float]]) -> None:
    polygon = np.round(np.array(points), 4)
    mask = fill_even_odd([polygon], (20, 24)).ravel()
    center = np.indices((20, 24)).reshape(2, -1).T[:, None].astype(float)  # (pixel, 1, 2) against (edge, 2)
    start, end = polygon, np.roll(polygon, -1, axis=0)
    edge, to = end - start, center - start
    # Even-odd by ray casting; only away from edges, where no rule of borders matters.
    share = np.clip((to * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-12), 0, 1)
    clear = np.linalg.norm(to - share[..., None] * edge, axis=-1).min(axis=1) > 1e-3
    with np.errstate(divide="ignore", invalid="ignore"):
        at = start[:, 1] + (center[..., 0] - start[:, 0]) / edge[:, 0] * edge[:, 1]
    crossed = ((start[:, 0] > center[..., 0]) != (end[:, 0] > center[..., 0])) & (center[..., 1] < at)
    assert np.array_equal(mask[clear], (crossed.sum(axis=1) % 2 == 1)[clear])


def test_the_rasteriser_agrees_with_matplotlib_on_a_simple_outline() -> None:
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    radius = 20 + 6 * np.sin(5 * angle)
    polygon = np.stack([30.3 + radius * np.sin(angle), 35.1 + radius * np.cos(angle)], axis=-1)
    centers = np.indices((60, 70)).reshape(2, -1).T
    assert np.array_equal(fill_even_odd([polygon], (60, 70)).ravel(), Outline(polygon).contains_points(centers))


def test_skipped_slices_stay_empty_and_are_noted_or_are_interpolated(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", {"x": [ring((30, 34), 20, 0, wide), ring((30, 34), 10, 4, wide)]})
    with collected_notes() as notes:
        (empty,) = read_rtstruct(path, wide)
    assert any("3 slices between contours have none and were left empty" in text for text in notes)
    assert not empty.mask[1:4].any()
    (filled,) = read_rtstruct(path, wide, fill_gaps=True)
    areas = filled.mask.sum(axis=(1, 2)) * 0.9 * 1.1
    assert areas[2] == pytest.approx(np.pi * 15**2, rel=0.03)
    assert (np.diff(areas) < 0).all()


def test_a_contour_between_slices_belongs_to_the_nearest(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    low, high = (9.5, 9.5), (19.5, 19.5)
    near = [box(0.3, low, high, wide), box(1.4, low, high, wide), box(2.6, low, high, wide)]
    path = write_rtstruct(
        tmp_path / "rs.dcm", {"x": near, "outside": [box(2, low, high, wide), box(5.2, low, high, wide)]}
    )
    with collected_notes() as notes:
        found, cut = read_rtstruct(path, wide)
    assert found.mask.any(axis=(1, 2)).tolist() == [True, True, False, True, False]
    assert cut.mask.any(axis=(1, 2)).tolist() == [False, False, True, False, False]
    assert any("1 contours lie above or below" in text for text in notes)


def test_two_planes_on_one_slice_do_not_cancel_each_other(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    # Contours every third of a slice: even-odd over all of them would leave nothing.
    contours = [ring((30, 34), 15 + k, k, wide) for k in np.arange(1, 3.1, 1 / 3)]
    (found,) = read_rtstruct(write_rtstruct(tmp_path / "rs.dcm", {"x": contours}), wide)
    areas = found.mask.sum(axis=(1, 2)) * 0.9 * 1.1
    assert areas[1:4] == pytest.approx([np.pi * (15 + k) ** 2 for k in (1, 2, 3)], rel=0.02)


def test_a_contour_stored_twice_does_not_erase_itself(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    circle = ring((30, 34), 15, 2, wide)
    path = write_rtstruct(tmp_path / "rs.dcm", {"x": [circle, np.roll(circle, 7, axis=0)[::-1]], "once": [circle]})
    with collected_notes() as notes:
        twice, once = read_rtstruct(path, wide)
    assert once.mask.sum() > 500
    assert np.array_equal(twice.mask, once.mask)
    assert any("stored twice" in text for text in notes)


def test_points_open_contours_and_empty_regions_are_noted(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    circle = ring((30, 34), 15, 2, wide)
    path = write_rtstruct(
        tmp_path / "rs.dcm",
        {"x": [circle, ("POINT", circle[:1]), ("OPEN_PLANAR", circle[:9])], "isocentre": [("POINT", circle[:1])],
         "nothing": [], "line": [circle[:2]]},
    )  # fmt: skip
    with collected_notes() as notes:
        found = read_rtstruct(path, wide)
    assert [s.name for s in found] == ["x", "isocentre", "nothing", "line"]
    assert [bool(s.mask.any()) for s in found] == [True, False, False, False]
    text = "\n".join(notes)
    assert "1 x OPEN_PLANAR" in text
    assert "'nothing' has no contours" in text
    assert "fewer than 3 points" in text


def test_names_in_any_script_and_two_of_the_same_name_are_kept(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", {"Läsion 肺/links": [ring((30, 34), 15, 2, wide)], "b": []})
    data = pydicom.dcmread(path)
    data.StructureSetROISequence[1].ROIName = "Läsion 肺/links"
    data.save_as(path)
    assert [s.name for s in read_rtstruct(path, wide)] == ["Läsion 肺/links"] * 2


def test_an_image_stored_with_other_axes_gets_the_same_mask(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", {"x": [ring((30, 34), 15 + k, k, wide) for k in range(5)]})
    (straight,) = read_rtstruct(path, wide)
    matrix = wide.ijk_to_ras[:, [2, 0, 1, 3]]  # i runs across the slices
    (turned,) = read_rtstruct(path, Grid((60, 70, 5), matrix))
    assert straight.mask.sum() > 1000
    assert (np.moveaxis(turned.mask, 2, 0) != straight.mask).sum() <= 10  # ties on borders fall the other way


def test_contours_of_another_patient_or_turned_image_are_refused(
    tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid
) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", {"x": [ring((30, 34), 15, 2, wide)]})
    far = wide.ijk_to_ras.copy()
    far[2, 3] += 500
    with pytest.raises(GridError, match="outside the image"):
        read_rtstruct(path, Grid(wide.shape, far))
    with pytest.raises(GridError, match="planes"):
        read_rtstruct(path, Grid.from_spacing((80, 80, 80), (1, 1, 1), wide.to_ras([2, 30, 34]) - 40))


def test_what_is_no_rtstruct_is_refused(tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid) -> None:
    (tmp_path / "a.dcm").write_bytes(b"text" * 100)
    with pytest.raises(UnreadableFileError):
        read_rtstruct(tmp_path / "a.dcm", wide)
    path = write_rtstruct(tmp_path / "rs.dcm", {"x": [ring((30, 34), 15, 2, wide)]})
    data = pydicom.dcmread(path)
    data.Modality = "RTPLAN"
    data.save_as(tmp_path / "plan.dcm")
    with pytest.raises(UnreadableFileError, match="RTPLAN"):
        read_rtstruct(tmp_path / "plan.dcm", wide)
    (tmp_path / "cut.dcm").write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UnreadableFileError):
        read_rtstruct(tmp_path / "cut.dcm", wide)
    with pytest.raises(StructureError):
        read_rtstruct(write_rtstruct(tmp_path / "none.dcm", {}), wide)


def test_a_folder_holding_one_rtstruct_is_enough(tmp_path: Path, write_rtstruct: WriteRtstruct, wide: Grid) -> None:
    write_rtstruct(tmp_path / "RS1", {"x": [ring((30, 34), 15, 2, wide)]})
    volume = Volume(np.zeros(wide.shape, dtype=np.float32), wide)
    assert [s.name for s in read_structures(tmp_path, volume)] == ["x"]
    write_rtstruct(tmp_path / "RS2", {"x": [ring((30, 34), 15, 2, wide)]})
    with pytest.raises(StructureError, match="2 RTSTRUCT files: RS1, RS2"):
        read_structures(tmp_path, volume)


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize("series", ["CT", "MR_T1"])
def test_a_real_contour_agrees_with_rt_utils(shared_data: Path, series: str) -> None:
    rt_utils = pytest.importorskip("rt_utils")
    folder = shared_data / "dicom_sarcoma" / "STS_008" / series
    (contours,) = find_rtstructs(folder / "mask")
    volume = read_volume(folder / "image")
    (found,) = read_structures(contours, volume)
    slices = rt_utils.image_helper.load_sorted_image_series(str(folder / "image"))
    data = pydicom.dcmread(contours)
    # rt-utils finds slices by their identifiers, which the cropped series does not share: set them by place.
    by_place = {round(float(item.ImagePositionPatient[2]), 1): item.SOPInstanceUID for item in slices}
    for item in data.ROIContourSequence[0].ContourSequence:
        item.ContourImageSequence[0].ReferencedSOPInstanceUID = by_place[round(float(item.ContourData[2]), 1)]
    for item in slices:  # nor does it keep rows and columns apart in images that are not square
        item.Rows = item.Columns = max(volume.grid.shape[1:])
    other = rt_utils.RTStruct(slices, data)
    mask = np.moveaxis(other.get_roi_mask_by_name(found.name), 2, 0)[:, : volume.grid.shape[1], : volume.grid.shape[2]]
    # It rounds contours to whole pixels and draws the border as inside, so it is up to a pixel larger all round.
    assert not (found.mask & ~mask).any()
    cross = ndimage.generate_binary_structure(2, 2)[None]
    assert not (mask & ~ndimage.binary_dilation(found.mask, cross)).any()
    # The polygon's own area is the independent truth of the volume.
    area = 0.0
    for item in data.ROIContourSequence[0].ContourSequence:
        x, y = np.array(item.ContourData, dtype=float).reshape(-1, 3)[:, :2].T
        area += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert found.volume_ml == pytest.approx(area * volume.grid.spacing[2] / 1000, rel=0.01)
