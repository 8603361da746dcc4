"""Which Python runs the worker, and that it gets the backend and nothing of Slicer's that could break it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
from samprompt.contract.errors import EnvironmentProblem
from SAMPromptCommonLib import compat, python


@pytest.fixture
def home(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Slicer says it is installed in, without anything in it."""
    folder = tmp_path / "Slicer 5.8"
    folder.mkdir()
    monkeypatch.setattr(compat, "slicerHome", lambda: str(folder))
    monkeypatch.delenv(python.VARIABLE, raising=False)
    return folder


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def startup(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str] | None], None]:
    def be(environment: dict[str, str] | None) -> None:
        monkeypatch.setattr(compat, "startupEnvironment", lambda: None if environment is None else dict(environment))

    return be


def test_pythonslicer_is_taken_where_it_is(home: Path) -> None:
    launcher = program(home / "bin" / "PythonSlicer")
    choice = python.choosePython()
    assert (choice.path, choice.kind, choice.isSlicers) == (str(launcher), "launcher", True)


def test_without_pythonslicer_the_interpreter_of_this_process_is_taken(home: Path) -> None:
    choice = python.choosePython()
    assert (choice.path, choice.kind, choice.isSlicers) == (sys.executable, "own", True)


def test_slicer_itself_is_not_taken_for_a_python(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(program(home / "bin" / "SlicerApp-real")))
    for name in ("exec_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, name, str(home))
    with pytest.raises(EnvironmentProblem) as caught:
        python.choosePython()
    assert python.VARIABLE in caught.value.hint
    monkeypatch.setattr(sys, "executable", None)
    with pytest.raises(EnvironmentProblem):
        python.choosePython()


@pytest.mark.parametrize("executable", ["", None])
def test_a_slicer_on_the_systems_python_finds_it_though_it_says_no_executable(
    home: Path, executable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Slicer sets sys.executable to the PythonSlicer on PATH: to nothing where a build has none.
    monkeypatch.setattr(sys, "executable", executable)
    choice = python.choosePython()
    assert (choice.kind, choice.isSlicers) == ("own", True)
    asked = "import sys; print(sys.version_info[:2], sys.prefix)"
    said = subprocess.run([choice.path, "-c", asked], capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.strip() == f"{sys.version_info[:2]} {sys.prefix}"


def test_the_environment_variable_wins_over_the_setting_and_the_setting_over_slicer(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(home / "bin" / "PythonSlicer")
    byVariable, bySetting = program(tmp_path / "a" / "python"), program(tmp_path / "b" / "python")
    settings = qt.QSettings()
    settings.setValue(python.SETTING, str(bySetting))
    try:
        choice = python.choosePython()
        assert (choice.path, choice.kind) == (str(bySetting), "other")
        assert python.SETTING in choice.source
        monkeypatch.setenv(python.VARIABLE, str(byVariable))
        choice = python.choosePython()
        assert (choice.path, choice.kind) == (str(byVariable), "other")
        assert python.VARIABLE in choice.source
    finally:
        settings.remove(python.SETTING)
    monkeypatch.setenv(python.VARIABLE, "   ")
    assert python.choosePython().kind == "launcher"


@pytest.mark.parametrize("wrong", ["/no/such/python", "folder", "file"])
def test_a_named_python_that_cannot_be_started_is_said_and_not_passed_over(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    program(home / "bin" / "PythonSlicer")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text", encoding="utf-8")
    monkeypatch.setenv(python.VARIABLE, wrong if wrong.startswith("/") else str(tmp_path / wrong))
    with pytest.raises(EnvironmentProblem) as caught:
        python.choosePython()
    assert Path(wrong).name in caught.value.message
    assert python.VARIABLE in caught.value.message


def test_naming_pythonslicer_is_the_same_as_not_naming_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = program(home / "bin" / "PythonSlicer")
    monkeypatch.setenv(python.VARIABLE, str(launcher))
    assert python.choosePython().kind == "launcher"


def test_the_backend_comes_first_and_the_users_own_path_stays(home: Path, startup: Any) -> None:
    startup({"PYTHONPATH": os.pathsep.join(["/mine", "", str(python.backendFolder())]), "HOME": "/me"})
    environment = python.workerEnvironment(python.PythonChoice("/p", "launcher", "Slicer"))
    assert environment["PYTHONPATH"] == os.pathsep.join([str(python.backendFolder()), "/mine"])
    assert environment["PYTHONUTF8"] == "1"
    assert environment["HOME"] == "/me"
    assert (python.backendFolder() / "samprompt" / "contract" / "worker.py").is_file()


def test_the_launcher_starts_from_the_clean_environment_that_it_completes_itself(
    home: Path, startup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(home / "lib"))
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/certificates")
    monkeypatch.setenv("SAMPROMPT_MODELS", "/models")
    startup({"PATH": "/usr/bin"})
    environment = python.workerEnvironment(python.PythonChoice("/p", "launcher", "Slicer"))
    assert "LD_LIBRARY_PATH" not in environment
    assert environment["PATH"] == "/usr/bin"
    assert environment["SSL_CERT_FILE"] == "/etc/certificates"
    assert environment["SAMPROMPT_MODELS"] == "/models", "the worker looks for weights where the panel does"


def test_an_interpreter_without_launcher_needs_this_process_environment(
    home: Path, startup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(home / "lib"))
    monkeypatch.setenv("PYTHONHOME", str(home / "lib" / "Python"))
    startup({"PATH": "/usr/bin"})
    environment = python.workerEnvironment(python.PythonChoice(sys.executable, "own", "Slicer"))
    assert environment["LD_LIBRARY_PATH"] == str(home / "lib")
    assert environment["PYTHONHOME"] == str(home / "lib" / "Python")


@pytest.mark.parametrize("known", [True, False], ids=["startup environment known", "not known"])
def test_a_python_outside_slicer_sees_nothing_of_slicer(
    home: Path, startup: Any, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    dirty = {
        "LD_LIBRARY_PATH": os.pathsep.join([str(home / "lib"), "/opt/cuda/lib", str(home)]),
        "DYLD_LIBRARY_PATH": str(home / "lib"),
        "PATH": os.pathsep.join([str(home / "bin"), "/usr/bin", f"{home}-other/bin"]),
        "PYTHONHOME": str(home / "lib" / "Python"),
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": os.pathsep.join([str(home / "lib" / "Python" / "site-packages"), "/mine"]),
        "QT_PLUGIN_PATH": str(home / "lib" / "QtPlugins"),
        "LD_PRELOAD": str(home / "lib" / "libfix.so"),
        "LANG": "de_DE.UTF-8",
    }
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in dirty.items():
        monkeypatch.setenv(name, value)
    startup(dirty if known else None)
    environment = python.workerEnvironment(python.PythonChoice("/usr/bin/python3", "other", "the setting"))
    assert environment == {
        "LD_LIBRARY_PATH": "/opt/cuda/lib",
        "PATH": os.pathsep.join(["/usr/bin", f"{home}-other/bin"]),
        "PYTHONPATH": os.pathsep.join([str(python.backendFolder()), "/mine"]),
        "LANG": "de_DE.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8",
    }


@pytest.mark.parametrize("raises", [AttributeError, RuntimeError, TypeError])
def test_a_build_that_does_not_know_its_startup_environment_is_no_error(
    host: Any, monkeypatch: pytest.MonkeyPatch, raises: type[Exception]
) -> None:
    def fail() -> dict[str, str]:
        raise raises("no launcher")

    monkeypatch.setattr(slicer.util, "startupEnvironment", fail)
    assert compat.startupEnvironment() is None
    monkeypatch.setattr(slicer.util, "startupEnvironment", dict)
    assert compat.startupEnvironment() is None
    monkeypatch.setattr(slicer.util, "startupEnvironment", lambda: {"A": 1})
    assert compat.startupEnvironment() == {"A": "1"}


def test_the_version_of_slicer_decides_who_installs(host: Any) -> None:
    assert compat.packaging() is None
    host.restart(version="5.12")
    module = compat.packaging()
    assert module is slicer.packaging
    host.restart()


def test_the_worker_of_this_launch_really_finds_the_backend_and_speaks_utf8(host: Any) -> None:
    launch = python.workerLaunch()
    assert launch.arguments == ("-m", "samprompt.worker")
    assert launch.hint
    code = (
        "import json, sys, samprompt.contract.worker as w; "
        "print(json.dumps([w.__file__, sys.flags.utf8_mode, sys.stdout.encoding, sys.path[1]]))"
    )
    said = subprocess.run(
        [launch.program, "-c", code], env=launch.environment, capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    where, utf8, encoding, second = json.loads(said)
    assert Path(where).parents[2] == python.backendFolder() == Path(second)
    assert (utf8, encoding) == (1, "utf-8")


def test_a_folder_with_blanks_and_umlauts_reaches_the_child(host: Any, tmp_path: Path, startup: Any) -> None:
    folder = tmp_path / "Größe 中 ü"
    folder.mkdir()
    startup({**os.environ, "PYTHONPATH": str(folder)})
    environment = python.workerEnvironment(python.PythonChoice(sys.executable, "launcher", "Slicer"))
    said = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.path)"], env=environment, capture_output=True, check=True
    ).stdout.decode("utf-8")
    assert str(folder) in said
