"""Puts the stand-in application together, once per process."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from standin.host import Host

_host: Host | None = None


def install(main_window: bool = False) -> Host:
    """Make `qt`, `ctk`, `slicer` and their like importable and answer with the host; later calls answer with the same.

    `main_window` says whether the application starts with a main window (as Slicer does without `--no-main-window`);
    it is heard on the first call only, `host.main_window` changes it afterwards.
    """
    global _host
    if _host is not None:
        return _host
    from standin import qt_module

    qt = qt_module.build()
    sys.modules["qt"] = qt
    host = Host(qt, main_window)
    _host = host
    if _exists("standin.widgets"):
        ctk, qmrml = importlib.import_module("standin.widgets").build(qt)
        sys.modules["ctk"] = ctk
        host.ctk = ctk
        host.qmrml_classes = qmrml
    if _exists("standin.slicer_application"):
        importlib.import_module("standin.slicer_application").build(host)
    return host


def _exists(name: str) -> bool:
    """Whether that part of the stand-in has been written; importing it may still fail, and then says why."""
    return importlib.util.find_spec(name) is not None
