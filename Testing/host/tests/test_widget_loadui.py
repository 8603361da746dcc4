"""slicer.util.loadUI: .ui files become the stand-in's widgets, joined and bound; a wrong file says what is wrong."""

from __future__ import annotations

import pytest
import qt
import slicer
import slicer.util

HEAD = '<?xml version="1.0" encoding="UTF-8"?><ui version="4.0"><class>SAMSample</class>'
CUSTOM = """<customwidgets>
 <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>q.h</header></customwidget>
 <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><header>c.h</header></customwidget>
 <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>n.h</header></customwidget>
 <customwidget><class>ctkPathLineEdit</class><extends>QWidget</extends><header>p.h</header></customwidget>
 <customwidget><class>ctkSliderWidget</class><extends>QWidget</extends><header>s.h</header></customwidget>
</customwidgets>"""
FORM = f"""{HEAD}
<widget class="qMRMLWidget" name="SAMSample">
 <layout class="QVBoxLayout" name="column">
  <item><widget class="ctkCollapsibleButton" name="section">
   <property name="text"><string>1. Baseline &amp;&amp; more</string></property>
   <property name="collapsed"><bool>true</bool></property>
   <layout class="QFormLayout" name="form">
    <item row="0" column="0"><widget class="QLabel" name="label">
     <property name="text"><string>Volume:</string></property>
     <property name="buddy"><cstring>selector</cstring></property></widget></item>
    <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="selector">
     <property name="toolTip"><string>The volume</string></property>
     <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
     <property name="noneEnabled"><bool>true</bool></property>
     <property name="noneDisplay"><string>No volume</string></property>
     <property name="addEnabled"><bool>false</bool></property>
     <property name="SlicerParameterName" stdset="0"><string>baselineVolume</string></property></widget></item>
    <item row="1" column="1"><widget class="ctkSliderWidget" name="slider">
     <property name="toolTip"><string>x</string></property>
     <property name="maximum"><double>5.5</double></property><property name="decimals"><number>3</number></property>
     <property name="value"><double>1.25</double></property></widget></item>
    <item row="2" column="1"><widget class="ctkPathLineEdit" name="path">
     <property name="toolTip"><string>x</string></property>
     <property name="filters"><set>ctkPathLineEdit::Files|ctkPathLineEdit::Readable</set></property></widget></item>
   </layout></widget></item>
  <item><widget class="QTabWidget" name="tabs">
   <widget class="QWidget" name="page">
   <attribute name="title"><string>Table</string></attribute>
   <layout class="QVBoxLayout" name="pageLayout">
    <item><widget class="QTableWidget" name="table">
     <property name="toolTip"><string>x</string></property>
    <property name="selectionBehavior"><enum>QAbstractItemView::SelectRows</enum></property>
    <column><property name="text"><string>Visit</string></property></column></widget></item>
   </layout></widget></widget></item>
  <item><widget class="QComboBox" name="combo">
     <property name="toolTip"><string>x</string></property>
   <item><property name="text"><string>one</string></property></item>
   <item><property name="text"><string>two</string></property></item>
   <property name="currentIndex"><number>1</number></property></widget></item>
  <item><widget class="Line" name="line">
   <property name="orientation"><enum>Qt::Horizontal</enum></property></widget></item>
  <item><spacer name="spacer"><property name="orientation"><enum>Qt::Vertical</enum></property></spacer></item>
 </layout>
</widget>{CUSTOM}<resources/>
<connections><connection><sender>SAMSample</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal><receiver>selector</receiver>
 <slot>setMRMLScene(vtkMRMLScene*)</slot><hints/></connection>
 <connection><sender>section</sender><signal>toggled(bool)</signal><receiver>line</receiver><slot>setVisible(bool)</slot></connection>
</connections></ui>"""


@pytest.fixture
def load(host, tmp_path):
    tops = []

    def loaded(text: str, name: str = "SAMSample.ui"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        tops.append(slicer.util.loadUI(str(path)))
        return tops[-1]

    yield loaded
    for top in tops:
        top.delete()


def test_the_widgets_are_of_the_right_classes_and_have_the_properties_of_the_file(load):
    top = load(FORM)
    ui = slicer.util.childWidgetVariables(top)
    assert (top.className(), type(top) is slicer.qMRMLWidget, top.objectName) == ("qMRMLWidget", True, "SAMSample")
    assert type(ui.selector) is slicer.qMRMLNodeComboBox
    assert (ui.selector.nodeTypes, ui.selector.noneDisplay, ui.selector.addEnabled) == (
        ("vtkMRMLScalarVolumeNode",),
        "No volume",
        False,
    )
    assert (ui.slider.maximum, ui.slider.decimals, ui.slider.value) == (5.5, 3, 1.25)
    assert ui.path.filters == 0x2 | 0x10
    assert (ui.section.text, ui.section.collapsed) == ("1. Baseline && more", True)
    assert type(ui.table) is qt.QTableWidget
    assert (ui.table.columnCount, ui.table.horizontalHeaderItem(0).text()) == (1, "Visit")
    assert ui.table.selectionBehavior == qt.QAbstractItemView.SelectRows
    assert (ui.combo.count, ui.combo.currentText) == (2, "two")
    assert (ui.tabs.count, ui.tabs.tabText(0)) == (1, "Table")
    assert (type(ui.line) is qt.QFrame, ui.line.frameShape) == (True, qt.QFrame.HLine)


def test_a_dynamic_property_is_kept_for_the_parameter_node(load):
    ui = slicer.util.childWidgetVariables(load(FORM))
    assert ui.selector.property("SlicerParameterName") == "baselineVolume"
    assert b"SlicerParameterName" in [bytes(one.data()) for one in ui.selector.dynamicPropertyNames()]


def test_the_scene_reaches_the_widgets_that_are_connected_to_the_top(load):
    top = load(FORM)
    ui = slicer.util.childWidgetVariables(top)
    assert not ui.selector.enabled
    top.setMRMLScene(slicer.mrmlScene)
    assert ui.selector.mrmlScene() is slicer.mrmlScene
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    assert ui.selector.nodeFromIndex(0) is node


def test_other_connections_of_the_file_work_as_well(load, host):
    top = load(FORM)
    ui = slicer.util.childWidgetVariables(top)
    top.show()
    host.process_events()
    ui.section.collapsed = False
    ui.section.collapsed = True
    assert not ui.line.visible
    top.hide()


def test_what_is_below_a_folded_section_is_hidden_from_the_start(load, host):
    top = load(FORM)
    ui = slicer.util.childWidgetVariables(top)
    top.show()
    host.process_events()
    assert not ui.selector.visible
    ui.section.collapsed = False
    host.process_events()
    assert ui.selector.visible
    top.hide()


def test_a_loaded_form_can_be_laid_into_a_panel_and_belongs_to_it(load, host):
    panel = qt.QWidget()
    panel.setLayout(qt.QVBoxLayout())
    top = load(FORM)
    panel.layout().addWidget(top)
    panel.show()
    host.process_events()
    assert top.visible
    assert top.parent() is panel
    top.setParent(None)
    panel.delete()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('class="ctkSliderWidget"', 'class="ctkSliderWidgt"', "there is no widget class ctkSliderWidgt"),
        ('name="noneEnabled"', 'name="noneEnable"', "qMRMLNodeComboBox has no property noneEnable"),
        ("<double>5.5</double>", "<string>5.5</string>", "ctkSliderWidget.maximum is a double and takes no string"),
        ("ctkPathLineEdit::Readable", "ctkPathLineEdit::Legible", "there is no value ctkPathLineEdit::Legible"),
        ("<slot>setMRMLScene(vtkMRMLScene*)", "<slot>setMRMLScene()", "qMRMLNodeComboBox has no slot setMRMLScene()"),
        ('name="combo"', 'name="table"', "the object name 'table' is used twice"),
        ("</ui>", "", "not XML"),
    ],
)
def test_a_file_that_slicer_could_not_show_is_an_error_that_names_file_line_and_cause(load, old, new, said):
    assert old in FORM
    with pytest.raises(RuntimeError) as error:
        load(FORM.replace(old, new, 1))
    assert said in str(error.value)
    assert "SAMSample.ui:" in str(error.value)


def test_a_missing_file_is_slicers_own_error(host):
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI("/nowhere/SAMSample.ui")


def test_forms_loaded_twice_have_nothing_in_common(load):
    one, two = (slicer.util.childWidgetVariables(load(FORM)) for _time in range(2))
    one.slider.value = 2.5
    one.selector.noneDisplay = "changed"
    assert (two.slider.value, two.selector.noneDisplay) == (1.25, "No volume")
