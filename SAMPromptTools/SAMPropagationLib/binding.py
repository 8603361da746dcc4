"""Connecting widgets to the parameter node so that it can be undone, in every version of Slicer."""


class Binding:
    """Widgets that show members of a wrapped parameter node, until ``undo``.

    ``connectGui`` of Slicer 5.8 answers None, and ``disconnectGui`` leaves an observer on the node: a function that
    nothing but the node holds, which the garbage collector may empty and the next event then calls. So the observer's
    tag is noted while connecting, and it is removed here.
    """

    def __init__(self, parameters, widgets) -> None:
        """``widgets`` maps names of members to widgets."""
        self.parameters = parameters
        self._tags = []
        parameters.AddObserver = self._observe
        try:
            self._gui = parameters.connectParametersToGui(widgets)
        finally:
            del parameters.AddObserver

    def _observe(self, event, callback, priority=0.0) -> int:
        self._tags.append(self.parameters.parameterNode.AddObserver(event, callback, priority))
        return self._tags[-1]

    def undo(self) -> None:
        """Let go of widgets and node."""
        self.parameters.disconnectGui(self._gui)
        for tag in self._tags:
            self.parameters.parameterNode.RemoveObserver(tag)
        self._tags = []
