"""The README's first propagation, followed in the stand-in with the worker that users get."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "propagation_panel")]  # the helper files


@pytest.fixture
def panel(host: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The panel in an empty scene, with the real worker."""
    from screens import panel_with_its_worker

    with panel_with_its_worker(host, monkeypatch, tmp_path) as panel:
        yield panel


@pytest.fixture
def pictures(host: Any) -> Iterator[Any]:
    """Slice views and a chart beside the panel, closed at the end."""
    from tutorial_pictures import Pictures

    made = Pictures(host)
    yield made
    made.close()
