"""Tables of the panel: cells, swatches, and a height that fits their lines."""

import qt

ROW_ROLE = 256  # Qt.UserRole: what a line stands for


def cell(text, tip="", color=None, alignment=None, key=None):
    """A cell that can be selected but not edited. ``key`` (text or number) says what it stands for."""
    item = qt.QTableWidgetItem(text)
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    if tip:
        item.setToolTip(tip)
    if color is not None:
        item.setForeground(qt.QBrush(color))
    if alignment is not None:
        item.setTextAlignment(alignment)
    if key is not None:
        item.setData(ROW_ROLE, key)
    return item


def checkCell(text, checked, key, tip="", icon=None):
    """A cell with a check box before its text."""
    item = cell(text, tip, key=key)
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
    item.setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)
    if icon is not None:
        item.setIcon(icon)
    return item


def keyOf(item):
    """What a cell stands for, None where there is no cell."""
    return item.data(ROW_ROLE) if item is not None else None


def checkedKeys(table) -> list:
    """Keys of the checked cells of the first column, from top to bottom."""
    items = [table.item(row, 0) for row in range(table.rowCount)]
    return [keyOf(item) for item in items if item.checkState() == qt.Qt.Checked]


def swatch(color):
    """An icon of one colour, ``color`` red, green, blue in [0, 1]."""
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*(round(255 * min(1.0, max(0.0, part))) for part in color)))
    return qt.QIcon(pixmap)


def stretch(table, columns) -> None:
    """Let ``columns`` share the width that the others, as wide as their contents, leave; lines close together."""
    table.verticalHeader().setDefaultSectionSize(table.fontMetrics().height() + 8)
    header = table.horizontalHeader()
    for column in range(table.columnCount):
        mode = qt.QHeaderView.Stretch if column in columns else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, mode)


def fitHeight(table, most, least=1) -> None:
    """Make a table as high as its lines, from ``least`` lines up to ``most`` pixels; beyond that it scrolls."""
    header = table.horizontalHeader()
    line = table.verticalHeader().defaultSectionSize
    head = 0 if header.isHidden() else header.sizeHint.height()
    lines = max(sum(table.rowHeight(row) for row in range(table.rowCount)), least * line)
    table.setFixedHeight(min(head + lines + 2 * table.frameWidth, most))
