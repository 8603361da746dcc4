"""The panel's logic without any widget: what scripts and the self-test use. See docs/scripting.md."""

from samprompt.contract.errors import InputError
from SAMPromptCommonLib import packages
from SAMPromptCommonLib.signals import Signal
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from SAMPropagationLib import chart, corrections, export, fields, ondemand, overlay, patients, prompts, views
from SAMPropagationLib.choice import visitsToCompute
from SAMPropagationLib.export import ExportChoice
from SAMPropagationLib.parameters import SAMPropagationParameters, followUps
from SAMPropagationLib.problems import Problem, problemsOf
from SAMPropagationLib.results import ResultRow, resultRows, volumeOf
from SAMPropagationLib.run import Run
from SAMPropagationLib.runs import Runs
from SAMPropagationLib.watcher import SceneWatcher

__all__ = ["ExportChoice", "Problem", "ResultRow", "Run", "SAMPropagationLogic"]


class SAMPropagationLogic(ScriptedLoadableModuleLogic):
    """Carries contours from a baseline visit to follow-ups.

    ``client`` is a ``SAMPromptCommonLib.client.WorkerClient`` or anything that has its ``submit`` and ``cancel``; by
    default the one that all panels share. ``ensurePackages(group=...)`` sees that the packages of the worker's Python
    are there and may ask the user (``SAMPromptCommonLib.packages.ensurePackages``). Signals call plain functions on the
    main thread.

    Example::

        logic = SAMPropagationLogic()
        run = logic.propagate(baselineVolume=ct, baselineSegmentation=contours, followUps=[ct2], waitForFinished=True)
    """

    def __init__(self, parent=None, client=None, ensurePackages=packages.ensurePackages) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self.runChanged = Signal("Run")  # its state, stage or progress
        self.visitChanged = Signal("Run, index")  # of run.visits
        self.runEnded = Signal("Run")  # exactly once per run
        self.resultsChanged = Signal()  # results appeared, vanished, were edited or accepted
        self._wrapped = None
        self._runs = Runs(client, ensurePackages)
        self._runs.runChanged.connect(self.runChanged.emit)
        self._runs.visitChanged.connect(self._onVisitChanged)
        self._runs.ended.connect(self._onRunEnded)
        self._watcher = SceneWatcher()
        self._watcher.sceneCloses.connect(self._onSceneCloses)
        self._watcher.sceneChanged.connect(self._onSceneChanged)
        self._watcher.nodeRemoved.connect(self._onNodeRemoved)
        self._watcher.resultsEdited.connect(self.resultsChanged.emit)
        self._watcher.watchResults()

    # --- parameters ---------------------------------------------------------------------------------------------------
    def getParameterNode(self) -> SAMPropagationParameters:
        """The panel's own parameter node, wrapped."""
        node = ScriptedLoadableModuleLogic.getParameterNode(self)
        if self._wrapped is None or self._wrapped.parameterNode is not node:
            self._wrapped = SAMPropagationParameters(node)
        return self._wrapped

    def setFields(self, parameters=None, **values) -> None:
        """Set members of ``SAMPropagationParameters`` and the lists ``followUps`` (volumes, or a sequence of volumes),
        ``segments`` (IDs or names, None: all) and ``references`` (segmentations that know their visit).

        Raises:
            ParameterError: there is no such field or segment; then nothing is changed.
        """
        fields.setFields(parameters or self.getParameterNode(), values)

    def problems(self, parameters=None) -> list[Problem]:
        """What is wrong with the choice, what blocks first; empty when a run can start without a warning."""
        return problemsOf(parameters or self.getParameterNode())

    # --- running ------------------------------------------------------------------------------------------------------
    @property
    def run(self) -> Run | None:
        """The current or last run, None before the first and after the scene was closed."""
        return self._runs.run

    @property
    def isRunning(self) -> bool:
        """Whether a run is on its way."""
        return self._runs.isRunning

    def propagate(self, parameters=None, waitForFinished=False, timeout=None, **values) -> Run:
        """Start a run with ``parameters`` (the panel's own by default), after ``setFields(**values)``.

        With ``waitForFinished`` events are processed until the run is over, and ``run.state`` says how it ended; after
        ``timeout`` seconds it is cancelled. A second call while a run is on its way changes nothing and raises.

        Raises:
            InputError: something that blocks is wrong with the choice, or a run is on its way.
            EnvironmentProblem: Python packages are missing and were not installed.
            TimeoutError: not over after ``timeout`` seconds; it was cancelled.
        """
        self._runs.refuseWhileRunning()
        p = parameters or self.getParameterNode()
        self.setFields(p, **values)
        return self._start(p, None, waitForFinished, timeout)

    def cancel(self) -> None:
        """Stop the run, if there is one; visits that were imported before stay."""
        self._runs.cancel()

    def runState(self, parameters=None) -> dict:
        """Of the last run as the parameter node has it: "state", "message", "hint", "started", "ended", "notes",
        "visits". "state" is "" before the first, and "interrupted" when the scene was saved or closed while it ran: it
        cannot be resumed, what was finished is there."""
        return self._runs.state(parameters or self.getParameterNode())

    def cleanup(self) -> None:
        """Let go of run, observers, files and what is shown on demand: for the end of the panel or of Slicer."""
        self._runs.leaveScene()
        self._watcher.stop()
        ondemand.removeAll()
        self._wrapped = None

    # --- undo ---------------------------------------------------------------------------------------------------------
    @property
    def canUndo(self) -> bool:
        """Whether ``undo`` would do something; not while a run is on its way."""
        return len(self._runs.undo) > 0 and not self.isRunning

    def undo(self) -> list[str]:
        """Take the last run's results back and restore what they replaced; edited ones stay. Sentences for the user."""
        if not self.canUndo:
            return []
        told = self._runs.undo.takeBack()
        self._resultsAreNew()
        return told

    # --- results ------------------------------------------------------------------------------------------------------
    def results(self, parameters=None) -> list[ResultRow]:
        """Every structure on every visit, read from the scene."""
        return resultRows(parameters or self.getParameterNode())

    def jumpTo(self, row, checkSlice=0) -> bool:
        """Show the visit in the slice views at its slice ``checkSlice`` of those to check; False without a place."""
        return views.jumpTo(row, checkSlice)

    def showBaseline(self, parameters=None) -> None:
        """Show the baseline and its contours in the slice views, without any result."""
        p = parameters or self.getParameterNode()
        views.showBaseline(p.baselineVolume, p.baselineSegmentation)

    def showPrompts(self, row, on=True) -> None:
        """Show the points the model was given as markups, or remove them."""
        prompts.show(row, on)

    def promptsShown(self, row) -> bool:
        """Whether ``showPrompts`` is on."""
        return prompts.areShown(row)

    def showBaselineContour(self, row, on=True) -> bool:
        """Show the baseline's contour as the alignment put it on the visit, or remove it; False: there is none."""
        return overlay.show(row, on)

    def baselineContourShown(self, row) -> bool:
        """Whether ``showBaselineContour`` is on."""
        return overlay.isShown(row)

    def showVolumeChart(self, parameters=None):
        """Make or update the chart of volume over time and show it where there is a layout.

        Returns the vtkMRMLPlotChartNode, None while there are no results.
        """
        return chart.show(parameters or self.getParameterNode())

    # --- corrections --------------------------------------------------------------------------------------------------
    def editInSegmentEditor(self, row) -> None:
        """Open the Segment Editor module on the result.

        Raises:
            InputError: it is gone.
        """
        corrections.editInSegmentEditor(row)

    def acceptAsReference(self, row, accepted=True, parameters=None) -> None:
        """Use the row's segmentation as a further reference in later runs, or no longer.

        Raises:
            InputError: it is gone or holds no contour.
        """
        corrections.accept(parameters or self.getParameterNode(), row, accepted)
        self.resultsChanged.emit()

    def propagateFromHere(self, row, parameters=None, waitForFinished=False, timeout=None) -> Run:
        """Accept the row's segmentation as a reference, then run again for the visits after it, with all references.

        Raises:
            InputError: no visit comes after it; and as ``acceptAsReference`` and ``propagate``.
        """
        p = parameters or self.getParameterNode()
        later = self.visitsAfter(row, p)
        if not later:
            raise InputError(
                _("No follow-up comes after {visit}.").format(visit=row.visit),
                _("Add the later visits to the follow-ups."),
            )
        self._runs.refuseWhileRunning()
        self.acceptAsReference(row, True, p)
        return self._start(p, later, waitForFinished, timeout)

    def visitsAfter(self, row, parameters=None) -> list:
        """The follow-ups that ``propagateFromHere`` computes: later than the row's, and no references themselves."""
        p = parameters or self.getParameterNode()
        volume = volumeOf(row)
        if volume is None:
            return []
        open_ = visitsToCompute(p)
        return [node for node in patients.visitsAfter(volume, followUps(p)) if any(node is each for each in open_)]

    # --- patients -----------------------------------------------------------------------------------------------------
    def laterVolumes(self, volumeNode) -> list:
        """Volumes of the same patient with a later study date, by date; without dates all others, by name."""
        return patients.laterVolumes(volumeNode)

    def volumesOfSequence(self, sequenceNode) -> list:
        """Volumes in the scene, one per item of a vtkMRMLSequenceNode of volumes; made where they are not there yet."""
        return patients.volumesOfSequence(sequenceNode)

    # --- export -------------------------------------------------------------------------------------------------------
    def exportChoices(self) -> list[ExportChoice]:
        """What results can be exported as in this Slicer."""
        return export.exportChoices()

    def export(self, row, kind, folder) -> list[str]:
        """Write the row's segmentation (all structures of the visit) into ``folder``; the files written.

        Raises:
            InputError: the result is gone, or the visit has no DICOM images to refer to.
            OutputError: the folder cannot be written.
            EnvironmentProblem: what writes this kind is not in this Slicer.
        """
        return export.export(row, kind, folder)

    # --- inside -------------------------------------------------------------------------------------------------------
    def _start(self, parameters, volumes, waitForFinished, timeout) -> Run:
        run = self._runs.start(parameters, volumes)
        if waitForFinished:
            self._runs.wait(run, timeout)
        return run

    def _onVisitChanged(self, run, index) -> None:
        if run.visits[index].resultId:
            self._resultsAreNew()
        self.visitChanged.emit(run, index)

    def _onRunEnded(self, run) -> None:
        self._resultsAreNew()
        self.runEnded.emit(run)

    def _resultsAreNew(self) -> None:
        self._watcher.watchResults()
        self.resultsChanged.emit()

    def _onSceneCloses(self) -> None:
        self._runs.leaveScene(_("The scene was closed."))
        self._wrapped = None

    def _onSceneChanged(self) -> None:
        self._wrapped = None
        self._runs.forget()
        self._resultsAreNew()

    def _onNodeRemoved(self, node) -> None:
        self._runs.nodeRemoved(node.GetID())
        if node.IsA("vtkMRMLSegmentationNode"):
            ondemand.removeOf(node.GetID())
