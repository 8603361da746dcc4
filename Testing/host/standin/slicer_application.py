"""How the stand-in application is put together: `build(host)` completes what the wheel's `slicer` package has."""

from __future__ import annotations

import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer

from standin.host import Host


class ApplicationLayer:
    """All parts of the application, and their life from one test to the next.

    host: the handle of the tests. scene: the current `Scene`. module_manager, io_manager, layout_manager, main_window:
    as `slicer.app` gives them out; the last two are None without a main window.
    """

    def __init__(self, host: Host) -> None:
        from standin.slicer_app import Application
        from standin.slicer_home import make_home
        from standin.slicer_io import IOManager
        from standin.slicer_modules import ModuleManager

        self.host = host
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-standin-home-")
        self._settings: Any = None
        self._homes: dict[str, Path] = {}
        for version in ("5.8", "5.12"):
            folder = Path(self._folder.name) / f"Slicer-{version}"
            folder.mkdir()
            self._homes[version] = make_home(folder, version)
        self.scene: Any = None
        self.layout_manager: Any = None
        self.main_window: Any = None
        self.module_selector: Any = None
        self._window: Any = None
        self.module_manager = ModuleManager(self)
        self.io_manager = IOManager(self)
        self.application = Application(self)
        self._path_before = os.environ.get("PATH", "")

    @property
    def home(self) -> Path:
        """The application's folder, for the version that the host plays."""
        return self._homes[self.host.version]

    def settings_object(self) -> Any:
        """The application's settings; the same object each time."""
        if self._settings is None:
            self._settings = self.host.qt.QSettings()
        return self._settings

    def start(self, main_window: bool) -> None:
        """A new scene and, if wished, a new main window; closes what was open."""
        from standin import slicer_export, slicer_release
        from standin.slicer_scene import Scene

        self.finish()
        slicer_release.play(self.host, self.host.version)
        self.settings_object().clear()
        os.environ["PATH"] = f"{self.home / 'bin'}{os.pathsep}{self._path_before}"
        self.host._main_window = main_window
        self.scene = Scene(self.home, views=main_window, version=self.host.version)
        slicer.mrmlScene = self.scene.scene
        self.module_manager._in_start()
        slicer_export.prepare(self.host)
        self.host.install_extension("PyTorch", present=False)
        if main_window:
            from standin.slicer_main_window import ModuleSelector, appear, make_main_window
            from standin.slicer_views import LayoutManager

            self.layout_manager = LayoutManager(self)
            self.module_selector = ModuleSelector(self)
            # One window serves all tests: it is shown and hidden, not made and deleted.
            self._window = self._window or make_main_window(self)
            self.main_window = self._window
            appear(self, self._window)
        self.application._in_emit("mrmlSceneChanged(vtkMRMLScene*)", self.scene.scene)

    def finish(self) -> None:
        """Unload the scripted modules (cleanup() of their widgets), close the main window, let the scene go."""
        if self.scene is None:
            return
        self.module_manager._in_unload_scripted()
        if self.main_window is not None:
            from standin.slicer_main_window import disappear

            disappear(self.main_window)
            self.main_window = None
            self.layout_manager._in_close()
            self.layout_manager = None
        scene, self.scene = self.scene, None
        scene.close()
        slicer.mrmlScene = None
        self.host.process_events()


def build(host: Host) -> None:
    """Complete the `slicer` package: app, modules, mrmlScene, i18n, parameterNodeWrapper and the rest."""
    from standin import parameter_nodes, slicer_host, slicer_i18n, slicer_module_kinds

    # The host exists already and is held by its maker, so it becomes, rather than is replaced by, the larger class.
    host.__class__ = slicer_host.SlicerHost
    host.begin(slicer_module_kinds.Modules())
    slicer_host.keep_settings_private(host)
    for name, one in host.qmrml_classes.items():
        setattr(slicer, name, one)
    slicer.modules = host.slicer_modules
    slicer.qSlicerScriptedLoadableModule = slicer_module_kinds.ScriptedModule
    slicer.qSlicerScriptedLoadableModuleWidget = slicer_module_kinds.make_widget_class(host.qt)
    _publish("slicer.i18n", slicer_i18n)
    _publish("slicer.parameterNodeWrapper", parameter_nodes.load())
    # These use slicer.i18n, as Slicer's own do.
    from standin import slicer_sample_data, slicer_scripted

    _publish("slicer.ScriptedLoadableModule", slicer_scripted)
    sys.modules["SampleData"] = slicer_sample_data
    layer = ApplicationLayer(host)
    host.application_layer = layer
    host.application = layer.application
    slicer.app = layer.application
    layer.start(main_window=host._main_window)


def _publish(name: str, module: types.ModuleType) -> None:
    """Make a stand-in module importable under the name that panels use."""
    sys.modules[name] = module
    setattr(slicer, name.rpartition(".")[2], module)
