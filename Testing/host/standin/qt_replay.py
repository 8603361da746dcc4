"""The expressions of pythonqt_facts.md once more, in the same order, and what comes back here.

The facts page keeps a label per line and what came back in a running Slicer; the expressions below were written from
the labels. `run(process_events)` gives label -> text in the page's spelling. Needs `slicer`, `qt`, `ctk` and an
application without main window in testing mode; nothing in it is particular to the stand-in, so it can be pasted into
a real one.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FACTS = Path(__file__).resolve().parents[1] / "facts" / "pythonqt_facts.md"
ADDRESS = re.compile(r"\(0x[0-9a-f]+\)| at:? 0x[0-9a-f]+")
DYNAMIC = "SlicerParameterName"
Case = tuple[str, Callable[[], Any]]


def facts() -> dict[str, str]:
    """label -> what came back, from the page. ValueError when a label stands there twice."""
    block = FACTS.read_text(encoding="utf-8").split("```")[1].strip("\n")
    found: dict[str, str] = {}
    for line in block.splitlines():
        label, _, answer = line.partition(" -> ")
        if label in found:
            raise ValueError(f"{label} stands twice in {FACTS.name}")
        found[label] = answer
    return found


def spelled(value: Any) -> str:
    """A value as the page writes it: its repr without addresses in memory.

    The wheel's MRML classes live in another Python module than the application's.
    """
    return ADDRESS.sub("", repr(value)).replace("slicer_core.MRMLCore.", "MRMLCorePython.")


def run(process_events: Callable[[], None]) -> dict[str, str]:
    """Evaluate everything, in the page's order."""
    answers: dict[str, str] = {}
    for label, expression in _cases(process_events):
        try:
            answers[label] = spelled(expression())
        except Exception as error:
            answers[label] = f"RAISES {type(error).__name__}: {ADDRESS.sub('', str(error))}"
    return answers


def _assign(target: Any, name: str, value: Any, read: str = "") -> Any:
    setattr(target, name, value)
    return getattr(target, read or name)


def _then(_done: Any, value: Any) -> Any:
    return value


def _cases(process_events: Callable[[], None]) -> Iterator[Case]:
    import qt

    box = qt.QWidget()
    button = qt.QPushButton("x")
    layout = qt.QVBoxLayout(box)
    layout.addWidget(button)
    yield from _button(qt, button)
    yield from _signals(button)
    yield from _types(qt, button)
    yield from _numbers(qt)
    yield from _combo(qt)
    yield from _enums(qt)
    yield from _table(qt)
    yield from _nodes(process_events)
    yield from _process(qt)
    yield from _timer(qt)
    yield "findChild", lambda: box.findChild(qt.QPushButton)
    yield "findChildren", lambda: box.findChildren(qt.QPushButton)
    yield "children()", lambda: box.children()
    yield from _ctk(qt)
    yield from _derived(qt)
    yield from _rest(qt, button)
    yield "deleteLater", lambda: box.deleteLater()
    yield from _application(qt)


def _button(qt: Any, b: Any) -> Iterator[Case]:
    yield "b.text", lambda: b.text
    yield "b.text()", lambda: b.text()
    yield "b.setText", lambda: b.setText("y")
    yield "b.text after", lambda: b.text
    yield "set unknown attribute", lambda: setattr(b, "noSuchAttr", 1)
    yield "set misspelt attribute", lambda: setattr(b, "txet", "z")
    yield "get unknown attribute", lambda: b.nope
    yield "enabled=False", lambda: _assign(b, "enabled", False)
    yield "b.isEnabled()", lambda: b.isEnabled()
    yield "b.setEnabled(True)", lambda: b.setEnabled(True)
    yield "visible", lambda: b.visible
    yield "isVisible()", lambda: b.isVisible()
    yield "setVisible", lambda: b.setVisible(False)


def _signals(b: Any) -> Iterator[Case]:
    calls: list[Any] = []

    def zero() -> None:
        calls.append("zero")

    def one(checked: bool) -> None:
        calls.append(("one", checked))

    def two(checked: bool, other: int = 5) -> None:
        calls.append(("two", checked, other))

    def star(*everything: Any) -> None:
        calls.append(("star", everything))

    def slot_arguments() -> list[Any]:
        slots = (zero, one, two, star, functools.partial(star, "p"))
        for slot in slots:
            b.connect("clicked(bool)", slot)
        b.click()
        for slot in slots:
            b.disconnect("clicked(bool)", slot)
        return calls

    def nothing() -> None:
        pass

    yield "connect good", lambda: b.connect("clicked(bool)", nothing)
    yield "connect clicked()", lambda: b.connect("clicked()", nothing)
    yield "connect bad", lambda: b.connect("clacked()", nothing)
    yield "connect wrong args", lambda: b.connect("clicked(int)", nothing)
    yield "b.clicked.connect", lambda: b.clicked.connect(nothing)
    yield "b.clicked", lambda: b.clicked
    yield "slot args", slot_arguments
    yield "disconnect", lambda: b.disconnect("clicked(bool)", nothing)


def _types(qt: Any, b: Any) -> Iterator[Case]:
    yield "isinstance QPushButton", lambda: isinstance(b, qt.QPushButton)
    yield "isinstance QWidget", lambda: isinstance(b, qt.QWidget)
    yield "inherits", lambda: b.inherits("QWidget")
    yield "type", lambda: type(b)
    yield "type is", lambda: type(b) is qt.QPushButton
    yield "className", lambda: b.className()


def _numbers(qt: Any) -> Iterator[Case]:
    spin = qt.QSpinBox()
    yield "spin.value", lambda: spin.value
    yield "spin.setValue", lambda: spin.setValue(5)
    yield "spin.value=", lambda: _assign(spin, "value", 6)
    yield "spin.setMinimum", lambda: spin.setMinimum(1)
    yield "spin.minimum", lambda: spin.minimum
    yield "spin.value wrong type", lambda: setattr(spin, "value", "a")


def _combo(qt: Any) -> Iterator[Case]:
    combo = qt.QComboBox()
    yield "addItems", lambda: combo.addItems(["a", "b"])
    yield "addItem data", lambda: combo.addItem("c", 5)
    yield "currentText", lambda: combo.currentText
    yield "currentIndex=", lambda: _assign(combo, "currentIndex", 1, "currentText")
    yield "itemData", lambda: combo.itemData(2)
    yield "count", lambda: combo.count
    yield "findText", lambda: combo.findText("b")
    yield "c.currentData", lambda: combo.currentData


def _enums(qt: Any) -> Iterator[Case]:
    yield "enum", lambda: (qt.Qt.WaitCursor, qt.QMessageBox.Yes, qt.Qt.Horizontal, qt.QSizePolicy.Expanding)
    yield "scoped enum", lambda: qt.Qt.CursorShape.WaitCursor
    yield "flag or", lambda: qt.QMessageBox.Yes | qt.QMessageBox.No
    yield "Qt.ItemIsEnabled|", lambda: qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
    yield "enum type", lambda: type(qt.Qt.WaitCursor)


def _table(qt: Any) -> Iterator[Case]:
    table = qt.QTableWidget(2, 2)
    item = qt.QTableWidgetItem("a")
    yield "setItem", lambda: table.setItem(0, 0, item)
    yield "item text", lambda: table.item(0, 0).text()
    yield "setHorizontalHeaderLabels", lambda: table.setHorizontalHeaderLabels(["p", "q"])
    yield "rowCount", lambda: table.rowCount
    yield "horizontalHeader", lambda: table.horizontalHeader().setStretchLastSection(True)
    yield "cellClicked connect", lambda: table.connect("cellClicked(int,int)", lambda row, column: None)
    yield "selectionModel", lambda: table.selectionModel()
    yield "item.setFlags", lambda: item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    yield "item.setData", lambda: _then(item.setData(qt.Qt.UserRole, 7), item.data(qt.Qt.UserRole))
    yield "item.setForeground", lambda: item.setForeground(qt.QBrush(qt.QColor("red")))


def _nodes(process_events: Callable[[], None]) -> Iterator[Case]:
    import slicer

    scene = slicer.mrmlScene
    before = {node.GetID() for node in _volumes(scene)}
    combo = slicer.qMRMLNodeComboBox()
    given: list[Any] = []
    made = SimpleNamespace(node=None)

    def deliver() -> list[Any]:
        return given[-1:]

    def choose() -> Any:
        made.node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "V")
        return combo.setCurrentNode(made.node)

    yield "nodeTypes=", lambda: _assign(combo, "nodeTypes", ["vtkMRMLScalarVolumeNode"])
    yield "setMRMLScene", lambda: combo.setMRMLScene(scene)
    yield "currentNode()", lambda: combo.currentNode()
    yield "connect node", lambda: combo.connect("currentNodeChanged(vtkMRMLNode*)", given.append)
    yield "connect node bool", lambda: combo.connect("currentNodeChanged(bool)", lambda there: None)
    yield "noneEnabled", lambda: combo.noneEnabled
    yield "nodeCount()", lambda: combo.nodeCount()
    yield "setCurrentNode", choose
    yield "signal delivered", deliver
    yield "currentNodeID", lambda: combo.currentNodeID
    several = slicer.qMRMLCheckableNodeComboBox()
    yield "checkable nodeTypes", lambda: _assign(several, "nodeTypes", ["vtkMRMLScalarVolumeNode"])
    yield "checkedNodes", lambda: _then(several.setMRMLScene(scene), several.checkedNodes())
    yield "setCheckState", lambda: _then(several.setCheckState(made.node, 2), several.checkedNodes())
    yield "checked signal", lambda: several.connect("checkedNodesChanged()", lambda: None)
    for widget in (combo, several):
        widget.setMRMLScene(None)
        widget.deleteLater()
    for node in _volumes(scene):
        if node.GetID() not in before:
            scene.RemoveNode(node)
    process_events()


def _volumes(scene: Any) -> list[Any]:
    found = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    found.UnRegister(None)
    return [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]


def _process(qt: Any) -> Iterator[Case]:
    process = qt.QProcess()
    environment = qt.QProcessEnvironment.systemEnvironment()
    out: list[bytes] = []
    types: list[type] = []
    finished: list[Any] = []

    def read() -> None:
        data = process.readAllStandardOutput()
        types.append(type(data))
        out.append(data.data())

    def begin() -> bool:
        process.connect("readyReadStandardOutput()", read)
        process.start("/bin/sh", ["-c", 'read line; echo "got $line $FACT"; exit 3'])
        return process.waitForStarted(10000)

    def ended(code: int, status: int) -> None:
        finished.append((code, status))

    yield "finished connect", lambda: process.connect("finished(int,QProcess::ExitStatus)", ended)
    yield "env.insert", lambda: environment.insert("FACT", "1")
    yield "setProcessEnvironment", lambda: process.setProcessEnvironment(environment)
    yield "waitForStarted", begin
    yield "state", lambda: process.state()
    yield "write str", lambda: process.write("hello\n")
    yield "write bytes", lambda: process.write(b"hello\n")
    yield "write QByteArray", lambda: process.write(qt.QByteArray(b"hello\n"))
    yield "closeWriteChannel", lambda: process.closeWriteChannel()
    yield "waitForFinished", lambda: process.waitForFinished(10000)
    yield "out", lambda: out
    yield "out type", lambda: types[0]
    yield "finished", lambda: finished
    yield "exitCode", lambda: process.exitCode()
    yield "canReadLine", lambda: process.canReadLine()


def _timer(qt: Any) -> Iterator[Case]:
    timer = qt.QTimer()
    yield "timer.interval", lambda: _assign(timer, "interval", 50)
    yield "timer.setInterval", lambda: timer.setInterval(50)
    yield "timer timeout", lambda: timer.connect("timeout()", lambda: None)
    yield "singleShot", lambda: qt.QTimer.singleShot(0, lambda: None)


def _ctk(qt: Any) -> Iterator[Case]:
    import ctk

    bar = qt.QProgressBar()
    yield "pb.value", lambda: _assign(bar, "value", 5)
    yield "pb.setRange", lambda: bar.setRange(0, 10)
    yield "pb.maximum", lambda: bar.maximum
    slider = ctk.ctkSliderWidget()
    yield "slider value", lambda: _assign(slider, "value", 3)
    yield "slider.connect", lambda: slider.connect("valueChanged(double)", lambda value: None)
    path = ctk.ctkPathLineEdit()
    yield "path", lambda: _assign(path, "currentPath", "/tmp")
    yield "filters", lambda: path.filters
    collapsible = ctk.ctkCollapsibleButton()
    yield "collapsed", lambda: _assign(collapsible, "collapsed", True)
    yield "ccb text", lambda: _assign(collapsible, "text", "T")
    for widget in (slider, path, collapsible):
        widget.deleteLater()


def _derived(qt: Any) -> Iterator[Case]:
    class Derived(qt.QWidget):
        def heightForWidth(self, width: int) -> int:
            return 7

    widget = Derived()
    yield "subclass attr", lambda: _assign(widget, "mine", 1)
    yield "subclass virtual", lambda: widget.heightForWidth(3)
    yield "subclass isinstance", lambda: isinstance(widget, qt.QWidget)
    yield "qt.Signal", lambda: qt.Signal


def _rest(qt: Any, b: Any) -> Iterator[Case]:
    yield "QColor", lambda: (qt.QColor("red").name(), int(qt.QColor("red").isValid()))
    yield "toolTip", lambda: _assign(b, "toolTip", "t")
    yield "styleSheet", lambda: _assign(b, "styleSheet", "color:red")
    yield "icon", lambda: b.setIcon(qt.QIcon())
    yield "objectName", lambda: (_assign(b, "objectName", "bb"), b.name)
    yield (
        "setProperty dyn",
        lambda: _then(b.setProperty(DYNAMIC, "abc"), b.property(DYNAMIC)),
    )
    yield "dynamicPropertyNames", lambda: [name.data() for name in b.dynamicPropertyNames()]
    yield "blockSignals", lambda: b.blockSignals(False)
    yield "hasFocus", lambda: b.hasFocus()


def _application(qt: Any) -> Iterator[Case]:
    import slicer

    settings = qt.QSettings()
    yield "QSettings", lambda: (settings.value("SAMPromptTools/none"), settings.value("SAMPromptTools/none", 3))
    yield "applicationVersion", lambda: slicer.app.applicationVersion
    yield "testingEnabled", lambda: slicer.app.testingEnabled()
    yield "majorVersion", lambda: (slicer.app.majorVersion, slicer.app.minorVersion)
    yield "mainWindow", lambda: slicer.util.mainWindow()
    yield "layoutManager", lambda: slicer.app.layoutManager()
    yield "slicer.app.connect", lambda: slicer.app.connect("startupCompleted()", lambda: None)
    yield "aboutToQuit", lambda: slicer.app.connect("aboutToQuit()", lambda: None)
    yield "packaging import", lambda: __import__("slicer.packaging")
    yield "launchConsoleProcess blocking", lambda: inspect.signature(slicer.util.launchConsoleProcess)
    yield "QStringList", lambda: qt.QStringListModel().stringList()
    yield "python", lambda: ".".join(str(part) for part in sys.version_info[:3])
