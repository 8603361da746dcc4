"""What is newer than Slicer 5.8, or not in every build, and what is done where it is missing.

The one place that asks what a version of Slicer is able to:

- ``slicer.packaging.pip_ensure`` (5.12): without it the user is asked with ``confirmOkCancelDisplay``, and
  ``slicer.util.pip_install`` installs.
- ``slicer.util.startupEnvironment`` (not in builds without a launcher): this process's environment is taken, for a
  Python outside Slicer without what lies in Slicer's folder.
- ``extensionsManagerModel().installExtensionFromServer`` (not in builds without the Extensions Manager): the user is
  told which extension to install.
"""

from __future__ import annotations

import logging
import os
from types import ModuleType
from typing import Any

import slicer


def packaging() -> ModuleType | None:
    """``slicer.packaging``, where it can ask and install by itself; else None."""
    try:
        import slicer.packaging as module
    except ImportError:
        return None
    return module if hasattr(module, "pip_ensure") and hasattr(module, "load_requirements") else None


def startupEnvironment() -> dict[str, str] | None:
    """The environment that Slicer was started in, without what its launcher added; None: not known in this build."""
    try:
        found = slicer.util.startupEnvironment()
    except Exception as error:  # builds without a launcher raise what they like
        logging.debug("Slicer's startup environment is not known: %s", error)
        return None
    return {str(name): str(value) for name, value in found.items()} or None


def outsideSlicer(environment: dict[str, str]) -> dict[str, str]:
    """``environment`` without what belongs to Slicer: its Python's settings, and paths that lie in its folder."""
    home = slicerHome()
    cleaned = {}
    for name, value in environment.items():
        if name in ("PYTHONHOME", "PYTHONNOUSERSITE") or name.startswith(("QT_PLUGIN", "QTWEBENGINE")):
            continue
        if home and (name.endswith("PATH") or name == "LD_PRELOAD"):
            parts = [part for part in value.split(os.pathsep) if not _inside(part, home)]
            if value and not any(parts):
                continue
            value = os.pathsep.join(parts)
        cleaned[name] = value
    return cleaned


def slicerHome() -> str:
    """Folder that Slicer is installed in (or its build), "" where the application has none."""
    return str(getattr(slicer.app, "slicerHome", "") or "")


def isTesting() -> bool:
    """Whether Slicer runs its own tests: then nothing is asked and nothing is installed."""
    return bool(slicer.app.testingEnabled())


def hasMainWindow() -> bool:
    """Whether Slicer was started with its window; a dialog without one would be seen by nobody."""
    return slicer.util.mainWindow() is not None


def extensionsManager() -> Any:
    """The Extensions Manager, where it can install an extension by its name; else None."""
    manager = getattr(slicer.app, "extensionsManagerModel", None)
    model = manager() if callable(manager) else None
    return model if model is not None and hasattr(model, "installExtensionFromServer") else None


def _inside(path: str, folder: str) -> bool:
    path, folder = (os.path.normcase(os.path.abspath(one)) for one in (path or os.curdir, folder))
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
