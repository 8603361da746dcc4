"""Sees what happens in the scene and tells the logic: results edited, nodes removed, the scene closed or loaded."""

import qt
import slicer
import vtk
from SAMPromptCommonLib.signals import Signal
from slicer.util import VTKObservationMixin

from SAMPropagationLib.results import resultNodes

_SETTLE_MS = 300  # a stroke of the Segment Editor changes a segment many times; the table is read once after it
_EDITS = ("SourceRepresentationModified", "SegmentModified", "SegmentAdded", "SegmentRemoved")


class SceneWatcher(VTKObservationMixin):
    """Signals: ``sceneCloses()`` before anything is gone, ``sceneChanged()`` after it was closed or another was loaded,
    ``nodeRemoved(node)`` not while it closes, ``resultsEdited()`` once after a series of edits."""

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.sceneCloses, self.sceneChanged = Signal(), Signal()
        self.nodeRemoved, self.resultsEdited = Signal("node"), Signal()
        self._settled = qt.QTimer()
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLE_MS)
        self._settled.connect("timeout()", self.resultsEdited.emit)
        scene = slicer.mrmlScene
        self.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self._onStartClose)
        self.addObserver(scene, slicer.vtkMRMLScene.EndCloseEvent, self._onChanged)
        self.addObserver(scene, slicer.vtkMRMLScene.EndImportEvent, self._onChanged)
        self.addObserver(scene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved)

    def watchResults(self) -> None:
        """See edits of all results that are there now."""
        for node in resultNodes():
            for event in (getattr(slicer.vtkSegmentation, name) for name in _EDITS):
                if not self.hasObserver(node.GetSegmentation(), event, self._onEdited):
                    self.addObserver(node.GetSegmentation(), event, self._onEdited)

    def stop(self) -> None:
        """See nothing more."""
        self._settled.stop()
        self.removeObservers()

    def _onEdited(self, caller=None, event=None) -> None:
        self._settled.start()

    def _onStartClose(self, caller=None, event=None) -> None:
        self._settled.stop()
        self.sceneCloses.emit()

    def _onChanged(self, caller=None, event=None) -> None:
        self.sceneChanged.emit()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, caller, event, node) -> None:
        if node is None or slicer.mrmlScene.IsClosing():
            return
        self.nodeRemoved.emit(node)
        if node.IsA("vtkMRMLSegmentationNode"):
            self._settled.start()
