"""Pictures of the report: orientation, scale, outlines, PNG."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from matplotlib import image as matplotlib_image
from samprompt.io.figures import View, field_of_view, grey_png, picture
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume
from samprompt.space.windows import Window

WINDOW = Window(0.0, 100.0)


def pixels(png: str) -> np.ndarray:
    decoded = matplotlib_image.imread(io.BytesIO(base64.b64decode(png)), format="png")
    return decoded if decoded.ndim == 2 else decoded[..., 0]


def grid_with_axes(columns: list[tuple[float, float, float]], spacing: tuple[float, float, float]) -> Grid:
    """A grid whose i, j, k run along ``columns`` (RAS)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(columns, dtype=float).T * np.array(spacing)
    matrix[:3, 3] = (5.0, -7.0, 11.0)
    return Grid((8, 30, 40), matrix)


R, A, S = (1, 0, 0), (0, 1, 0), (0, 0, 1)
L, P, I = (-1, 0, 0), (0, -1, 0), (0, 0, -1)  # noqa: E741


@pytest.mark.parametrize("axes", [(L, P, S), (R, A, S), (R, P, I), (P, L, S), (A, R, I), (A, L, S)])
def test_an_axial_slice_is_shown_with_the_patients_left_on_the_right_and_anterior_up(axes):
    grid = grid_with_axes(list(axes), (2.0, 1.5, 3.0))
    ras = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    middle = grid.to_ras((np.array(grid.shape) - 1) / 2)
    # bright towards the patient's left, and brighter towards anterior
    array = (50 - 0.6 * (ras[..., 0] - middle[0]) + 0.3 * (ras[..., 1] - middle[1])).astype(np.float32)
    view = View.of(Volume(array, grid), 2)
    shown = pixels(picture(view, 4, [], ((view.grid.shape[1] - 1) / 2, (view.grid.shape[2] - 1) / 2), 30.0, WINDOW).png)
    assert view.letters == ("R", "L", "A", "P")
    assert shown[:, -5:].mean() > shown[:, :5].mean() + 0.05
    assert shown[:5].mean() > shown[-5:].mean() + 0.05


def test_a_sagittal_scan_is_shown_with_anterior_on_the_left_and_the_head_up():
    grid = grid_with_axes([A, S, R], (1.0, 1.0, 4.0))
    view = View.of(Volume(np.zeros(grid.shape, np.float32), grid), 0)
    assert view.letters == ("A", "P", "S", "I")
    shown = picture(view, 2, [], (10.0, 10.0), 30.0, WINDOW)
    assert shown.plane == "sagittal"
    assert shown.caption.startswith("k 2, R ")


def test_the_index_in_the_caption_is_the_one_in_the_file_and_the_millimetres_are_slicers():
    grid = grid_with_axes([R, A, I], (1.0, 1.0, 3.0))  # k runs downwards
    view = View.of(Volume(np.zeros(grid.shape, np.float32), grid), 2)
    for k in range(grid.shape[0]):
        z = 11.0 - 3.0 * k
        letter = "S" if z >= 0 else "I"
        assert view.label(view.index(k), (3.0, 3.0)) == f"k {k}, {letter} {abs(z):.1f} mm"


def test_an_oblique_slice_keeps_its_sides():
    turn = np.deg2rad(25.0)
    axes = [(-np.cos(turn), -np.sin(turn), 0.0), (np.sin(turn), -np.cos(turn), 0.0), (0.0, 0.0, 1.0)]
    grid = grid_with_axes(axes, (1.0, 1.0, 2.0))
    assert View.of(Volume(np.zeros(grid.shape, np.float32), grid), 2).letters == ("R", "L", "A", "P")


def outline_points(path: str) -> np.ndarray:
    return np.array([[float(x), float(y)] for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)])


def test_an_outline_has_the_structures_size_in_mm_whatever_the_voxels_are():
    grid = grid_with_axes([L, P, S], (0.5, 2.0, 3.0))  # i, j, k
    mask = np.zeros(grid.shape, bool)
    mask[3, 10:20, 8:28] = True  # 20 mm down, 10 mm across
    view = View.of(Volume(np.zeros(grid.shape, np.float32), grid), 2)
    shown = picture(view, 3, [("result", view.turned(mask)[3])], (14.5, 17.5), 60.0, WINDOW)
    ((what, path),) = shown.outlines
    points = outline_points(path)
    assert what == "result"
    assert np.ptp(points[:, 0]) == pytest.approx(10.0, abs=1e-6)
    assert np.ptp(points[:, 1]) == pytest.approx(20.0, abs=1e-6)
    assert points.mean(axis=0) == pytest.approx([30.0, 30.0], abs=0.3)


@pytest.mark.parametrize("axes", [(L, P, S), (R, A, S), (P, L, S), (A, R, I)])
def test_outline_and_grey_values_agree_in_every_orientation(axes):
    grid = grid_with_axes(list(axes), (1.0, 1.0, 3.0))
    mask = np.zeros(grid.shape, bool)
    mask[3, 6:14, 25:36] = True
    view = View.of(Volume(np.where(mask, 100.0, 0.0).astype(np.float32), grid), 2)
    turned = view.turned(mask)
    k = int(np.flatnonzero(turned.any((1, 2)))[0])
    shown = picture(view, k, [("result", turned[k])], (view.grid.shape[1] / 2, view.grid.shape[2] / 2), 60.0, WINDOW)
    bright = np.argwhere(pixels(shown.png) > 0.5)
    step = shown.side_mm / pixels(shown.png).shape[0]
    points = outline_points(shown.outlines[0][1])
    for axis, column in ((0, 1), (1, 0)):  # pixels are (down, right), points are (right, down)
        assert (bright[:, axis].min() * step) == pytest.approx(points[:, column].min(), abs=2 * step)
        assert ((bright[:, axis].max() + 1) * step) == pytest.approx(points[:, column].max(), abs=2 * step)


def test_a_hole_is_a_second_outline_and_an_empty_section_is_none():
    grid = Grid.from_spacing((3, 20, 20), (1.0, 1.0, 1.0))
    mask = np.zeros(grid.shape, bool)
    mask[1, 4:16, 4:16] = True
    mask[1, 8:12, 8:12] = False
    view = View.of(Volume(np.zeros(grid.shape, np.float32), grid), 2)
    assert picture(view, 1, [("result", mask[1])], (9.5, 9.5), 40.0, WINDOW).outlines[0][1].count("M") == 2
    assert picture(view, 0, [("result", mask[0])], (9.5, 9.5), 40.0, WINDOW).outlines == ()


def test_beyond_the_scan_a_picture_is_black():
    grid = Grid.from_spacing((3, 20, 20), (1.0, 1.0, 1.0))
    view = View.of(Volume(np.full(grid.shape, 100.0, np.float32), grid), 2)
    shown = pixels(picture(view, 1, [], (9.5, 9.5), 80.0, WINDOW).png)
    assert shown[:20].max() == 0.0
    assert shown[shown.shape[0] // 2, shown.shape[1] // 2] == 1.0


def test_the_field_of_view_holds_every_contour_with_room_around():
    grid = Grid.from_spacing((3, 100, 100), (2.0, 1.0, 3.0))
    mask = np.zeros(grid.shape, bool)
    mask[1, 10:20, 10:70] = True  # 120 mm across
    assert field_of_view([(mask, grid), (np.zeros_like(mask), grid)]) == pytest.approx(120.0 + 2 * 18.0)


def test_a_png_is_read_back_by_another_library():
    picture_in = np.random.default_rng(0).integers(0, 256, (7, 13)).astype(np.uint8)
    read = matplotlib_image.imread(io.BytesIO(grey_png(picture_in)), format="png")
    read = read if read.ndim == 2 else read[..., 0]
    assert np.array_equal(np.round(read * 255).astype(np.uint8), picture_in)
