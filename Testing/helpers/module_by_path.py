"""Python files that lie in no package, as modules: what tests have beside them, and scripts of the checkout."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def module_by_path(name: str, path: Path) -> ModuleType:
    """Run the file as a new module called ``name``; two of one file have nothing in common.

    Raises:
        FileNotFoundError: there is no such file.
    """
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None, f"{path} is no Python file"
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module
