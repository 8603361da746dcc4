"""The fixtures of every test that needs Slicer: the stand-in host, a fresh scene, and a look at what was left behind.

The three conftest files (host, panels, mrml) take their names from here; a test file may import `slicer`, `qt`,
`ctk` and `vtk` at its head, because the stand-in is installed before the first file of these folders is read.

After each test the fixture fails it for what the application would have suffered from silently: an exception in a slot
or a VTK observer (expected ones: `host.errors.clear()`), a modal dialog that nobody answered, an answer that nobody
asked for, a window, running timer, QProcess or child process that is left.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDED = {"slicer_core": "slicer-core", "PySide6": "PySide6-Essentials"}
"""Python package -> what to install for it."""


def missing_packages() -> str:
    """A sentence that names what the stand-in lacks; empty when it can run."""
    absent = [wheel for package, wheel in NEEDED.items() if importlib.util.find_spec(package) is None]
    return f"the stand-in for Slicer needs {' and '.join(absent)} (pip install {' '.join(absent)})" if absent else ""


class SkippedModule(pytest.Module):
    """A test file that cannot be imported here: one skip with the reason instead of an import error."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(missing_packages(), allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Install the stand-in before a test file is imported, or skip the file."""
    if missing_packages():
        return SkippedModule.from_parent(parent, path=module_path)
    import standin

    standin.install()
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that uses the stand-in inside an event loop, where all Python code of Slicer runs.

    Outside of any loop Qt deletes what was given to deleteLater() as soon as a dialog opens; inside, not before the
    loop that runs now is reached again. slicer.util.messageBox relies on that.
    """
    if "installed_host" not in pyfuncitem.fixturenames:
        return None
    from standin.slicer_host import in_event_loop

    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    in_event_loop(lambda: pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(scope="session")
def installed_host():
    """The stand-in of this process; tests take `host` instead, which cleans up."""
    if reason := missing_packages():
        pytest.skip(reason)
    import standin

    return standin.install()


@pytest.fixture
def host(installed_host) -> Iterator:
    """Slicer with its main window, an empty scene before the test, and nothing left behind after it."""
    yield from _fresh(installed_host, main_window=True)


@pytest.fixture
def host_without_main_window(installed_host) -> Iterator:
    """Slicer started with --no-main-window: `slicer.app.layoutManager()` and `slicer.util.mainWindow()` are None."""
    yield from _fresh(installed_host, main_window=False)


def _fresh(host, main_window: bool) -> Iterator:
    from standin.slicer_leaks import Belongings

    host.reset_switches()
    host.application_layer.start(main_window=main_window)
    host.dialogs.clear()
    host.errors.clear()
    before = Belongings()
    yield host
    host.application_layer.finish()
    problems = [f"the test left behind {one}" for one in before.left_behind(host)]
    problems += [f"an exception in a slot or observer: {one!r}" for one in host.errors]
    problems += [str(error) for error in host.dialogs.errors]
    problems += [f"an answer that no dialog asked for: {answer!r}" for answer in host.answers]
    assert not problems, "; ".join(problems)
