"""Apply, Cancel, progress, and why Apply cannot be pressed."""

import qt
from SAMPromptCommonLib.signals import Signal
from slicer.i18n import tr as _

from SAMPropagationLib.panel_section import PanelSection
from SAMPropagationLib.visits_table import VisitsTable

REFRESH_MS = 100  # the worker may tell several times in a tenth of a second, which nobody can read


class RunSection(PanelSection):
    """Starts and cancels runs. ``started`` is emitted after a run was started from here or from a result."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        self.started = Signal("Run")
        self.visits = VisitsTable(self.ui.visitsTable)
        self._asked = False  # to cancel
        self.timer = qt.QTimer()
        self.timer.setSingleShot(True)
        self.timer.setInterval(REFRESH_MS)
        self.timer.connect("timeout()", self.update)
        self.onClick(self.ui.applyButton, self.onApply)
        self.logic.runChanged.connect(self.onRun)
        self.logic.visitChanged.connect(self.onRun)
        self.logic.runEnded.connect(self.onEnded)

    # --- what the user does -------------------------------------------------------------------------------------------
    def onApply(self) -> None:
        """Start a run, or cancel the one that is on its way."""
        if self.logic.isRunning:
            self._asked = True
            self.logic.cancel()
            self.update()
        else:
            self.start(self.logic.propagate)

    def start(self, propagate) -> None:
        """Start a run by ``propagate()``, after the licence of the model was accepted."""
        self.panel.messages.clear()
        if not self.panel.model.licenceAccepted():
            self.panel.messages.showNote(
                _("The licence was not accepted, so nothing was computed."),
                _("The built-in model can be used without a question."),
            )
            return
        self._asked = False
        try:
            run = propagate()
        finally:
            self.panel.updateAll()
        self.started.emit(run)

    # --- what the run tells -------------------------------------------------------------------------------------------
    def onRun(self, _run, _index=0) -> None:
        """Something about the run changed: shown soon, many changes at once."""
        if not self.timer.active:
            self.timer.start()

    def onEnded(self, run) -> None:
        """Say how it ended."""
        self._asked = False
        error = run.error
        if run.state == "failed" and error is not None:
            details = "\n".join((error.detail, *self.panel.client.log[-60:])).strip()
            self.panel.messages.showError(error.message, error.hint, details)
        elif run.notes:
            self.panel.messages.showNote(_("Remarks on this run:"), "\n".join(dict.fromkeys(run.notes)))
        self.panel.updateAll()

    # --- what is shown ------------------------------------------------------------------------------------------------
    def update(self) -> None:
        """Show button, reason, progress and visits."""
        run, button = self.logic.run, self.ui.applyButton
        running = self.logic.isRunning
        self.ui.progressBar.visible = running
        if running:
            self.ui.progressBar.value = round(1000 * run.progress)
            button.text = _("Cancelling...") if self._asked else _("Cancel")
            button.toolTip = _("Stop computing. Visits that are ready are kept.")
            button.enabled = not self._asked
            stages = {"preparing": _("Preparing the images"), "importing": _("Bringing the contours into the scene")}
            stage = run.stage or stages.get(run.state, "")
            self.say("" if run.state == "computing" else f"{stage}..." if stage else "")
            self.visits.show(run)
            return
        reason, hint, warnings = self.reason()
        button.text = _("Apply")
        button.toolTip = reason or _("Carry the checked structures to the checked visits.")
        button.enabled = not reason
        lines = [reason, hint] if reason else [self.outcome(), *warnings]
        self.say("\n".join(line for line in lines if line))
        if run is not None:
            self.visits.show(run)
        else:
            self.visits.showRecord(self.record().get("visits", ()))

    def reason(self) -> tuple:
        """Why Apply cannot be pressed, what to do about it, and warnings that do not prevent it."""
        if self.parameters is None:
            return _("The scene is closed."), "", []
        problems = self.logic.problems(self.parameters)
        blocking = [each for each in problems if each.blocking]
        if blocking:
            return blocking[0].message, blocking[0].hint, []
        reason, hint = self.panel.model.problem()
        warnings = [f"{each.message} {each.hint}".strip() for each in problems if not each.blocking]
        return reason, hint, warnings

    def outcome(self) -> str:
        """How the last run ended, in a sentence."""
        run = self.logic.run
        record = self.record() if run is None else {"state": run.state}
        state = record.get("state", "")
        if state == "interrupted":
            return f"{record.get('message', '')} {record.get('hint', '')}".strip()
        if state == "cancelled":
            return _("Cancelled. Visits that were ready before are kept.")
        if state == "failed":
            return _("The last run failed. Visits that were ready before are kept.")
        if state != "done":
            return ""
        rows = self.logic.results(self.parameters)
        flagged = sum(row.flagged for row in rows)
        if not flagged:
            return _("Done. Please look at every result before you use it.")
        return _("Done. {flagged} of {all} results should be checked first: see below.").format(
            flagged=flagged, all=len(rows)
        )

    def record(self) -> dict:
        """What the scene holds of the last run."""
        return self.logic.runState(self.parameters) if self.parameters is not None else {}

    def say(self, text) -> None:
        """The line under the button."""
        self.ui.reasonLabel.text = text
        self.ui.reasonLabel.visible = bool(text)

    def cleanup(self) -> None:
        """No longer hear of runs."""
        self.timer.stop()
        self.logic.runChanged.disconnect(self.onRun)
        self.logic.visitChanged.disconnect(self.onRun)
        self.logic.runEnded.disconnect(self.onEnded)
