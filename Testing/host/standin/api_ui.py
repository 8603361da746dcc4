"""Checks .ui files against what a running Slicer has: classes, properties and their types, enums, connections.

``checkUi`` is used twice: the stand-in's loader refuses a file with hard errors as Slicer would (or worse, would not),
and the walker reports them for every .ui file together with the house rules (tool tips, names).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from standin import api_reflect
from standin.api import Api, loadApi, normalized, words
from standin.api_xml import Element, NotXml, parseXml

LAYOUTS = frozenset({"QVBoxLayout", "QHBoxLayout", "QFormLayout", "QGridLayout"})
LAYOUT_PROPERTIES = words(
    """
    leftMargin topMargin rightMargin bottomMargin margin spacing horizontalSpacing verticalSpacing
    sizeConstraint fieldGrowthPolicy rowWrapPolicy labelAlignment formAlignment
    """
)
SPACER_PROPERTIES = frozenset({"orientation", "sizeType", "sizeHint"})
DYNAMIC_PROPERTIES = frozenset({"SlicerParameterName"})
ONLY_IN_FILES = {"QLabel": {"buddy": "cstring"}, "Line": {"orientation": "enum"}}
LOOKS_LIKE = {"Line": "QFrame"}

# which XML value may be given to a property of which type; anything else is an enumeration or a set of flags
VALUES = {
    "QString": {"string"},
    "QStringList": {"stringlist"},
    "bool": {"bool"},
    "int": {"number", "enum", "set"},
    "double": {"double", "number"},
    "QSize": {"size"},
    "QRect": {"rect"},
    "QPoint": {"point"},
    "QSizePolicy": {"sizepolicy"},
    "QFont": {"font"},
    "QIcon": {"iconset"},
    "QPixmap": {"pixmap"},
    "QColor": {"color"},
    "QPalette": {"palette"},
    "QCursor": {"cursor", "cursorShape"},
    "QKeySequence": {"string"},
    "QUrl": {"url", "string"},
    "QLocale": {"locale"},
    "QDate": {"date"},
    "QTime": {"time"},
    "QDateTime": {"datetime"},
    "QByteArray": {"cstring"},
}
# widgets with which a person changes something: each needs a tool tip
EDITABLE = words(
    """
    QCheckBox QComboBox QDoubleSpinBox QLineEdit QListWidget QPlainTextEdit QPushButton QRadioButton QSlider
    QSpinBox QTableWidget QTextEdit QToolButton QTreeWidget QTableView QTreeView QListView ctkCheckableComboBox
    ctkCheckBox ctkComboBox ctkDirectoryButton ctkDoubleSpinBox ctkMenuButton ctkPathLineEdit ctkPushButton
    ctkRangeWidget ctkSearchBox ctkSliderWidget qMRMLCheckableNodeComboBox qMRMLNodeComboBox
    qMRMLSegmentSelectorWidget qMRMLSegmentsTableView qMRMLSubjectHierarchyComboBox
    qMRMLSubjectHierarchyTreeView qMRMLSliderWidget qMRMLSpinBox
    """
)
SCENE_SIGNAL, SCENE_SLOT = "mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLScene*)"


@dataclass(frozen=True, order=True)
class Finding:
    """Something to mend: where and what. ``hard`` says that the file cannot be loaded as it is."""

    file: str
    line: int
    message: str
    hard: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def widgetClasses(text: str | bytes) -> dict[str, str]:
    """objectName -> class of every widget of a .ui file; {} when it is not readable."""
    try:
        root = parseXml(text)
    except NotXml:
        return {}
    return {one.get("name"): LOOKS_LIKE.get(one.get("class"), one.get("class")) for one in root.every("widget")}


def parameterNames(trees: list[ast.Module]) -> set[str] | None:
    """Members of the parameter node wrapper classes in parsed files; None when there is no such class."""
    found: set[str] | None = None
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        if any(ast.unparse(mark).rpartition(".")[2].startswith("parameterNodeWrapper") for mark in node.decorator_list):
            members = {one.target.id for one in node.body if isinstance(one, ast.AnnAssign)}
            found = members if found is None else found | members
    return found


def checkUiFile(path: Path, modules: tuple[str, ...] = (), parameters: set[str] | None = None) -> list[Finding]:
    """All findings of one file; ``modules``: the names with which a file may begin (none: any); ``parameters``: the
    parameter node's members that widgets may be bound to (None: not known)."""
    text = path.read_bytes()
    found = checkUi(text, str(path))
    for line, name in _boundNames(text):
        if parameters is not None and name.partition(".")[0] not in parameters:
            found.append(Finding(str(path), line, f"the parameter node has no {name}"))
    if modules and not path.name.startswith(modules):
        found.append(Finding(str(path), 1, f"the file's name begins with none of {', '.join(sorted(modules))}"))
    return found


def _boundNames(text: bytes) -> list[tuple[int, str]]:
    try:
        root = parseXml(text)
    except NotXml:
        return []
    bound = [one for one in root.every("property") if one.get("name") in DYNAMIC_PROPERTIES]
    return [(one.line, (one.first("string") or one).text.strip()) for one in bound]


def checkUi(text: str | bytes, file: str, api: Api | None = None) -> list[Finding]:
    """All findings of a .ui text."""
    try:
        root = parseXml(text)
    except NotXml as error:
        return [Finding(file, error.line, f"not XML: {error}", hard=True)]
    return _Checker(root, file, api or loadApi()).run()


class _Checker:
    def __init__(self, root: Element, file: str, api: Api) -> None:
        self.root, self.file, self.api = root, file, api
        self.found: list[Finding] = []
        self.classes: dict[str, str] = {}

    def say(self, line: int, message: str, hard: bool = False) -> None:
        self.found.append(Finding(self.file, line, message, hard))

    def run(self) -> list[Finding]:
        top = self.root.first("widget")
        if self.root.tag != "ui" or top is None:
            self.say(self.root.line, "not a .ui file with a top widget", hard=True)
            return self.found
        if top.get("class") != "qMRMLWidget":
            self.say(top.line, f"the top widget is a {top.get('class')}, not a qMRMLWidget")
        self.names()
        for widget in self.root.every("widget"):
            self.widget(widget)
        for layout in self.root.every("layout"):
            self.layout(layout)
        for spacer in self.root.every("spacer"):
            self.known(spacer, SPACER_PROPERTIES, "a spacer")
        self.connections()
        self.sceneConnections(top)
        self.customWidgets()
        return sorted(set(self.found))

    # --- names and classes --------------------------------------------------------------------------------------------
    def names(self) -> None:
        for tag in ("widget", "layout", "spacer", "action"):
            for one in self.root.every(tag):
                name = one.get("name")
                if not name and tag == "widget":
                    self.say(one.line, f"a {one.get('class')} has no object name")
                elif name and name in self.classes:
                    self.say(one.line, f"the object name {name!r} is used twice", hard=True)
                elif name:
                    self.classes[name] = one.get("class") or tag

    def widget(self, widget: Element) -> None:
        name = widget.get("class")
        kind = LOOKS_LIKE.get(name, name)
        if kind not in self.api:
            self.say(widget.line, f"there is no widget class {name}", hard=True)
            return
        if not self.api.inherits(kind, "QWidget"):
            self.say(widget.line, f"{name} is not a widget", hard=True)
            return
        known = self.api.properties(kind)
        for element in widget.all("property"):
            self.property(name, widget, element, known)
        if kind in EDITABLE and not self.hasTip(widget):
            self.say(widget.line, f"{widget.get('name') or name} ({name}) has no tool tip")

    def hasTip(self, widget: Element) -> bool:
        for element in widget.all("property"):
            if element.get("name") == "toolTip":
                return bool((element.first("string") or element).text.strip())
        return False

    def property(self, owner: str, widget: Element, element: Element, known: dict) -> None:
        name = element.get("name")
        value = next((child for child in element.children), None)
        if value is None:
            self.say(element.line, f"property {name} has no value", hard=True)
        elif name in ONLY_IN_FILES.get(owner, {}):
            if value.tag != ONLY_IN_FILES[owner][name]:
                self.say(element.line, f"{owner}.{name} takes no {value.tag}", hard=True)
        elif name in known:
            self.value(owner, known[name], element.line, value)
        elif name in DYNAMIC_PROPERTIES:
            if value.tag != "string" or not value.text.strip() or element.get("stdset") != "0":
                self.say(element.line, f'{name} is to be a string with stdset="0"', hard=True)
        else:
            self.say(element.line, f"{owner} has no property {name}", hard=True)

    def value(self, owner: str, wanted, line: int, value: Element) -> None:
        """Whether that XML value suits the property."""
        allowed = VALUES.get(wanted.type, {"enum", "set"})
        if wanted.readOnly:
            self.say(line, f"{owner}.{wanted.name} is read only", hard=True)
        elif wanted.type == "QVariant":
            return
        elif value.tag not in allowed:
            self.say(line, f"{owner}.{wanted.name} is a {wanted.type} and takes no {value.tag}", hard=True)
        elif value.tag == "number" and not _isWhole(value.text):
            self.say(line, f"{owner}.{wanted.name}: {value.text!r} is no whole number", hard=True)
        elif value.tag == "bool" and value.text not in ("true", "false"):
            self.say(line, f"{owner}.{wanted.name}: {value.text!r} is neither true nor false", hard=True)
        elif value.tag in ("enum", "set"):
            self.enumValues(owner, wanted.name, line, value.text)
        elif wanted.name in ("nodeTypes", "hideChildNodeTypes"):
            for one in value.all("string"):
                if not _isNodeClass(one.text):
                    self.say(one.line, f"{owner}.{wanted.name}: there is no node class {one.text!r}")

    def enumValues(self, owner: str, name: str, line: int, text: str) -> None:
        for one in text.split("|"):
            scope, _, short = one.strip().rpartition("::")
            scope = scope or owner
            if "::" in scope:  # scoped as Designer 6 writes it: Qt::Orientation::Horizontal
                self.say(line, f"{owner}.{name}: {one} is scoped; Qt 5.15 knows the short form only", hard=True)
                continue
            known = self.api.natives(scope) if scope in self.api else frozenset()
            # QDir's filters are those of ctkPathLineEdit, and a class inherits the values of its bases.
            if short not in known | api_reflect.enumValues(scope):
                self.say(line, f"{owner}.{name}: there is no value {one.strip()}", hard=True)

    # --- layouts ------------------------------------------------------------------------------------------------------
    def layout(self, layout: Element) -> None:
        if layout.get("class") not in LAYOUTS:
            self.say(layout.line, f"{layout.get('class')} is none of {', '.join(sorted(LAYOUTS))}", hard=True)
        self.known(layout, LAYOUT_PROPERTIES, layout.get("class"))

    def known(self, element: Element, names: frozenset[str], what: str) -> None:
        for one in element.all("property"):
            if one.get("name") not in names:
                self.say(one.line, f"{what} has no property {one.get('name')}", hard=True)

    # --- connections --------------------------------------------------------------------------------------------------
    def connections(self) -> None:
        for one in self.root.every("connection"):
            sender, signal, receiver, slot = (_text(one, tag) for tag in ("sender", "signal", "receiver", "slot"))
            for name in (sender, receiver):
                if name not in self.classes:
                    self.say(one.line, f"a connection names {name!r}, which is not in this file", hard=True)
            if self.api_class(sender) and normalized(signal) not in self.api.signals(self.classes[sender]):
                self.say(one.line, f"{self.classes[sender]} has no signal {signal}", hard=True)
            if self.api_class(receiver) and normalized(slot) not in self.receivable(self.classes[receiver]):
                self.say(one.line, f"{self.classes[receiver]} has no slot {slot}", hard=True)

    def api_class(self, name: str) -> bool:
        return self.classes.get(name, "") in self.api

    def receivable(self, kind: str) -> frozenset[str]:
        return self.api.slots(kind) | self.api.signals(kind)

    def sceneConnections(self, top: Element) -> None:
        """Every widget that can be given a scene gets it from the top widget."""
        joined = {
            _text(one, "receiver")
            for one in self.root.every("connection")
            if (_text(one, "sender"), normalized(_text(one, "signal")), normalized(_text(one, "slot")))
            == (top.get("name"), SCENE_SIGNAL, SCENE_SLOT)
        }
        for widget in self.root.every("widget"):
            kind = widget.get("class")
            if widget is top or kind not in self.api or widget.get("name") in joined:
                continue
            if SCENE_SLOT in self.api.slots(kind):
                self.say(widget.line, f"{widget.get('name')} ({kind}) does not get the scene from the top widget")

    def customWidgets(self) -> None:
        told = {_text(one, "class") for one in self.root.every("customwidget")}
        for widget in self.root.every("widget"):
            kind = widget.get("class")
            if kind.startswith(("ctk", "qMRML", "qSlicer")) and kind not in told:
                self.say(widget.line, f"{kind} is not among the custom widgets of the file")


def _text(element: Element, tag: str) -> str:
    child = element.first(tag)
    return child.text.strip() if child is not None else ""


def _isWhole(text: str) -> bool:
    return text.strip().lstrip("+-").isdigit()


def _isNodeClass(name: str) -> bool:
    import slicer

    return name.startswith("vtkMRML") and hasattr(slicer, name)
