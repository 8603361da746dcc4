"""qMRMLSliceWidget and qMRMLPlotWidget draw what MRML holds: pixels are compared with where things are in the world."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from standin.widgets.plot_picture import chartLines, ticks


@pytest.fixture
def scan(host):
    """A volume of 3 mm slices, flipped in x, y as CTs are, with a bright block; (node, array)."""
    array = np.full((30, 40, 50), -1000, np.int16)
    array[10:20, 10:30, 15:35] = 100
    volume = slicer.util.addVolumeFromArray(array)
    matrix = vtk.vtkMatrix4x4()
    for index, value in enumerate((-1.0, -1.0, 3.0)):
        matrix.SetElement(index, index, value)
    for index, value in enumerate((20.0, 15.0, -40.0)):
        matrix.SetElement(index, 3, value)
    volume.SetIJKToRASMatrix(matrix)
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(400, 40)
    slicer.util.setSliceViewerLayers(background=volume)
    return volume, array


@pytest.fixture
def view(scan, host):
    """A slice widget of 300 x 240 pixels on the red slice, at the middle of the block."""
    node = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    widget = slicer.qMRMLSliceWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLSliceNode(node)
    widget.resize(300, 260)
    widget.show()
    host.process_events()
    widget.fitSliceToBackground()
    widget.sliceLogic().SetSliceOffset(5.0)
    host.process_events()
    yield widget
    widget.delete()


def pixel(view, i: int, j: int, k: int, volume) -> tuple[int, int, int]:
    """The colour in the picture where the volume's voxel (i, j, k) is."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    ras = matrix.MultiplyPoint((i, j, k, 1))[:3]
    x, y, _z = view.sliceView().convertRASToXYZ(ras)
    picture = view.sliceView().grab().toImage()
    color = picture.pixelColor(round(x), picture.height() - 1 - round(y))
    return color.red(), color.green(), color.blue()


def test_a_bright_voxel_is_bright_where_it_is_in_the_world(view, scan):
    volume, array = scan
    # window 400, level 40: 100 HU -> (100 - (40 - 200)) / 400 of white
    expected = (100 + 160) / 400 * 255
    for i, j in ((16, 11), (33, 28), (25, 20)):
        assert array[15, j, i] == 100
        assert pixel(view, i, j, 15, volume) == pytest.approx((expected,) * 3, abs=2)
    for i, j in ((13, 20), (25, 33), (5, 5)):
        assert pixel(view, i, j, 15, volume) == (0, 0, 0)


def red_lesion(volume, array):
    """A segmentation of the volume with one red segment, i 17 to 24, j 12 to 19, k 12 to 17."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    part = np.zeros_like(array, np.uint8)
    part[12:18, 12:20, 17:25] = 1
    node.GetSegmentation().AddEmptySegment("lesion", "Lesion", (1.0, 0.0, 0.0))
    slicer.util.updateSegmentBinaryLabelmapFromArray(part, node, "lesion", volume)
    return node


def test_a_segment_is_drawn_over_its_voxels_in_its_colour_and_hidden_when_told(view, scan):
    volume, _array = scan
    node = red_lesion(*scan)
    red, green, blue = pixel(view, 21, 16, 15, volume)
    assert red > green + 60
    assert green == blue
    assert len(set(pixel(view, 30, 25, 15, volume))) == 1
    node.GetDisplayNode().SetSegmentVisibility("lesion", False)
    assert len(set(pixel(view, 21, 16, 15, volume))) == 1


def test_a_segmentation_under_a_transform_is_drawn_where_the_transform_puts_it(view, scan):
    volume, _array = scan
    node = red_lesion(*scan)
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, -9.0)  # 9 mm to the left: i grows by 9
    shift.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(shift.GetID())
    assert len(set(pixel(view, 19, 16, 15, volume))) == 1
    red, green, _blue = pixel(view, 30, 16, 15, volume)
    assert red > green + 60


def test_a_control_point_is_drawn_in_its_slice_only(view, scan, host):
    before = view.sliceView().grab().toImage()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.CreateDefaultDisplayNodes()
    node.AddControlPoint([-5.0, -5.0, 30.0], "far")
    assert view.sliceView().grab().toImage() == before
    node.AddControlPoint([-5.0, -5.0, 5.0], "here")
    assert view.sliceView().grab().toImage() != before
    node.GetDisplayNode().SetVisibility(False)
    assert view.sliceView().grab().toImage() == before


def test_the_view_follows_its_slice_node_and_its_composite_node(view, scan, host):
    volume, _array = scan
    shown = view.sliceView().grab().toImage()
    slicer.modules.markups.logic().JumpSlicesToLocation(0, 0, -38, False)
    host.process_events()
    assert view.sliceView().grab().toImage() != shown
    assert (view.sliceViewName, view.sliceOrientation) == ("Red", "Axial")
    assert view.mrmlSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    view.mrmlSliceCompositeNode().SetBackgroundVolumeID(None)
    host.process_events()
    picture = view.sliceView().grab().toImage()
    assert picture.pixelColor(picture.width() // 2, picture.height() // 2).red() == 0


def test_a_view_without_a_slice_node_is_black(host):
    widget = slicer.qMRMLSliceWidget()
    widget.resize(80, 80)
    assert (widget.mrmlSliceNode(), widget.sliceLogic()) == (None, None)
    picture = widget.sliceView().grab().toImage()
    assert picture.pixelColor(20, 20).red() == 0
    widget.delete()


@pytest.fixture
def chart(host):
    """Volume of a lesion over time, with one visit where it was not measured."""
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")
    columns = (np.array([0.0, 90.0, 200.0, 400.0]), np.array([12.5, 9.1, np.nan, 6.6]))
    slicer.util.updateTableFromArray(table, columns, ["days", "lesion"])
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "Lesion")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("days")
    series.SetYColumnName("lesion")
    series.SetColor(1.0, 0.0, 0.0)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", "chart")
    node.SetTitle("Volume over time")
    node.AddAndObservePlotSeriesNodeID(series.GetID())
    return node, table


@pytest.fixture
def plot(chart, host):
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    view.SetPlotChartNodeID(chart[0].GetID())
    widget = slicer.qMRMLPlotWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLPlotViewNode(view)
    widget.resize(500, 320)
    yield widget
    widget.delete()


def reds(widget) -> int:
    """How many pixels are as red as the series."""
    picture = widget.plotView().grab().toImage()
    colors = (picture.pixelColor(x, y) for x in range(picture.width()) for y in range(0, picture.height(), 2))
    return sum(color.red() > 200 and color.green() < 60 for color in colors)


def test_a_visit_without_a_number_is_left_out_of_its_line(chart):
    (line,) = chartLines(chart[0])
    assert (line.name, line.points) == ("Lesion", [(0.0, 12.5), (90.0, 9.1), (400.0, 6.6)])


def test_the_chart_is_drawn_and_follows_its_nodes(plot, chart):
    node, table = chart
    assert plot.plotView().title == "Volume over time"
    assert reds(plot) > 100
    first = plot.plotView().grab().toImage()
    slicer.util.updateTableFromArray(table, (np.array([0.0, 9.0]), np.array([1.0, 2.0])), ["days", "lesion"])
    assert plot.plotView().grab().toImage() != first
    plot.mrmlPlotViewNode().SetPlotChartNodeID(None)
    assert reds(plot) == 0
    assert (plot.plotView().title, node.GetNumberOfPlotSeriesNodes()) == ("", 1)


def test_a_chart_whose_table_or_series_is_gone_is_an_empty_chart(plot, chart, host):
    slicer.mrmlScene.RemoveNode(chart[1])
    assert reds(plot) == 0
    slicer.mrmlScene.Clear(0)
    plot.plotView().grab()
    assert host.errors == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 400, [0, 100, 200, 300, 400]),
        (0, 0, [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6]),
        (-3, 12, [-5, 0, 5, 10, 15]),
        (0, 0.07, None),
    ],
)
def test_axes_have_few_round_numbers_that_enclose_the_data(low, high, expected):
    found = ticks(low, high)
    assert expected is None or found == pytest.approx(expected)
    assert 3 <= len(found) <= 9
    assert found[0] <= low <= high <= found[-1]
    steps = np.diff(found)
    assert steps == pytest.approx(steps[0])
