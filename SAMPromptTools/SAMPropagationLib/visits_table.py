"""A line per visit while a run is on its way: waiting, aligning..., done in 12 s, failed, cancelled."""

import time

from slicer.i18n import tr as _

from SAMPropagationLib.plain_table import cell, fitHeight, stretch


class VisitsTable:
    """Shows the visits of a ``Run``, and how long each of them took."""

    def __init__(self, table) -> None:
        self.table = table
        self._begun, self._seconds = {}, {}
        self._run = ""
        self._shown = None
        stretch(table, (0, 1))

    def show(self, run) -> None:
        """Show the run's visits; None: nothing."""
        if run is None or not run.visits:
            self.table.visible = False
            self._shown = None
            return
        if run.id != self._run:
            self._run, self._begun, self._seconds = run.id, {}, {}
        self._watch(run)
        lines = [(visit.name, self.words(n, visit)) for n, visit in enumerate(run.visits)]
        if lines != self._shown:
            self._shown = lines
            self.fill(lines)
        self.table.visible = True

    def showRecord(self, visits) -> None:
        """Show the visits of a run that was saved with the scene: dictionaries with name, state, message."""
        lines = [(visit.get("name", ""), recordWords(visit)) for visit in visits]
        if lines and lines != self._shown:
            self._shown = lines
            self.fill(lines)
        self.table.visible = bool(lines)

    def fill(self, lines) -> None:
        """One line per visit: name and state."""
        self.table.rowCount = len(lines)
        for row, (name, words) in enumerate(lines):
            self.table.setItem(row, 0, cell(name, name))
            self.table.setItem(row, 1, cell(words, words))
        self.table.resizeRowsToContents()
        fitHeight(self.table, 160)

    def words(self, index, visit) -> str:
        """State of a visit in words."""
        if visit.state == "waiting":
            return _("waiting")
        if visit.state == "done":
            seconds = self._seconds.get(index)
            return _("done") if seconds is None else _("done in {seconds} s").format(seconds=max(1, round(seconds)))
        if visit.state in ("failed", "cancelled"):
            return recordWords({"state": visit.state, "message": visit.message})
        stage = visit.stage or (_("importing") if visit.state == "importing" else _("computing"))
        stage = stageWords().get(stage, stage)
        if visit.total > 0:
            return _("{stage}... {done} of {total}").format(stage=stage, done=visit.done, total=visit.total)
        return f"{stage}..."

    def _watch(self, run) -> None:
        """Take the time of every visit, from its first step to its end."""
        now = time.monotonic()
        for n, visit in enumerate(run.visits):
            if visit.state != "waiting":
                self._begun.setdefault(n, now)
            if visit.state == "done" and n not in self._seconds and self._begun[n] < now:
                self._seconds[n] = now - self._begun[n]


def recordWords(visit) -> str:
    """State of a visit that is over, in words."""
    message = visit.get("message", "")
    if visit.get("state") == "failed":
        return _("failed: {reason}").format(reason=message) if message else _("failed")
    if visit.get("state") == "cancelled":
        return _("cancelled")
    if visit.get("state") == "done":
        return _("done")
    return _("not finished")


def stageWords() -> dict:
    """What the worker's steps are called where their own name is no word of the clinic."""
    return {
        "body": _("finding the body"),
        "rigid": _("aligning the visits"),
        "local rigid": _("aligning the surroundings"),
        "deformable": _("aligning the tissue"),
        "quality": _("judging the alignment"),
    }
