"""Tables of text cells: on a terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.markup import escape
from rich.table import Table as RichTable

from samprompt.evaluation.statistics import Interval


@dataclass(frozen=True)
class Table:
    """A title, a heading per column, rows of cells (text; the first column names the row) and notes below."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = field(default=())


def rich_table(table: Table) -> RichTable:
    """The table for a terminal; all columns but the first are right-aligned."""
    shown = RichTable(
        title=escape(table.title), title_justify="left", box=None, pad_edge=False, header_style="bold",
        padding=(0, 2, 0, 0), title_style="bold",
    )  # fmt: skip
    for number, heading in enumerate(table.head):
        shown.add_column(escape(heading), justify="left" if number == 0 else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(escape(cell) for cell in row))
    return shown


def markdown(tables: Sequence[Table]) -> str:
    """The tables as Markdown sections."""
    lines: list[str] = []
    for table in tables:
        lines += [f"## {table.title}", ""]
        lines.append(_line(table.head))
        lines.append(_line(["---", *["---:"] * (len(table.head) - 1)]))
        lines += [_line(row) for row in table.rows]
        lines += ["", *(f"{note}\n" for note in table.notes)]
    return "\n".join(lines).rstrip("\n") + "\n"


def csv_text(table: Table) -> str:
    """Heading and cells as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.head)
    writer.writerows(table.rows)
    return stream.getvalue()


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number, or "-" where there is none."""
    if math.isnan(value):
        return "-"
    return f"{value:{'+' if sign else ''}.{digits}f}"


def with_interval(interval: Interval, digits: int = 3, sign: bool = False, scale: float = 1.0) -> str:
    """ "0.812 [0.77, 0.85]"; without brackets where there is no interval."""
    text = number(interval.value * scale, digits, sign)
    if math.isnan(interval.low):
        return text
    return f"{text} [{number(interval.low * scale, digits, sign)}, {number(interval.high * scale, digits, sign)}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
