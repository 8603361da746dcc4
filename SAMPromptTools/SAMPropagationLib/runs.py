"""Starting runs, one at a time, waiting for them, and what the parameter node keeps of them."""

import time
import uuid

import slicer
from samprompt.contract.errors import EnvironmentProblem, InputError
from SAMPromptCommonLib import catalogue
from SAMPromptCommonLib.signals import Signal
from slicer.i18n import tr as _

from SAMPropagationLib.choice import choose
from SAMPropagationLib.handover import HandedVolumes
from SAMPropagationLib.parameters import lastRun, setLastRun
from SAMPropagationLib.problems import problemsOf
from SAMPropagationLib.run import OVER, Run, VisitState
from SAMPropagationLib.runner import Runner
from SAMPropagationLib.undo import Undo


class Runs:
    """The current or last run of a panel and its undo.

    ``client`` as ``SAMPropagationLogic``'s, None: the shared one when it is needed. Signals as there: ``runChanged``,
    ``visitChanged``, ``ended``.
    """

    def __init__(self, client, ensurePackages) -> None:
        self.runChanged, self.visitChanged, self.ended = Signal("Run"), Signal("Run, index"), Signal("Run")
        self.undo = Undo()
        self._client, self._ensurePackages = client, ensurePackages
        self._handed = HandedVolumes()
        self._runner, self._parameters = None, None

    @property
    def run(self) -> Run | None:
        """The current or last run."""
        return self._runner.run if self._runner is not None else None

    @property
    def isRunning(self) -> bool:
        """Whether a run is on its way."""
        return self._runner is not None and not self._runner.run.isOver

    def refuseWhileRunning(self) -> None:
        """Raises:
        InputError: a run is on its way.
        """
        if self.isRunning:
            raise InputError(_("A run is already on its way."), _("Wait for its end, or cancel it first."))

    def start(self, parameters, volumes=None) -> Run:
        """Start a run; ``volumes`` instead of the follow-ups, where given.

        Raises:
            InputError: something that blocks is wrong with the choice, or a run is on its way.
            EnvironmentProblem: packages are missing and were not installed.
        """
        self.refuseWhileRunning()
        for problem in problemsOf(parameters):
            if problem.blocking:
                raise InputError(problem.message, problem.hint)
        # Only who chooses a SAM 2 model is asked for its package, which is built from source.
        chosen = None if parameters.weightsPath.strip() else catalogue.model(parameters.model)
        answer = self._ensurePackages(group=chosen.packages if chosen is not None else "core")
        if not answer:
            raise EnvironmentProblem(answer.message, answer.hint)
        self.refuseWhileRunning()  # the question let events in
        choice = choose(parameters, volumes)
        visits = [VisitState(nodeId, choice.names[nodeId]) for nodeId in choice.followUps]
        run = Run(uuid.uuid4().hex, parameters.parameterNode.GetID(), visits)
        self._parameters = parameters
        runner = self._runner = Runner(run, choice, self._worker(), self._handed, self.undo.begin())
        runner.runChanged.connect(self._onRunChanged)
        runner.visitChanged.connect(self.visitChanged.emit)
        runner.ended.connect(self._onEnded)
        runner.start()
        return run

    def wait(self, run: Run, timeout) -> None:
        """Process events until the run is over; None: however long it takes.

        Raises:
            TimeoutError: not over after ``timeout`` seconds; it was cancelled.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not run.isOver:
            slicer.app.processEvents()
            if until is not None and time.monotonic() > until and not run.isOver:
                message = _("Not finished after {seconds} seconds.").format(seconds=f"{timeout:g}")
                self.cancel(message)
                raise TimeoutError(message)
            time.sleep(0.002)

    def cancel(self, message: str = "") -> None:
        """Stop the run, if one is on its way."""
        if self.isRunning:
            self._runner.cancel(message)

    def nodeRemoved(self, nodeId: str) -> None:
        """A node left the scene."""
        if self.isRunning:
            self._runner.nodeRemoved(nodeId)

    def leaveScene(self, message: str = "") -> None:
        """The scene goes: end the run, forget undo, remove the patient's files."""
        self.cancel(message)
        self.undo.clear()
        self._handed.clear()

    def forget(self) -> None:
        """Another scene is there: the last run was of the one before."""
        if not self.isRunning:
            self._runner = self._parameters = None

    def state(self, parameters) -> dict:
        """As ``SAMPropagationLogic.runState``."""
        record = lastRun(parameters)
        if record and record.get("state") not in OVER and not (self.isRunning and self.run.id == record.get("id")):
            message = _("The last run was interrupted: the scene was saved or closed while it was computing.")
            hint = _("It cannot be resumed. Finished visits are there; press Apply to compute all of them again.")
            record.update(state="interrupted", message=message, hint=hint)
        return record or {"state": "", "message": "", "hint": "", "visits": []}

    def _worker(self):
        if self._client is None:
            from SAMPromptCommonLib.client import WorkerClient

            self._client = WorkerClient.shared()
        return self._client

    def _onRunChanged(self, run) -> None:
        self._remember(run)
        self.runChanged.emit(run)

    def _onEnded(self, run) -> None:
        self.undo.commit(self._runner.undoStep)
        self._remember(run)
        self.ended.emit(run)

    def _remember(self, run) -> None:
        """Keep the run in its parameter node, when its state is another one than before."""
        p = self._parameters
        if p is None or slicer.mrmlScene.IsClosing():
            return
        if slicer.mrmlScene.GetNodeByID(run.parametersId) is not p.parameterNode:
            return  # deleted meanwhile
        known = lastRun(p)
        if (known.get("id"), known.get("state")) != (run.id, run.state):
            setLastRun(p, run.record())
