"""What a command shows on the terminal: a bar per visit, and the table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from samprompt.contract.messages import JobEvent
from samprompt.io.summary import RESEARCH_USE_ONLY, StructureRecord, Summary

_STYLES = {"low": "bold red", "medium": "yellow", "high": "green"}


class _Seconds(ProgressColumn):
    """Seconds since the visit began."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        seconds = task.finished_time if task.finished else task.elapsed
        return Text(f"{seconds or 0:.0f} s", style="dim")


class ProgressDisplay:
    """A bar per visit on a terminal; elsewhere (a file, a pipe) one plain line per visit. Everything on stderr."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._began = time.perf_counter()
        if self._console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(finished_text="[green]✓"),
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                _Seconds(),
                TextColumn("[dim]{task.fields[stage]}"),
                console=self._console,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            if self._task is not None:
                self._end_task()
            self._bars.stop()

    def stage(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Where the computation is, in words, and how far within that stage."""
        if self._bars is None:
            return
        if self._task is None:
            self._task = self._bars.add_task("Preparing", total=None, stage=stage)
        self._bars.update(self._task, total=total or None, completed=done, stage=escape(stage))

    def event(self, event: JobEvent) -> None:
        """A visit began or is finished."""
        if event.kind == "visit-started":
            if self._bars is None:
                print(f"visit {event.number} of {event.count}: {event.visit} ...", file=sys.stderr, flush=True)
                return
            if self._task is not None:
                self._end_task()
            title = escape(f"Visit {event.number}/{event.count} {event.visit}")
            self._task = self._bars.add_task(title, total=None, stage="")
        elif self._bars is None:
            print(f"visit {event.number} of {event.count}: done in {event.seconds:.1f} s", file=sys.stderr, flush=True)
        else:
            self._end_task()

    def _end_task(self) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, total=1, completed=1, stage="")
        self._task = None


def print_summary(summary: Summary, out: Path, extra: dict[tuple[str, str], Sequence[str]] | None = None) -> None:
    """The table of all visits, the notes, and the report's path as the last line.

    ``extra`` holds further cells by (visit, structure); the headings are under ("", "").
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=180)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading, justify in (("Visit", "left"), ("Structure", "left"), ("ml", "right"), ("change", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left", overflow="fold")
    for heading in ("shift mm", *(extra or {}).get(("", ""), ())):
        table.add_column(heading, justify="right")
    table.add_column("trust")
    table.add_column("check first")
    table.add_column("because", overflow="fold")
    for visit in summary.visits:
        for n, structure in enumerate(visit.structures):
            cells = (extra or {}).get((visit.name, structure.name), [""] * len((extra or {}).get(("", ""), ())))
            table.add_row(
                escape(visit.name) if n == 0 else "",
                escape(structure.name),
                *_figures(structure),
                *cells,
                *_trust(structure),
            )
    console.print(table)
    for note in (*summary.notes, *(f"{v.name}: {text}" for v in summary.visits for text in v.notes)):
        console.print(f"note: {escape(note)}", soft_wrap=True)
    console.print(RESEARCH_USE_ONLY, style="dim", soft_wrap=True)
    console.print(f"report: {escape(str(out / 'report.html'))}", soft_wrap=True)


def _figures(structure: StructureRecord) -> tuple[str, str, str]:
    change = "truncated" if structure.truncated else "-"
    if structure.change_percent is not None and not structure.truncated:
        change = f"{structure.change_percent:+.0f} %"
    shift = structure.shift_mm
    return f"{structure.volume_ml:.1f}", change, "-" if shift is None or shift != shift else f"{shift:.1f}"


def _trust(structure: StructureRecord) -> tuple[Text, str, str]:
    trust = structure.trust
    if trust is None:
        return Text("-"), "-", ""
    word = Text(f"{trust.score:.2f} {trust.level}{', check' if trust.flagged else ''}", style=_STYLES[trust.level])
    place = f"k {trust.check_slices[0].k}, z {trust.check_slices[0].z_mm:.1f}" if trust.check_slices else "-"
    return word, place, escape("; ".join(trust.reasons[:2]))
