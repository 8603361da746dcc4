"""Signals in PythonQt's manner: signatures, overloads, trimmed arguments, who keeps whom alive."""

from __future__ import annotations

import functools
import gc
import weakref

import pytest


def test_a_wrong_signature_is_false_and_a_line_on_stderr_and_nothing_else(qt, capfd):
    button = qt.QPushButton()
    for wrong in ("clicked", "clicked(int)", "Clicked()", "clicked(bool,bool)", "", "click()"):
        assert button.connect(wrong, print) is False
        assert capfd.readouterr().err == f"signal '{wrong}' does not exist\n"
    assert button.connect(" clicked( bool ) ", print) is True  # normalized
    with pytest.raises(ValueError, match="something that can be called"):
        button.connect("clicked()", None)


def test_overloads_by_type_are_told_apart(qt):
    combo, got = qt.QComboBox(), []
    combo.addItems(["a", "b"])
    assert combo.connect("currentIndexChanged(int)", lambda value: got.append(value))
    assert combo.connect("currentIndexChanged(QString)", lambda value: got.append(value))  # gone in Qt 6
    assert combo.connect("currentTextChanged(QString)", lambda value: got.append(("text", value)))
    combo.currentIndex = 1
    assert sorted(got, key=str) == [("text", "b"), 1, "b"]


def test_a_signal_attribute_is_the_first_overload(qt):
    combo, got = qt.QComboBox(), []
    combo.addItems(["a", "b"])
    combo.currentIndexChanged.connect(got.append)
    combo.setCurrentIndex(1)
    assert got == [1]
    button, pressed = qt.QPushButton(), []
    button.checkable = True
    button.clicked.connect(lambda checked: pressed.append(checked))
    button.click()
    assert pressed == [True]


def test_slots_get_as_many_arguments_as_they_declare(qt):
    table, got = qt.QTableWidget(2, 3), []

    class Receiver:
        def none(self):
            got.append(())

        def one(self, row):
            got.append((row,))

        def two(self, row, column):
            got.append((row, column))

        def optional(self, row, column=7, other=8):
            got.append((row, column, other))

        @staticmethod
        def static(row):
            got.append((row,))

        @classmethod
        def of_the_class(cls, row):
            got.append((cls, row))

        def all(self, *everything):
            got.append(everything)

        def __call__(self, *everything):
            got.append(("called", *everything))

    receiver = Receiver()
    slots = [
        receiver.none,
        receiver.one,
        receiver.two,
        receiver.optional,
        receiver.static,
        receiver.of_the_class,
        receiver.all,
        receiver,
        functools.partial(receiver.all, "p"),
        lambda: got.append("nothing"),
        lambda row: got.append(("row", row)),
    ]
    for slot in slots:
        assert table.connect("cellClicked(int,int)", slot)
    table.cellClicked(1, 2)  # PythonQt's signals are called to be emitted
    assert got == [
        (),
        (1,),
        (1, 2),
        (1, 2, 8),
        (1,),
        (Receiver, 1),
        (1, 2),
        ("called", 1, 2),
        ("p", 1, 2),
        "nothing",
        ("row", 1),
    ]


def test_a_method_of_qt_as_slot_gets_everything_and_says_so_when_it_cannot_take_it(qt, installed_host):
    button, dialog = qt.QPushButton(), qt.QDialog()
    dialog.show()
    button.clicked.connect(dialog.accept)  # accept() takes no bool: PythonQt prints an error, and so does this
    button.click()
    assert [type(error) for error in installed_host.errors] == [ValueError]
    installed_host.errors.clear()
    assert dialog.visible
    button.clicked.disconnect()
    assert button.connect("clicked()", dialog.accept)
    button.click()
    assert not dialog.visible


def test_a_slot_named_by_its_signature_takes_as_many_arguments(qt, capfd):
    button, box, label = qt.QPushButton(), qt.QGroupBox(), qt.QLabel()
    button.checkable = True
    assert button.connect("toggled(bool)", box, "setEnabled(bool)")
    assert button.connect("clicked()", label, "clear()")
    label.text = "x"
    button.checked = True
    button.checked = False
    assert not box.enabled
    button.click()
    assert label.text == ""
    assert button.connect("toggled(bool)", box, "noSuchSlot(bool)") is False
    assert "noSuchSlot" in capfd.readouterr().err
    assert button.disconnect("toggled(bool)", box, "setEnabled(bool)")
    button.checked = False
    assert box.enabled


def test_a_signal_can_be_passed_on_by_another(qt):
    first, second, got = qt.QPushButton(), qt.QPushButton(), []
    assert first.clicked.connect(second.clicked)
    second.connect("clicked(bool)", lambda checked: got.append(checked))
    first.click()
    assert got == [False]


def test_the_same_slot_twice_is_called_twice_and_goes_one_by_one(qt):
    button, got = qt.QPushButton(), []

    def slot():
        got.append(1)

    assert button.connect("clicked()", slot)
    assert button.connect("clicked()", slot)
    button.click()
    assert got == [1, 1]
    assert button.disconnect("clicked()", slot)
    button.click()
    assert got == [1, 1, 1]
    assert button.disconnect("clicked()", slot)
    assert button.disconnect("clicked()", slot) is False
    assert button.clicked.disconnect(slot) is False


class Receiver:
    def __init__(self):
        self.count = 0

    def slot(self):
        self.count += 1


def test_bound_methods_are_recognized_when_they_are_disconnected(qt):
    button, receiver = qt.QPushButton(), Receiver()
    button.clicked.connect(receiver.slot)
    assert button.clicked.disconnect(receiver.slot)  # another bound method object, equal to the first
    button.click()
    assert receiver.count == 0


def test_a_connection_keeps_its_slot_alive_until_the_sender_goes(qt, installed_host):
    button, receiver = qt.QPushButton(), Receiver()
    watched = weakref.ref(receiver)
    button.clicked.connect(receiver.slot)
    button.connect("clicked()", lambda kept=receiver: None)
    del receiver
    gc.collect()
    button.click()
    assert watched().count == 1
    button.deleteLater()
    installed_host.process_events()
    gc.collect()
    assert watched() is None


def test_an_exception_in_a_slot_is_printed_and_does_not_stop_the_others(qt, installed_host, capfd):
    button, got = qt.QPushButton(), []

    def broken():
        raise KeyError("broken slot")

    button.connect("clicked()", broken)
    button.connect("clicked()", lambda: got.append(1))
    button.click()
    assert got == [1]
    assert [str(error) for error in installed_host.errors] == ["'broken slot'"]
    installed_host.errors.clear()
    assert "Traceback" in capfd.readouterr().err


def test_blocked_signals_are_not_delivered(qt):
    spin, got = qt.QSpinBox(), []
    spin.connect("valueChanged(int)", got.append)
    assert spin.blockSignals(True) is False
    spin.value = 3
    assert spin.blockSignals(False) is True
    spin.value = 4
    assert got == [4]


def test_a_slot_may_disconnect_itself_and_delete_the_sender(qt, installed_host):
    button, got = qt.QPushButton(), []

    def once():
        got.append(1)
        button.disconnect("clicked()", once)
        button.deleteLater()

    button.connect("clicked()", once)
    button.click()
    installed_host.process_events()
    assert got == [1]
    assert not button
    with pytest.raises(ValueError, match="destroyed QPushButton"):
        button.connect("clicked()", once)


def test_arguments_of_signals_have_the_manners(qt):
    table, got = qt.QTableWidget(1, 1), []
    table.setItem(0, 0, qt.QTableWidgetItem("a"))
    table.connect("itemChanged(QTableWidgetItem*)", got.append)
    table.item(0, 0).setText("b")
    table.selectionModel().connect(
        "selectionChanged(QItemSelection,QItemSelection)", lambda now, before: got.append(now)
    )
    table.selectRow(0)
    box = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    box.connect("clicked(QAbstractButton*)", got.append)
    box.button(qt.QDialogButtonBox.Ok).click()
    assert [one.className() for one in got] == ["QTableWidgetItem", "QItemSelection", "QPushButton"]
    assert got[0] is table.item(0, 0)


def test_the_destroyed_signal_arrives(qt, installed_host):
    widget, got = qt.QWidget(), []
    widget.connect("destroyed()", lambda: got.append("gone"))
    widget.deleteLater()
    installed_host.process_events()
    assert got == ["gone"]
