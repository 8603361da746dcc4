"""Modal dialogs that never hang: they are answered from a queue, and one that nobody expected is an error.

    host.answers.append(qt.QMessageBox.Yes)     # the button that the next message box gets clicked
    host.answers.append("/tmp/result.nrrd")     # what the next file dialog gives back
    host.answers.append(lambda dialog: ...)     # is given the shown dialog, and must close it
    host.messages                               # the texts of all dialogs shown

A message box with a single button asks nothing: its text is kept and it is closed. Any other dialog without an answer
raises UnexpectedDialog (kept in `errors` as well, because a slot's exception goes no further than stderr).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_convert import manner, unmanner
from standin.qt_enums import to_int
from standin.qt_special import special

Buttons = QtWidgets.QMessageBox.StandardButton


class UnexpectedDialog(RuntimeError):
    """A modal dialog was opened that no test answered; in the application it would have waited for the user."""


class Dialogs:
    """What was shown (`messages`), what will be answered (`answers`), and what nobody expected (`errors`)."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.answers: list[Any] = []
        self.errors: list[UnexpectedDialog] = []

    def clear(self) -> None:
        """Forget everything, for the next test."""
        self.messages.clear()
        self.answers.clear()
        self.errors.clear()

    def answer(self, text: str) -> Any:
        """The next answer for a dialog of that text. UnexpectedDialog when there is none."""
        self.messages.append(text)
        if not self.answers:
            raise self.unexpected(text)
        return self.answers.pop(0)

    def unexpected(self, text: str) -> UnexpectedDialog:
        """The error for a dialog that nobody answers."""
        error = UnexpectedDialog(f"A modal dialog waits for an answer that nobody queued: {text}")
        self.errors.append(error)
        return error


dialogs = Dialogs()


def run(dialog: QtWidgets.QDialog) -> int:
    """Show a dialog modally, answer it, and give back its result."""
    text = text_of(dialog)
    if _asks_nothing(dialog) and not (dialogs.answers and callable(dialogs.answers[0])):
        dialogs.messages.append(text)
        answer: Any = _press_the_only_button
    else:
        answer = dialogs.answer(text)
    failures: list[BaseException] = []

    def act() -> None:
        try:
            _act(dialog, answer)
        except BaseException as error:
            failures.append(error)
        if dialog.isVisible():
            if not failures:
                failures.append(dialogs.unexpected(f"{text} (the answer {answer!r} did not close it)"))
            QtWidgets.QDialog.done(dialog, 0)

    QtCore.QTimer.singleShot(0, act)
    result = QtWidgets.QDialog.exec(dialog)
    if failures:
        raise failures[0]
    return result


def text_of(dialog: QtWidgets.QDialog) -> str:
    """What the user would read: text and informative text of a message box, else the title."""
    if isinstance(dialog, QtWidgets.QMessageBox):
        raw = QtWidgets.QMessageBox
        return "\n".join(part for part in (raw.text(dialog), raw.informativeText(dialog)) if part)
    return QtWidgets.QDialog.windowTitle(dialog) or type(dialog).__name__


def _asks_nothing(dialog: QtWidgets.QDialog) -> bool:
    return isinstance(dialog, QtWidgets.QMessageBox) and len(QtWidgets.QMessageBox.buttons(dialog)) <= 1


def _press_the_only_button(dialog: QtWidgets.QMessageBox) -> None:
    # A box without buttons has got its "OK" when it was shown.
    QtWidgets.QAbstractButton.click(QtWidgets.QMessageBox.buttons(dialog)[0])


def _act(dialog: QtWidgets.QDialog, answer: Any) -> None:
    if callable(answer):
        answer(manner(dialog))
    elif isinstance(dialog, QtWidgets.QMessageBox):
        button = QtWidgets.QMessageBox.button(dialog, Buttons(int(answer)))
        if button is None:
            raise ValueError(f"The message box has no button {answer!r}: {text_of(dialog)}")
        QtWidgets.QAbstractButton.click(button)
    elif isinstance(dialog, QtWidgets.QFileDialog) and isinstance(answer, (str, tuple, list)):
        paths = [answer] if isinstance(answer, str) else list(answer)
        # The dialog's own result: selectFile takes names that need not exist yet.
        for path in paths:
            QtWidgets.QFileDialog.selectFile(dialog, path)
        QtWidgets.QDialog.done(dialog, 1 if paths and paths[0] else 0)
    else:
        QtWidgets.QDialog.done(dialog, int(bool(answer)))


@special("exec_", QtWidgets.QDialog)
def _exec_dialog(self: QtWidgets.QDialog) -> int:
    return run(self)


@special("exec_", QtWidgets.QMenu)
def _exec_menu(self: QtWidgets.QMenu, *place: Any) -> Any:
    """The answer is the text of an action, or a function that is given the menu and gives back an action."""
    QtWidgets.QMenu.aboutToShow.__get__(self).emit()
    answer = dialogs.answer(QtWidgets.QMenu.title(self) or "menu")
    actions = QtWidgets.QWidget.actions(self)
    chosen = (
        answer(self) if callable(answer) else next((one for one in actions if QtGui.QAction.text(one) == answer), None)
    )
    if isinstance(answer, str) and chosen is None:
        raise ValueError(f"The menu has no entry {answer!r}")
    if chosen is not None and QtGui.QAction.isEnabled(chosen):
        QtGui.QAction.trigger(chosen)
    return manner(chosen)


@special("exec_", QtCore.QCoreApplication)
def _exec_application(*_: Any) -> int:
    raise dialogs.unexpected("the application's own event loop (exec_)")


@special("exec_", QtGui.QDrag)
def _exec_drag(*_: Any) -> int:
    raise dialogs.unexpected("a drag")


def _message(icon: QtWidgets.QMessageBox.Icon, default: Buttons) -> Callable[..., int]:
    def show(parent: Any, title: str, text: str, buttons: int = 0, default_button: int = 0) -> int:
        box = QtWidgets.QMessageBox(icon, title, text, Buttons(int(buttons)) if buttons else default, parent)
        run(box)
        clicked = QtWidgets.QMessageBox.standardButton(box, QtWidgets.QMessageBox.clickedButton(box))
        box.deleteLater()
        return to_int(clicked)

    return show


Icon = QtWidgets.QMessageBox.Icon
for _name, _icon, _default in (
    ("question", Icon.Question, Buttons.Yes | Buttons.No),
    ("information", Icon.Information, Buttons.Ok),
    ("warning", Icon.Warning, Buttons.Ok),
    ("critical", Icon.Critical, Buttons.Ok),
):
    special(_name, QtWidgets.QMessageBox, static=True)(_message(_icon, _default))


@special("about", QtWidgets.QMessageBox, static=True)
def _about(parent: Any, title: str, text: str) -> None:
    dialogs.messages.append(text)


def _question(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    """A static dialog with a caption as second argument whose answer is given back as it was queued."""

    def ask(parent: Any = None, caption: str = "", *_: Any) -> Any:
        answer = dialogs.answer(caption)
        return kind(answer() if callable(answer) else answer)

    return ask


# PythonQt gives back the path alone, where PySide6 gives the filter as well.
for _name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
    special(_name, QtWidgets.QFileDialog, static=True)(_question(lambda answer: str(answer or "")))
special("getOpenFileNames", QtWidgets.QFileDialog, static=True)(
    _question(lambda answer: tuple(str(one) for one in answer or ()))
)
for _name in ("getText", "getMultiLineText", "getItem"):
    special(_name, QtWidgets.QInputDialog, static=True)(_question(lambda answer: str(answer or "")))
special("getInt", QtWidgets.QInputDialog, static=True)(_question(int))
special("getDouble", QtWidgets.QInputDialog, static=True)(_question(float))


@special("getColor", QtWidgets.QColorDialog, static=True)
def _get_color(initial: Any = None, parent: Any = None, title: str = "", *_: Any) -> Any:
    answer = dialogs.answer(title or "colour")
    return manner(QtGui.QColor(unmanner(answer)) if answer is not None else QtGui.QColor())
