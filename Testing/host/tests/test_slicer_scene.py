"""Saving and loading, segment arrays, terminologies, sequences, tables and plots: slicer.util on the real MRML."""

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk


def volume(name="CT", shape=(6, 7, 8), spacing=(1.0, 2.0, 3.0)):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    slicer.util.updateVolumeFromArray(node, values)
    node.SetSpacing(spacing)
    node.SetOrigin(10.0, -20.0, 30.0)
    node.CreateDefaultDisplayNodes()
    return node


def segmentation(reference, name="Contours"):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    return node


def a_ball(shape=(6, 7, 8)):
    k, j, i = np.indices(shape)
    return ((k - 3) ** 2 + (j - 3) ** 2 + (i - 4) ** 2 <= 4).astype(np.uint8)


def test_a_mask_comes_back_from_its_segment_as_it_went_in(host_without_main_window):
    ct = volume()
    contours = segmentation(ct)
    identifier = contours.GetSegmentation().AddEmptySegment("lesion", "Lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(a_ball(), contours, identifier, ct)
    back = slicer.util.arrayFromSegmentBinaryLabelmap(contours, identifier, ct)
    assert np.array_equal(back, a_ball())
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 0


def test_two_overlapping_segments_keep_their_own_voxels(host_without_main_window):
    ct = volume()
    contours = segmentation(ct)
    first, second = a_ball(), np.roll(a_ball(), 1, axis=2)
    for name, mask in (("first", first), ("second", second)):
        contours.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, contours, name, ct)
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(contours, "first", ct), first)
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(contours, "second", ct), second)


@pytest.mark.parametrize("where", ["scene.mrb", "folder"])
def test_a_scene_survives_saving_and_loading_with_its_parameter_node(host, tmp_path, where):
    ct = volume()
    contours = segmentation(ct)
    contours.GetSegmentation().AddEmptySegment("lesion", "Lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(a_ball(), contours, "lesion", ct)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")
    node.SetParameter("device", "auto")
    node.SetNodeReferenceID("baseline", ct.GetID())
    target = tmp_path / where
    assert slicer.util.saveScene(str(target))
    scene_file = target if where.endswith(".mrb") else next(target.glob("*.mrml"))

    host.clear_scene()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    slicer.util.loadScene(str(scene_file))

    node = slicer.util.getNode("parameters")
    assert node.GetParameter("device") == "auto"
    ct = node.GetNodeReference("baseline")
    assert np.array_equal(slicer.util.arrayFromVolume(ct).ravel(), np.arange(6 * 7 * 8))
    contours = slicer.util.getNode("Contours")
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(contours, "lesion", ct), a_ball())


def test_a_mrml_file_alone_holds_no_voxels(host, tmp_path):
    volume()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrml"))
    assert [path.name for path in tmp_path.iterdir()] == ["scene.mrml"]


def test_loading_a_scene_adds_to_what_is_there(host, tmp_path):
    volume("first")
    slicer.util.saveScene(str(tmp_path / "first.mrb"))
    host.clear_scene()
    volume("second")
    slicer.util.loadScene(str(tmp_path / "first.mrb"))
    assert set(slicer.util.getNodes("*st")) == {"first"}
    assert set(slicer.util.getNodes("second")) == {"second"}


def test_a_missing_file_is_an_error(host, tmp_path):
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(tmp_path / "nothing.nrrd"))
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadScene(str(tmp_path / "nothing.mrb"))


def test_a_volume_and_a_segmentation_go_through_files(host, tmp_path):
    ct = volume()
    contours = segmentation(ct)
    contours.GetSegmentation().AddEmptySegment("lesion", "Lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(a_ball(), contours, "lesion", ct)
    assert slicer.util.saveNode(ct, str(tmp_path / "ct.nrrd"))
    assert slicer.util.saveNode(contours, str(tmp_path / "contours.seg.nrrd"))
    host.clear_scene()
    ct = slicer.util.loadVolume(str(tmp_path / "ct.nrrd"))
    contours = slicer.util.loadSegmentation(str(tmp_path / "contours.seg.nrrd"))
    assert ct.GetName() == "ct"
    assert np.allclose(ct.GetSpacing(), (1.0, 2.0, 3.0))
    assert np.allclose(ct.GetOrigin(), (10.0, -20.0, 30.0))
    lesion = contours.GetSegmentation().GetSegmentIdBySegmentName("Lesion")
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(contours, lesion, ct), a_ball())


def test_exporting_leaves_the_storage_node_of_the_original_alone(host, tmp_path):
    ct = volume()
    slicer.util.saveNode(ct, str(tmp_path / "kept.nrrd"))
    assert slicer.util.exportNode(ct, str(tmp_path / "copy.nii.gz"))
    assert Path(ct.GetStorageNode().GetFileName()).name == "kept.nrrd"
    assert (tmp_path / "copy.nii.gz").stat().st_size > 0


def test_closing_the_scene_keeps_the_singleton_parameter_node_as_slicer_does(host):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class ProbeLogic(ScriptedLoadableModuleLogic):
        pass

    logic = ProbeLogic()
    node = logic.getParameterNode()
    assert node.GetAttribute("ModuleName") == "Probe"
    host.clear_scene()
    assert logic.getParameterNode().GetAttribute("ModuleName") == "Probe"
    assert len(logic.getAllParameterNodes()) == 1


def test_a_logic_without_a_singleton_finds_its_own_nodes_only(host):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class FirstLogic(ScriptedLoadableModuleLogic):
        def __init__(self):
            super().__init__()
            self.isSingletonParameterNode = False

    class SecondLogic(FirstLogic):
        pass

    first = FirstLogic().getParameterNode()
    assert SecondLogic().getParameterNode() is not first
    assert FirstLogic().getParameterNode() is first
    slicer.mrmlScene.AddNode(FirstLogic().createParameterNode())
    assert len(FirstLogic().getAllParameterNodes()) == 2


def test_terminologies_are_loaded_and_a_code_is_found_by_name(host_without_main_window):
    logic = slicer.modules.terminologies.logic()
    names: list[str] = []
    logic.GetLoadedTerminologyNames(names)
    assert "Segmentation category and type - 3D Slicer General Anatomy list" in names
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.DeserializeTerminologyEntry(
        logic.SerializeTerminologyEntry(
            names[0], "49755003", "SCT", "Morphologically Altered Structure", "4147007", "SCT", "Mass",
            "", "", "", "Anatomic codes - DICOM master list", "10200004", "SCT", "Liver", "", "", "",
        ),
        entry,
    )  # fmt: skip
    assert entry.GetTypeObject().GetCodeMeaning() == "Mass"


def test_a_sequence_holds_visits_and_survives_a_file(host, tmp_path):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Visits")
    sequence.SetIndexName("visit")
    for visit in range(3):
        ct = volume(f"visit {visit}")
        sequence.SetDataNodeAtValue(ct, str(visit))
        slicer.mrmlScene.RemoveNode(ct)
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    host.clear_scene()
    slicer.util.loadScene(str(tmp_path / "s.mrb"))
    sequence = slicer.util.getNode("Visits")
    assert sequence.GetNumberOfDataNodes() == 3
    assert sequence.GetNthDataNode(2).GetImageData().GetDimensions() == (8, 7, 6)


def test_a_chart_of_a_table_is_shown_in_a_plot_view(host):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Volumes")
    slicer.util.updateTableFromArray(table, np.array([[0.0, 3.0], [1.0, 2.5]]), ["visit", "ml"])
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "Lesion")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("visit")
    series.SetYColumnName("ml")
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", "Volume over time")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    assert slicer.app.layoutManager().plotViewCount == 0
    slicer.modules.plots.logic().ShowChartInLayout(chart)
    layout = slicer.app.layoutManager()
    assert layout.plotViewCount == 1
    assert layout.plotWidget(0).mrmlPlotViewNode().GetPlotChartNodeID() == chart.GetID()


def test_the_segment_editor_node_is_real_mrml(host_without_main_window):
    ct = volume()
    contours = segmentation(ct)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetAndObserveSegmentationNode(contours)
    node.SetAndObserveSourceVolumeNode(ct)
    assert node.GetSegmentationNode() is contours
    assert node.GetSourceVolumeNode() is ct


def test_an_observer_that_fails_is_heard_of(host):
    def fails(*_):
        raise ValueError("in an observer")

    slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, fails)
    host.clear_scene()
    assert [str(error) for error in host.errors] == ["in an observer"]
    slicer.mrmlScene.RemoveObservers(slicer.vtkMRMLScene.StartCloseEvent)
    host.errors.clear()


def test_nodes_of_a_closed_scene_do_not_keep_it_alive(host):
    before = slicer.mrmlScene
    ct = volume()
    host.main_window = False
    assert slicer.mrmlScene is not before
    assert ct.GetScene() is None
    assert not isinstance(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLVolumeNode"), vtk.vtkObject)
