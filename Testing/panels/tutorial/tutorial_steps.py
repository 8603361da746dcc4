"""Reads the README's steps and follows them: what is to be clicked stands in the README and nowhere else.

In a step **bold** is the text of something in the panel, *italic* a line of one of its tables: ticked where lines have
boxes, clicked in the results. Sections and labels are only looked for; everything else that is bold is clicked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screens import PanelTest, plain

HEADING = "### First propagation in five steps"
LABEL, LINE, PICTURE = "label", "line", "picture"
_MARKS = re.compile(r"!\[[^\]]*\]\((?P<picture>[^)]+)\)|\*\*(?P<label>[^*]+)\*\*|\*(?P<line>[^*]+)\*")
RUN_SECONDS = 400.0  # more than a run takes on a busy machine


@dataclass(frozen=True)
class Mark:
    """One thing that a step names; ``kind`` is LABEL, LINE or PICTURE."""

    kind: str
    text: str


def section(readme: Path) -> str:
    """The tutorial's text, from its heading to the next one."""
    return readme.read_text(encoding="utf-8").partition(HEADING + "\n")[2].partition("\n### ")[0]


def steps(readme: Path) -> list[list[Mark]]:
    """What each numbered step names, in its order."""
    parts = re.split(r"^\d\. ", section(readme), flags=re.M)[1:]
    parts[-1] = re.split(r"\n\n(?=\S)", parts[-1])[0]  # text that is not indented no longer belongs to the step
    return [
        [Mark(str(found.lastgroup), " ".join(str(found[found.lastgroup]).split())) for found in _MARKS.finditer(part)]
        for part in parts
    ]


class Reader:
    """A user with the README beside the panel; ``afterwards`` holds what the prose asks for after a label was clicked.

    ``seen`` are the texts of all that was clicked or looked at.
    """

    def __init__(self, panel: PanelTest, mouse: Callable[[Any, int], None]) -> None:
        self.panel, self.ui, self._mouse = panel, panel.ui, mouse
        self.afterwards: dict[str, Callable[[], None]] = {}
        self.seen: list[str] = []
        self._menu: list[Any] = []  # actions of the menu that is open

    def follow(self, marks: list[Mark]) -> None:
        """Do one step; a label that is not there, not shown or not enabled is an AssertionError."""
        for mark in marks:
            if mark.kind == LABEL:
                self.label(mark.text)
                self.afterwards.pop(mark.text, lambda: None)()
            elif mark.kind == LINE:
                self.line(mark.text)
            self.panel.settle(0.3)
            self.panel.until(lambda: not self.panel.logic.isRunning, RUN_SECONDS)
            self.panel.settle(0.3)
            said = self.panel.panel.messages
            assert said.kind != "error", said.text()

    def label(self, text: str) -> None:
        """Click what has this text, or find it where nothing can be clicked."""
        import slicer

        self.seen.append(text)
        action = next((each for each in self._menu if each.text == text), None)
        self._menu = []
        if action is not None:
            assert action.enabled, f"{text} cannot be chosen in the menu"
            action.trigger()
        elif text == slicer.modules.sampropagation.title:
            self.panel.host.select_module("SAMPropagation")
        else:
            self._click(self._widget(text))

    def _widget(self, text: str) -> Any:
        # Qt's own parts, as the viewports of tables, are among the children and may be gone.
        widgets = [each for name, each in vars(self.ui).items() if not name.startswith("qt_")]
        texts = [each for each in widgets if each.inherits("QAbstractButton") or each.inherits("QLabel")]
        found = [each for each in texts if each.text == text and each.isVisibleTo(self.panel.panel.widget)]
        assert len(found) == 1, f"the panel shows {len(found)} times {text!r}"
        return found[0]

    def _click(self, widget: Any) -> None:
        if widget.inherits("QLabel") or widget.inherits("ctkCollapsibleButton"):
            return
        assert widget.enabled, f"{widget.text} is disabled: {self.ui.reasonLabel.text}"
        if widget.inherits("QPushButton") and widget.menu() is not None:
            menu = self.panel.panel.results.export
            assert widget.menu() is menu.menu
            menu.menu.aboutToShow.emit()  # exec() would wait for a person
            self._menu = list(menu.actions)
        else:
            widget.click()

    def line(self, text: str) -> None:
        """Tick the box of a line, or click it in the results: "first line", or "visit, structure"."""
        self.seen.append(text)
        structures = [line[0] for line in self.panel.texts("structuresTable")]
        if text in structures:
            before = self.panel.checked("structuresTable")
            self.panel.check("structuresTable", structures.index(text), text not in before)
            return
        results = [line[:2] for line in self.panel.texts("resultsTable")]
        if text == "first line":
            row = 0
        else:
            visit, _comma, structure = text.partition(", ")
            found = [n for n, line in enumerate(results) if line[0].split("\n")[0] == visit and line[1] == structure]
            assert len(found) == 1, f"the results show {len(found)} times {text!r}: {results}"
            row = found[0]
        self.ui.resultsTable.scrollToItem(self.ui.resultsTable.item(row, 0))
        self._mouse(self.ui.resultsTable, row)
        assert self.panel.panel.results.row is not None
        assert [plain(self.panel.panel.results.row.visit), self.panel.panel.results.row.structure] == [
            results[row][0].split("\n")[0],
            results[row][1],
        ]
