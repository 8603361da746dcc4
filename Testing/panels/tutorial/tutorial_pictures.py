"""Pictures for the README: the panel at the left as QWidget.grab sees it, slice views or a chart at its right.

They go to the folder that SAMPROMPT_TUTORIAL_PICTURES names, else to a temporary one. To renew those of the README:

    SAMPROMPT_TUTORIAL_PICTURES=Resources/Screenshots python3 run.py python -m pytest Testing/panels/tutorial
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui
from screens import PanelTest

PANEL = 460  # pixels: width of the panel
VIEWS = 560  # and of what stands beside it
GAP = 6
PAPER = "#efefef"  # of the panel


def pictureFolder() -> Path:
    """Where pictures go."""
    named = os.environ.get("SAMPROMPT_TUTORIAL_PICTURES")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / "samprompt-tutorial"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Pictures:
    """Takes them. ``close`` deletes the views; they show the slice nodes that the panel moves."""

    def __init__(self, host: Any) -> None:
        import slicer

        self.host, self.written = host, []
        self._views = {}
        for name in ("Red", "Green"):
            view = slicer.qMRMLSliceWidget()
            view.setMRMLScene(slicer.mrmlScene)
            view.setMRMLSliceNode(slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}"))
            self._views[name] = view
        self._plot = slicer.qMRMLPlotWidget()
        self._plot.setMRMLScene(slicer.mrmlScene)

    def take(self, panel: PanelTest, name: str, folded: tuple[str, ...] = (), chart: Any = None) -> Path:
        """One picture; the sections ``folded`` are folded for it. With ``chart``, a plot view node, below the axial
        view a chart, else the coronal view."""
        sections = [getattr(panel.ui, section) for section in folded]
        for section in sections:
            section.collapsed = True
        left = self._panel(panel)
        for section in sections:
            section.collapsed = False
        height = left.height() + GAP  # the first line does not touch the edge
        top = round(0.58 * (height - GAP))
        if chart is None:
            below = self._slice("Green", height - GAP - top)
        else:
            self._plot.setMRMLPlotViewNode(chart)
            below = self._grab(self._plot, height - GAP - top)
        right = left.width() + 2 * GAP
        whole = QtGui.QImage(right + VIEWS, height, QtGui.QImage.Format.Format_RGB32)
        whole.fill(QtGui.QColor(PAPER))
        painter = QtGui.QPainter(whole)
        painter.drawImage(GAP, GAP, left)
        painter.drawImage(right, 0, self._slice("Red", top))
        painter.drawImage(right, top + GAP, below)
        painter.end()
        path = pictureFolder() / name
        assert whole.save(str(path), "PNG"), path
        self.written.append(path)
        return path

    def _panel(self, panel: PanelTest) -> QtGui.QImage:
        area = panel.panel.widget.window()
        for _turn in range(3):  # texts wrap elsewhere, tables get other heights
            area.resize(area.width + PANEL - panel.panel.widget.width, area.height)
            self.host.process_events(0.05)
        image = panel.panel.widget.grab().toImage()
        last = panel.ui.resultsSection.geometry  # below it is nothing but room
        return image.copy(0, 0, image.width(), min(image.height(), last.y() + last.height() + GAP))

    def _slice(self, name: str, height: int) -> QtGui.QImage:
        view = self._views[name]
        offset = view.sliceLogic().GetSliceOffset()
        self._grab(view, height)  # it has its size from now on
        view.fitSliceToBackground()
        view.sliceLogic().SetSliceOffset(offset)
        return self._grab(view, height)

    def _grab(self, widget: Any, height: int) -> QtGui.QImage:
        widget.resize(VIEWS, height)
        widget.show()
        self.host.process_events(0.05)
        image = widget.grab().toImage()
        return image.convertToFormat(QtGui.QImage.Format.Format_RGB32)

    def close(self) -> None:
        """Delete the views."""
        self._plot.setMRMLPlotViewNode(None)
        for widget in (*self._views.values(), self._plot):
            widget.hide()
            widget.delete()
        self.host.process_events()


def colours(path: Path) -> int:
    """How many different colours a picture has, every fifth pixel looked at: few where it is blank."""
    image = QtGui.QImage(str(path)).convertToFormat(QtGui.QImage.Format.Format_RGB32)
    assert not image.isNull(), path
    size: QtCore.QSize = image.size()
    return len({image.pixel(x, y) for x in range(0, size.width(), 5) for y in range(0, size.height(), 5)})
