"""The module manager: scripted modules loaded, shown, left and unloaded as Slicer's factory and selector do it.

A scripted module lives as long as a test: at its end the manager unloads it, which calls cleanup() of its widget.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer

from standin.slicer_module_kinds import CoreModule, ScriptedModule
from standin.slicer_strict import CppObject

REPOSITORY = Path(__file__).resolve().parents[3]

CORE_MODULES = (
    "Annotations", "Cameras", "Colors", "CropVolume", "Data", "Markups", "Models", "Plots", "Reformat", "SceneViews",
    "SegmentEditor", "Segmentations", "Sequences", "SubjectHierarchy", "Tables", "Terminologies", "Texts", "Transforms",
    "Units", "ViewControllers", "VolumeRendering", "Volumes",
)  # fmt: skip
"""Modules of Slicer that the stand-in has a logic for."""


class ModuleManager(CppObject):
    """qSlicerModuleManager, with what the factory does (names that begin with `_in_`)."""

    _in_class = "qSlicerModuleManager"

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._in_layer = layer
        self._in_loaded: dict[str, Any] = {}
        self._in_selected = ""
        self._in_factory = FactoryManager(self)

    def factoryManager(self) -> FactoryManager:
        return self._in_factory

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._in_loaded)

    def module(self, name: str) -> Any:
        """None when there is no such module."""
        return self._in_loaded.get(name)

    # What the factory does.

    def _in_start(self) -> None:
        """The application's own modules, with a new scene."""
        for name in CORE_MODULES:
            self._in_loaded[name] = CoreModule(name, self._in_layer)
            setattr(slicer.modules, name.lower(), self._in_loaded[name])
        self._in_selected = ""

    def _in_load(self, name: str, path: Path) -> ScriptedModule:
        """Import the file, make the module's object, and publish it: qSlicerScriptedLoadableModule::setPythonSource."""
        module = ScriptedModule(name, path, self._in_layer)
        folder = str(path.parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        if name not in sys.modules or getattr(sys.modules[name], "__file__", None) != str(path):
            spec = importlib.util.spec_from_file_location(name, path)
            source = importlib.util.module_from_spec(spec)
            sys.modules[name] = source
            try:
                spec.loader.exec_module(source)
            except BaseException:
                del sys.modules[name]
                raise
        # slicer.modules.<name> exists before the constructor runs, which may ask for the path of its module.
        setattr(slicer.modules, name.lower(), module)
        try:
            module._in_source = getattr(sys.modules[name], name)(module)
        except BaseException:
            delattr(slicer.modules, name.lower())
            raise
        setattr(slicer.modules, f"{name}Instance", module._in_source)
        self._in_loaded[name] = module
        self._in_factory._in_emit("moduleLoaded(QString)", name)
        self._in_emit("moduleLoaded(QString)", name)
        return module

    def _in_make_panel(self, module: ScriptedModule) -> Any:
        """qSlicerScriptedLoadableModuleWidget: instantiate <name>Widget(parent), publish it, setup()."""
        widget_class = getattr(sys.modules[module.name], f"{module.name}Widget", None)
        if widget_class is None:
            return None
        parent = slicer.qSlicerScriptedLoadableModuleWidget(module)
        parent._in_create()
        return parent

    def _in_select(self, name: str) -> bool:
        module = self.module(name)
        if module is None or module.hidden:
            return False
        if name == self._in_selected:
            return True
        self._in_leave()
        self._in_selected = name
        panel = module.widgetRepresentation()
        self._in_layer.host.show_panel(panel)
        if isinstance(module, ScriptedModule):
            panel.enter()
        return True

    def _in_leave(self) -> None:
        """exit() of the module that is shown."""
        module = self.module(self._in_selected)
        self._in_selected = ""
        if isinstance(module, ScriptedModule) and module._in_widget is not None:
            module._in_widget.exit()
            module._in_widget.setParent(None)

    def _in_unload_scripted(self) -> None:
        """As at the end of the application: exit(), moduleAboutToBeUnloaded (which calls cleanup()), deletion."""
        self._in_leave()
        scripted = [name for name, module in self._in_loaded.items() if isinstance(module, ScriptedModule)]
        for name in scripted:
            module = self._in_loaded[name]
            self._in_emit("moduleAboutToBeUnloaded(QString)", name)
            if module._in_widget is not None:
                module._in_widget._in_close()
                module._in_widget = None
        for name in scripted:
            del self._in_loaded[name]
            for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
                if attribute in vars(slicer.modules):
                    delattr(slicer.modules, attribute)
            getattr(slicer, "selfTests", {}).pop(name, None)
        for module in self._in_loaded.values():
            module._in_close()
        for attribute in [one for one in vars(slicer.modules) if one not in map(str.lower, CORE_MODULES)]:
            delattr(slicer.modules, attribute)


class FactoryManager(CppObject):
    """qSlicerModuleFactoryManager: which modules are there."""

    _in_class = "qSlicerModuleFactoryManager"

    def __init__(self, manager: ModuleManager) -> None:
        super().__init__()
        self._in_manager = manager

    def loadedModuleNames(self) -> tuple[str, ...]:
        return self._in_manager.modulesNames()

    def isLoaded(self, name: str) -> bool:
        return self._in_manager.module(name) is not None

    def loadedModule(self, name: str) -> Any:
        return self._in_manager.module(name)

    def loadModules(self, paths: list[str]) -> bool:
        for path in paths:
            self._in_manager._in_load(Path(path).stem, Path(path))
        return True
