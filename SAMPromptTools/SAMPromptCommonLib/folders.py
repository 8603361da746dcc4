"""Private temporary folders for what panel and worker hand each other, and files that appear whole or not at all.

Voxels of patients lie in these folders: nobody else may read them (mode 0700), they are removed at the end, and what a
crashed Slicer left behind is swept at the next start.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from samprompt.contract.errors import OutputError

OWNER_FILE = "owner.json"
_BEGIN = "samprompttools-"
# A folder without a readable owner file is just being made, or was left half made: after a day it goes.
_HALF_MADE_SECONDS = 24 * 3600.0
_SWEPT: set[Path] = set()  # where this process has looked for leftovers

_HINTS = {
    errno.ENOSPC: "Free some disk space, or choose another temporary folder in Slicer's application settings.",
    errno.EDQUOT: "Your disk quota is used up: free some space or choose another temporary folder in the settings.",
    errno.EFBIG: "The file is larger than this disk or account allows.",
    errno.EACCES: "Choose a temporary folder you may write to in Slicer's application settings.",
    errno.EROFS: "The disk is read-only; choose another temporary folder in Slicer's application settings.",
    errno.ENOENT: "The temporary folder was removed meanwhile; start again.",
}


def rootFolder() -> Path:
    """Where private folders are made: Slicer's temporary folder, outside Slicer the system's."""
    slicer = sys.modules.get("slicer")
    configured = getattr(getattr(slicer, "app", None), "temporaryPath", "") if slicer else ""
    return Path(configured) if configured and Path(configured).is_dir() else Path(tempfile.gettempdir())


def privateFolder(prefix: str = "", root: Path | str | None = None) -> Path:
    """Make a new folder that only this user can enter, marked as belonging to this process.

    The first call in a process sweeps what crashed ones have left there.

    Raises:
        OutputError: it cannot be made (no permission, disk full).
    """
    base = Path(root) if root is not None else rootFolder()
    folder: Path | None = None
    if base not in _SWEPT:
        _SWEPT.add(base)
        sweep(base)
    try:
        base.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{_BEGIN}{prefix}-" if prefix else _BEGIN, dir=base))
        owner = {"pid": os.getpid(), "started": _startOf(os.getpid()), "host": socket.gethostname()}
        (folder / OWNER_FILE).write_text(json.dumps(owner), encoding="utf-8")
    except OSError as error:
        if folder is not None:
            removeFolder(folder)
        raise outputError(error, base) from error
    return folder


def removeFolder(folder: Path | str) -> None:
    """Remove a private folder and all in it; a folder of any other name, a link or a missing one is left alone."""
    path = Path(folder)
    if path.name.startswith(_BEGIN) and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


def sweep(root: Path | str | None = None) -> list[Path]:
    """Remove private folders whose process is no longer alive on this machine; returns those removed."""
    base = Path(root) if root is not None else rootFolder()
    removed = []
    for folder in sorted(base.glob(_BEGIN + "*")) if base.is_dir() else []:
        with suppress(OSError):
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
                continue  # a link or somebody else's: not ours to remove
            if _abandoned(folder, status.st_mtime):
                removeFolder(folder)
                removed.append(folder)
    return removed


@contextmanager
def wholeFile(path: Path | str) -> Iterator[IO[bytes]]:
    """Open ``path`` for writing bytes under another name; it becomes ``path`` when the block succeeds.

    When the block raises (or a generator in it is closed) nothing is left, and what was at ``path`` stays.

    Raises:
        OutputError: an ``OSError`` in the block (disk full, no permission).
    """
    target = Path(path)
    temporary = target.with_name(target.name + ".part")
    try:
        with temporary.open("wb", buffering=0) as stream:
            yield stream
        os.replace(temporary, target)
    except OSError as error:
        raise outputError(error, target) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def writeAll(stream: IO[bytes], data: memoryview | bytes) -> None:
    """Write all of ``data`` to an unbuffered stream: a nearly full disk takes a part before it refuses.

    Raises:
        OSError: as ``write``.
    """
    rest = memoryview(data).cast("B") if len(data) else memoryview(b"")
    while len(rest):
        written = stream.write(rest)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def outputError(error: OSError, path: Path | str) -> OutputError:
    """What a user is told when ``path`` cannot be written."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}.",
        _HINTS.get(error.errno or 0, "Check the temporary folder in Slicer's application settings."),
    )


def _abandoned(folder: Path, modified: float) -> bool:
    try:
        owner = json.loads((folder / OWNER_FILE).read_text(encoding="utf-8"))
        pid, started, host = int(owner["pid"]), owner.get("started"), owner.get("host")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return time.time() - modified > _HALF_MADE_SECONDS
    if host != socket.gethostname():
        return False  # a temporary folder that several machines share: that process cannot be seen from here
    if not isAlive(pid):
        return True
    # The number of a dead process is given to another one sooner or later: then the start times differ.
    return started is not None and _startOf(pid) not in (None, started)


def isAlive(pid: int) -> bool:
    """Whether a process of this number exists on this machine."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _isAliveOnWindows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it exists but belongs to somebody else
    return True


def _isAliveOnWindows(pid: int) -> bool:
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
    handle = kernel.OpenProcess(0x1000, False, pid)  # 0x1000: PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return bool(kernel.GetLastError() == 5)  # 5: access denied, so it exists
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == 259  # STILL_ACTIVE


def _startOf(pid: int) -> str | None:
    """When a process began, as Linux counts it; None where that cannot be told."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]  # field 22 of proc(5); the name before may hold spaces
    except (OSError, IndexError):
        return None
