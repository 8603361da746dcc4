"""PySide6's own classes by their short name, whichever of its modules they are in."""

from __future__ import annotations

import functools
import importlib

MODULES = ("QtCore", "QtGui", "QtWidgets", "QtNetwork", "QtPrintSupport", "QtUiTools", "QtSvg")


@functools.cache
def raw_class_named(name: str) -> type | None:
    """PySide6's class of that name (`QWidget`, `Qt`...), or None."""
    for module in MODULES:
        try:
            found = getattr(importlib.import_module(f"PySide6.{module}"), name, None)
        except ImportError:
            continue
        if isinstance(found, type):
            return found
    return None
