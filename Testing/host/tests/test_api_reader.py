"""The reader of slicer_api.json, against lines of the file itself and against Qt."""

from __future__ import annotations

import json

import pytest
from PySide6.QtCore import QMetaObject
from standin.api import FACTS, argumentTypes, loadApi, normalized


def test_members_of_base_classes_are_inherited_along_the_whole_line():
    api = loadApi()
    assert [facts.name for facts in api.lineage("ctkCollapsibleButton")] == [
        "ctkCollapsibleButton",
        "QAbstractButton",
        "QWidget",
        "QObject",
    ]
    assert api.properties("ctkCollapsibleButton")["objectName"].type == "QString"
    assert "clicked(bool)" in api.signals("ctkCollapsibleButton")
    assert "deleteLater()" in api.slots("ctkCollapsibleButton")


def test_every_class_of_the_file_is_there_and_says_what_the_file_says():
    entries = json.loads(FACTS.read_text(encoding="utf-8"))["classes"]
    api = loadApi()
    assert len(entries) == 522 == len(api.classes)
    for name, entry in entries.items():
        facts = api.classes[name.partition(".")[2]]
        assert set(facts.properties) == set(entry["properties"])
        assert facts.signals == tuple(entry["signals"])


def test_read_only_is_taken_from_the_type_and_not_left_in_it():
    found = loadApi().properties("QComboBox")["count"]
    assert (found.type, found.readOnly) == ("int", True)
    assert not loadApi().properties("QComboBox")["currentText"].readOnly


@pytest.mark.parametrize(
    ("name", "member", "kind"),
    [
        ("QPushButton", "text", "property"),
        ("QPushButton", "setText", "native"),
        ("QPushButton", "click", "slot"),
        ("QPushButton", "clicked", "signal"),
        ("QPushButton", "txet", None),
        ("qMRMLNodeComboBox", "currentNode", "slot"),
        ("qMRMLNodeComboBox", "currentNodeId", "property"),  # a slot of that name is hidden by the property
        ("qMRMLCheckableNodeComboBox", "checkedNodes", "slot"),
    ],
)
def test_a_member_is_what_python_meets(name, member, kind):
    assert loadApi().kind(name, member) == kind


def test_an_unknown_class_is_a_key_error():
    with pytest.raises(KeyError):
        loadApi().properties("QNoSuchWidget")


@pytest.mark.parametrize(
    "signature",
    [
        "clicked()",
        "clicked( bool )",
        "currentIndexChanged(const QString &)",
        "currentNodeChanged( vtkMRMLNode * )",
        "dataChanged(const QModelIndex&, QModelIndex const &, const QList< int >&)",
        "itemChanged(const QTableWidgetItem *)",
        "triggered(unsigned int, const QMap< int, QList<int> > &, const char *)",
        "noArguments(  )",
        "constantValue(const int)",
    ],
)
def test_a_signature_is_normalized_as_qt_itself_does(signature):
    assert normalized(signature) == bytes(QMetaObject.normalizedSignature(signature).data()).decode()


def test_a_signature_keeps_the_names_of_qt_5_that_qt_6_replaced():
    assert normalized("dataChanged(QModelIndex, QVector<int>)") == "dataChanged(QModelIndex,QVector<int>)"


def test_commas_inside_templates_do_not_separate_arguments():
    assert argumentTypes("changed(QMap<int,QString>,bool)") == ["QMap<int,QString>", "bool"]
    assert argumentTypes("changed()") == []
