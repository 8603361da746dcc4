"""The handle that tests hold on the stand-in application."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any


class Host:
    """The stand-in application as tests see it: the Qt part is here, the Slicer part (`slicer_application.build`)
    replaces `application` and adds the functions of modules, scene and main window.

    qt, ctk: the modules. qmrml_classes: name -> class, to be put into `slicer`.
    errors: exceptions of slots and of Qt's methods overridden in Python: printed, as in Slicer, and kept for tests.
    dialogs: the hook that answers modal dialogs; `messages` and `answers` are its lists.
    """

    def __init__(self, qt: ModuleType, main_window: bool = False) -> None:
        from standin.qt_dialogs import dialogs
        from standin.qt_signals import errors

        self.qt = qt
        self.ctk: ModuleType | None = None
        self.qmrml_classes: dict[str, type] = {}
        self.application: Any = qt.QApplication.instance()
        self.dialogs = dialogs
        self.errors = errors
        self._main_window = main_window

    @property
    def messages(self) -> list[str]:
        """Texts of the dialogs shown since the list was last cleared."""
        return self.dialogs.messages

    @property
    def answers(self) -> list[Any]:
        """Answers for the modal dialogs to come, first in, first out: a button (`qt.QMessageBox.Yes`), a path, a
        text, or a function that is given the dialog."""
        return self.dialogs.answers

    @property
    def main_window(self) -> bool:
        """Whether the application has a main window; the Slicer part reacts to a change."""
        return self._main_window

    @main_window.setter
    def main_window(self, present: bool) -> None:
        self._main_window = bool(present)

    def process_events(self, seconds: float = 0.0) -> None:
        """Let Qt work off its events, deferred deletions included, for at least so many seconds."""
        end = time.monotonic() + seconds
        while True:
            self.qt.QApplication.processEvents()
            self.qt.QCoreApplication.sendPostedEvents(None, 52)  # 52: QEvent.DeferredDelete, else left by a nested loop
            if time.monotonic() >= end:
                return
            time.sleep(0.002)

    def wait_until(self, predicate: Callable[[], Any], timeout: float = 10.0) -> bool:
        """Let events run until the predicate holds; False when it did not within so many seconds."""
        end = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() > end:
                return False
            self.process_events()
            time.sleep(0.002)
        return True

    def screenshot(self, widget: Any, path: Any) -> None:
        """Write a picture of the widget as PNG, as the window system would show it."""
        widget.ensurePolished()
        self.process_events()
        if not widget.grab().save(str(path), "PNG"):
            raise OSError(f"The screenshot could not be written to {path}.")
