"""What reading found that a person should know but that stops nothing: logged, and collected for reports."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("samprompt.io")


def note(message: str) -> None:
    """Log a warning about an input (logger ``samprompt.io``)."""
    LOGGER.warning(message)


class _Collector(logging.Handler):
    """Appends messages to a list, each once."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._messages:
            self._messages.append(message)


@contextmanager
def collected_notes() -> Iterator[list[str]]:
    """A list that fills with the notes logged inside the block, for ``summary.json`` and the report."""
    messages: list[str] = []
    handler = _Collector(messages)
    LOGGER.addHandler(handler)
    try:
        yield messages
    finally:
        LOGGER.removeHandler(handler)
