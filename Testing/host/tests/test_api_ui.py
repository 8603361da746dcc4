"""The checker of .ui files finds each kind of mistake in a small form and leaves the right one alone."""

from __future__ import annotations

import ast

import pytest
from standin.api_ui import checkUi, checkUiFile, parameterNames, widgetClasses
from standin.api_xml import NotXml, parseXml

FORM = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>SAMSample</class>
 <widget class="qMRMLWidget" name="SAMSample">
  <layout class="QFormLayout" name="form">
   <property name="fieldGrowthPolicy"><enum>QFormLayout::AllNonFixedFieldsGrow</enum></property>
   <item row="0" column="0"><widget class="QLabel" name="label">
    <property name="text"><string>Volume:</string></property>
    <property name="alignment"><set>Qt::AlignLeft|Qt::AlignVCenter</set></property>
    <property name="buddy"><cstring>selector</cstring></property>
   </widget></item>
   <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="selector">
    <property name="toolTip"><string>The volume of the first visit</string></property>
    <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
    <property name="noneEnabled"><bool>true</bool></property>
    <property name="SlicerParameterName" stdset="0"><string>baselineVolume</string></property>
   </widget></item>
   <item row="1" column="1"><widget class="ctkPathLineEdit" name="path">
    <property name="toolTip"><string>A file with weights</string></property>
    <property name="filters"><set>ctkPathLineEdit::Files|ctkPathLineEdit::Readable</set></property>
   </widget></item>
   <item row="2" column="1"><widget class="QPushButton" name="apply">
    <property name="toolTip"><string>Start</string></property>
    <property name="minimumWidth"><number>90</number></property>
    <property name="sizePolicy"><sizepolicy hsizetype="Fixed" vsizetype="Fixed"/></property>
   </widget></item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>a.h</header></customwidget>
  <customwidget><class>ctkPathLineEdit</class><extends>QWidget</extends><header>b.h</header></customwidget>
 </customwidgets>
 <resources/>
 <connections>
  <connection><sender>SAMSample</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>selector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>
 </connections>
</ui>
"""

# rule -> (what is replaced in the form, with what, what has to be said, whether the file cannot be loaded then)
RULES = {
    "a class that is not there": (
        'class="QPushButton"',
        'class="QPushButtn"',
        "there is no widget class QPushButtn",
        True,
    ),
    "something that is no widget": ('class="QPushButton"', 'class="QTimer"', "QTimer is not a widget", True),
    "an unknown property": (
        'name="minimumWidth"',
        'name="minimalWidth"',
        "QPushButton has no property minimalWidth",
        True,
    ),
    "a property of another type": ("<number>90</number>", "<string>90</string>", "is a int and takes no string", True),
    "a number that is none": ("<number>90</number>", "<number>true</number>", "'true' is no whole number", True),
    "a bool that is none": ("<bool>true</bool>", "<bool>yes</bool>", "'yes' is neither true nor false", True),
    "an enum value that is not there": ("Qt::AlignVCenter", "Qt::AlignMiddle", "no value Qt::AlignMiddle", True),
    "a filter that is not there": (
        "ctkPathLineEdit::Readable",
        "ctkPathLineEdit::Legible",
        "ctkPathLineEdit::Legible",
        True,
    ),
    "a scoped enum of Qt 6": ("Qt::AlignLeft|", "Qt::AlignmentFlag::AlignLeft|", "is scoped", True),
    "a property of a layout": ('name="fieldGrowthPolicy"', 'name="growth"', "QFormLayout has no property growth", True),
    "a layout that is not there": ('class="QFormLayout"', 'class="QFlowLayout"', "QFlowLayout is none of", True),
    "a name twice": ('name="apply"', 'name="selector"', "the object name 'selector' is used twice", True),
    "no tool tip": ("<string>Start</string>", "<string></string>", "apply (QPushButton) has no tool tip", False),
    "a node class that is not there": (
        "<string>vtkMRMLScalarVolumeNode",
        "<string>vtkMRMLVolumNode",
        "vtkMRMLVolumNode",
        False,
    ),
    "a signal that is not there": (
        "mrmlSceneChanged(vtkMRMLScene*)",
        "sceneChanged(vtkMRMLScene*)",
        "has no signal",
        True,
    ),
    "a slot that is not there": ("<slot>setMRMLScene", "<slot>setScene", "qMRMLNodeComboBox has no slot", True),
    "a receiver that is not there": ("<receiver>selector", "<receiver>selektor", "names 'selektor'", True),
    "a widget without the scene": ("<receiver>selector", "<receiver>SAMSample", "does not get the scene", False),
    "another top widget": ('class="qMRMLWidget"', 'class="QWidget"', "the top widget is a QWidget", False),
    "a dynamic property that Qt would set": (' stdset="0"', "", 'to be a string with stdset="0"', True),
    "a custom widget that is not told": (
        "<class>ctkPathLineEdit</class>",
        "<class>x</class>",
        "is not among the custom",
        False,
    ),
    "no XML": ("  </layout>", "", "not XML", True),
}

# what stands in the reported line, where it is not the line that was changed
AT = {
    "no tool tip": 'name="apply"',
    "a slot that is not there": "<connection>",
    "a receiver that is not there": "<connection>",
    "a widget without the scene": 'name="selector"',
    "a custom widget that is not told": 'name="path"',
    "no XML": "</widget>",
}


def test_the_right_form_has_no_findings():
    assert [str(one) for one in checkUi(FORM, "SAMSample.ui")] == []


@pytest.mark.parametrize("rule", RULES)
def test_the_mistake_is_found_with_its_line(rule):
    old, new, said, hard = RULES[rule]
    text = FORM.replace(old, new, 1)
    assert text != FORM
    found = [one for one in checkUi(text, "SAMSample.ui") if said in one.message]
    assert found, [str(one) for one in checkUi(text, "SAMSample.ui")]
    assert found[0].hard is hard
    lines = text.splitlines()
    changed = next((line for line in lines if line not in FORM.splitlines()), "</widget>")
    assert AT.get(rule, changed) in lines[found[0].line - 1]
    assert str(found[0]).startswith(f"SAMSample.ui:{found[0].line}: ")


def test_a_file_has_to_be_named_after_its_module(tmp_path):
    path = tmp_path / "Sample.ui"
    path.write_text(FORM)
    assert "begins with none of SAMSample" in str(checkUiFile(path, ("SAMSample",))[0])
    assert checkUiFile(path.rename(tmp_path / "SAMSample_extra.ui"), ("SAMSample",)) == []


def test_a_widget_is_bound_to_a_member_of_the_parameter_node(tmp_path):
    path = tmp_path / "SAMSample.ui"
    path.write_text(FORM)
    code = "@parameterNodeWrapper\nclass P:\n    baselineVolume: vtkMRMLScalarVolumeNode\n    threads: int = 0\n"
    known = parameterNames([ast.parse(code)])
    assert known == {"baselineVolume", "threads"}
    assert checkUiFile(path, (), known) == []
    assert "the parameter node has no baselineVolume" in str(checkUiFile(path, (), {"threads"})[0])
    assert parameterNames([ast.parse("class P:\n    a: int")]) is None


def test_the_classes_of_the_widgets_are_read_by_name():
    assert widgetClasses(FORM)["selector"] == "qMRMLNodeComboBox"
    assert widgetClasses("<ui") == {}


def test_the_xml_reader_knows_lines_text_and_nesting():
    root = parseXml('<a x="1">\n <b>one\n two</b>\n <b/></a>')
    assert (root.tag, root.get("x"), root.line) == ("a", "1", 1)
    assert [one.line for one in root.all("b")] == [2, 4]
    assert root.first("b").text == "one\n two"
    with pytest.raises(NotXml) as error:
        parseXml("<a>\n<b></a>")
    assert error.value.line == 2
