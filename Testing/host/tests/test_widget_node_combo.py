"""qMRMLNodeComboBox follows the scene, chooses as Slicer's does, and refuses what Slicer's refuses."""

from __future__ import annotations

import pytest
import qt
import slicer
from PySide6 import QtCore, QtTest, QtWidgets

VOLUME = "vtkMRMLScalarVolumeNode"


@pytest.fixture
def made(host):
    """A function that makes a combo box for volumes; all are deleted at the end."""
    combos = []

    def make(scene=slicer.mrmlScene, types=(VOLUME,), **properties):
        combo = slicer.qMRMLNodeComboBox()
        combos.append(combo)
        combo.nodeTypes = list(types)
        for name, value in properties.items():
            setattr(combo, name, value)
        combo.setMRMLScene(scene)
        return combo

    yield make
    for combo in combos:
        combo.delete()


def volume(name: str, kind: str = VOLUME):
    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


def heard(combo) -> list:
    """What the combo box says, in order."""
    found = []
    combo.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: found.append(node))
    combo.connect("currentNodeChanged(bool)", lambda chosen: found.append(chosen))
    combo.connect("currentNodeIDChanged(QString)", lambda name: found.append(name))
    return found


def names(combo) -> list[str]:
    return [combo.nodeFromIndex(index).GetName() for index in range(combo.nodeCount())]


def test_without_a_scene_it_is_disabled_and_lists_nothing(made):
    volume("CT")
    combo = made(scene=None)
    assert (combo.enabled, combo.nodeCount(), combo.currentNode(), combo.currentNodeID) == (False, 0, None, "")
    combo.setMRMLScene(slicer.mrmlScene)
    assert (combo.enabled, names(combo)) == (True, ["CT"])


def test_without_none_the_first_node_is_chosen_when_the_scene_comes(made):
    first = volume("first")
    volume("second")
    assert made().currentNode() is first
    assert made(noneEnabled=True).currentNode() is None


def test_a_node_that_comes_later_is_listed_but_not_chosen(made):
    combo = made()
    said, added = heard(combo), []
    combo.connect("nodeAdded(vtkMRMLNode*)", added.append)
    node = volume("late")
    assert (names(combo), combo.currentNode(), said, added) == (["late"], None, [], [node])


def test_a_node_that_comes_into_a_list_without_any_entry_is_chosen(made):
    combo = made(addEnabled=False, removeEnabled=False)
    said = heard(combo)
    node = volume("late")
    assert combo.currentNode() is node
    assert said == [node, True, node.GetID()]


def test_choosing_tells_three_signals_once_and_choosing_it_again_none(made):
    node = volume("CT")
    combo = made(noneEnabled=True)
    said = heard(combo)
    combo.setCurrentNode(node)
    combo.setCurrentNodeID(node.GetID())
    combo.currentNodeID = node.GetID()
    assert said == [node, True, node.GetID()]
    combo.setCurrentNode(None)
    assert said[3:] == [None, False, ""]


def test_a_node_that_is_not_listed_chooses_nothing(made):
    node = volume("CT")
    combo = made()
    combo.setCurrentNode(volume("table", "vtkMRMLTableNode"))
    assert combo.currentNode() is None
    combo.setCurrentNodeIndex(0)
    assert combo.currentNode() is node
    combo.setCurrentNodeIndex(7)
    assert combo.currentNode() is None


def test_a_node_asked_for_before_the_scene_is_chosen_when_it_comes(made):
    volume("first")
    wanted = volume("second")
    combo = made(scene=None)
    combo.setCurrentNodeID(wanted.GetID())
    combo.setMRMLScene(slicer.mrmlScene)
    assert combo.currentNode() is wanted


def test_a_removed_node_hands_the_choice_to_its_neighbour(made):
    nodes = [volume(name) for name in "abc"]
    combo = made(noneEnabled=True)
    combo.setCurrentNode(nodes[1])
    said, leaving = heard(combo), []
    combo.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", leaving.append)
    slicer.mrmlScene.RemoveNode(nodes[1])
    assert (combo.currentNode(), leaving) == (nodes[2], [nodes[1]])
    slicer.mrmlScene.RemoveNode(nodes[2])
    assert combo.currentNode() is nodes[0]
    slicer.mrmlScene.RemoveNode(nodes[0])
    assert combo.currentNode() is None
    assert [one for one in said if isinstance(one, bool)] == [True, True, False]


def test_a_closed_scene_leaves_it_empty_and_usable(made):
    volume("CT")
    combo = made()
    slicer.mrmlScene.Clear(0)
    assert (combo.nodeCount(), combo.currentNode()) == (0, None)
    volume("MR")
    assert names(combo) == ["MR"]


def test_a_renamed_node_is_renamed_in_the_list_and_nothing_is_told(made):
    node = volume("CT")
    combo = made()
    said = heard(combo)
    node.SetName("Chest CT, March")
    inner = combo.findChild(qt.QComboBox) or combo.findChild("ctkComboBox")
    assert inner.currentText == "Chest CT, March"
    assert said == []


def test_hidden_nodes_come_and_go_with_their_flag(made):
    node, other = volume("a"), volume("b")
    combo = made()
    combo.setCurrentNode(node)
    node.SetHideFromEditors(True)
    assert (names(combo), combo.currentNode()) == (["b"], other)
    combo.showHidden = True
    assert names(combo) == ["a", "b"]
    combo.showHidden = False
    node.SetHideFromEditors(False)
    assert names(combo) == ["a", "b"]


def test_derived_classes_are_listed_unless_told_otherwise(made):
    volume("CT")
    volume("labels", "vtkMRMLLabelMapVolumeNode")
    assert names(made()) == ["CT", "labels"]
    assert names(made(showChildNodeTypes=False)) == ["CT"]
    assert names(made(hideChildNodeTypes=["vtkMRMLLabelMapVolumeNode"])) == ["CT"]
    assert names(made(types=(VOLUME, "vtkMRMLTableNode"))) == ["CT", "labels"]


def test_an_attribute_filters_and_follows_its_node(made):
    node, _other = volume("a"), volume("b")
    combo = made()
    combo.addAttribute(VOLUME, "role")
    assert names(combo) == []
    node.SetAttribute("role", "baseline")
    assert names(combo) == ["a"]
    combo.addAttribute(VOLUME, "role", "follow-up")
    assert names(combo) == []
    combo.removeAttribute(VOLUME, "role")
    assert names(combo) == ["a", "b"]


def test_other_node_types_list_other_nodes_and_follow_them(made):
    volume("CT")
    combo = made(noneEnabled=True)
    combo.nodeTypes = ["vtkMRMLTableNode"]
    assert names(combo) == []
    volume("table", "vtkMRMLTableNode")
    volume("CT 2")
    assert names(combo) == ["table"]


def test_nodes_are_made_with_base_name_and_attributes_and_are_chosen(made):
    combo = made(types=("vtkMRMLTableNode",))
    combo.baseName = "Volumes"
    combo.addAttribute("vtkMRMLTableNode", "made", "here")
    users = []
    combo.connect("nodeAddedByUser(vtkMRMLNode*)", users.append)
    first = combo.addNode()
    assert (first.GetName(), first.GetAttribute("made"), combo.currentNode(), users) == (
        "Volumes",
        "here",
        first,
        [first],
    )
    combo.selectNodeUponCreation = False
    assert combo.addNode("vtkMRMLTableNode").GetName() == "Volumes_1"
    assert combo.currentNode() is first
    assert combo.addNode("vtkMRMLModelNode") is None


def test_a_person_chooses_with_the_keyboard(made):
    nodes = [volume(name) for name in "ab"]
    combo = made(noneEnabled=True)
    activated = []
    combo.connect("nodeActivated(vtkMRMLNode*)", activated.append)
    inner = QtWidgets.QWidget.findChild(combo, QtWidgets.QComboBox)
    for _press in range(2):
        QtTest.QTest.keyClick(inner, QtCore.Qt.Key.Key_Down)
    assert combo.currentNode() is nodes[1]
    assert activated == nodes


def test_the_entries_below_the_nodes_act_and_leave_the_choice(made):
    node = volume("CT")
    combo = made(addEnabled=True, removeEnabled=True)
    inner = QtWidgets.QWidget.findChild(combo, QtWidgets.QComboBox)
    texts = [inner.itemText(row) for row in range(inner.count)]
    assert texts == [
        "CT",
        "",
        f"Create new {combo.nodeTypeLabel(VOLUME)}",
        f"Delete current {combo.nodeTypeLabel(VOLUME)}",
    ]
    combo.emitNodeActivated(2)
    assert combo.nodeCount() == 2
    assert combo.currentNode() is not node
    combo.setCurrentNode(node)
    combo.emitNodeActivated(4)
    assert slicer.mrmlScene.GetNodeByID(node.GetID()) is None


def test_none_is_shown_as_it_is_called_and_no_choice_says_what_is_wanted(made):
    inner = QtWidgets.QWidget.findChild(made(noneEnabled=True, noneDisplay="No volume yet"), QtWidgets.QComboBox)
    assert inner.currentText == "No volume yet"
    combo = made()
    inner = QtWidgets.QWidget.findChild(combo, QtWidgets.QComboBox)
    assert (inner.currentIndex, inner.defaultText) == (-1, f"Select a {combo.nodeTypeLabel(VOLUME)}")


def test_a_deleted_combo_box_no_longer_listens(host):
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = [VOLUME]
    combo.setMRMLScene(slicer.mrmlScene)
    node = volume("CT")
    combo.delete()
    node.SetName("renamed")
    slicer.mrmlScene.RemoveNode(node)
    slicer.mrmlScene.Clear(0)
    assert host.errors == []


@pytest.mark.parametrize(
    ("name", "value"), [("nodeType", "x"), ("currentNode", None), ("showChildren", True), ("text", "CT")]
)
def test_what_slicers_does_not_have_is_refused(made, name, value):
    with pytest.raises(AttributeError):
        setattr(made(), name, value)


def test_a_wrong_type_is_refused_as_pythonqt_does(made):
    combo = made()
    with pytest.raises(AttributeError, match="Property 'noneEnabled' of type 'bool' does not accept an object of type"):
        combo.noneEnabled = "yes"
    with pytest.raises(ValueError, match="setCurrentNode"):
        combo.setCurrentNode()
    assert combo.connect("currentNodeChanged(QString)", print) is False


def test_what_is_not_written_says_so_instead_of_doing_nothing(made):
    with pytest.raises(NotImplementedError):
        made().sortFilterProxyModel()
