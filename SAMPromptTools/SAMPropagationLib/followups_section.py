"""Section 2: the later visits that get contours."""

import slicer
import vtk
from slicer.i18n import tr as _

from SAMPropagationLib.panel_section import PanelSection
from SAMPropagationLib.parameters import followUps, references, setFollowUps
from SAMPropagationLib.patients import isVisit, visitDate, visitMoment
from SAMPropagationLib.plain_table import cell, checkCell, checkedKeys, fitHeight, stretch


class FollowUpsSection(PanelSection):
    """A list of all volumes of the scene, by study date; the checked ones are the follow-ups."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        self._shown = None
        self._later = []
        self._observed = []  # volumes whose name is heard of
        stretch(self.ui.followUpsTable, (0,))
        self.ui.followUpsTable.connect("cellChanged(int,int)", self.onChecked)
        self.ui.sequenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onSequence)
        self.onClick(self.ui.laterVisitsButton, self.addLaterVisits)
        self.onClick(self.ui.addSequenceButton, self.addSequence)

    # --- what is shown ------------------------------------------------------------------------------------------------
    def visits(self) -> list:
        """Volumes that can be chosen: all but the baseline, those with a study date first, by date; then by name."""
        chosen = followUps(self.parameters)
        baseline = self.parameters.baselineVolume
        nodes = []
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if node in chosen or (isVisit(node) and node is not baseline and not node.GetHideFromEditors()):
                nodes.append(node)
        return sorted(nodes, key=lambda node: (visitMoment(node) or "~", (node.GetName() or "").casefold()))

    def update(self) -> None:
        """Show the volumes of the scene and which of them are follow-ups."""
        if self.parameters is None:
            self.observe([])
            return
        chosen = followUps(self.parameters)
        accepted = [volume for volume, _segmentation in references(self.parameters)]
        lines = []
        nodes = self.visits()
        self.observe(nodes)
        for node in nodes:
            date = visitDate(node) or _("no date")
            note = _("reference, {date}").format(date=date) if node in accepted else date
            lines.append((node.GetID(), node.GetName() or "", note, node in chosen))
        if lines != self._shown:
            self._shown = lines
            self.fill(lines)
        self.ui.followUpsTable.visible = bool(lines)
        hint = "" if lines else _("Load the later visits of this patient: they are listed here.")
        self.ui.followUpsHintLabel.text = hint
        self.ui.followUpsHintLabel.visible = bool(hint)
        baseline = self.parameters.baselineVolume
        self._later = self.logic.laterVolumes(baseline) if baseline is not None else []
        missing = [node for node in self._later if node not in chosen]
        self.ui.laterVisitsButton.enabled = bool(missing)
        self.ui.laterVisitsButton.text = (
            _("Add later CTs of this patient ({count})").format(count=len(missing))
            if missing
            else _("Add later CTs of this patient")
        )

    def fill(self, lines) -> None:
        """One line per volume: check box, name, study date."""
        table = self.ui.followUpsTable
        table.blockSignals(True)
        table.rowCount = len(lines)
        for row, (nodeId, name, note, checked) in enumerate(lines):
            table.setItem(row, 0, checkCell(name, checked, nodeId, name))
            table.setItem(row, 1, cell(note))
        table.blockSignals(False)
        fitHeight(table, 200)

    def observe(self, nodes) -> None:
        """Hear when one of these volumes is renamed, and of no others."""
        for node in self._observed:
            if node not in nodes:
                self.panel.removeObserver(node, vtk.vtkCommand.ModifiedEvent, self.panel.onSceneChanged)
        for node in nodes:
            if node not in self._observed:
                self.panel.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.panel.onSceneChanged)
        self._observed = nodes

    def cleanup(self) -> None:
        """Stop listening to the volumes."""
        self.observe([])

    # --- what the user does -------------------------------------------------------------------------------------------
    def choose(self, nodes) -> None:
        """Make these volumes the follow-ups."""
        if self.parameters is not None:
            setFollowUps(self.parameters, nodes)
            self.panel.updateAll()

    def onChecked(self, _row, _column) -> None:
        """A box of the table was checked or unchecked."""
        self.choose([slicer.mrmlScene.GetNodeByID(nodeId) for nodeId in checkedKeys(self.ui.followUpsTable)])

    def addLaterVisits(self) -> None:
        """Check all later CTs of the baseline's patient."""
        self.choose([*followUps(self.parameters), *self._later])

    def onSequence(self, node) -> None:
        """A sequence was chosen, or none."""
        self.ui.addSequenceButton.enabled = node is not None

    def addSequence(self) -> None:
        """Check all volumes of the chosen sequence."""
        node = self.ui.sequenceSelector.currentNode()
        if node is None or self.parameters is None:
            return
        volumes = self.logic.volumesOfSequence(node)
        if not volumes:
            self.panel.messages.showError(
                _('The sequence "{name}" holds no volumes.').format(name=node.GetName()),
                _("Choose a sequence of images, for instance a 4D CT."),
            )
            return
        self.choose([*followUps(self.parameters), *volumes])
