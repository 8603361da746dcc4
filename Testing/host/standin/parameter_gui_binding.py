"""connectGui and its kin: widgets and parameters that follow each other, as in slicer.parameterNodeWrapper.wrapper.

Slicer's own defects are kept, for a panel has to live with them: in 5.8 connectGui answers None, so that
disconnectGui(connectGui(ui)) undoes nothing (Slicer issue 7547; connectParametersToGui answers with a tag), and the
observer of the node stays after disconnectGui. `returns_tag` is True when the stand-in plays 5.12.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from standin.parameter_gui import GuiConnector, createGuiConnector
from standin.parameter_types import split_dotted

PROPERTY = "SlicerParameterName"

returns_tag = False


def prepare(wrapper: Any) -> None:
    """What a wrapper keeps about its widgets."""
    wrapper._parameterGUIs = {}
    wrapper._nextParameterGUIsTag = 0
    wrapper._updatingGUIFromParameterNode = False
    wrapper._guiObservers = {}


def connectGui(self: Any, gui: Any) -> int | None:
    """Bind every widget of `gui` (a widget, or an object whose attributes are widgets) that names a parameter."""
    if getattr(gui, "isWidgetType", lambda: False)():
        import qt

        widgets = gui.findChildren(qt.QWidget)
    else:
        widgets = vars(gui).values()
    named = {widget.property(PROPERTY): widget for widget in widgets if widget.property(PROPERTY)}
    tag = connectParametersToGui(self, named)
    return tag if returns_tag else None


def connectParametersToGui(self: Any, mapping: dict[str, Any]) -> int:
    """Bind parameters to widgets or connectors; answers with the tag for disconnectGui."""
    from standin.parameter_wrapper import check_name

    for name in mapping:
        check_name(self, name)
    connectors = {
        name: one if isinstance(one, GuiConnector) else createGuiConnector(one, self.dataType(name))
        for name, one in mapping.items()
    }
    tag = self._nextParameterGUIsTag
    self._nextParameterGUIsTag += 1
    self._parameterGUIs[tag] = connectors
    for name, connector in connectors.items():
        connector.write(self.getValue(name))
        connector.onChanged(_from_widget(self, name, connector))
    self._guiObservers[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_event: _to_widgets(self))
    return tag


def disconnectGui(self: Any, guiTag: int | None) -> None:
    """Let go of the widgets; an unknown tag (None) changes nothing."""
    if guiTag not in self._parameterGUIs:
        return
    for connector in self._parameterGUIs.pop(guiTag).values():
        connector.onChanged(None)
    if returns_tag:
        self.RemoveObserver(self._guiObservers.pop(guiTag))


def _from_widget(self: Any, name: str, connector: GuiConnector) -> Any:
    def changed() -> None:
        with slicer.util.NodeModify(self):
            if not self._updatingGUIFromParameterNode:
                self.setValue(name, connector.read())

    return changed


def _to_widgets(self: Any) -> None:
    if self._updatingGUIFromParameterNode:
        return
    self._updatingGUIFromParameterNode = True
    try:
        with slicer.util.NodeModify(self):
            for connectors in self._parameterGUIs.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
    finally:
        self._updatingGUIFromParameterNode = False


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:
    """The widget below `widget` that names this parameter; None when there is none."""
    import qt

    found = next((one for one in widget.findChildren(qt.QWidget) if one.property(PROPERTY) == parameter), None)
    if found is None and split_dotted(parameter)[1] is not None:
        raise NotImplementedError("the stand-in does not look for widgets inside parameter packs")
    return found
