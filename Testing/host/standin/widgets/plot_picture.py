"""Draws a vtkMRMLPlotChartNode with Qt: axes with round numbers, lines, points, a legend."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import vtk
from PySide6 import QtCore, QtGui

from standin.widgets.scene import sceneNodes

PATTERNS = {0: QtCore.Qt.PenStyle.NoPen, 1: QtCore.Qt.PenStyle.SolidLine, 2: QtCore.Qt.PenStyle.DashLine}
PATTERNS |= {3: QtCore.Qt.PenStyle.DotLine, 4: QtCore.Qt.PenStyle.DashDotLine, 5: QtCore.Qt.PenStyle.DashDotDotLine}


@dataclass
class Line:
    """One series: its name, how it is drawn, its points and their labels."""

    name: str
    pen: QtGui.QPen
    marked: bool
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def chartLines(chart: vtk.vtkObject) -> list[Line]:
    """The series of a chart as numbers; points that are no numbers are left out."""
    found = []
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        table = series.GetTableNode() if series is not None else None
        y = table.GetTable().GetColumnByName(series.GetYColumnName()) if table is not None else None
        if y is None:
            continue
        x = table.GetTable().GetColumnByName(series.GetXColumnName()) if series.GetXColumnName() else None
        names = table.GetTable().GetColumnByName(series.GetLabelColumnName()) if series.GetLabelColumnName() else None
        pen = QtGui.QPen(QtGui.QColor.fromRgbF(*series.GetColor()), max(series.GetLineWidth(), 1.0))
        pen.setStyle(PATTERNS.get(series.GetLineStyle(), QtCore.Qt.PenStyle.SolidLine))
        line = Line(series.GetName(), pen, series.GetMarkerStyle() != series.MarkerStyleNone)
        for row in range(y.GetNumberOfValues()):
            place = (_number(x, row) if x is not None else float(row), _number(y, row))
            if all(math.isfinite(one) for one in place):
                line.points.append(place)
                line.labels.append(str(names.GetVariantValue(row).ToString()) if names is not None else "")
        found.append(line)
    return found


def _number(column: vtk.vtkAbstractArray, row: int) -> float:
    return float(column.GetVariantValue(row).ToDouble())


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers from below ``low`` to above ``high``, about ``count`` of them."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def drawChart(painter: QtGui.QPainter, size: QtCore.QSize, chart: vtk.vtkObject | None) -> None:
    """Draw the chart over the whole size; a white page without one."""
    painter.fillRect(0, 0, size.width(), size.height(), QtCore.Qt.GlobalColor.white)
    if chart is None:
        return
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    lines = chartLines(chart)
    points = [one for line in lines for one in line.points]
    frame = QtCore.QRectF(64, 34, max(size.width() - 88, 20), max(size.height() - 92, 20))
    painter.setPen(QtGui.QColor(30, 30, 30))
    _text(painter, QtCore.QRectF(0, 6, size.width(), 24), chart.GetTitle() if chart.GetTitleVisibility() else "", True)
    _text(painter, QtCore.QRectF(64, size.height() - 26, frame.width(), 20), chart.GetXAxisTitle() or "")
    painter.save()
    painter.translate(4, frame.bottom())
    painter.rotate(-90)
    _text(painter, QtCore.QRectF(0, 0, frame.height(), 20), chart.GetYAxisTitle() or "")
    painter.restore()
    if not points:
        painter.drawRect(frame)
        return
    across = ticks(min(x for x, _y in points), max(x for x, _y in points))
    upwards = ticks(min(0.0, *(y for _x, y in points)), max(y for _x, y in points))

    def place(x: float, y: float) -> QtCore.QPointF:
        return QtCore.QPointF(
            frame.left() + (x - across[0]) / (across[-1] - across[0]) * frame.width(),
            frame.bottom() - (y - upwards[0]) / (upwards[-1] - upwards[0]) * frame.height(),
        )

    _grid(painter, frame, across, upwards, place)
    for line in lines:
        _line(painter, line, place)
    if chart.GetLegendVisibility():
        _legend(painter, frame, lines)


def _text(painter: QtGui.QPainter, room: QtCore.QRectF, text: str, bold: bool = False) -> None:
    font = QtGui.QFont(painter.font())
    font.setBold(bold)
    painter.save()
    painter.setFont(font)
    painter.drawText(room, QtCore.Qt.AlignmentFlag.AlignCenter, text)
    painter.restore()


def _grid(painter: QtGui.QPainter, frame: QtCore.QRectF, across: list, upwards: list, place) -> None:
    grey = QtGui.QPen(QtGui.QColor(225, 225, 225), 1)
    dark = QtGui.QColor(30, 30, 30)
    for value in across:
        at = place(value, upwards[0])
        painter.setPen(grey)
        painter.drawLine(at, place(value, upwards[-1]))
        painter.setPen(dark)
        _text(painter, QtCore.QRectF(at.x() - 40, at.y() + 4, 80, 18), f"{value:g}")
    for value in upwards:
        at = place(across[0], value)
        painter.setPen(grey)
        painter.drawLine(at, place(across[-1], value))
        painter.setPen(dark)
        right = QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QtCore.QRectF(at.x() - 60, at.y() - 9, 54, 18), right, f"{value:g}")
    painter.drawRect(frame)


def _line(painter: QtGui.QPainter, line: Line, place) -> None:
    painter.setPen(line.pen)
    painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
    painter.drawPolyline(QtGui.QPolygonF([place(*one) for one in line.points]))
    if line.marked:
        painter.setPen(QtGui.QPen(line.pen.color().darker(130), 1))
        painter.setBrush(line.pen.color())
        for one in line.points:
            painter.drawEllipse(place(*one), 4, 4)
    painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)


def _legend(painter: QtGui.QPainter, frame: QtCore.QRectF, lines: list[Line]) -> None:
    metrics = painter.fontMetrics()
    wide = max((metrics.horizontalAdvance(line.name) for line in lines), default=0) + 44
    box = QtCore.QRectF(frame.right() - wide - 8, frame.top() + 8, wide, 18 * len(lines) + 8)
    painter.setPen(QtGui.QColor(200, 200, 200))
    painter.fillRect(box, QtGui.QColor(255, 255, 255, 225))
    painter.drawRect(box)
    for row, line in enumerate(lines):
        y = box.top() + 13 + 18 * row
        painter.setPen(line.pen)
        painter.drawLine(QtCore.QPointF(box.left() + 8, y), QtCore.QPointF(box.left() + 30, y))
        painter.setPen(QtGui.QColor(30, 30, 30))
        painter.drawText(QtCore.QPointF(box.left() + 36, y + 4), line.name)


def viewsChart(view: vtk.vtkObject | None) -> vtk.vtkObject | None:
    """The chart that a plot view node shows."""
    return view.GetPlotChartNode() if view is not None else None


def chartsNodes(chart: vtk.vtkObject | None) -> list[vtk.vtkObject]:
    """The chart with its series and tables: whoever draws it has to listen to all of them."""
    if chart is None:
        return []
    series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    present = [one for one in series if one is not None]
    tables = [one.GetTableNode() for one in present if one.GetTableNode() is not None]
    known = sceneNodes(chart.GetScene()) if chart.GetScene() is not None else []
    return [one for one in [chart, *present, *tables] if one in known]
