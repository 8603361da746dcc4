"""Files that appear whole or not at all: written beside their target under another name, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from samprompt.contract.errors import OutputError

_HINTS = {
    errno.ENOSPC: "Free some space or choose another folder.",
    errno.EDQUOT: "Your disk quota is used up: free some space or choose another folder.",
    errno.EFBIG: "The file is larger than this disk or account allows.",
    errno.EACCES: "Choose a folder you may write to.",
    errno.EPERM: "Choose a folder you may write to.",
    errno.EROFS: "The disk is read-only; choose another folder.",
    errno.EISDIR: "A folder of that name is in the way; choose another name.",
    errno.ENOTDIR: "A file stands where a folder is needed; choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTEMPTY: "A folder with files of that name is in the way; choose another name or empty it.",
    errno.EEXIST: "Something of that name is in the way; choose another name.",
}


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what the block writes there becomes ``path`` when the block succeeds.

    The temporary name keeps the target's file extension, so that writers who choose a format by it work. The block may
    write a file or make a folder there. When it raises, the temporary thing is removed and ``path`` stays as it was.
    Missing parent folders are made. The data is on the disk (fsync) before the rename, so a full disk is noticed.

    Raises:
        OutputError: an ``OSError`` in the block or in the rename (disk full, no permission, something in the way).
    """
    target = Path(path)
    suffix = "".join(target.suffixes[-2:])[-32:]
    temporary = target.with_name(f".tmp-{secrets.token_hex(6)}{suffix}")
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir() and any(target.iterdir()):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
            yield temporary
            _to_disk(temporary)
            _rename(temporary, target)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(f"{target} cannot be written: {reason}.", _HINTS.get(error.errno or 0, "")) from error
    finally:
        _remove(temporary)


def _to_disk(temporary: Path) -> None:
    """Flush a file to the disk: some file systems tell only now that they are full."""
    if temporary.is_file():
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())


def _rename(temporary: Path, target: Path) -> None:
    """Put the temporary file or folder in the target's place."""
    if temporary.is_dir() and target.is_dir():
        target.rmdir()  # empty, as checked before; Windows cannot rename onto a folder
    elif temporary.is_file() and target.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    os.replace(temporary, target)


def _remove(temporary: Path) -> None:
    """Remove what is left of a failed write; a failure here must not hide the first one."""
    with suppress(OSError):
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
