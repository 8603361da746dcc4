"""What the tests of the house share: scripts as modules, and the files that git knows."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from module_by_path import module_by_path


@pytest.fixture(scope="session")
def script(repository: Path) -> Callable[[str], ModuleType]:
    """Load a script of the checkout, which lies in no package, by its path."""

    def load(name: str) -> ModuleType:
        return module_by_path(f"script_{Path(name).stem}", repository / name)

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
