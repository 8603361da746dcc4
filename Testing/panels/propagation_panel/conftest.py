"""Fixtures of the tests of the panel: a worker that does what the test says, and the panel as Slicer opens it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # the helper file screens


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """In the place of the client that all panels share; packages are there, private folders lie in ``tmp_path``."""
    from SAMPromptCommonLib import client, folders, packages
    from screens import ScriptedWorker

    worker = ScriptedWorker()
    monkeypatch.setattr(client.WorkerClient, "shared", classmethod(lambda _cls: worker))
    monkeypatch.setattr(packages, "ensurePackages", lambda *_arguments, **_keywords: packages.Answer(True))
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(folders, "rootFolder", lambda: private)
    return worker


@pytest.fixture
def panel(host: Any, worker: Any) -> Any:
    """The panel in an empty scene, with a main window."""
    from screens import PanelTest

    return PanelTest(host, worker)


@pytest.fixture
def real_panel(host: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The panel with the worker that users get; no file of the patient is left after it."""
    from screens import panel_with_its_worker

    with panel_with_its_worker(host, monkeypatch, tmp_path) as panel:
        yield panel
    assert [path for path in (tmp_path / "private").rglob("*") if path.is_file()] == []


@pytest.fixture
def press() -> Callable[[Any, str], None]:
    """Press a key on a widget, as the window system does."""
    from PySide6 import QtCore, QtGui

    def pressed(widget: Any, key: str) -> None:
        code = getattr(QtCore.Qt.Key, f"Key_{key}")
        none = QtCore.Qt.KeyboardModifier.NoModifier
        for kind in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease):
            QtCore.QCoreApplication.sendEvent(widget, QtGui.QKeyEvent(kind, code, none))

    return pressed


@pytest.fixture
def mouse(host: Any) -> Callable[..., None]:
    """Click with the mouse into a cell of a table."""
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    def clicked(table: Any, row: int, column: int = 0) -> None:
        place = table.visualItemRect(table.item(row, column)).center()
        button, none = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(table.viewport(), button, none, place)
        host.process_events(0.02)

    return clicked
