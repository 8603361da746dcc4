"""Volume over time, one line per structure: a table, its series and a vtkMRMLPlotChartNode."""

from datetime import date

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from SAMPropagationLib.parameters import followUps
from SAMPropagationLib.patients import visitDate
from SAMPropagationLib.results import resultRows

_ROLE = "SAMPropagation.chart"  # of the parameter node
_TABLE = "SAMPropagation.table"


def show(parameters):
    """Make or update the chart, and show it where there is a layout; the vtkMRMLPlotChartNode, None without volumes."""
    chart = update(parameters)
    if chart is not None and slicer.app.layoutManager() is not None:
        slicer.modules.plots.logic().ShowChartInLayout(chart)
    return chart


def chartOf(parameters):
    """The chart that was made before, None when there is none."""
    return parameters.parameterNode.GetNodeReference(_ROLE)


def update(parameters):
    """Make the chart's nodes agree with the results; the vtkMRMLPlotChartNode, None without volumes to compare."""
    visits, names, volumes = volumesOverTime(parameters)
    if not names:
        return None
    table = _fill(_node(parameters, _TABLE, "vtkMRMLTableNode", _("Volumes over time")), visits, names, volumes)
    chart = _node(parameters, _ROLE, "vtkMRMLPlotChartNode", _("Volume over time"))
    series = _series(chart, len(names))
    days = any(each["date"] for each in visits)
    for node, (name, color) in zip(series, names, strict=True):
        node.SetName(name)
        node.SetAndObserveTableNodeID(table.GetID())
        node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        node.SetXColumnName("x")
        node.SetYColumnName(_column(name))
        node.SetLabelColumnName("Visit")
        node.SetColor(*color)
        node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
        node.SetMarkerSize(9)
        node.SetLineWidth(2)
    chart.SetTitle(_("Volume over time"))
    first = visits[0]["date"]
    chart.SetXAxisTitle(_("Days since {date}").format(date=first) if days else _("Visit (0: baseline)"))
    chart.SetYAxisTitle(_("Volume (ml)"))
    return chart


def volumesOverTime(parameters):
    """Visits (dictionaries of name, date, x), structures (name, colour) and the volumes in ml (visits x structures).

    ``x`` is days since the first visit where the dates of all are known, else the number of the visit. The baseline
    comes first; of several results of a visit the newest counts. NaN where there is no result. Where a scan cuts the
    structure no volume change is given, and its volume is not drawn beside others either.
    """
    rows = [row for row in resultRows(parameters) if row.change_percent is not None]
    newest: dict = {}
    for row in rows:
        newest[(row.visitId or row.visit, row.structure)] = row
    names = list({row.structure: tuple(row.color) for row in rows}.items())
    keys = list(dict.fromkeys(row.visitId or row.visit for row in rows))
    baseline = parameters.baselineVolume
    order = [node.GetID() for node in followUps(parameters)]
    keys.sort(key=lambda key: (_of(newest, key).date or "9999", order.index(key) if key in order else len(order)))
    visits = [{"name": baseline.GetName() if baseline is not None else _("Baseline"), "date": visitDate(baseline)}]
    visits += [{"name": _of(newest, key).visit, "date": _of(newest, key).date} for key in keys]
    volumes = np.full((len(visits), len(names)), np.nan)
    for column, (name, _color) in enumerate(names):
        for line, key in enumerate(keys, 1):
            if (key, name) in newest:
                volumes[line, column] = newest[(key, name)].volume_ml
                volumes[0, column] = newest[(key, name)].baseline_ml
    if all(each["date"] for each in visits):
        days = [date.fromisoformat(each["date"]).toordinal() for each in visits]
        places = [day - days[0] for day in days]
    else:
        places = range(len(visits))
        visits = [{**each, "date": ""} for each in visits]
    return [{**each, "x": float(x)} for each, x in zip(visits, places, strict=True)], names, volumes


def _of(newest: dict, key: str):
    return next(row for (visit, _name), row in newest.items() if visit == key)


def _fill(table, visits, names, volumes):
    with slicer.util.NodeModify(table):
        table.RemoveAllColumns()
        _text(table, "Visit", [each["name"] for each in visits])
        _text(table, "Date", [each["date"] for each in visits])
        _numbers(table, "x", [each["x"] for each in visits])
        for column, (name, _color) in enumerate(names):
            _numbers(table, _column(name), volumes[:, column])
    table.SetUseColumnTitleAsColumnHeader(True)
    return table


def _column(structure: str) -> str:
    return f"{structure} (ml)"


def _text(table, name: str, values) -> None:
    column = vtk.vtkStringArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    table.AddColumn(column)


def _numbers(table, name: str, values) -> None:
    column = vtk.vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(float(value))
    table.AddColumn(column)


def _node(parameters, role: str, className: str, name: str):
    node = parameters.parameterNode.GetNodeReference(role)
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass(className, slicer.mrmlScene.GenerateUniqueName(name))
        parameters.parameterNode.SetNodeReferenceID(role, node.GetID())
    return node


def _series(chart, count: int) -> list:
    """The chart's series, as many as are needed; what is too much is removed."""
    present = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    for extra in present[count:]:
        chart.RemovePlotSeriesNodeID(extra.GetID())
        slicer.mrmlScene.RemoveNode(extra)
    for _n in range(count - len(present)):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode")
        chart.AddAndObservePlotSeriesNodeID(node.GetID())
    return [chart.GetNthPlotSeriesNode(n) for n in range(count)]
