"""The table of results: two lines for each structure of each visit, its figures and below them what to look at."""

import re

import qt
from SAMPromptCommonLib.signals import Signal
from slicer.i18n import tr as _

from SAMPropagationLib.plain_table import cell, fitHeight, keyOf, stretch, swatch

WORST_FIRST, BY_VISIT = "worst", "visit"
VISIT, STRUCTURE, VOLUME, CHANGE, SHIFT, TRUST = range(6)
# Middle tones, readable on a light and on a dark theme; the word stands beside the colour.
LEVEL_COLORS = {"low": "#d64545", "medium": "#d08700", "high": "#2f9e4f"}
_RIGHT = 0x0082  # Qt.AlignRight | Qt.AlignVCenter
_HEIGHT = 420  # pixels; beyond that the table scrolls


class ResultsTable:
    """Shows ``ResultRow``s. ``chosen(row)`` is emitted when the user picks one, None when none is left."""

    def __init__(self, table) -> None:
        self.table = table
        self.chosen = Signal("ResultRow or None")
        self.rows = []  # in the order of the table
        self._shown = None
        self._first = []  # line of the table on which each row begins
        self._measure = qt.QLabel(table)  # knows how high a text of a given width is
        self._measure.wordWrap = True
        self._measure.visible = False
        self._layoutTimer = qt.QTimer()
        self._layoutTimer.setSingleShot(True)
        self._layoutTimer.connect("timeout()", self.layOut)
        stretch(table, (VISIT, STRUCTURE))
        table.horizontalHeader().connect("sectionResized(int,int,int)", self.onResized)
        table.connect("cellClicked(int,int)", self.onCell)
        table.connect("currentCellChanged(int,int,int,int)", self.onCurrent)

    # --- filling ------------------------------------------------------------------------------------------------------
    def show(self, rows, order) -> None:
        """Show these rows; the selected one stays selected."""
        rows = inOrder(rows, order)
        if rows == self._shown:
            return
        selected = identity(self.selected())
        self._shown = self.rows = rows
        self.table.blockSignals(True)
        self.table.clearSpans()
        self.table.clearContents()
        self._first = []
        texts = [remarks(row) for row in rows]
        self.table.rowCount = len(rows) + sum(bool(text) for text in texts)
        line = 0
        for index, (row, text) in enumerate(zip(rows, texts, strict=True)):
            self._first.append(line)
            self._fillFigures(line, index, row)
            line += 1
            if text:
                self.table.setSpan(line, 0, 1, self.table.columnCount)
                self.table.setItem(line, 0, cell(text, text, key=index))
                line += 1
        kept = next((n for n, row in enumerate(rows) if identity(row) == selected), None)
        if kept is None:
            self.table.clearSelection()
            self.table.setCurrentCell(-1, -1)
        else:
            self._select(kept)
        self.table.blockSignals(False)
        self.layOut()
        if kept is None and selected is not None:
            self.chosen.emit(None)

    def _fillFigures(self, line, index, row) -> None:
        visit = "\n".join(part for part in (row.visit, row.date if row.date not in row.visit else "") if part)
        level = row.level if row.level in LEVEL_COLORS else "low"
        color, word = LEVEL_COLORS[level], levelWord(level)
        trust = _("Trust {score} of 1: {word}.").format(score=f"{row.trust:.2f}", word=word)
        structure = cell(wrappable(row.structure), row.structure, key=index)
        structure.setIcon(swatch(row.color))
        cells = {
            VISIT: cell(wrappable(visit), f"{visit}\n{row.segmentationName}", key=index),
            STRUCTURE: structure,
            VOLUME: cell(f"{row.volume_ml:.1f}", volumeTip(row), alignment=_RIGHT, key=index),
            CHANGE: cell(signed(row.change_percent), volumeTip(row), alignment=_RIGHT, key=index),
            SHIFT: cell("–" if row.shift_mm is None else f"{row.shift_mm:.1f}", alignment=_RIGHT, key=index),
            TRUST: cell(f"● {word}", trust, qt.QColor(color), key=index),
        }
        for column, item in cells.items():
            self.table.setItem(line, column, item)

    # --- choosing -----------------------------------------------------------------------------------------------------
    def selected(self):
        """The row that is selected, None where none is."""
        index = keyOf(self.table.item(self.table.currentRow(), 0)) if self.table.currentRow() >= 0 else None
        return self.rows[index] if index is not None and index < len(self.rows) else None

    def select(self, index) -> None:
        """Select a row, as a click on it does."""
        self._select(index)
        self.chosen.emit(self.rows[index])

    def onCell(self, line, _column) -> None:
        """A line was clicked, perhaps the one that is selected already."""
        if self.table is not None:
            self._choose(line)

    def onCurrent(self, line, _column, before, _columnBefore) -> None:
        """Another line was reached by the keyboard or the mouse."""
        if self.table is None:
            return
        index, old = keyOf(self.table.item(line, 0)), keyOf(self.table.item(before, 0))
        if index is not None and index != old:
            self._choose(line)

    def _choose(self, line) -> None:
        index = keyOf(self.table.item(line, 0))
        if index is not None and index < len(self.rows):
            self.chosen.emit(self.rows[index])

    def _select(self, index) -> None:
        before = self.table.blockSignals(True)
        self.table.setCurrentCell(self._first[index], 0)
        self.table.selectRow(self._first[index])
        self.table.blockSignals(before)

    # --- size ---------------------------------------------------------------------------------------------------------
    def onResized(self, *_sizes) -> None:
        """The panel became wider or narrower: lines wrap elsewhere, soon."""
        if self.table is not None:
            self._layoutTimer.start(0)

    def layOut(self) -> None:
        """Make every line as high as its text needs."""
        table = self.table
        width = table.viewport().width
        for index, first in enumerate(self._first):
            table.setRowHeight(first, max(self._height(first, column) for column in (VISIT, STRUCTURE)))
            last = self._first[index + 1] if index + 1 < len(self._first) else table.rowCount
            if last > first + 1:
                table.setRowHeight(first + 1, self._height(first + 1, VISIT, width))
        fitHeight(table, _HEIGHT, 2)

    def _height(self, line, column, width=0) -> int:
        """Height of a cell's text in pixels; ``width`` of the column where none is given."""
        width = (width or self.table.columnWidth(column)) - 10
        if column == STRUCTURE:
            width -= 20  # the swatch
        self._measure.text = self.table.item(line, column).text()
        return self._measure.heightForWidth(max(30, width)) + 6

    def cleanup(self) -> None:
        """No longer lay out or choose: a table that is being deleted is resized once more, and loses its lines."""
        self._layoutTimer.stop()
        self.table = None


def inOrder(rows, order) -> list:
    """What needs looking at first; with ``BY_VISIT`` visit by visit (they come in the order of visits)."""
    visits = list(dict.fromkeys(row.segmentationId for row in rows))

    def key(row):
        return visits.index(row.segmentationId) if order == BY_VISIT else 0, not row.flagged, row.trust

    return sorted(rows, key=key)


def identity(row):
    """What a row stands for, whatever its figures."""
    return None if row is None else (row.segmentationId, row.segmentId)


def remarks(row) -> str:
    """The line below the figures: what to look at and why."""
    parts = []
    if row.accepted:
        parts.append(_("Accepted as reference."))
    if row.stale:
        parts.append(_("Edited since the run: volume and change are of what is there now."))
    if row.gone:
        parts.append(_("Not found on this visit."))
    reasons = "; ".join(row.reasons)
    if reasons:
        parts.append((_("Check: {reasons}.") if row.flagged else _("{reasons}.")).format(reasons=reasons.rstrip(".")))
    elif row.flagged:
        parts.append(_("Check before use."))
    parts.extend(note if note.endswith((".", "!", "?")) else f"{note}." for note in row.notes)
    return " ".join(part[:1].upper() + part[1:] for part in parts)


def levelWord(level) -> str:
    """The trust in a word."""
    return {"low": _("low"), "medium": _("medium"), "high": _("high")}[level]


def wrappable(name) -> str:
    """A name that can be broken into lines after underscores and dots, which many names have in place of spaces, and
    not inside a date."""
    name = re.sub(r"(?<=\d)-(?=\d)", "\u2011", name)
    return re.sub(r"([_./\\])(?=\w)", "\\1\u200b", name)


def volumeTip(row) -> str:
    """Both volumes in a sentence."""
    now, before = (f"{volume:.2f}" for volume in (row.volume_ml, row.baseline_ml))
    return _("{now} ml, on the baseline {before} ml").format(now=now, before=before)


def signed(percent) -> str:
    """A change with its sign, "–" where there is none."""
    if percent is None:
        return "–"
    return f"{percent:+.0f}".replace("-", "−")
