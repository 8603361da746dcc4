"""What the tests of the house share: scripts as modules, and the files that git knows."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def script(repository: Path) -> Callable[[str], ModuleType]:
    """Load a script of the checkout, which lies in no package, by its path."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"script_{Path(name).stem}", repository / name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def known_files(repository: Path) -> list[str]:
    """Paths of the files that git knows or would add; skips outside a git checkout."""
    if shutil.which("git") is None or not (repository / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=repository,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return [name for name in done.stdout.split("\0") if name and (repository / name).is_file()]
