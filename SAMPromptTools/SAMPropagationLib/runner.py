"""Drives a run: hands the visits over, asks the worker, brings every visit into the scene as soon as it is ready.

Everything happens in short steps on the main thread. A run ends exactly once, whatever happens meanwhile: nodes are
removed, the scene is closed, the worker dies, the user cancels.
"""

import slicer
from samprompt.contract.errors import StructureError
from samprompt.contract.worker import Failure, PropagateJob
from SAMPromptCommonLib import folders
from SAMPromptCommonLib.signals import Signal
from SAMPromptCommonLib.steps import Steps
from slicer.i18n import tr as _

from SAMPropagationLib import handover, provenance
from SAMPropagationLib.importing import importVisit, stampModel
from SAMPropagationLib.run import CANCELLED, COMPUTING, DONE, FAILED, IMPORTING, WAITING


class Runner:
    """One ``Run`` and what drives it.

    ``handed`` (``handover.HandedVolumes``) outlives the run, ``undoStep`` is told what the run makes and replaces.
    Signals: ``runChanged(run)``, ``visitChanged(run, index)``, ``ended(run)`` exactly once.
    """

    def __init__(self, run, choice, client, handed, undoStep) -> None:
        self.run, self.choice, self.undoStep = run, choice, undoStep
        self.runChanged, self.visitChanged, self.ended = Signal("Run"), Signal("Run, int"), Signal("Run")
        self._client, self._handed = client, handed
        self._facts = provenance.runFacts(choice.settings.method, choice.preset, choice.model)
        self._folder = None
        self._steps = None
        self._job = None
        self._result = None
        self._sent: list[int] = []  # indices of the visits that the worker was asked for, in its order
        self._frames: dict[int, object] = {}
        self._ready: list = []  # visits that are computed and wait for their import

    def start(self) -> None:
        """Begin with the next turn of the event loop."""
        self.run.started = self._facts["Date"]
        self._steps = Steps([self._prepare()], self._submit, self._failed, self._prepared).start()
        self.runChanged.emit(self.run)

    # --- preparing ----------------------------------------------------------------------------------------------------
    def _prepare(self):
        """Steps that write all that the worker needs; their result is the job."""
        choice, notes = self.choice, self.run.notes
        self._folder = folders.privateFolder("propagate")
        results = self._folder / "results"
        results.mkdir()
        count = 1 + len(choice.references) + len(choice.followUps)
        needed = [
            choice.baselineVolume,
            choice.baselineSegmentation,
            *(each for pair in choice.references for each in pair),
        ]
        self._handed.keepOnly([choice.baselineVolume, *choice.followUps, *(volume for volume, _ in choice.references)])
        yield 0.0
        self._say(_("Writing the baseline for the worker"))
        contours = self._node(choice.baselineSegmentation).GetSegmentation()
        called = handover.callNames(
            contours, [each for each in choice.segments if contours.GetSegment(each) is not None]
        )
        work = self._visit(choice.baselineVolume, choice.baselineSegmentation, called, "baseline")
        baseline = yield from self._part(work, 0, count, needed)
        if not baseline.structures:
            raise StructureError(
                _("All chosen structures are empty on the baseline."), _("Choose structures that have a contour.")
            )
        references = []
        for n, (volume, segmentation) in enumerate(choice.references):
            self._say(_("Writing {visit} for the worker").format(visit=choice.names[volume]))
            same = handover.sameStructures(self._node(segmentation).GetSegmentation(), contours, called)
            work = self._visit(volume, segmentation, same, f"reference{n}")
            references.append((yield from self._part(work, 1 + n, count, needed)))
        followUps = []
        for index, volume in enumerate(choice.followUps):
            self._say(_("Writing {visit} for the worker").format(visit=choice.names[volume]))
            try:
                work = self._handed.volume(self._node(volume))
                done = 1 + len(choice.references) + index
                handed = yield from self._part(work, done, count, [*needed, volume])
            except handover.NodeGone as gone:
                if gone.nodeId != volume:
                    raise
                self._visitFailed(index, gone.message)
                continue
            self._sent.append(index)
            self._frames[index] = handed.frame
            notes.extend(note for note in handed.notes if note not in notes)
            followUps.append(handed.message)
        if not followUps:
            raise handover.NodeGone(_("Every follow-up"), "")
        return PropagateJob(
            baseline,
            tuple(followUps),
            str(results),
            tuple(each for each in references if each.structures),
            choice.model,
            choice.device,
            choice.threads,
            choice.settings,
        )

    def _visit(self, volume: str, segmentation: str, called: dict, name: str):
        folder = self._folder / name
        folder.mkdir()
        nodes = self._node(volume), self._node(segmentation)
        return handover.visit(self._handed, *nodes, called, folder, self.run.notes)

    def _part(self, work, done: int, count: int, needed):
        """The steps of ``work`` while the nodes are there, as progress of the whole preparation."""
        names = [self.choice.names.get(each, "") for each in needed]
        iterator = handover.whileThere(work, needed, names)
        try:
            while True:
                try:
                    fraction = next(iterator)
                except StopIteration as end:
                    return end.value
                yield (done + (fraction or 0.0)) / count
        finally:
            iterator.close()

    def _prepared(self, fraction: float) -> None:
        self.run.preparation = fraction
        self.runChanged.emit(self.run)

    def _node(self, nodeId: str):
        node = slicer.mrmlScene.GetNodeByID(nodeId)
        if node is None:
            raise handover.NodeGone(self.choice.names.get(nodeId, nodeId), nodeId)
        return node

    def _say(self, stage: str) -> None:
        self.run.stage = stage

    # --- computing ----------------------------------------------------------------------------------------------------
    def _submit(self, results) -> None:
        self._steps = None
        self.run.preparation, self.run.state, self.run.stage = 1.0, COMPUTING, _("Starting the worker")
        try:
            job = self._client.submit("propagate", results[0])
        except Exception as error:
            self._failed(error)
            return
        self._job = job
        job.progressed.connect(self._progressed)
        job.visitReady.connect(self._visitReady)
        job.finished.connect(self._finished)
        job.failed.connect(self._jobFailed)
        self.runChanged.emit(self.run)

    def _progressed(self, message) -> None:
        index = self._indexOf(message.number)
        if index is None or self.run.visits[index].state not in (WAITING, COMPUTING):
            self.run.stage = message.stage
            self.runChanged.emit(self.run)
            return
        visit = self.run.visits[index]
        visit.state = COMPUTING
        visit.stages += visit.stage != message.stage
        visit.stage, visit.done, visit.total = message.stage, message.done, message.total
        self.run.stage = ""
        self.visitChanged.emit(self.run, index)
        self.runChanged.emit(self.run)

    def _indexOf(self, number: int) -> int | None:
        """Index in the run of the worker's follow-up ``number`` (from 1)."""
        return self._sent[number - 1] if 1 <= number <= len(self._sent) else None

    def _visitReady(self, message) -> None:
        index = self._indexOf(message.number)
        if index is None or self.run.visits[index].state not in (WAITING, COMPUTING):
            return
        self.run.visits[index].state = IMPORTING
        self._ready.append((index, message))
        self.visitChanged.emit(self.run, index)
        self._importNext()

    def _finished(self, result) -> None:
        self._result, self._job = result, None
        self.run.provenance = dict(result.provenance)
        self.run.notes.extend(note for note in result.notes if note not in self.run.notes)
        if self._steps is not None or self._ready:
            self.run.state = IMPORTING
            self.runChanged.emit(self.run)
        else:
            self._end()

    def _jobFailed(self, failure) -> None:
        self._job = None
        self._fail(failure)

    # --- importing ----------------------------------------------------------------------------------------------------
    def _importNext(self) -> None:
        """Import the next visit that is ready, one at a time; end the run after the last one."""
        if self._steps is not None or self.run.isOver:
            return
        if not self._ready:
            if self._result is not None:
                self._end()
            return
        index, message = self._ready.pop(0)
        visit, choice = self.run.visits[index], self.choice
        self.run.notes.extend(note for note in message.notes if note not in self.run.notes)

        def imported(_results) -> None:
            self._steps = None
            self.visitChanged.emit(self.run, index)
            self.runChanged.emit(self.run)
            self._importNext()

        def refused(error) -> None:
            self._steps = None
            if isinstance(error, handover.NodeGone) and error.nodeId != visit.nodeId:
                self._failed(error)  # the baseline: what remains cannot be brought in either
                return
            self._visitFailed(index, handover.failureOf(error).message)
            self._importNext()

        try:
            work = importVisit(
                message.outcomes,
                self._node(visit.nodeId),
                self._node(choice.baselineSegmentation),
                self._frames[index],
                self._facts,
                self.run.id,
                choice.record(),
                self.undoStep,
            )
        except handover.NodeGone as error:
            refused(error)
            return
        needed = [choice.baselineSegmentation, visit.nodeId]
        guarded = handover.whileThere(work, needed, [choice.names[each] for each in needed])
        self._steps = Steps([self._kept(guarded, visit)], imported, refused).start()

    @staticmethod
    def _kept(work, visit):
        """The steps of an import; the visit is done within the last one: no cancel comes between node and state."""
        node = yield from work
        visit.state, visit.resultId = DONE, node.GetID()
        visit.stage, visit.done, visit.total = "", 0, 0

    def _visitFailed(self, index: int, message: str) -> None:
        visit = self.run.visits[index]
        visit.state, visit.message, visit.stage, visit.done, visit.total = FAILED, message, "", 0, 0
        self.visitChanged.emit(self.run, index)

    # --- the end ------------------------------------------------------------------------------------------------------
    def nodeRemoved(self, nodeId: str) -> None:
        """A node left the scene: a follow-up is left out, the baseline or a reference ends the run."""
        if self.run.isOver:
            return
        needed = (self.choice.baselineVolume, self.choice.baselineSegmentation)
        if nodeId in needed or any(nodeId in pair for pair in self.choice.references):
            self._failed(handover.NodeGone(self.choice.names.get(nodeId, nodeId), nodeId))
            return
        for index, visit in enumerate(self.run.visits):
            if visit.nodeId == nodeId and visit.state in (WAITING, COMPUTING):
                self._visitFailed(index, handover.NodeGone(visit.name, nodeId).message)
        if all(visit.state == FAILED for visit in self.run.visits):
            self._failed(handover.NodeGone(_("Every follow-up"), ""))

    def cancel(self, message: str = "") -> None:
        """Stop; what was imported before stays. Does nothing when the run is over."""
        if not self.run.isOver:
            said = message or _("Cancelled. Visits that were finished before are kept.")
            self._fail(Failure("", "cancelled", said))

    def _failed(self, error: BaseException) -> None:
        self._fail(handover.failureOf(error))

    def _fail(self, failure) -> None:
        if self.run.isOver:
            return
        state = CANCELLED if failure.code == "cancelled" else FAILED
        self.run.error = failure
        for index, visit in enumerate(self.run.visits):
            if visit.state not in (DONE, FAILED):
                visit.state, visit.stage, visit.done, visit.total = state, "", 0, 0
                self.visitChanged.emit(self.run, index)
        self._close(state)

    def _end(self) -> None:
        if self.run.isOver:
            return
        for index, visit in enumerate(self.run.visits):
            if visit.state not in (DONE, FAILED):
                self._visitFailed(index, _("The worker gave no result for {visit}.").format(visit=visit.name))
        if all(visit.state == FAILED for visit in self.run.visits):
            first = self.run.visits[0]
            self.run.error = Failure("", "import", first.message)
            self._close(FAILED)
            return
        self._stampModel()
        self._close(DONE)

    def _stampModel(self) -> None:
        """Which weights were used is known now: into every result that still is what the run made."""
        known = self.run.provenance
        name, fingerprint = known.get("model_name") or self.choice.model, known.get("model_fingerprint") or ""
        for visit in self.run.visits:
            node = slicer.mrmlScene.GetNodeByID(visit.resultId) if visit.resultId else None
            if node is not None and node.GetAttribute(provenance.RUN) == self.run.id:
                stampModel(node, str(name), str(fingerprint))

    def _close(self, state: str) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.cancel()
        self._ready.clear()
        self.run.state, self.run.stage, self.run.ended = state, "", provenance.now()
        self._leaveJob()
        self.runChanged.emit(self.run)
        self.ended.emit(self.run)

    def _leaveJob(self) -> None:
        """Let go of the job. Its folder stays while the worker may still write into it, and goes when the job ends."""
        job, self._job = self._job, None
        folder, self._folder = self._folder, None
        if job is None:
            if folder is not None:
                folders.removeFolder(folder)
            return
        for signal, slot in (
            (job.progressed, self._progressed),
            (job.visitReady, self._visitReady),
            (job.finished, self._finished),
            (job.failed, self._jobFailed),
        ):
            signal.disconnect(slot)

        def gone(_message) -> None:
            if folder is not None:
                folders.removeFolder(folder)

        job.finished.connect(gone)
        job.failed.connect(gone)
        self._client.cancel(job)
