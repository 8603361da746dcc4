"""`slicer.modules` and the modules in it: those written in C++, scripted ones, and the widget of a scripted panel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import slicer

from standin.slicer_strict import CppObject


class Modules:
    """`slicer.modules`: one attribute per module, in small letters; Python code may add its own."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'moduleNames' object has no attribute '{name}'")


class CoreModule(CppObject):
    """A module written in C++: its logic is real, its panel is an empty widget."""

    _in_class = "qSlicerScriptedLoadableModule"  # the same properties and slots as every qSlicerAbstractModule

    def __init__(self, name: str, layer: Any) -> None:
        super().__init__()
        self._in_name = name
        self._in_layer = layer
        self._in_widget: Any = None

    def __repr__(self) -> str:
        return f"qSlicer{self._in_name}Module (qSlicer{self._in_name}Module)"

    def className(self) -> str:
        return f"qSlicer{self._in_name}Module"

    @property
    def name(self) -> str:
        return self._in_name

    @property
    def title(self) -> str:
        return self._in_name

    @property
    def path(self) -> str:
        home = self._in_layer.home / "lib" / f"Slicer-{self._in_layer.host.version}" / "qt-loadable-modules"
        return str(home / f"libqSlicer{self._in_name}Module.so")

    @property
    def hidden(self) -> bool:
        return self._in_name in ("CropVolume", "Units", "Texts", "Terminologies")

    @property
    def isBuiltIn(self) -> bool:
        return True

    @property
    def isInstalled(self) -> bool:
        return True

    def logic(self) -> Any:
        if self._in_name == "SegmentEditor" and self._in_layer.host.version == "5.8":
            return None  # the editor's logic class is newer
        return self._in_layer.scene.logics.get(self._in_name)

    def mrmlScene(self) -> Any:
        return self._in_layer.scene.scene

    def widgetRepresentation(self) -> Any:
        """The panel; made on the first call."""
        if self._in_widget is None:
            self._in_widget = self._in_layer.host.core_panel(self._in_name)
        return self._in_widget

    def _in_close(self) -> None:
        widget, self._in_widget = self._in_widget, None
        if widget is not None:
            widget.deleteLater()


class ScriptedModule(CppObject):
    """qSlicerScriptedLoadableModule: the `parent` that a module's class fills with title, categories and so on."""

    _in_class = "qSlicerScriptedLoadableModule"
    _in_writable = frozenset(
        ("title", "categories", "contributors", "dependencies", "helpText", "acknowledgementText", "hidden", "icon",
         "index", "associatedNodeTypes", "extensions", "widgetRepresentationCreationEnabled")
    )  # fmt: skip

    def __init__(self, name: str, path: Path, layer: Any) -> None:
        super().__init__()
        self._in_name, self._in_path, self._in_layer = name, path, layer
        self._in_source: Any = None
        self._in_widget: Any = None
        self.title = name
        self.categories = ()
        self.contributors = ()
        self.dependencies = ()
        self.associatedNodeTypes = ()
        self.helpText = ""
        self.acknowledgementText = ""
        self.hidden = False
        self.index = -1
        self.widgetRepresentationCreationEnabled = True
        self.icon = layer.host.qt.QIcon()

    def __setattr__(self, name: str, value: Any) -> None:
        """Typed as the properties are; a list comes back as a tuple (QStringList)."""
        if name in ("title", "helpText", "acknowledgementText") and not isinstance(value, str):
            raise _wrong_type(name, "QString", value)
        if name in ("categories", "contributors", "dependencies", "associatedNodeTypes"):
            if isinstance(value, str) or not all(isinstance(one, str) for one in value):
                raise _wrong_type(name, "QStringList", value)
            value = tuple(value)
        if name in ("hidden", "widgetRepresentationCreationEnabled"):
            value = bool(value)
        super().__setattr__(name, value)

    @property
    def name(self) -> str:
        return self._in_name

    @property
    def path(self) -> str:
        return str(self._in_path)

    @property
    def isBuiltIn(self) -> bool:
        return False

    @property
    def isInstalled(self) -> bool:
        return False

    def logic(self) -> Any:
        """None: a scripted module's own logic is made by its widget, and slicer.util.getModuleLogic asks that."""
        return None

    def mrmlScene(self) -> Any:
        return self._in_layer.scene.scene

    def widgetRepresentation(self) -> Any:
        """The panel; made, with setup(), on the first call."""
        if self._in_widget is None:
            self._in_widget = self._in_layer.module_manager._in_make_panel(self)
        return self._in_widget

    def createNewWidgetRepresentation(self) -> Any:
        return self._in_layer.module_manager._in_make_panel(self)


def make_widget_class(qt: Any) -> type:
    """qSlicerScriptedLoadableModuleWidget: the widget in which a module's Python class lays out its panel."""

    class qSlicerScriptedLoadableModuleWidget(qt.QWidget):
        def __init__(self, module: ScriptedModule) -> None:
            super().__init__()
            self._in_module = module
            self._in_self: Any = None
            self.setObjectName(f"{module.name}ModuleWidget")
            self.setLayout(qt.QVBoxLayout())

        def _in_create(self) -> None:
            module = self._in_module
            self._in_self = getattr(sys.modules[module.name], f"{module.name}Widget")(self)
            setattr(slicer.modules, f"{module.name}Widget", self._in_self)
            self._in_self.setup()

        def _in_close(self) -> None:
            self._in_self = None
            self.hide()
            self.deleteLater()

        def self(self) -> Any:
            """The Python object, as slicer.util.getModuleWidget gives it out."""
            return self._in_self

        def reload(self) -> None:
            self._in_create()

        def mrmlScene(self) -> Any:
            return slicer.mrmlScene

        def enter(self) -> None:
            if hasattr(self._in_self, "enter"):
                self._in_self.enter()

        def exit(self) -> None:
            if hasattr(self._in_self, "exit"):
                self._in_self.exit()

    return qSlicerScriptedLoadableModuleWidget


def _wrong_type(name: str, wanted: str, value: Any) -> AttributeError:
    return AttributeError(
        f"Property '{name}' of type '{wanted}' does not accept an object of type {type(value).__name__} ({value!r})"
    )
