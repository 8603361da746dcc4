"""The advanced settings: the spin boxes are bound by their SlicerParameterName."""

from samprompt.contract.propagation import METHODS
from slicer.i18n import tr as _

from SAMPropagationLib.choice_widget import ChoiceBox
from SAMPropagationLib.panel_section import PanelSection
from SAMPropagationLib.parameters import ADVANCED


class AdvancedSection(PanelSection):
    """Method and "Defaults"."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        titles = methodTitles()
        choices = [(titles.get(name, name), name) for name in METHODS]
        self.method = ChoiceBox(self, self.ui.methodComboBox, "method", choices)
        self.onClick(self.ui.resetButton, self.reset)

    @property
    def members(self) -> tuple:
        """Members of the parameter node that this section shows."""
        return ("method", "threads", *ADVANCED)

    def reset(self) -> None:
        """Put every advanced setting back to its default."""
        for member in self.members:
            setattr(self.parameters, member, self.parameters.default(member).value)
        self.panel.updateAll()

    def update(self) -> None:
        """Show the method; "Defaults" is there to press where something was changed."""
        if self.parameters is None:
            return
        self.method.update()
        p = self.parameters
        changed = [each for each in self.members if getattr(p, each) != p.default(each).value]
        self.ui.resetButton.enabled = bool(changed)
        self.ui.advancedSection.text = (
            _("Advanced ({count} changed)").format(count=len(changed)) if changed else _("Advanced")
        )


def methodTitles() -> dict:
    """What the methods are called, by the contract's name."""
    return {
        "p2sam3d": _("All slices together (default)"),
        "p2sam": _("Slice by slice, P2SAM as published"),
        "persam": _("Slice by slice, PerSAM"),
        "refiner": _("Alignment, then refined"),
        "copied": _("Copy of the contours"),
        "rigid": _("Rigid alignment only"),
        "deformable": _("Deformable alignment only"),
    }
