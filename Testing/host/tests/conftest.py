"""What the tests of the stand-in's Qt share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def qt(installed_host: Any) -> Iterator[Any]:
    """The stand-in's ``qt``; a test must leave no error behind, in slots neither."""
    installed_host.errors.clear()
    yield installed_host.qt
    installed_host.process_events()
    assert not installed_host.errors
