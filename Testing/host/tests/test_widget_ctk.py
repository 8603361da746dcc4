"""The ctk widgets: folding, numbers, paths, buttons, texts; each refuses what CTK's does not have."""

from __future__ import annotations

import ctk
import pytest
import qt
from PySide6 import QtCore, QtGui, QtTest, QtWidgets
from standin.api import loadApi

CLASSES = sorted(name for name in vars(ctk) if name.startswith("ctk"))


@pytest.fixture
def window(host):
    """A window with a column, shown, for what is only right once it is laid out."""
    widget = qt.QWidget()
    widget.setLayout(qt.QVBoxLayout())
    widget.resize(400, 300)
    yield widget
    widget.delete()


def show(window, host, *widgets) -> None:
    for one in widgets:
        window.layout().addWidget(one)
    window.show()
    host.process_events()


# --- what every class has and has not ---------------------------------------------------------------------------------
def test_the_widgets_that_panels_use_are_there():
    wanted = """ctkCollapsibleButton ctkCollapsibleGroupBox ctkPathLineEdit ctkDirectoryButton ctkSliderWidget
    ctkDoubleSpinBox ctkComboBox ctkCheckableComboBox ctkPushButton ctkMessageBox ctkMenuButton ctkFittedTextBrowser
    ctkSearchBox"""
    assert set(wanted.split()) <= set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_property_can_be_read_and_an_unknown_one_is_refused(name, host):
    widget = getattr(ctk, name)()
    assert widget.className() == name
    own = [facts for facts in loadApi().lineage(name) if facts.name.startswith("ctk")]
    for one in {key for facts in own for key in facts.properties}:
        assert getattr(widget, one) is not NotImplemented
    with pytest.raises(AttributeError, match=f"'noSuchThing' does not exist on {name}"):
        widget.noSuchThing = 1
    with pytest.raises(AttributeError):
        widget.noSuchThing  # noqa: B018
    assert widget.connect("noSuchSignal()", print) is False
    widget.delete()


# --- folding ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["ctkCollapsibleButton", "ctkCollapsibleGroupBox"])
def test_folding_hides_the_children_and_unfolding_shows_those_that_were_not_hidden(name, window, host):
    box = getattr(ctk, name)()
    box.setLayout(qt.QVBoxLayout())
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    box.layout().addWidget(shown)
    box.layout().addWidget(hidden)
    hidden.hide()
    show(window, host, box)
    high = box.height
    box.collapsed = True
    host.process_events()
    assert (shown.visible, hidden.visible, box.checked) == (False, False, False)
    assert box.height < high
    box.checked = True
    host.process_events()
    assert (shown.visible, hidden.visible, box.collapsed) == (True, False, False)


@pytest.mark.parametrize("name", ["ctkCollapsibleButton", "ctkCollapsibleGroupBox"])
def test_a_child_that_is_shown_or_added_while_folded_waits_for_the_unfolding(name, window, host):
    box = getattr(ctk, name)()
    box.setLayout(qt.QVBoxLayout())
    first = qt.QLabel("first")
    box.layout().addWidget(first)
    show(window, host, box)
    box.collapsed = True
    second = qt.QLabel("second")
    box.layout().addWidget(second)
    first.show()
    host.process_events()
    assert (first.visible, second.visible) == (False, False)
    box.collapsed = False
    host.process_events()
    assert (first.visible, second.visible) == (True, True)


def test_the_collapsible_button_tells_what_it_does_and_folds_on_a_click_on_its_header(window, host):
    box = ctk.ctkCollapsibleButton("Advanced")
    told = []
    box.connect("contentsCollapsed(bool)", told.append)
    box.toggled.connect(lambda on: told.append(("toggled", on)))
    show(window, host, box)
    QtTest.QTest.mouseClick(box, QtCore.Qt.MouseButton.LeftButton, pos=QtCore.QPoint(40, 8))
    box.collapsed = True
    assert told == [True, ("toggled", False)]
    assert box.text == "Advanced"
    box.click()
    assert not box.collapsed


# --- numbers ----------------------------------------------------------------------------------------------------------
def test_the_slider_widget_keeps_its_number_between_its_bounds_and_tells_each_change_once(host):
    slider = ctk.ctkSliderWidget()
    told = []
    slider.connect("valueChanged(double)", told.append)
    slider.decimals, slider.minimum, slider.maximum, slider.singleStep = 3, -1.0, 1.0, 0.005
    slider.value = 0.125
    slider.value = 0.125
    slider.setValue(7)
    assert (slider.value, told) == (1.0, [0.125, 1.0])
    slider.maximum = 0.5
    assert slider.value == 0.5
    slider.reset()
    assert slider.value == 0.0
    slider.delete()


def test_the_slider_moves_with_the_number_and_the_number_with_the_slider(host):
    widget = ctk.ctkSliderWidget()
    widget.maximum = 200.0
    slider = QtWidgets.QWidget.findChild(widget, QtWidgets.QSlider)
    widget.value = 50
    assert QtWidgets.QSlider.value(slider) == pytest.approx(QtWidgets.QSlider.maximum(slider) / 4, abs=1)
    QtTest.QTest.keyClick(slider, QtCore.Qt.Key.Key_End)
    assert widget.value == 200.0
    widget.delete()


def test_without_tracking_the_value_waits_until_the_slider_is_let_go(host):
    widget = ctk.ctkSliderWidget()
    widget.tracking = False
    told = []
    widget.connect("valueChanged(double)", lambda value: told.append(("is", value)))
    widget.connect("valueIsChanging(double)", lambda value: told.append(("becomes", value)))
    widget.startChanging()
    widget.setSpinBoxValue(20)
    assert (widget.value, told) == (0.0, [("becomes", 20.0)])
    widget.stopChanging()
    assert (widget.value, told[1:]) == (20.0, [("is", 20.0)])
    widget.delete()


def test_the_double_spin_box_tells_number_and_text(host):
    box = ctk.ctkDoubleSpinBox()
    box.suffix, box.decimals, box.maximum = " mm", 1, 50
    told = []
    box.connect("valueChanged(double)", told.append)
    box.connect("valueChanged(QString)", told.append)
    box.value = 2.25
    assert told == [pytest.approx(2.2, abs=0.11), box.prefix + f"{box.value:.1f} mm"]
    box.stepUp()
    assert box.value == pytest.approx(told[0] + 1)
    told.clear()
    box.setValueIfDifferent(box.value)
    assert told == []
    box.setValueAlways(box.value)
    assert len(told) == 2
    box.delete()


# --- paths ------------------------------------------------------------------------------------------------------------
def test_a_path_is_valid_when_what_is_asked_for_is_there(tmp_path, host):
    (tmp_path / "weights.pth").write_bytes(b"1")
    line = ctk.ctkPathLineEdit()
    told = []
    line.connect("currentPathChanged(QString)", told.append)
    line.connect("validInputChanged(bool)", told.append)
    line.currentPath = str(tmp_path / "weights.pth")
    line.currentPath = str(tmp_path / "missing.pth")
    line.filters = ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Writable
    assert told == [str(tmp_path / "weights.pth"), True, str(tmp_path / "missing.pth"), False, True]
    line.filters = ctk.ctkPathLineEdit.Dirs
    line.currentPath = str(tmp_path)
    assert told[-2:] == [False, str(tmp_path)] or told[-1] is True
    line.delete()


def test_a_file_is_chosen_with_the_dialog_that_fits(host, tmp_path):
    line = ctk.ctkPathLineEdit()
    host.answers.append(str(tmp_path / "a.pth"))
    line.filters = ctk.ctkPathLineEdit.Files
    line.browse()
    assert line.currentPath == str(tmp_path / "a.pth")
    line.delete()


def test_paths_are_remembered_newest_first_and_at_most_five(host):
    line = ctk.ctkPathLineEdit()
    line.settingKey = "SampleWeights"
    for number in range(7):
        line.currentPath = f"/data/{number}"
        line.addCurrentPathToHistory()
    line.currentPath = "/data/4"
    line.addCurrentPathToHistory()
    combo = line.comboBox()
    assert [combo.itemText(row) for row in range(combo.count)] == [f"/data/{number}" for number in (4, 6, 5, 3, 2)]
    other = ctk.ctkPathLineEdit()
    other.settingKey = "SampleWeights"
    other.retrieveHistory()
    assert other.currentPath == "/data/4"
    line.delete()
    other.delete()


def test_a_folder_is_chosen_with_the_directory_button(host, tmp_path):
    button = ctk.ctkDirectoryButton()
    told = []
    button.connect("directoryChanged(QString)", told.append)
    button.connect("directorySelected(QString)", lambda path: told.append("chosen"))
    button.directory = str(tmp_path)
    host.answers.append(str(tmp_path))
    button.browse()
    assert (button.directory, told) == (str(tmp_path), [str(tmp_path), "chosen"])
    inner = QtWidgets.QWidget.findChild(button, QtWidgets.QPushButton)
    assert QtWidgets.QAbstractButton.text(inner) == str(tmp_path)
    button.text = "Choose"
    assert QtWidgets.QAbstractButton.text(inner) == "Choose"
    button.delete()


# --- combo boxes, buttons, texts --------------------------------------------------------------------------------------
def test_the_combo_box_shows_its_default_text_until_something_is_chosen(host):
    combo = ctk.ctkComboBox()
    combo.addItem("CT", "ct")
    combo.addItem("MR", "mr")
    combo.defaultText = "Choose a modality"
    combo.currentIndex = -1
    combo.resize(200, 30)
    combo.show()
    host.process_events()
    empty = combo.grab().toImage()
    combo.currentUserDataAsString = "mr"
    assert (combo.currentIndex, combo.currentText, combo.currentUserDataAsString) == (1, "MR", "mr")
    assert combo.grab().toImage() != empty
    combo.delete()


def test_the_menu_button_opens_its_menu_at_the_arrow_only(host):
    button = ctk.ctkMenuButton("Export")
    menu = qt.QMenu(button)
    button.setMenu(menu)
    clicks = []
    button.connect("clicked()", lambda: clicks.append(1))
    button.resize(120, 30)
    button.show()
    host.process_events()
    QtTest.QTest.mouseClick(button, QtCore.Qt.MouseButton.LeftButton, pos=QtCore.QPoint(20, 15))
    assert clicks == [1]
    assert QtWidgets.QPushButton.menu(button) is menu
    button.delete()


def test_a_message_box_remembers_that_it_shall_not_come_again(host):
    box = ctk.ctkMessageBox()
    box.text = "Weights are downloaded."
    box.dontShowAgainSettingsKey = "Sample/again"
    assert (box.dontShowAgain, box.dontShowAgainVisible) == (False, True)
    box.dontShowAgain = True
    box.onFinished(0)
    other = ctk.ctkMessageBox()
    other.dontShowAgainSettingsKey = "Sample/again"
    assert other.dontShowAgain
    box.delete()
    other.delete()


def test_the_text_browser_is_as_high_as_its_text_and_folds_what_follows_the_teaser(window, host):
    browser = ctk.ctkFittedTextBrowser()
    show(window, host, browser)
    browser.setHtml("one line")
    host.process_events()
    low = browser.height
    browser.setHtml("<br>".join(["line"] * 8))
    host.process_events()
    assert browser.height > low + 80
    browser.setCollapsibleText("Short.\nAnd much more.")
    assert browser.plainText == "Short."
    browser.collapsed = False
    assert browser.plainText == "Short.\nAnd much more."


def test_the_search_box_is_a_line_edit_with_a_glass_when_wanted(host):
    box = ctk.ctkSearchBox()
    told = []
    box.connect("textChanged(QString)", told.append)
    box.text = "liver"
    box.showSearchIcon = True
    assert (told, box.placeholderText, box.clearButtonEnabled) == (["liver"], "Search...", True)
    icons = [action for action in QtWidgets.QWidget.actions(box) if not QtGui.QAction.icon(action).isNull()]
    assert len(icons) == 1
    box.delete()
