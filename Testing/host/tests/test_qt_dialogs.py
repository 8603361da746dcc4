"""Modal dialogs never hang: answered from the queue, or an error."""

from __future__ import annotations

import time

import pytest
from standin.qt_dialogs import UnexpectedDialog


@pytest.fixture
def dialogs(installed_host):
    installed_host.dialogs.clear()
    yield installed_host.dialogs
    assert not installed_host.answers
    installed_host.dialogs.clear()


@pytest.fixture
def qt(installed_host):
    return installed_host.qt


def test_a_question_is_answered_with_the_queued_button_and_its_text_is_kept(qt, dialogs):
    dialogs.answers += [qt.QMessageBox.No, qt.QMessageBox.Yes]
    ask = [qt.QMessageBox.question(None, "Title", f"Sure {number}?") for number in (1, 2)]
    assert ask == [qt.QMessageBox.No, qt.QMessageBox.Yes]
    assert dialogs.messages == ["Sure 1?", "Sure 2?"]


def test_an_unexpected_question_is_an_error_and_no_hang(qt, dialogs):
    begun = time.monotonic()
    with pytest.raises(UnexpectedDialog, match="Sure"):
        qt.QMessageBox.question(None, "Title", "Sure?")
    assert time.monotonic() - begun < 1
    assert len(dialogs.errors) == 1


def test_a_message_that_asks_nothing_is_kept_and_closed(qt, dialogs):
    assert qt.QMessageBox.critical(None, "Title", "It failed") == qt.QMessageBox.Ok
    box = qt.QMessageBox()
    box.text = "Done"
    box.informativeText = "in 3 s"
    assert box.exec_() == qt.QMessageBox.Ok
    assert dialogs.messages == ["It failed", "Done\nin 3 s"]


def test_the_buttons_are_those_that_were_asked_for(qt, dialogs):
    both = qt.QMessageBox.Yes | qt.QMessageBox.Cancel
    dialogs.answers.append(qt.QMessageBox.Cancel)
    assert qt.QMessageBox.warning(None, "T", "Overwrite?", both, qt.QMessageBox.Cancel) == qt.QMessageBox.Cancel
    dialogs.answers.append(qt.QMessageBox.No)
    with pytest.raises(ValueError, match="has no button"):
        qt.QMessageBox.warning(None, "T", "Overwrite?", both)


def test_a_message_box_of_ones_own_runs_its_own_buttons_and_signals(qt, dialogs):
    box, clicked = qt.QMessageBox(), []
    box.setText("Which?")
    first = box.addButton("First", qt.QMessageBox.AcceptRole)
    box.addButton("Second", qt.QMessageBox.RejectRole)
    box.connect("buttonClicked(QAbstractButton*)", lambda button: clicked.append(button.text))
    dialogs.answers.append(lambda dialog: first.click())
    box.exec_()
    assert box.clickedButton() is first
    assert clicked == ["First"]


def test_a_function_as_answer_sees_the_shown_dialog(qt, dialogs):
    dialog = qt.QDialog()
    dialog.windowTitle = "Settings"
    edit = qt.QLineEdit(dialog)

    def fill(shown):
        assert shown is dialog
        assert shown.visible
        assert shown.modal
        edit.text = "typed"
        shown.accept()

    dialogs.answers.append(fill)
    assert dialog.exec_() == qt.QDialog.Accepted
    assert edit.text == "typed"
    dialogs.answers.append(False)
    assert dialog.exec_() == qt.QDialog.Rejected
    assert dialogs.messages == ["Settings", "Settings"]


def test_an_answer_that_leaves_the_dialog_open_or_fails_is_an_error(qt, dialogs):
    dialog = qt.QDialog()
    dialogs.answers.append(lambda shown: None)
    with pytest.raises(UnexpectedDialog, match="did not close it"):
        dialog.exec_()
    assert not dialog.visible
    dialogs.answers.append(lambda shown: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dialog.exec_()
    assert not dialog.visible


def test_a_dialog_within_a_dialog_takes_the_next_answer(qt, dialogs):
    outer = qt.QDialog()

    def ask(shown):
        if qt.QMessageBox.question(shown, "T", "Really?") == qt.QMessageBox.Yes:
            shown.accept()

    dialogs.answers += [ask, qt.QMessageBox.Yes]
    assert outer.exec_() == qt.QDialog.Accepted


def test_file_and_text_dialogs_give_back_what_pythonqt_gives(qt, dialogs):
    dialogs.answers += ["/tmp/a.nrrd", "", ["/tmp/a", "/tmp/b"], "/tmp", "name", 3, None]
    assert qt.QFileDialog.getSaveFileName(None, "Save", "/tmp", "*.nrrd") == "/tmp/a.nrrd"
    assert qt.QFileDialog.getOpenFileName(None, "Open") == ""
    assert qt.QFileDialog.getOpenFileNames(None, "Open") == ("/tmp/a", "/tmp/b")
    assert qt.QFileDialog.getExistingDirectory() == "/tmp"
    assert qt.QInputDialog.getText(None, "Name", "Name of it") == "name"
    assert qt.QInputDialog.getInt(None, "Number", "How many") == 3
    assert not qt.QColorDialog.getColor().isValid()


def test_a_menu_is_answered_with_the_text_of_an_entry(qt, dialogs):
    menu, chosen = qt.QMenu("Structures"), []
    menu.addAction("Show").connect("triggered()", lambda: chosen.append("Show"))
    menu.addAction("Hide").connect("triggered()", lambda: chosen.append("Hide"))
    dialogs.answers.append("Hide")
    assert menu.exec_(qt.QPoint(0, 0)).text == "Hide"
    assert chosen == ["Hide"]
    with pytest.raises(UnexpectedDialog):
        menu.exec_()


def test_the_application_cannot_be_run_twice(qt, dialogs):
    with pytest.raises(UnexpectedDialog):
        qt.QApplication.exec_()
