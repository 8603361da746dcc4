"""Which Python runs the worker, and in which environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import samprompt
import slicer
from samprompt.contract.errors import EnvironmentProblem
from slicer.i18n import tr as _

from SAMPromptCommonLib import compat
from SAMPromptCommonLib.process import Launch

VARIABLE = "SAMPROMPT_PYTHON"
SETTING = "SAMPromptTools/Python"
MODULE = "samprompt.worker"


@dataclass(frozen=True)
class PythonChoice:
    """A Python: ``kind`` "launcher" is PythonSlicer, which brings Slicer's environment itself; "own" is an interpreter
    that shares this process's environment; "other" is one outside Slicer. ``source`` says in words who chose it."""

    path: str
    kind: str
    source: str

    @property
    def isSlicers(self) -> bool:
        """Whether packages that are installed into Slicer's Python are seen by it."""
        return self.kind != "other"


def backendFolder() -> Path:
    """The folder that holds the ``samprompt`` whose contract the panels use, in a clone and installed alike."""
    return Path(samprompt.__file__).resolve().parents[1]


def choosePython() -> PythonChoice:
    """The Python of the environment variable, of the setting, Slicer's PythonSlicer, or one like this process's.

    Raises:
        EnvironmentProblem: the one that was named is no program, or there is none at all.
    """
    for source, named in (
        (_("the environment variable {name}").format(name=VARIABLE), os.environ.get(VARIABLE, "")),
        (_("the setting {name}").format(name=SETTING), _setting()),
    ):
        if named.strip():
            return _named(named.strip(), source)
    launcher = _pythonSlicer()
    if launcher:
        return PythonChoice(launcher, "launcher", "Slicer")
    own = _interpreter()
    if own:
        return PythonChoice(own, "own", "Slicer")
    raise EnvironmentProblem(
        _("Slicer's own Python was not found."),
        _("Let the environment variable {name} name a Python in which SAMPromptTools is installed.").format(
            name=VARIABLE
        ),
    )


def workerLaunch() -> Launch:
    """How to start the worker.

    Raises:
        EnvironmentProblem: there is no Python to start it with.
    """
    choice = choosePython()
    return Launch(choice.path, ("-m", MODULE), workerEnvironment(choice), _hint(choice))


def workerEnvironment(choice: PythonChoice) -> dict[str, str]:
    """Everything that the worker finds in its environment: the backend first on its path, UTF-8, nothing of Slicer's
    where the Python is not Slicer's."""
    started = compat.startupEnvironment()
    if choice.kind == "own" or started is None:
        # The launcher is absent: what it set for this process is what this interpreter needs as well.
        environment = dict(os.environ)
    else:
        environment = started
    if choice.kind == "other":
        environment = compat.outsideSlicer(environment)
    elif "SSL_CERT_FILE" in os.environ:
        environment.setdefault("SSL_CERT_FILE", os.environ["SSL_CERT_FILE"])  # Slicer's Python knows no system store
    for name, value in os.environ.items():
        if name.startswith("SAMPROMPT_"):
            environment.setdefault(name, value)
    path = [str(backendFolder()), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(part for part in path if part))
    environment["PYTHONUTF8"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    return environment


def _named(path: str, source: str) -> PythonChoice:
    """The Python that somebody named."""
    path = os.path.abspath(os.path.expanduser(path))
    if not _isProgram(path):
        raise EnvironmentProblem(
            _("{path}, named by {source}, is not a program that can be started.").format(path=path, source=source),
            _("Correct it, or remove it to use Slicer's own Python."),
        )
    launcher = _pythonSlicer()
    isLauncher = bool(launcher) and os.path.realpath(path) == os.path.realpath(launcher)
    return PythonChoice(path, "launcher" if isLauncher else "other", source)


def _pythonSlicer() -> str:
    """Slicer's launcher of its Python, "" where this build has none."""
    home = compat.slicerHome()
    name = "PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer"
    path = os.path.join(home, "bin", name) if home else ""
    return path if path and _isProgram(path) else ""


def _interpreter() -> str:
    """A Python like this process's: ``sys.executable``, or what stands in its folder; "" where there is none.

    Slicer sets ``sys.executable`` to the PythonSlicer on PATH, and to nothing at all in builds that have none: those on
    a system's Python, of which only the folder is known then.
    """
    major, minor = sys.version_info[:2]
    places = [os.path.join(each, "bin") for each in (sys.exec_prefix, sys.base_exec_prefix)]
    names = (f"python{major}.{minor}", f"python{major}")
    if sys.platform == "win32":
        places, names = [sys.exec_prefix, sys.base_exec_prefix], ("python.exe",)
    inFolders = (os.path.join(place, name) for place in places for name in names)
    for path in (sys.executable or "", *inFolders):
        if os.path.basename(path).lower().startswith("python") and _isProgram(path):
            return path
    return ""


def _setting() -> str:
    return str(slicer.util.settingsValue(SETTING, "") or "")


def _isProgram(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _hint(choice: PythonChoice) -> str:
    if choice.kind == "other":
        return _("Check the Python that {source} names ({path}).").format(source=choice.source, path=choice.path)
    return _("Restart Slicer; if it stays so, reinstall Slicer or SAMPromptTools.")
