"""Results as .npy files in the panel's folder; what was not announced is removed again."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.errors import Cancelled, MissingFileError, OutputError
from samprompt.contract.worker import StructureMessage
from samprompt.space.crop import Box


class ResultFolder:
    """Writes arrays into a folder that is there already, whole or not at all.

    What was written since the last ``hand_over`` is removed by ``close``, after which nothing can be written; ``close``
    may be called from another thread.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        if not folder or not self.folder.is_dir():
            raise MissingFileError(f"The folder for the results, {folder!r}, does not exist.", "Start again.")
        self._prefix = uuid.uuid4().hex[:8]
        self._count = 0
        self._pending: list[Path] = []
        self._closed = False
        self._lock = threading.Lock()

    def write(self, array: NDArray[np.generic]) -> str:
        """Write one array; its path.

        Raises:
            OutputError: it cannot be written.
            Cancelled: the folder was closed.
        """
        data = np.ascontiguousarray(array)
        path = self._next()
        try:
            with self._open(path) as file:
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(data))
                file.write(data.tobytes())
        except OSError as error:
            path.unlink(missing_ok=True)
            raise OutputError(
                f"The results cannot be written into {self.folder}: {error.strerror or error}.",
                "Make room on the disk of the temporary files, or give it another place.",
            ) from error
        return str(path)

    def hand_over(self, announce: Callable[[], None]) -> None:
        """What was written so far is the panel's, which ``announce`` tells it.

        Raises:
            Cancelled: the folder was closed, nothing was announced.
        """
        with self._lock:
            self._check_open()
            announce()
            self._pending.clear()

    def close(self) -> None:
        """Write nothing more, and remove what was not handed over."""
        with self._lock:
            self._closed = True
            pending, self._pending = self._pending, []
        for path in pending:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # still open on Windows; the panel removes its folder

    def _check_open(self) -> None:
        if self._closed:
            raise Cancelled("Cancelled.", "Nothing of this visit was kept.")

    def _next(self) -> Path:
        with self._lock:
            self._count += 1
            return self.folder / f"result-{self._prefix}-{self._count}.npy"

    def _open(self, path: Path) -> BinaryIO:
        """Open a new file that is known to be pending before it exists."""
        with self._lock:
            self._check_open()
            self._pending.append(path)
            return os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb"
            )


def write_mask(results: ResultFolder, mask: NDArray[np.bool_], named: StructureMessage) -> StructureMessage:
    """Write a mask (k, j, i), cropped to what it holds, under the name of ``named``."""
    if not mask.any():
        return StructureMessage(named.id, named.name, named.color, "", terminology=named.terminology)
    box = Box.around(mask)
    array = results.write(mask[box.slices].astype(np.uint8))
    return StructureMessage(named.id, named.name, named.color, array, box.start, box.shape, named.terminology)
