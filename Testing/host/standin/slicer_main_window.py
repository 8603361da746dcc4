"""The main window: a real Qt window that is found as Slicer's is, with the module selector and the status bar."""

from __future__ import annotations

from typing import Any

from standin.slicer_strict import CppObject


class ModuleSelector(CppObject):
    """qSlicerModuleSelectorToolBar: switches from module to module, with exit() of the old and enter() of the new."""

    _in_class = "qSlicerModuleSelectorToolBar"

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._in_layer = layer

    @property
    def selectedModule(self) -> str:
        return self._in_layer.module_manager._in_selected

    def selectModule(self, name: str) -> None:
        """Unknown names and modules that cannot be selected change nothing, as in Slicer."""
        if self._in_layer.module_manager._in_select(name):
            self._in_emit("moduleSelected(QString)", name)


def make_main_window(layer: Any) -> Any:
    """A QMainWindow with a place for the module's panel and a status bar; `appear` makes it the application's."""
    qt = layer.host.qt

    class qSlicerMainWindow(qt.QMainWindow):
        def moduleSelector(self) -> ModuleSelector:
            return layer.module_selector

        def pythonConsole(self) -> Any:
            raise NotImplementedError("the stand-in has no Python console")

    window = qSlicerMainWindow()
    status, panel = qt.QStatusBar(), qt.QScrollArea()
    window.setStatusBar(status)
    panel.setObjectName("ModulePanel")
    panel.setWidgetResizable(True)
    window.setCentralWidget(panel)
    return window


def appear(layer: Any, window: Any) -> None:
    """Let slicer.util.mainWindow() find it: that looks for the name among the top-level widgets."""
    window.setObjectName("qSlicerMainWindow")
    window.setWindowTitle(f"3D Slicer {layer.application.applicationVersion} (stand-in)")
    window.statusBar().clearMessage()
    window.resize(700, 900)
    window.show()


def disappear(window: Any) -> None:
    """Without a name nobody finds it."""
    window.centralWidget().takeWidget()
    window.setObjectName("")
    window.hide()
