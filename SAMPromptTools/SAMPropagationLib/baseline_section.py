"""Section 1: the baseline's volume and contours, and which structures are carried."""

import slicer
from slicer.i18n import tr as _

from SAMPropagationLib.panel_section import PanelSection
from SAMPropagationLib.parameters import chosenSegments, setChosenSegments, visitOf
from SAMPropagationLib.plain_table import checkCell, checkedKeys, fitHeight, stretch, swatch

_SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified")


class BaselineSection(PanelSection):
    """The two selectors are bound by their SlicerParameterName; the table of structures is bound here."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        self._shown = None  # what the table shows, to leave it alone while nothing changed
        self._observed = None
        stretch(self.ui.structuresTable, (0,))
        self.ui.structuresTable.connect("cellChanged(int,int)", self.onChecked)
        self.onClick(self.ui.allStructuresButton, lambda: self.choose(None))
        self.onClick(self.ui.noStructuresButton, lambda: self.choose(()))

    def choose(self, segmentIds) -> None:
        """Carry these segments; None: all."""
        if self.parameters is not None:
            setChosenSegments(self.parameters, segmentIds)
            self.panel.updateAll()

    def onChecked(self, _row, _column) -> None:
        """A box of the table was checked or unchecked."""
        table = self.ui.structuresTable
        checked = checkedKeys(table)
        self.choose(None if len(checked) == table.rowCount else checked)

    def takeVolumeOfSegmentation(self) -> None:
        """Where contours were chosen and no volume, choose the volume that they were drawn on."""
        parameters = self.parameters
        if parameters.baselineSegmentation is not None and parameters.baselineVolume is None:
            volume = visitOf(parameters.baselineSegmentation)
            if volume is not None:
                parameters.baselineVolume = volume

    def update(self) -> None:
        """Show the structures of the chosen segmentation."""
        if self.parameters is None:
            self.observe(None)
            return
        self.takeVolumeOfSegmentation()
        node = self.parameters.baselineSegmentation
        self.observe(node)
        chosen = chosenSegments(self.parameters)
        lines = []
        for segmentId in node.GetSegmentation().GetSegmentIDs() if node is not None else ():
            segment = node.GetSegmentation().GetSegment(segmentId)
            lines.append((segmentId, segment.GetName(), segment.GetColor(), chosen is None or segmentId in chosen))
        if lines != self._shown:
            self._shown = lines
            self.fill(lines)
        self.ui.structuresTable.visible = bool(lines)
        self.ui.allStructuresButton.enabled = any(not line[3] for line in lines)
        self.ui.noStructuresButton.enabled = any(line[3] for line in lines)
        checked = sum(line[3] for line in lines)
        self.ui.structuresLabel.text = (
            _("Structures: {checked} of {all}").format(checked=checked, all=len(lines)) if lines else _("Structures:")
        )
        hint = ""
        if node is not None and not lines:
            hint = _("This segmentation holds no structures.")
        elif node is None:
            hint = _("Choose the segmentation with the contours of the baseline.")
        self.ui.structuresHintLabel.text = hint
        self.ui.structuresHintLabel.visible = bool(hint)

    def fill(self, lines) -> None:
        """One line per structure: check box, colour, name."""
        table = self.ui.structuresTable
        table.blockSignals(True)
        table.rowCount = len(lines)
        for row, (segmentId, name, color, checked) in enumerate(lines):
            table.setItem(row, 0, checkCell(name, checked, segmentId, name, swatch(color)))
        table.blockSignals(False)
        fitHeight(table, 180)

    def observe(self, node) -> None:
        """Hear when structures of the chosen segmentation are added, removed, renamed or coloured."""
        segmentation = node.GetSegmentation() if node is not None else None
        if segmentation is self._observed:
            return
        for name in _SEGMENT_EVENTS:
            event = getattr(slicer.vtkSegmentation, name)
            if self._observed is not None:
                self.panel.removeObserver(self._observed, event, self.panel.onSceneChanged)
            if segmentation is not None:
                self.panel.addObserver(segmentation, event, self.panel.onSceneChanged)
        self._observed = segmentation

    def cleanup(self) -> None:
        """Stop listening to the segmentation."""
        self.observe(None)
