"""qMRMLWidget: the top of a panel's .ui file; it hands the scene on to the widgets that are connected to it."""

from __future__ import annotations

import qt

from standin.qt_declared import declared, emit


@declared("slicer.qMRMLWidget")
class qMRMLWidget(qt.QWidget):
    """Knows a scene and tells with ``mrmlSceneChanged`` when it gets another one."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_scene = None

    def mrmlScene(self):
        return self._in_scene

    def setMRMLScene(self, scene) -> None:
        if scene is self._in_scene:
            return
        self._in_scene = scene
        self._in_sceneChanged()
        emit(self, "mrmlSceneChanged(vtkMRMLScene*)", scene)

    def _in_sceneChanged(self) -> None:
        """For the widgets below this class: the scene is another one now."""
