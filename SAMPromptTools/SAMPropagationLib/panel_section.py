"""What every section of the panel is: a part of the widgets, filled from the parameter node and the logic."""


class PanelSection:
    """Base of the sections.

    ``panel`` is the ``SAMPropagationWidget``: its ``ui`` holds the widgets by name, ``logic`` the logic, ``parameters``
    the wrapped parameter node (None while the scene is closed). A section changes its own widgets only.
    """

    def __init__(self, panel) -> None:
        self.panel = panel
        self.ui = panel.ui
        self.logic = panel.logic

    @property
    def parameters(self):
        """The wrapped parameter node, None while there is none."""
        return self.panel.parameters

    def update(self) -> None:
        """Show what the parameter node and the scene hold now. Cheap: called after every change."""

    def cleanup(self) -> None:
        """Let go of timers and signals before the widgets are deleted."""

    def onClick(self, button, action) -> None:
        """Call ``action()`` when ``button`` is clicked; what it raises is shown in the panel."""
        button.connect("clicked()", lambda: self.panel.attempt(action))
