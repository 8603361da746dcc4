"""Which Slicer the stand-in plays: 5.8 (5.8.1, March 2025) or 5.12, where the two differ for a panel.

5.8: no slicer.packaging (importing it raises ModuleNotFoundError); slicer.util.pip_install runs pip at once
without asking; launchConsoleProcess blocks only; connectGui answers None, so that disconnectGui cannot undo it
(Slicer issue 7547). 5.12: slicer.packaging is there, connectGui answers with its tag, observers go with disconnectGui.
"""

from __future__ import annotations

import sys
from typing import Any

import slicer
import slicer.util

from standin import slicer_packaging

_launch_of_the_wheel = slicer.util.launchConsoleProcess


def play(host: Any, version: str) -> None:
    """Be that version from now on. ValueError for another than "5.8" and "5.12"."""
    if version not in ("5.8", "5.12"):
        raise ValueError(f"the stand-in plays Slicer 5.8 and 5.12, not {version}")
    from standin import parameter_gui_binding

    host.version = version
    host.packages = slicer_packaging.Packages()
    packaging = slicer_packaging.make_packaging_module(host)
    newer = version == "5.12"
    parameter_gui_binding.returns_tag = newer
    if newer:
        sys.modules["slicer.packaging"] = packaging
        slicer.packaging = packaging
        slicer.util.launchConsoleProcess = _launch_of_the_wheel
        slicer.util.pip_install = packaging.pip_install
    else:
        sys.modules.pop("slicer.packaging", None)
        if hasattr(slicer, "packaging"):
            del slicer.packaging
        slicer.util.launchConsoleProcess = launch_console_process
        slicer.util.pip_install = lambda requirements: host.packages.install(requirements)
    slicer.util.pip_uninstall = _refuse


def launch_console_process(args, useStartupEnvironment=True, updateEnvironment=None, cwd=None):
    """slicer.util.launchConsoleProcess with the signature of 5.8.1: no callbacks, no `blocking`."""
    return _launch_of_the_wheel(args, useStartupEnvironment, updateEnvironment, cwd)


def _refuse(requirements: Any) -> None:
    raise NotImplementedError(f"the stand-in uninstalls nothing ({requirements})")
