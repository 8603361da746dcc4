"""Combo boxes that show words and stand for a value of the parameter node.

The parameter node's own connector shows the value itself ("p2sam3d"), which is no word a radiologist knows.
"""


class ChoiceBox:
    """Binds a QComboBox to a member of the parameter node.

    ``choices`` are pairs (title, value). A value that none of them has (a scene of another version, a script) gets a
    line of its own, so that showing it never changes it.
    """

    def __init__(self, section, comboBox, member, choices) -> None:
        self.section, self.comboBox, self.member = section, comboBox, member
        self.values = []
        comboBox.clear()
        for title, value in choices:
            comboBox.addItem(title)
            self.values.append(value)
        comboBox.connect("currentIndexChanged(int)", self.onChanged)

    def update(self) -> None:
        """Show the value of the parameter node."""
        if self.section.parameters is None:
            return
        value = getattr(self.section.parameters, self.member)
        if value not in self.values:
            self.values.append(value)
            self.comboBox.addItem(str(value))
        self.comboBox.blockSignals(True)
        self.comboBox.currentIndex = self.values.index(value)
        self.comboBox.blockSignals(False)

    def onChanged(self, index) -> None:
        """The user chose a line."""
        if self.section.parameters is not None and 0 <= index < len(self.values):
            setattr(self.section.parameters, self.member, self.values[index])
