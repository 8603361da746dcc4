"""What a connector between a widget and a parameter is, and how one is found for both.

A widget is recognised by its exact class, as in Slicer: subclasses are not. A panel registers connectors of its own
with @parameterNodeGuiConnector; Slicer's are in parameter_connectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class GuiConnector:
    """To be derived from: canRepresent(widget, datatype) and create(widget, datatype) are static methods."""

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        raise NotImplementedError("Must implement canRepresent")

    @staticmethod
    def create(widget: Any, datatype: Any) -> Any:
        raise NotImplementedError("Must implement create")

    def __init__(self) -> None:
        super().__init__()
        self._callback: Callable[[], None] | None = None

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        """Have `callback()` called when the user changes the widget; None to stop."""
        self._callback = callback
        if callback is None:
            self._disconnect()
        else:
            self._connect()

    def changed(self) -> None:
        if self._callback:
            self._callback()

    def _connect(self) -> None:
        raise NotImplementedError("Must implement _connect")

    def _disconnect(self) -> None:
        raise NotImplementedError("Must implement _disconnect")

    def widget(self) -> Any:
        raise NotImplementedError("Must implement widget")

    def read(self) -> Any:
        raise NotImplementedError("Must implement read")

    def write(self, value: Any) -> None:
        raise NotImplementedError("Must implement write")


registered: list[type[GuiConnector]] = []


def parameterNodeGuiConnector(classtype: Any = None) -> Any:
    """Class decorator: register a connector; earlier ones are asked first."""

    def wrap(cls: Any) -> Any:
        if not issubclass(cls, GuiConnector):
            raise TypeError("Must be a GuiConnector subclass")
        registered.append(cls)
        return cls

    return wrap if classtype is None else wrap(classtype)


def createGuiConnector(widget: Any, datatype: Any) -> GuiConnector:
    """The first connector that takes both. RuntimeError when there is none."""
    for connector in registered:
        if connector.canRepresent(widget, datatype):
            return connector.create(widget, datatype)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'")
