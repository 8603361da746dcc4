"""Bytes that arrive in any pieces, cut into lines."""

from __future__ import annotations

LONGEST = 16 << 20  # bytes; arrays travel as files, and a visit of 100 structures with its prompts stays below 2 MB
_SHOWN = 200  # bytes of a line that was too long: enough to recognise it in the log


class LineReader:
    """Collects what a pipe gives and hands out whole lines.

    Cut at bytes, before decoding: a letter of several bytes may arrive in two pieces. A line that is longer than
    ``longest`` is not collected: its beginning is handed out as a line, the rest is skipped, so that a child which
    floods its output without a line feed cannot fill the memory.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._searched = 0  # no line feed before this place: a long line is not searched again with every piece
        self._skipping = False

    def __len__(self) -> int:
        """Bytes that wait to be handed out."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole line without its line feed; None: there is none yet."""
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end < 0:
                return self._unfinished()
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]  # cheap: a bytearray only moves its beginning
            self._searched = 0
            if self._skipping:
                self._skipping = False
                continue
            return line if len(line) <= self._longest else line[:_SHOWN]

    def rest(self) -> bytes | None:
        """What stands behind the last line feed, when nothing more will come; None: nothing does."""
        line = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        skipping, self._skipping = self._skipping, False
        return None if skipping or not line else line[: self._longest]

    def _unfinished(self) -> bytes | None:
        if self._skipping or len(self._buffer) <= self._longest:
            if self._skipping:
                self._buffer.clear()
            self._searched = len(self._buffer)
            return None
        beginning = bytes(self._buffer[:_SHOWN])
        self._buffer.clear()
        self._searched = 0
        self._skipping = True
        return beginning
