"""The walker finds each kind of mistake in a small sample, and leaves the right way to write it alone."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest
from standin.api_classes import Source
from standin.api_walk import walkSources

UIS = {"SAMSample.ui": {"applyButton": "QPushButton", "volumeSelector": "qMRMLNodeComboBox", "rows": "QTableWidget"}}
OURS = frozenset({"SAMSampleLib", "SAMSample", "SAMPromptCommonLib"})


def messages(code: str, file: str = "panel.py") -> list[str]:
    source = Source(Path("SAMSampleLib") / file, ast.parse(textwrap.dedent(code)))
    return [f"{line}: {message}" for _path, line, message in walkSources([source], UIS, OURS)]


# rule -> (bad code, what has to be said of it, good code)
RULES = {
    "a class that qt does not have": (
        "import qt\ndef f():\n    return qt.QtWidgets.QLabel()",
        "qt has no QtWidgets",
        "import qt\ndef f():\n    return qt.QLabel()",
    ),
    "a class that ctk does not have": (
        "import ctk\ndef f():\n    return ctk.ctkNoSuchWidget()",
        "ctk has no ctkNoSuchWidget",
        "import ctk\ndef f():\n    return ctk.ctkCollapsibleButton()",
    ),
    "a widget that slicer does not have": (
        "import slicer\ndef f():\n    return slicer.qMRMLNodeCombo()",
        "slicer has no qMRMLNodeCombo",
        "import slicer\ndef f():\n    return slicer.qMRMLNodeComboBox()",
    ),
    "a misspelt property is assigned": (
        "import qt\ndef f():\n    label = qt.QLabel()\n    label.wordwrap = True",
        "QLabel has no wordwrap",
        "import qt\ndef f():\n    label = qt.QLabel()\n    label.wordWrap = True",
    ),
    "a property is called": (
        "import qt\ndef f():\n    box = qt.QSpinBox()\n    return box.value()",
        "QSpinBox.value is a property: without ()",
        "import qt\ndef f():\n    box = qt.QSpinBox()\n    return box.value",
    ),
    "a getter that a property shadows is called on a widget of the ui": (
        """
        import slicer
        class W:
            def setup(self):
                top = slicer.util.loadUI(self.resourcePath("UI/SAMSample.ui"))
                self.ui = slicer.util.childWidgetVariables(top)
            def f(self):
                return self.ui.applyButton.text()
        """,
        "QPushButton.text is a property",
        """
        import slicer
        class W:
            def setup(self):
                top = slicer.util.loadUI(self.resourcePath("UI/SAMSample.ui"))
                self.ui = slicer.util.childWidgetVariables(top)
            def f(self):
                return self.ui.applyButton.text + self.ui.volumeSelector.currentNode().GetName()
        """,
    ),
    "a slot is assigned": (
        "import qt\ndef f():\n    b = qt.QPushButton()\n    b.setChecked = True",
        "QPushButton.setChecked is a slot and cannot be assigned",
        "import qt\ndef f():\n    b = qt.QPushButton()\n    b.setChecked(True)",
    ),
    "a read-only property is assigned": (
        "import qt\ndef f():\n    c = qt.QComboBox()\n    c.count = 3",
        "QComboBox.count is read only",
        "import qt\ndef f():\n    c = qt.QComboBox()\n    return c.count",
    ),
    "a widget that the ui file does not have": (
        """
        import slicer
        class W:
            def setup(self):
                top = slicer.util.loadUI("UI/SAMSample.ui")
                self.ui = slicer.util.childWidgetVariables(top)
                self.ui.applyButon.enabled = False
        """,
        "SAMSample.ui has no widget applyButon",
        """
        import slicer
        class W:
            def setup(self):
                top = slicer.util.loadUI("UI/SAMSample.ui")
                self.ui = slicer.util.childWidgetVariables(top)
                self.ui.applyButton.enabled = False
        """,
    ),
    "a signal with a wrong signature": (
        "import slicer\ndef f(g):\n    s = slicer.qMRMLNodeComboBox()\n    s.connect('currentNodeChanged(QString)', g)",
        "qMRMLNodeComboBox has no signal currentNodeChanged(QString)",
        "import slicer\ndef f(g):\n    s = slicer.qMRMLNodeComboBox()\n"
        "    s.connect('currentNodeChanged(vtkMRMLNode *)', g)",
    ),
    "a signal that no class has, on a value that is not known": (
        "def f(widget, g):\n    widget.connect('valueChangd(double)', g)",
        "no class has a signal valueChangd(double)",
        "def f(widget, g):\n    widget.connect('valueChanged(double)', g)",
    ),
    "something that is no signal is connected": (
        "import qt\ndef f(g):\n    c = qt.QComboBox()\n    c.currentIndex.connect(g)",
        "QComboBox.currentIndex is a property, not a signal",
        "import qt\ndef f(g):\n    c = qt.QComboBox()\n    c.currentIndexChanged.connect(g)",
    ),
    "a default argument that the signal replaces": (
        "import qt\ndef f(g, row):\n    b = qt.QPushButton()\n    b.clicked.connect(lambda row=row: g(row))",
        "the signal's bool replaces the default of row",
        "import qt\ndef f(g, row):\n    b = qt.QPushButton()\n    b.clicked.connect(lambda checked, row=row: g(row))",
    ),
    "a scoped enumeration value": (
        "import qt\ndef f():\n    return qt.QMessageBox.StandardButton.Yes",
        "enumeration values are short: qt.QMessageBox.Yes",
        "import qt\ndef f():\n    return qt.QMessageBox.Yes",
    ),
    "a value that an enumeration of Qt does not have": (
        "import qt\ndef f():\n    return qt.Qt.WaitingCursor",
        "qt.Qt has no WaitingCursor",
        "import qt\ndef f():\n    return qt.Qt.WaitCursor | qt.Qt.AlignLeft",
    ),
    "exec without an underscore": (
        "import qt\ndef f():\n    d = qt.QDialog()\n    return d.exec()",
        "QDialog has no exec",
        "import qt\ndef f():\n    d = qt.QDialog()\n    return d.exec_()",
    ),
    "keyword arguments for Qt": (
        "import qt\ndef f(parent):\n    return qt.QLabel('a', parent=parent)",
        "QLabel() with keyword arguments",
        "import qt\ndef f(parent):\n    return qt.QLabel('a', parent)",
    ),
    "isinstance with a class of Qt": (
        "import qt\ndef f(w):\n    return isinstance(w, (str, qt.QWidget))",
        'isinstance with qt.QWidget is true of the exact class only: use value.inherits("QWidget")',
        "import qt\ndef f(w):\n    return isinstance(w, str) or w.inherits('QWidget')",
    ),
    "a class derived from qt.Signal": (
        "import qt\nclass S(qt.Signal):\n    pass",
        "qt.Signal crashes",
        "class S:\n    def connect(self, f):\n        self.f = f",
    ),
    "a member that MRML does not have": (
        "import slicer\ndef f():\n    n = slicer.mrmlScene.AddNewNodeByClass('vtkMRMLScalarVolumeNode')\n"
        "    n.SetOrign(0, 0, 0)",
        "vtkMRMLScalarVolumeNode has no SetOrign",
        "import slicer\ndef f():\n    n = slicer.mrmlScene.AddNewNodeByClass('vtkMRMLScalarVolumeNode')\n"
        "    n.SetOrigin(0, 0, 0)",
    ),
    "a Python property of a newer VTK": (
        "import vtk\ndef f():\n    image = vtk.vtkImageData()\n    return image.dimensions",
        "vtkImageData.dimensions is a Python property",
        "import vtk\ndef f():\n    image = vtk.vtkImageData()\n    return image.GetDimensions()",
    ),
    "a misspelt method of a node that is not known better": (
        "def f(volumeNode):\n    return volumeNode.GetIJKToRASMatix()",
        "no class of MRML, VTK or SimpleITK has GetIJKToRASMatix",
        "def f(volumeNode, m):\n    return volumeNode.GetIJKToRASMatrix(m)",
    ),
    "a mistake on what a method of MRML returns": (
        "import slicer\ndef f():\n    n = slicer.vtkMRMLSegmentationNode()\n"
        "    return n.GetSegmentation().GetSegmentNames()",
        "vtkSegmentation has no GetSegmentNames",
        "import slicer\ndef f():\n    n = slicer.vtkMRMLSegmentationNode()\n"
        "    return n.GetSegmentation().GetSegmentIDs()",
    ),
    "a mistake on a widget of the panel's own ui file": (
        "class Section:\n    def __init__(self, ui):\n        self.ui = ui\n        ui.rows.rowcount = 3",
        "QTableWidget has no rowcount",
        "class Section:\n    def __init__(self, ui):\n        self.ui = ui\n"
        "        ui.rows.rowCount = 3\n        self.ui.rows.setRowCount(2)",
    ),
    "a function that slicer.util does not have": (
        "import slicer\ndef f(n):\n    return slicer.util.arrayOfVolume(n)",
        "slicer.util has no arrayOfVolume",
        "import slicer\ndef f(n):\n    return slicer.util.arrayFromVolume(n)",
    ),
    "a name that the scene does not have": (
        "import slicer\ndef f():\n    slicer.mrmlScene.AddNewNode('x')",
        "vtkMRMLScene has no AddNewNode",
        "import slicer\ndef f():\n    slicer.mrmlScene.AddNode(slicer.vtkMRMLScalarVolumeNode())",
    ),
    "a name that slicer.app does not have": (
        "import slicer\ndef f():\n    slicer.app.processEvent()",
        "slicer.app has no processEvent",
        "import slicer\ndef f():\n    slicer.app.processEvents()",
    ),
    "a signal that slicer.app does not have": (
        "import slicer\ndef f(g):\n    slicer.app.connect('aboutToClose()', g)",
        "slicer.app has no signal aboutToClose()",
        "import slicer\ndef f(g):\n    slicer.app.connect('aboutToQuit()', g)",
    ),
    "slicer.packaging, which 5.8.1 lacks": (
        "import slicer\ndef f():\n    slicer.packaging.pip_ensure('x')",
        "slicer.packaging is not in Slicer 5.8.1",
        "from SAMPromptCommonLib import compat\ndef f():\n    compat.ensure('x')",
    ),
    "torch in Slicer's process": (
        "def f():\n    import torch.cuda",
        "torch is never imported in Slicer's process",
        "def f():\n    import importlib.metadata",
    ),
    "the backend outside the contract": (
        "def f():\n    from samprompt.models import registry",
        "only samprompt.contract may be imported",
        "from samprompt.contract.errors import InputProblem",
    ),
    "an extension's module at file scope": (
        "import DICOMLib",
        "DICOMLib is imported at file scope",
        "def f():\n    import DICOMLib",
    ),
    "an import hidden in a try at file scope": (
        "try:\n    import PyTorchUtils\nexcept ImportError:\n    pass",
        "PyTorchUtils is imported at file scope",
        "import logging\nimport numpy as np\nimport SimpleITK as sitk\nfrom SAMPromptCommonLib import grids",
    ),
    "a call at file scope": (
        "import slicer\nslicer.util.showStatusMessage('hello')",
        "code at file scope: slicer.util.showStatusMessage('hello')",
        "import slicer\ndef f():\n    slicer.util.showStatusMessage('hello')",
    ),
    "a constant that is computed by Qt at file scope": (
        "import qt\nRED = qt.QColor('red')",
        "qt.QColor() is called at file scope",
        "import re\nSTAGES = ('reading', 'computing')\nNUMBER = re.compile('[0-9]+')",
    ),
    "a loop at file scope": (
        "NAMES = []\nfor name in ('a', 'b'):\n    NAMES.append(name)",
        "code at file scope: for name in",
        "NAMES = [name for name in ('a', 'b')]",
    ),
    "an f-string inside a translation": (
        "from slicer.i18n import tr as _\ndef f(n):\n    return _(f'{n} visits')",
        "an f-string inside _()",
        "from slicer.i18n import tr as _\ndef f(n):\n    return _('{count} visits').format(count=n)",
    ),
    "a translation of something that is no literal": (
        "from slicer.i18n import tr as _\ndef f(text):\n    return _(text + '!')",
        "_() takes a literal text",
        "from slicer.i18n import tr as _\ndef f():\n    return _('one ' 'two')",
    ),
    "a mistake on a value known by its annotation": (
        "import slicer\ndef f(node: slicer.vtkMRMLSegmentationNode | None):\n    return node.GetSegmentations()",
        "vtkMRMLSegmentationNode has no GetSegmentations",
        "import slicer\ndef f(node: slicer.vtkMRMLSegmentationNode | None):\n    return node.GetSegmentation()",
    ),
    "a mistake on what a method of Qt returns": (
        "import qt\nclass W:\n    def __init__(self):\n        self.table = qt.QTableWidget()\n"
        "    def f(self):\n        self.table.horizontalHeader().setStretchLast(True)",
        "QHeaderView has no setStretchLast",
        "import qt\nclass W:\n    def __init__(self):\n        self.table = qt.QTableWidget()\n"
        "    def f(self):\n        self.table.horizontalHeader().setStretchLastSection(True)",
    ),
    "a mistake inside a class derived from a widget": (
        "import qt\nclass Row(qt.QWidget):\n    def __init__(self, parent):\n        super().__init__(parent)\n"
        "        self.setLayouts(qt.QHBoxLayout())",
        "QWidget has no setLayouts",
        "import qt\nclass Row(qt.QWidget):\n    def __init__(self, parent):\n        super().__init__(parent)\n"
        "        self.rows = []\n        self.setLayout(qt.QHBoxLayout())\n        self.fill()\n"
        "    def fill(self):\n        self.rows.append(1)",
    ),
    "a mistake in a loop over widgets": (
        "import qt\ndef f():\n    a, b = None, None\n    label = qt.QLabel()\n    box = qt.QSpinBox()\n"
        "    for one in (label, box):\n        one.wordWrap = True",
        "QSpinBox has no wordWrap",
        "import qt\ndef f():\n    label = qt.QLabel()\n    box = qt.QSpinBox()\n"
        "    for one in (label, box):\n        one.toolTip = 'x'",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_mistake_is_found(rule):
    bad, said, _good = RULES[rule]
    found = messages(bad)
    assert any(said in one for one in found), found


@pytest.mark.parametrize("rule", RULES)
def test_the_right_way_is_left_alone(rule):
    assert messages(RULES[rule][2]) == []


def test_a_value_of_one_of_two_kinds_is_not_accused_of_what_one_of_them_has():
    code = """
    import qt
    def f(long):
        if long:
            w = qt.QLabel()
        else:
            w = qt.QSpinBox()
        w.wordWrap = True
        w.maximum = 3
        w.noSuchThing = 4
    """
    assert messages(code) == ["10: QLabel has no noSuchThing"]


def test_what_a_method_returns_may_be_of_a_derived_class():
    good = "import qt\nclass W:\n    def f(self):\n        w = qt.QWidget()\n        w.layout().addRow('a', w)"
    assert messages(good) == []
    assert "QLayout has no addRows" in messages(good.replace("addRow(", "addRows("))[0]


def test_a_name_that_is_assigned_something_unknown_is_left_alone():
    code = "import qt\ndef f(make):\n    w = qt.QLabel()\n    w = make(w)\n    w.whatever = 1"
    assert messages(code) == []


def test_names_of_an_inner_function_do_not_leak_out():
    code = """
    import qt
    def f():
        w = qt.QLabel()
        def g(w):
            w.anything = 1
        g(w)
        return w.text()
    """
    assert messages(code) == ["8: QLabel.text is a property: without ()"]


def test_a_mistake_in_code_at_file_scope_is_reported_once():
    assert messages("import qt\nX = qt.QLable") == ["2: qt has no QLable"]


def test_connections_of_our_own_signals_are_no_business_of_qt():
    code = """
    class Signal:
        def connect(self, f):
            self.f = f
    class Logic:
        def __init__(self):
            self.runEnded = Signal()
    class W:
        def __init__(self):
            self.logic = Logic()
            self.logic.runEnded.connect(lambda run=None: run)
    """
    assert messages(code) == []


def test_only_the_files_meant_for_it_may_ask_for_what_is_newer():
    code = "def f():\n    import slicer.packaging"
    assert messages(code, "packages.py") == []
    assert "is not in Slicer 5.8.1" in messages(code, "logic.py")[0]
