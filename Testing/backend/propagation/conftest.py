"""Fixtures of the propagation tests: the built-in model and the phantom module."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from module_by_path import module_by_path
from samprompt.models.tiny import TinyBackbone, load_tiny


@pytest.fixture(scope="session")
def tiny(repository: Path) -> TinyBackbone:
    """The built-in model on the CPU."""
    return load_tiny(repository / "Resources" / "models" / "tiny.safetensors", "cpu")


@pytest.fixture(scope="session")
def phantom() -> ModuleType:
    """The phantom patient."""
    return module_by_path("phantom", Path(__file__).with_name("phantom.py"))
