"""ctkCheckableComboBox and qMRMLCheckableNodeComboBox: check marks, what is told of them, what is shown."""

from __future__ import annotations

import ctk
import pytest
import qt
import slicer
from PySide6 import QtCore, QtTest, QtWidgets

VOLUME = "vtkMRMLScalarVolumeNode"


@pytest.fixture
def combo(host):
    one = slicer.qMRMLCheckableNodeComboBox()
    one.nodeTypes = [VOLUME]
    one.setMRMLScene(slicer.mrmlScene)
    yield one
    one.delete()


def volume(name: str):
    return slicer.mrmlScene.AddNewNodeByClass(VOLUME, name)


def counted(combo) -> list:
    told = []
    combo.connect("checkedNodesChanged()", lambda: told.append(combo.checkedNodes()))
    return told


def test_nodes_are_checked_and_unchecked_and_each_change_is_told_once(combo):
    a, b = volume("a"), volume("b")
    told = counted(combo)
    combo.setCheckState(b, qt.Qt.Checked)
    combo.check(b)
    combo.check(a)
    assert (combo.checkedNodes(), combo.uncheckedNodes()) == ((a, b), ())
    combo.uncheck(b)
    assert told == [(b,), (a, b), (a,)]
    assert combo.checkState(b) == qt.Qt.Unchecked
    assert type(combo.checkedNodes()) is tuple


def test_checks_stay_with_their_nodes_when_others_come_go_and_are_renamed(combo):
    a, b, c = volume("a"), volume("b"), volume("c")
    combo.check(b)
    slicer.mrmlScene.RemoveNode(a)
    volume("d")
    c.SetName("first of all")
    assert combo.checkedNodes() == (b,)


def test_a_checked_node_that_is_removed_is_no_longer_checked_and_nothing_is_told(combo):
    a, b = volume("a"), volume("b")
    combo.check(a)
    told = counted(combo)
    slicer.mrmlScene.RemoveNode(a)
    assert (combo.checkedNodes(), told) == ((), [])
    combo.check(b)
    assert told == [(b,)]


def test_all_and_none_count_the_nodes_only(combo):
    a = volume("a")
    assert (combo.allChecked(), combo.noneChecked()) == (False, True)
    combo.check(a)
    assert (combo.allChecked(), combo.noneChecked()) == (True, False)
    combo.noneEnabled = True
    assert (combo.allChecked(), combo.noneChecked()) == (True, False)


def test_a_node_of_another_type_has_no_check_mark(combo):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "t")
    told = counted(combo)
    combo.check(table)
    assert (combo.checkState(table), combo.checkedNodes(), told) == (qt.Qt.Unchecked, (), [])


def test_nothing_can_be_added_or_deleted_from_it_by_default(combo):
    assert (combo.addEnabled, combo.removeEnabled, combo.renameEnabled) == (False, False, False)


def test_a_person_checks_rows_in_the_opened_list_which_stays_open(host):
    combo = ctk.ctkCheckableComboBox()
    for text in ("March", "June", "October"):
        combo.addItem(text)
    told = []
    combo.connect("checkedIndexesChanged()", lambda: told.append(len(combo.checkedIndexes())))
    combo.show()
    combo.showPopup()
    host.process_events()
    view = QtWidgets.QComboBox.view(combo)
    for row in (2, 0, 2):
        place = view.visualRect(view.model().index(row, 0)).center()
        QtTest.QTest.mouseClick(view.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)
    assert told == [1, 2, 1]
    assert view.isVisible()
    combo.hidePopup()
    combo.delete()


def test_a_row_that_may_not_be_checked_by_a_person_ignores_the_click(combo, host):
    node = volume("a")
    combo.setUserCheckable(node, False)
    inner = QtWidgets.QWidget.findChild(combo, QtWidgets.QComboBox)
    combo.show()
    inner.showPopup()
    host.process_events()
    view = QtWidgets.QComboBox.view(inner)
    place = view.visualRect(view.model().index(0, 0)).center()
    QtTest.QTest.mouseClick(view.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)
    assert combo.checkedNodes() == ()
    inner.hidePopup()
    combo.hide()
