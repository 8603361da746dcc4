"""What tests can do with the application beyond Qt: load and open modules, change how it was started, quit it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from standin.host import Host


class SlicerHost(Host):
    """The handle of the tests, with the Slicer part.

    testing: what `slicer.app.testingEnabled()` answers (True: message boxes of slicer.util are skipped).
    version: "5.8" or "5.12", see slicer_release. extensions: names of installed extensions, see slicer_export.
    requests: what was asked of the application and is not carried out here: ("restart",), ("exit", code).
    packages: the record of installations, see slicer_packaging. module_paths: where load_module looks.
    errors: exceptions of slots and observers, which Slicer would only print.
    """

    def begin(self, modules: Any) -> None:
        """What the constructor would do; see slicer_application.build."""
        from standin import qt_signals

        self.slicer_modules = modules
        self.errors = qt_signals.errors
        self.application_layer: Any = None
        self.packages: Any = None
        self.reset_switches()

    def reset_switches(self) -> None:
        """As a test finds them."""
        from standin import qt_signals
        from standin.slicer_modules import REPOSITORY

        # VTK hands exceptions of Python observers to sys.excepthook, which other tests of the process may have taken.
        sys.excepthook = lambda _kind, error, _trace: qt_signals.report(error)

        self.testing = False
        self.version = "5.8"
        self.extensions: set[str] = set()
        self.requests: list[tuple] = []
        self.module_paths = [REPOSITORY / "SAMPromptTools"]

    @property
    def main_window(self) -> bool:
        """Whether the application has a main window. Setting it starts the application anew, with a new scene."""
        return self._main_window

    @main_window.setter
    def main_window(self, present: bool) -> None:
        self.application_layer.start(main_window=bool(present))

    def restart(self, *, main_window: bool = True, version: str = "5.8") -> None:
        """Start anew as another Slicer: with an empty scene and no scripted module loaded."""
        from standin import slicer_release

        self.application_layer.finish()
        slicer_release.play(self, version)
        self.application_layer.start(main_window=main_window)

    def install_extension(self, name: str, present: bool = True) -> None:
        """Have "PyTorch", "QuantitativeReporting" or "SlicerRT" installed, or not; for this test.

        KeyError for another: the stand-in knows nothing of it.
        """
        from standin import slicer_export, slicer_packaging

        if name == "PyTorch":
            slicer_packaging.switch_extension(self, name, slicer_packaging.make_torch_module(self), present)
        else:
            slicer_export.switch(self, name, present)

    def click_sample_data(self, name: str) -> Any:
        """As the button of the Sample Data module: customDownloader(source) where the source has one."""
        import SampleData

        logic = SampleData.SampleDataLogic()
        source = logic.sourceForSampleName(name)
        if source is None:
            raise ValueError(f"no sample data named {name} is registered")
        return source.customDownloader(source) if source.customDownloader else logic.downloadFromSource(source)

    def load_module(self, name: str) -> Any:
        """Load <name>.py from the module paths, once; it is then slicer.modules.<name in small letters>."""
        manager = self.application_layer.module_manager
        if manager.module(name) is not None:
            return manager.module(name)
        for folder in self.module_paths:
            path = Path(folder) / f"{name}.py"
            if path.is_file():
                return manager._in_load(name, path)
        raise FileNotFoundError(f"no {name}.py in {', '.join(str(folder) for folder in self.module_paths)}")

    def open_module(self, name: str) -> Any:
        """Load the module, show its panel (setup() once, enter()), and answer with its Python widget object."""
        module = self.load_module(name)
        manager = self.application_layer.module_manager
        panel = module.widgetRepresentation()
        if manager._in_selected != name:
            manager._in_leave()
            manager._in_selected = name
            self.show_panel(panel)
            panel.enter()
        self.process_events()
        return panel.self()

    def select_module(self, name: str) -> None:
        """As the user does it in the module selector; works without a main window, where slicer.util raises."""
        if not self.application_layer.module_manager._in_select(name):
            raise ValueError(f"Slicer cannot select a module named {name}")
        self.process_events()

    @property
    def selected_module(self) -> str:
        """Name of the module that is shown; empty before the first."""
        return self.application_layer.module_manager._in_selected

    def show_panel(self, panel: Any) -> None:
        """Put a panel into the main window, or show it on its own."""
        window = self.application_layer.main_window
        if window is None:
            panel.show()
            return
        area = window.centralWidget()
        area.takeWidget()
        area.setWidget(panel)
        panel.show()

    def core_panel(self, name: str) -> Any:
        """An empty panel for a module that is written in C++."""
        panel = self.qt.QWidget()
        panel.setObjectName(f"qSlicer{name}ModuleWidget")
        return panel

    def clear_scene(self) -> None:
        """As File > Close scene."""
        slicer.mrmlScene.Clear(False)
        self.process_events()

    def quit(self) -> None:
        """As when the user closes Slicer: aboutToQuit, then the modules are unloaded and their widgets cleaned up."""
        layer = self.application_layer
        layer.application._in_emit("aboutToQuit()")
        layer.module_manager._in_unload_scripted()
        self.process_events()


def in_event_loop(function: Callable[[], Any]) -> Any:
    """Call a function as Qt calls Python in Slicer: from within a running event loop. Its exception is passed on."""
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    results: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            failures.append(error)
        finally:
            loop.quit()

    QTimer.singleShot(0, run)
    loop.exec()
    if failures:
        raise failures[0]
    return results[0]


def keep_settings_private(host: Host) -> None:
    """Let QSettings() be a file of this process instead of the user's own settings."""
    from PySide6.QtCore import QCoreApplication, QSettings

    folder = tempfile.TemporaryDirectory(prefix="slicer-standin-settings-")
    host.settings_folder = folder  # kept: the folder goes when the host does
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, folder.name)
    QCoreApplication.setOrganizationName("slicer.org")
    QCoreApplication.setApplicationName("Slicer")
