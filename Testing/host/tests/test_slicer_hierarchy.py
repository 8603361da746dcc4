"""The subject hierarchy: items for nodes and segments as Slicer's plugins make them, patient and study."""

import numpy as np
import slicer


def hierarchy():
    return slicer.mrmlScene.GetSubjectHierarchyNode()


def children(item):
    found: list[int] = []
    hierarchy().GetItemChildren(item, found)
    return [hierarchy().GetItemName(one) for one in found]


def test_a_new_volume_has_an_item_of_the_volumes_plugin(host_without_main_window):
    ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    item = hierarchy().GetItemByDataNode(ct)
    assert item
    assert hierarchy().GetItemOwnerPluginName(item) == "Volumes"
    assert hierarchy().GetItemParent(item) == hierarchy().GetSceneItemID()


def test_nodes_that_slicer_does_not_show_have_no_item(host_without_main_window):
    parameters = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    assert not hierarchy().GetItemByDataNode(parameters)
    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.SetHideFromEditors(1)
    hidden = slicer.mrmlScene.AddNode(hidden)
    assert not hierarchy().GetItemByDataNode(hidden)


def test_a_removed_node_takes_its_item_along(host_without_main_window):
    ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    before = hierarchy().GetNumberOfItems()
    slicer.mrmlScene.RemoveNode(ct)
    assert hierarchy().GetNumberOfItems() == before - 1


def test_each_segment_is_an_item_below_its_segmentation(host_without_main_window):
    contours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    contours.GetSegmentation().AddEmptySegment("a", "Liver")
    contours.GetSegmentation().AddEmptySegment("b", "Lesion")
    item = hierarchy().GetItemByDataNode(contours)
    assert children(item) == ["Liver", "Lesion"]
    contours.GetSegmentation().GetSegment("b").SetName("Target lesion")
    assert children(item) == ["Liver", "Target lesion"]
    contours.GetSegmentation().RemoveSegment("a")
    assert children(item) == ["Target lesion"]
    slicer.mrmlScene.RemoveNode(contours)
    assert hierarchy().GetNumberOfItems() == 0


def test_patient_study_and_visit_survive_a_file(host, tmp_path):
    tree = hierarchy()
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "Patient 7")
    study = tree.CreateStudyItem(patient, "First visit")
    date = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMStudyDateAttributeName()
    tree.SetItemAttribute(study, date, "20240131")
    ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.util.updateVolumeFromArray(ct, np.zeros((2, 3, 4), np.int16))
    tree.SetItemParent(tree.GetItemByDataNode(ct), study)
    slicer.util.saveScene(str(tmp_path / "p.mrb"))
    host.clear_scene()
    assert hierarchy().GetNumberOfItems() == 0
    slicer.util.loadScene(str(tmp_path / "p.mrb"))
    tree = hierarchy()
    item = tree.GetItemByDataNode(slicer.util.getNode("CT"))
    study = tree.GetItemAncestorAtLevel(item, "Study")
    assert tree.GetItemAttribute(study, date) == "20240131"
    assert tree.GetItemName(tree.GetItemAncestorAtLevel(item, "Patient")) == "Patient 7"
    assert tree.GetNumberOfItems() == 3


def test_volumes_of_an_old_scene_get_their_items_when_it_is_loaded(host, tmp_path):
    ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.util.updateVolumeFromArray(ct, np.zeros((2, 3, 4), np.int16))
    hierarchy().RemoveItem(hierarchy().GetItemByDataNode(ct), False, False)
    slicer.util.saveScene(str(tmp_path / "old.mrb"))
    host.clear_scene()
    slicer.util.loadScene(str(tmp_path / "old.mrb"))
    assert hierarchy().GetItemByDataNode(slicer.util.getNode("CT"))
