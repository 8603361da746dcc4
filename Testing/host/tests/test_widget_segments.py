"""qMRMLSegmentsTableView, qMRMLSegmentSelectorWidget and qMRMLSegmentEditorWidget follow a segmentation."""

from __future__ import annotations

import pytest
import slicer
from PySide6 import QtWidgets


@pytest.fixture
def segmentation(host):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Baseline")
    node.CreateDefaultDisplayNodes()
    for name, color in (("Liver", (1, 0, 0)), ("Tumour", (0, 1, 0)), ("Spleen", (0, 0, 1))):
        node.GetSegmentation().AddEmptySegment(name.lower(), name, color)
    return node


@pytest.fixture
def table(segmentation):
    view = slicer.qMRMLSegmentsTableView()
    view.setMRMLScene(slicer.mrmlScene)
    view.setSegmentationNode(segmentation)
    yield view
    view.delete()


@pytest.fixture
def selector(segmentation):
    widget = slicer.qMRMLSegmentSelectorWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    yield widget
    widget.delete()


def texts(table, column: int = 3) -> list[str]:
    model = QtWidgets.QTableView.model(table.tableWidget())
    return [str(model.index(row, column).data()) for row in range(model.rowCount())]


def test_the_table_follows_segments_that_come_go_move_and_are_renamed(table, segmentation):
    assert texts(table) == ["Liver", "Tumour", "Spleen"]
    data = segmentation.GetSegmentation()
    data.AddEmptySegment("kidney", "Kidney")
    data.RemoveSegment("liver")
    data.GetSegment("tumour").SetName("Lesion")
    data.SetSegmentIndex("spleen", 0)
    assert texts(table) == ["Spleen", "Lesion", "Kidney"]
    assert (table.segmentCount, table.rowForSegmentID("kidney"), table.segmentIDForRow(1)) == (3, 2, "tumour")


def test_chosen_segments_are_told_in_the_order_of_the_rows_and_stay_chosen(table, segmentation):
    told = []
    table.connect("selectionChanged(QItemSelection,QItemSelection)", lambda: told.append(table.selectedSegmentIDs()))
    table.setSelectedSegmentIDs(["spleen", "liver"])
    assert table.selectedSegmentIDs() == ("liver", "spleen")
    segmentation.GetSegmentation().RemoveSegment("tumour")
    assert table.selectedSegmentIDs() == ("liver", "spleen")
    table.clearSelection()
    assert table.selectedSegmentIDs() == ()
    assert told[0] == ("liver", "spleen")
    assert told[-1] == ()


def test_segments_are_filtered_by_text_and_by_list(table):
    table.textFilter = "L"
    assert texts(table) == ["Liver", "Spleen"]
    table.setHideSegments(["spleen"])
    assert (table.displayedSegmentIDs(), table.hideSegments(), table.segmentCount) == (("liver",), ("spleen",), 3)


def test_a_person_renames_a_segment_and_shows_and_hides_it(table, segmentation):
    asked = []
    table.connect("segmentAboutToBeModified(QString)", asked.append)
    model = QtWidgets.QTableView.model(table.tableWidget())
    model.setData(model.index(0, 3), "Liver segment 8")
    assert segmentation.GetSegmentation().GetSegment("liver").GetName() == "Liver segment 8"
    table.onSegmentsTableClicked(model.index(0, 0))
    assert not segmentation.GetDisplayNode().GetSegmentVisibility("liver")
    assert asked == ["liver"]


def test_an_opacity_that_is_no_number_is_taken_back(table, segmentation):
    model = QtWidgets.QTableView.model(table.tableWidget())
    model.setData(model.index(0, 2), "much")
    assert texts(table, 2)[0] == "1.00"
    model.setData(model.index(0, 2), "0.5")
    assert segmentation.GetDisplayNode().GetSegmentOpacity3D("liver") == pytest.approx(0.5)


def test_a_read_only_table_cannot_be_edited(table):
    table.readOnly = True
    model = QtWidgets.QTableView.model(table.tableWidget())
    assert not model.flags(model.index(0, 3)) & model.flags(model.index(0, 3)).ItemIsEditable


def test_columns_and_bars_are_shown_as_told(table):
    view = table.tableWidget()
    table.opacityColumnVisible = False
    table.setStatusColumnVisible(True)
    table.filterBarVisible = True
    assert QtWidgets.QTableView.isColumnHidden(view, 2)
    assert not QtWidgets.QTableView.isColumnHidden(view, 4)
    assert table.statusColumnVisible is True


def test_the_table_is_empty_without_a_segmentation_and_after_the_scene_was_closed(table, host):
    table.setSegmentationNode(None)
    assert (texts(table), table.segmentCount) == ([], 0)
    slicer.mrmlScene.Clear(0)
    assert host.errors == []


def test_the_selector_offers_the_segments_of_the_chosen_segmentation(selector, segmentation):
    assert (selector.currentNode(), selector.currentSegmentID()) == (segmentation, "liver")
    told = []
    selector.connect("currentSegmentChanged(QString)", told.append)
    selector.setCurrentSegmentID("tumour")
    segmentation.GetSegmentation().RemoveSegment("liver")
    assert (selector.currentSegmentID(), selector.segmentIDs()) == ("tumour", ("tumour", "spleen"))
    segmentation.GetSegmentation().RemoveSegment("tumour")
    assert told == ["tumour", "spleen"]


def test_the_selector_takes_several_segments_where_told(selector, segmentation):
    selector.multiSelection = True
    told = []
    selector.connect("segmentSelectionChanged(QStringList)", told.append)
    selector.setSelectedSegmentIDs(["spleen", "liver"])
    assert selector.selectedSegmentIDs() == ("liver", "spleen")
    segmentation.GetSegmentation().RemoveSegment("liver")
    assert selector.selectedSegmentIDs() == ("spleen",)
    assert told[-1] == ("liver", "spleen")


def test_the_selector_loses_its_segments_with_its_node(selector, segmentation):
    slicer.mrmlScene.RemoveNode(segmentation)
    assert (selector.currentNode(), selector.segmentIDs(), selector.currentSegmentID()) == (None, (), "")


def test_the_segment_editor_keeps_its_choice_in_its_node(segmentation):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setSegmentationNode(segmentation)
    assert editor.segmentationNode() is None  # without a parameter node nothing can be set
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(node)
    told = []
    editor.connect("currentSegmentIDChanged(QString)", told.append)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("tumour")
    assert (node.GetSegmentationNode(), node.GetSourceVolumeNode(), node.GetSelectedSegmentID()) == (
        segmentation,
        volume,
        "tumour",
    )
    assert (told, editor.sourceVolumeNodeID()) == (["liver", "tumour"], volume.GetID())
    with pytest.raises(NotImplementedError):
        editor.setActiveEffectByName("Paint")
    editor.delete()
