"""qt.QUiLoader: Qt's own loader lays the .ui file out, with the stand-in's classes, and refuses what Slicer lacks.

Qt drops unknown properties and connections silently or with a line on stderr; here a file with a class, property, enum
value, slot or name that Slicer 5.8.1 does not have is a RuntimeError that lists them all.
"""

from __future__ import annotations

from xml.etree import ElementTree

import qt
from PySide6 import QtCore, QtUiTools, QtWidgets

from standin.api import normalized
from standin.api_ui import LOOKS_LIKE, checkUi
from standin.qt_convert import manner
from standin.qt_manners import special

OUTER = "OuterWidgetOfTheLoader"
SIMPLE = {
    "string": str,
    "cstring": str,
    "bool": lambda text: text == "true",
    "number": int,
    "double": float,
}


class UiError(RuntimeError):
    """The .ui file asks for something that Slicer does not have."""


def loadUi(text: bytes, name: str, classes: dict[str, type], parent=None):
    """The top widget of a .ui text. UiError when the file has hard errors."""
    errors = [str(one) for one in checkUi(text, name) if one.hard]
    if errors:
        raise UiError("Could not load UI file:\n" + "\n".join(errors))
    root = ElementTree.fromstring(text)
    deferred = _takeOutProperties(root, classes)
    connections = _takeOutConnections(root)
    # PySide6's loader makes every child an attribute of the top widget, which the stand-in's classes refuse: the
    # file's top widget is loaded inside a plain one, and taken out of it.
    top = root.find("widget")
    outer = ElementTree.Element("widget", {"class": OUTER, "name": OUTER})
    root.insert(list(root).index(top), outer)
    root.remove(top)
    outer.append(top)
    builder = _Builder(classes)
    data = QtCore.QBuffer()
    data.setData(ElementTree.tostring(root, encoding="utf-8"))
    data.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    loaded = QtUiTools.QUiLoader.load(builder, data)
    if loaded is None:
        raise UiError(f"Could not load UI file: {name}: {QtUiTools.QUiLoader.errorString(builder)}")
    found = {QtCore.QObject.objectName(one): one for one in _descendants(loaded)}
    top = found[top.get("name")]
    QtWidgets.QWidget.setParent(top, parent)
    loaded.deleteLater()
    for objectName, properties in deferred:
        for element in properties:
            _setProperty(found[objectName], element)
    for sender, signal, receiver, slot in connections:
        if not found[sender].connect(normalized(signal), found[receiver], normalized(slot)):
            raise UiError(f"{name}: {sender}.{signal} could not be connected to {receiver}.{slot}")
    return top


class _Builder(QtUiTools.QUiLoader):
    """Makes the stand-in's widgets and layouts where Qt's loader would make its own."""

    def __init__(self, classes: dict[str, type]) -> None:
        super().__init__()
        self._classes = classes
        self._kept = []

    def createWidget(self, className: str, parent=None, name: str = ""):
        if className == OUTER:
            return QtWidgets.QWidget(parent)
        # "Line" is a frame that only .ui files call so.
        kind = self._classes.get(className) or getattr(qt, LOOKS_LIKE.get(className, className))
        made = kind(parent) if parent is not None else kind()
        QtCore.QObject.setObjectName(made, name)
        # A page of a tab widget or tool box belongs to it only once the loader has put it in.
        self._kept.append(made)
        return made


def _takeOutProperties(root: ElementTree.Element, classes: dict[str, type]) -> list[tuple[str, list]]:
    """Remove the properties that only the stand-in's Python classes have; (object name, elements) for later."""
    taken = []
    for widget in root.iter("widget"):
        kind = classes.get(widget.get("class"))
        if kind is None:
            continue
        own = kind._in_declared_properties
        elements = [one for one in widget.findall("property") if one.get("name") in own]
        for element in elements:
            widget.remove(element)
        taken.append((widget.get("name"), elements))
    return taken


def _takeOutConnections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    """Remove all connections: they are made in Python, where signals with MRML types live."""
    taken = []
    for holder in root.findall("connections"):
        for one in holder.findall("connection"):
            taken.append(tuple(one.findtext(tag, "").strip() for tag in ("sender", "signal", "receiver", "slot")))
        root.remove(holder)
    return taken


def _setProperty(widget, element: ElementTree.Element) -> None:
    """Give a property of a Python class the value that the file says."""
    value = element[0]
    if value.tag in SIMPLE:
        made = SIMPLE[value.tag](value.text or "")
    elif value.tag == "stringlist":
        made = [one.text or "" for one in value.findall("string")]
    elif value.tag in ("enum", "set"):
        made = sum(_enumValue(widget, one.strip()) for one in (value.text or "").split("|"))
    else:
        raise UiError(f"{type(widget).__name__}.{element.get('name')}: the stand-in reads no {value.tag} here")
    setattr(widget, element.get("name"), made)


def _enumValue(widget, text: str) -> int:
    scope, _, short = text.rpartition("::")
    owner = getattr(qt, scope, None) if scope.startswith("Q") else None
    return int(getattr(owner if owner is not None else type(widget), short))


def _descendants(widget: QtWidgets.QWidget) -> list[QtCore.QObject]:
    return [manner(one) for one in QtCore.QObject.findChildren(widget, QtCore.QObject)]


def install(classes: dict[str, type]) -> None:
    """Make ``qt.QUiLoader().load(device, parent)`` this loader."""

    @special("load", QtUiTools.QUiLoader)
    def load(self, device, parent=None):
        if not QtCore.QIODevice.isOpen(device):
            return None
        text = bytes(QtCore.QIODevice.readAll(device).data())
        name = device.fileName() if device.inherits("QFileDevice") else "a .ui text"
        return loadUi(text, name, classes, parent)

    @special("availableWidgets", QtUiTools.QUiLoader)
    def availableWidgets(self):
        return tuple(sorted(set(QtUiTools.QUiLoader.availableWidgets(self)) | set(classes)))
