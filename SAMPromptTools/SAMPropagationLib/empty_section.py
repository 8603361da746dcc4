"""What the panel says when nothing is loaded yet."""

import slicer
from slicer.i18n import tr as _

from SAMPropagationLib.panel_section import PanelSection


class EmptySection(PanelSection):
    """A hint with "Load sample data", shown until there is a volume in the scene."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        self.onClick(self.ui.sampleDataButton, self.loadSample)

    def loadSample(self) -> None:
        """Make the synthetic patient and choose its baseline, contours and later visits."""
        from SAMPropagationLib.sample import makeSamplePatient

        button = self.ui.sampleDataButton
        button.enabled = False  # events are processed meanwhile
        button.text = _("Making the sample patient...")
        try:
            patient = makeSamplePatient(self.panel.client)
        finally:
            button.enabled = True
            button.text = _("Load sample data")
        if patient is not None and self.parameters is not None:
            self.logic.setFields(
                self.parameters,
                baselineVolume=patient.baseline,
                baselineSegmentation=patient.contours,
                followUps=patient.followUps,
            )
        self.panel.updateAll()

    def update(self) -> None:
        """Show the hint where there is no volume."""
        empty = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
        self.ui.emptyFrame.visible = empty
        self.ui.emptyLabel.text = _(
            "Nothing is loaded yet. Load a patient's visits and the contours of the first one, or try the panel with a"
            " synthetic patient that is made on this computer."
        )
