"""Properties, methods, derived classes, children: how PythonQt's objects answer."""

from __future__ import annotations

import pytest


def test_numbers_convert_into_each_other_and_texts_do_not(qt):
    spin = qt.QSpinBox()
    spin.value = 7.9
    assert spin.value == 7  # PythonQt takes the floor
    spin.value = True
    assert spin.value == 1
    real = qt.QDoubleSpinBox()
    real.value = 3
    assert real.value == 3.0
    assert isinstance(real.value, float)
    for wrong in ("3", None, [], float("nan"), qt.QSize()):
        with pytest.raises(AttributeError, match="Property 'value' of type 'int' does not accept an object of type"):
            spin.value = wrong
    with pytest.raises(AttributeError, match="Property 'value' of type 'double'"):
        real.value = "1.5"


def test_a_bool_property_takes_no_text(qt):
    box = qt.QCheckBox()
    box.checked = 1
    assert box.checked is True
    for wrong in ("True", None, ()):
        with pytest.raises(AttributeError, match="Property 'checked' of type 'bool'"):
            box.checked = wrong


def test_everything_has_a_text_for_a_text_property(qt):
    label = qt.QLabel()
    label.text = 5
    assert label.text == "5"
    label.text = None
    assert label.text == "None"  # as in PythonQt: a mistake that shows


def test_a_property_of_a_class_of_qt_takes_that_class_only(qt):
    widget = qt.QWidget()
    widget.minimumSize = qt.QSize(10, 20)
    assert (widget.minimumSize.width(), widget.minimumSize.height()) == (10, 20)
    with pytest.raises(AttributeError, match="Property 'minimumSize' of type 'QSize'"):
        widget.minimumSize = (10, 20)
    with pytest.raises(AttributeError, match="Property 'windowIcon' of type 'QIcon'"):
        widget.windowIcon = "icon.png"


def test_an_enum_property_takes_ints_and_gives_ints(qt):
    label = qt.QLabel()
    label.alignment = qt.Qt.AlignRight | qt.Qt.AlignVCenter
    assert label.alignment == 0x82
    label.setAlignment(qt.Qt.AlignCenter)
    assert label.alignment == qt.Qt.AlignCenter
    label.setAlignment(qt.Qt.AlignLeft | qt.Qt.AlignTop)
    assert label.alignment == 0x21
    with pytest.raises(AttributeError, match="Property 'alignment' of type 'Qt::Alignment'"):
        label.alignment = 2.5


def test_read_only_properties_and_methods_cannot_be_assigned(qt):
    combo = qt.QComboBox()
    with pytest.raises(AttributeError, match="Property 'count' of QComboBox object is not writable"):
        combo.count = 3
    with pytest.raises(AttributeError, match="Slot 'setFocus' can not be overwritten on QComboBox object"):
        combo.setFocus = print
    with pytest.raises(AttributeError, match="Signal 'activated' can not be overwritten on QComboBox object"):
        combo.activated = print


def test_a_getter_that_a_property_shadows_cannot_be_called(qt):
    for made, name in (
        (qt.QSpinBox(), "value"),
        (qt.QLabel(), "text"),
        (qt.QWidget(), "windowTitle"),
        (qt.QTimer(), "interval"),
    ):
        with pytest.raises(TypeError, match="not callable"):
            getattr(made, name)()


def test_methods_take_no_keywords_and_no_other_number_of_arguments(qt):
    button = qt.QPushButton()
    with pytest.raises(ValueError, match="does not support kwargs"):
        button.setText(text="x")
    with pytest.raises(ValueError, match="does not support kwargs"):
        qt.QPushButton(text="x")
    for arguments in ((), ("a", "b"), (qt.QSize(),)):
        with pytest.raises(ValueError, match="Could not find matching overload"):
            button.setText(*arguments)


def test_lists_come_back_as_tuples_and_bytes_in_a_qbytearray(qt):
    model = qt.QStringListModel()
    model.setStringList(["a", "b"])
    assert model.stringList() == ("a", "b")
    data = qt.QByteArray(b"abc")
    assert data.data() == b"abc"
    assert isinstance(data, qt.QByteArray)
    widget = qt.QWidget()
    assert isinstance(widget.saveGeometry().data(), bytes)


def test_tuples_are_taken_where_lists_are(qt):
    table = qt.QTableWidget(1, 2)
    table.setHorizontalHeaderLabels(("p", "q"))
    assert table.horizontalHeaderItem(1).text() == "q"
    combo = qt.QComboBox()
    combo.addItems(("a", "b"))
    assert combo.count == 2


def test_what_qt_returns_has_the_manners_too(qt):
    table, menu = qt.QTableWidget(2, 2), qt.QMenu()
    for found, name in (
        (table.horizontalHeader(), "QHeaderView"),
        (table.selectionModel(), "QItemSelectionModel"),
        (table.viewport(), "QWidget"),
        (table.model().index(0, 0), "QModelIndex"),
        (table.font, "QFont"),
        (menu.addAction("x"), "QAction"),
        (qt.QIcon().pixmap(4, 4), "QPixmap"),
        (table.grab(), "QPixmap"),
    ):
        assert found.className() == name
        with pytest.raises(AttributeError):
            found.noSuchName  # noqa: B018
        with pytest.raises(AttributeError):
            found.noSuchName = 1
    assert table.horizontalHeader() is table.horizontalHeader()


def test_user_data_of_items_comes_back_as_it_was_given(qt):
    item = qt.QTableWidgetItem("a")
    for value in (7, "text", 2.5, None, True):
        item.setData(qt.Qt.UserRole, value)
        assert item.data(qt.Qt.UserRole) == value
    combo = qt.QComboBox()
    combo.addItem("a", ("x", 1))
    assert combo.itemData(0) == ("x", 1)
    item.setData(qt.Qt.BackgroundRole, qt.QColor("red"))
    assert item.background().color().name() == "#ff0000"  # Qt itself understands the colour
    assert item.flags() & qt.Qt.ItemIsEditable


def test_a_derived_class_may_have_attributes_of_its_own_but_not_those_of_qt(qt):
    class Panel(qt.QWidget):
        def __init__(self, parent=None):
            qt.QWidget.__init__(self, parent)
            self.mine = {"a": 1}

    panel = Panel()
    panel.other = 2
    panel.windowTitle = "title"
    assert (panel.mine, panel.other, panel.windowTitle) == ({"a": 1}, 2, "title")
    assert isinstance(panel, Panel)
    assert isinstance(panel, qt.QWidget)
    assert not isinstance(panel, qt.QObject)
    assert panel.className() == "QWidget"
    with pytest.raises(AttributeError, match="Slot 'layout' can not be overwritten"):
        panel.layout = qt.QVBoxLayout()
    with pytest.raises(AttributeError, match="QWidget has no attribute named 'nothing'"):
        panel.nothing  # noqa: B018


def test_a_mixin_of_plain_python_works_beside_a_class_of_qt(qt):
    class Mixin:
        greeting = "hello"

        def greet(self):
            return f"{self.greeting} {self.objectName}"

    class Panel(qt.QWidget, Mixin):
        pass

    panel = Panel()
    panel.objectName = "panel"
    assert panel.greet() == "hello panel"


def test_qt_calls_overridden_methods_with_mannered_arguments(qt, installed_host):
    seen = []

    class Panel(qt.QWidget):
        def resizeEvent(self, event):
            seen.append((type(event) is qt.QResizeEvent, event.size().width()))

        def keyPressEvent(self, event):
            seen.append((event.key() == qt.Qt.Key_A, event.text(), event.modifiers() == qt.Qt.ControlModifier))

        def sizeHint(self):
            return qt.QSize(321, 123)

    panel = Panel()
    panel.resize(50, 60)
    panel.show()
    installed_host.process_events()
    press = qt.QKeyEvent(qt.QEvent.KeyPress, qt.Qt.Key_A, qt.Qt.ControlModifier, "a")
    qt.QApplication.sendEvent(panel, press)
    assert seen == [(True, 50), (True, "a", True)]
    box = qt.QWidget()
    layout = qt.QVBoxLayout(box)
    layout.addWidget(panel)
    assert layout.sizeHint().width() >= 321  # Qt asked the override


def test_an_error_in_an_overridden_method_is_printed_and_kept_and_stops_nothing(qt, installed_host, capfd):
    class Panel(qt.QWidget):
        def resizeEvent(self, event):
            raise RuntimeError("in the override")

        def hasHeightForWidth(self):
            raise RuntimeError("asked by nobody else")

    panel = Panel()
    panel.resize(50, 60)
    panel.show()
    installed_host.process_events()
    texts = {str(error) for error in installed_host.errors}
    installed_host.errors.clear()
    assert "in the override" in texts
    assert "in the override" in capfd.readouterr().err
    with pytest.raises(RuntimeError, match="in the override"):
        panel.resizeEvent(None)  # called by Python it is a plain method


def test_children_are_found_by_type_name_and_as_attributes(qt):
    box = qt.QGroupBox()
    layout = qt.QVBoxLayout(box)
    inner = qt.QFrame()
    layout.addWidget(inner)
    for name in ("first", "second"):
        qt.QLabel(name, inner).objectName = name
    assert [one.objectName for one in box.findChildren(qt.QLabel)] == ["first", "second"]
    assert [one.objectName for one in box.findChildren("QLabel")] == ["first", "second"]
    assert box.findChildren("QFrame")[0] is inner
    assert box.findChild("QLabel", "second").text == "second"
    assert box.findChild("QLabel", "third") is None
    assert inner.first.text == "first"  # PythonQt looks among the children last
    assert box.children() == (layout, inner)


def test_dynamic_properties_can_be_read_and_set_as_attributes_once_they_are_there(qt):
    widget = qt.QWidget()
    with pytest.raises(AttributeError):
        widget.SlicerParameterName = "a"
    assert widget.setProperty("SlicerParameterName", "a") is False  # as in Qt: there was no such property
    assert widget.property("SlicerParameterName") == widget.SlicerParameterName == "a"
    widget.SlicerParameterName = "b"
    assert widget.property("SlicerParameterName") == "b"
    assert widget.property("nothing") is None


def test_static_methods_take_ints_and_give_mannered_objects(qt):
    assert qt.QColor.fromRgb(255, 0, 0).name() == "#ff0000"
    assert qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont).className() == "QFont"
    assert qt.QApplication.instance() is qt.QApplication.instance()
    assert qt.QStandardPaths.writableLocation(qt.QStandardPaths.TempLocation)
    assert isinstance(qt.QDir.tempPath(), str)
    with pytest.raises(TypeError):
        qt.Signal(int)
    with pytest.raises(TypeError):
        type("Own", (qt.Signal,), {})
