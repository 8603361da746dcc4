"""Item classes, models, delegates and filters written in Python: Qt calls them as PythonQt's would be called."""

from __future__ import annotations


def test_items_sort_by_their_own_order(qt):
    class Number(qt.QTableWidgetItem):
        def __lt__(self, other):
            return float(self.text()) < float(other.text())

    table = qt.QTableWidget(3, 1)
    for row, text in enumerate(("10", "9", "1.5")):
        table.setItem(row, 0, Number(text))
    table.sortItems(0, qt.Qt.AscendingOrder)
    assert [table.item(row, 0).text() for row in range(3)] == ["1.5", "9", "10"]
    assert isinstance(table.item(0, 0), Number)


def test_a_model_written_in_python_is_shown_by_a_view(qt, installed_host):
    class Squares(qt.QAbstractTableModel):
        def rowCount(self, parent):
            return 0 if parent.isValid() else 4

        def columnCount(self, parent):
            return 2

        def data(self, index, role):
            if role == qt.Qt.DisplayRole:
                return str(index.row() ** (index.column() + 1))
            if role == qt.Qt.BackgroundRole and index.row() == 2:
                return qt.QColor("red")
            return None

    model, view = Squares(), qt.QTableView()
    view.setModel(model)
    view.show()
    installed_host.process_events()
    index = model.index(3, 1)
    assert index.data() == "9"
    assert (view.model() is model, model.rowCount(qt.QModelIndex())) == (True, 4)
    picture = view.grab().toImage()
    colours = {picture.pixelColor(x, y).name() for x in range(0, picture.width(), 3) for y in range(picture.height())}
    assert "#ff0000" in colours  # Qt understood the colour that the model gave


def test_a_filter_in_python_decides_which_rows_are_shown(qt):
    class Long(qt.QSortFilterProxyModel):
        def filterAcceptsRow(self, row, parent):  # sourceModel is a property: it cannot be called
            return len(self.sourceModel.index(row, 0, parent).data()) > 3

    source, proxy = qt.QStringListModel(), Long()
    source.setStringList(["a", "abcd", "abcde", "xy"])
    proxy.setSourceModel(source)
    assert [proxy.index(row, 0).data() for row in range(proxy.rowCount())] == ["abcd", "abcde"]
    assert proxy.mapToSource(proxy.index(1, 0)).row() == 2


def test_a_delegate_in_python_paints_and_edits(qt, installed_host):
    painted, edited = [], []

    class Delegate(qt.QStyledItemDelegate):
        def paint(self, painter, option, index):
            painted.append((painter.className(), option.className(), index.row()))
            painter.fillRect(option.rect, qt.QColor("blue"))

        def createEditor(self, parent, option, index):
            editor = qt.QSpinBox(parent)
            edited.append(index.row())
            return editor

    table, delegate = qt.QTableWidget(2, 1), Delegate()
    table.setItem(0, 0, qt.QTableWidgetItem("5"))
    table.setItemDelegate(delegate)
    table.show()
    installed_host.process_events()
    assert ("QPainter", "QStyleOptionViewItem", 0) in painted
    assert table.grab().toImage().pixelColor(40, 40).name() == "#0000ff"
    table.editItem(table.item(0, 0))
    installed_host.process_events()
    assert edited == [0]
    assert table.findChildren("QSpinBox")


def test_an_event_filter_sees_and_stops_events(qt):
    class Filter(qt.QObject):
        def __init__(self):
            qt.QObject.__init__(self)
            self.keys = []

        def eventFilter(self, watched, event):
            if event.type() == qt.QEvent.KeyPress:
                self.keys.append((watched.objectName, event.key() == qt.Qt.Key_B))
                return True
            return False

    edit, watching = qt.QLineEdit(), Filter()
    edit.objectName = "edit"
    edit.installEventFilter(watching)
    qt.QApplication.sendEvent(edit, qt.QKeyEvent(qt.QEvent.KeyPress, qt.Qt.Key_B, qt.Qt.NoModifier, "b"))
    assert edit.text == ""
    edit.removeEventFilter(watching)
    qt.QApplication.sendEvent(edit, qt.QKeyEvent(qt.QEvent.KeyPress, qt.Qt.Key_B, qt.Qt.NoModifier, "b"))
    assert edit.text == "b"
    assert watching.keys == [("edit", True)]


def test_a_picture_is_painted_pixel_by_pixel(qt):
    image = qt.QImage(8, 8, qt.QImage.Format_ARGB32)
    image.fill(qt.Qt.transparent)
    painter = qt.QPainter(image)
    painter.fillRect(2, 2, 3, 3, qt.QColor(0, 255, 0))
    painter.end()
    assert image.pixelColor(3, 3).name() == "#00ff00"
    assert image.pixelColor(6, 6).alpha() == 0
    icon = qt.QIcon(qt.QPixmap.fromImage(image))
    assert icon.pixmap(8, 8).toImage().pixelColor(2, 4).name() == "#00ff00"


def test_tree_items_give_their_children_and_data(qt):
    tree = qt.QTreeWidget()
    tree.setHeaderLabels(["Structure", "Volume"])
    top = qt.QTreeWidgetItem(tree)
    top.setText(0, "Patient")
    for name in ("Liver", "Kidney"):
        child = qt.QTreeWidgetItem(top)
        child.setText(0, name)
        child.setCheckState(0, qt.Qt.Checked)
        child.setData(1, qt.Qt.UserRole, {"ml": 3.5})
    assert [top.child(index).text(0) for index in range(top.childCount())] == ["Liver", "Kidney"]
    assert top.child(0).data(1, qt.Qt.UserRole) == {"ml": 3.5}
    assert top.child(0).checkState(0) == qt.Qt.Checked == 2
    assert tree.topLevelItem(0) is top
    assert [item.text(0) for item in tree.findItems("Kidney", qt.Qt.MatchRecursive, 0)] == ["Kidney"]
