"""Lines of the worker made into messages, a long one piece by piece."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from samprompt.contract.wire import Message, WireError, from_data, from_line
from samprompt.contract.worker import OutcomeMessage, VisitReady

# Bytes. Measured: 7 us for each prompt point, 250 ms for 50 structures with 600 points each, which would be felt.
LONG = 64 << 10


@dataclass(frozen=True)
class Rubbish:
    """A line that is no message: what stands in it, and why not."""

    line: str
    reason: str
    protocol: Any = None  # what a greeting says that is otherwise not understood, as a later version's may be


def messagesOf(line: bytes) -> Iterator[Message | Rubbish | None]:
    """The message in ``line``, or ``Rubbish``; before it None for every piece of work done, where the line is long."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    try:
        if len(line) > LONG and text.startswith('{"'):
            yield from _inPieces(text)
        else:
            yield from_line(text)
    except WireError as error:
        yield Rubbish(text[:200], error.message, _protocolOf(text))


def _inPieces(text: str) -> Iterator[Message | None]:
    """The same as ``from_line``; a visit's structures one at a time."""
    yield None  # a fresh turn: reading 2 MB of JSON takes 10 to 20 ms
    with _notCollecting():
        data = _read(text)
    outcomes = data.get("outcomes") if isinstance(data, dict) and data.get("type") == "visit" else None
    if not isinstance(outcomes, list):
        yield from_line(text)
        return
    yield None
    visit = from_data(VisitReady, {**data, "outcomes": []})
    built = []
    for outcome in outcomes:
        with _notCollecting():
            built.append(from_data(OutcomeMessage, outcome))
        yield None
    yield replace(visit, outcomes=tuple(built))


def _read(text: str) -> Any:
    """The JSON in ``text``, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@contextlib.contextmanager
def _notCollecting() -> Iterator[None]:
    """Without the garbage collector.

    30,000 new objects would make it search all of Slicer's several times, each of which took 20 to 150 ms; made in few
    pieces they count as few.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _protocolOf(text: str) -> Any:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data.get("protocol") if isinstance(data, dict) and data.get("type") == "hello" else None
