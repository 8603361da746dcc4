"""Fixtures of the propagation tests: the built-in model and the phantom module."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from samprompt.models.tiny import TinyBackbone, load_tiny


@pytest.fixture(scope="session")
def tiny(repository: Path) -> TinyBackbone:
    """The built-in model on the CPU."""
    return load_tiny(repository / "Resources" / "models" / "tiny.safetensors", "cpu")


@pytest.fixture(scope="session")
def phantom() -> ModuleType:
    """The phantom patient."""
    spec = importlib.util.spec_from_file_location("phantom", Path(__file__).parent / "phantom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
