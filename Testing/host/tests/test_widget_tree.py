"""qMRMLSubjectHierarchyTreeView follows the scene's subject hierarchy."""

from __future__ import annotations

import pytest
import slicer
import vtk

VOLUME = "vtkMRMLScalarVolumeNode"


@pytest.fixture
def patient(host):
    """A patient with a study that holds a volume: (hierarchy, patient item, study item, volume node)."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    person = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient A")
    study = hierarchy.CreateStudyItem(person, "March")
    volume = slicer.mrmlScene.AddNewNodeByClass(VOLUME, "CT")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    return hierarchy, person, study, volume


@pytest.fixture
def tree(patient):
    view = slicer.qMRMLSubjectHierarchyTreeView()
    view.setMRMLScene(slicer.mrmlScene)
    yield view
    view.delete()


def shown(view) -> list[str]:
    hierarchy = view.subjectHierarchyNode()
    return [hierarchy.GetItemName(index.data(0x100)) for index in view._in_indexes()]


def test_items_stand_below_their_parents_and_follow_the_hierarchy(tree, patient):
    hierarchy, _person, study, volume = patient
    assert shown(tree) == ["Patient A", "March", "CT"]
    volume.SetName("CT of March")
    hierarchy.SetItemName(study, "12 March")
    slicer.mrmlScene.AddNewNodeByClass(VOLUME, "CT 2")
    assert shown(tree) == ["Patient A", "12 March", "CT of March", "CT 2"]
    slicer.mrmlScene.RemoveNode(volume)
    assert shown(tree) == ["Patient A", "12 March", "CT 2"]


def test_node_types_and_levels_choose_what_is_shown_with_what_is_above(tree, patient):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "table")
    tree.nodeTypes = [VOLUME]
    assert shown(tree) == ["Patient A", "March", "CT"]
    tree.nodeTypes = ["vtkMRMLTableNode"]
    assert shown(tree) == ["table"]
    tree.nodeTypes = []
    tree.levelFilter = ["Patient"]
    assert (shown(tree), tree.displayedItemCount()) == (["Patient A"], 1)


def test_a_chosen_item_is_told_once_and_lost_with_its_node(tree, patient):
    hierarchy, _person, study, volume = patient
    item = hierarchy.GetItemByDataNode(volume)
    told = []
    tree.connect("currentItemChanged(vtkIdType)", told.append)
    tree.setCurrentNode(volume)
    tree.setCurrentItem(item)
    assert (tree.currentItem(), told) == (item, [item])
    hierarchy.SetItemName(study, "renamed")
    assert (tree.currentItem(), told) == (item, [item])
    slicer.mrmlScene.RemoveNode(volume)
    assert (tree.currentItem(), told) == (0, [item, 0])


def test_several_items_are_chosen_where_told(tree, patient):
    _hierarchy, person, study, _volume = patient
    tree.multiSelection = True
    tree.setCurrentItems([person, study])
    found = vtk.vtkIdList()
    tree.currentItems(found)
    assert {found.GetId(index) for index in range(found.GetNumberOfIds())} == {person, study}


def test_only_what_is_below_the_root_is_shown(tree, patient):
    study = patient[2]
    tree.setRootItem(study)
    assert (shown(tree), tree.rootItem()) == (["CT"], study)


def test_a_closed_scene_empties_it(tree):
    slicer.mrmlScene.Clear(0)
    assert shown(tree) == []
