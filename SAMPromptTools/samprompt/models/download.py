"""Fetching weights: to a partial file, with progress and resume, checked, then renamed."""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from samprompt.contract.catalogue import CatalogueEntry
from samprompt.contract.errors import OutputError, WeightsError, WeightsMissingError
from samprompt.contract.places import VARIABLE, partial_path
from samprompt.contract.progress import Progress
from samprompt.models.checkpoint import check_sums

TIMEOUT = 30.0  # seconds without a byte after which the connection counts as lost
_BLOCK = 1 << 18


def download(entry: CatalogueEntry, target: Path, progress: Progress | None = None) -> Path:
    """Fetch the weights of ``entry`` to ``target``; what an interrupted attempt left beside it is continued.

    Raises:
        WeightsMissingError: no connection, or the address does not answer; the hint says where to put the file.
        WeightsError: what came is not the official file (the partial file is removed).
        OutputError: the disk is full or the folder cannot be written.
        Cancelled: ``progress`` was cancelled; the partial file stays and is continued the next time.
    """
    progress = progress or Progress()
    if entry.manual or not entry.url.startswith(("https://", "http://")):
        raise WeightsMissingError(
            f"{entry.name} has to be fetched by hand.",
            f"{entry.instructions or f'See {entry.page}.'} Then put it at {target}.",
        )
    partial = partial_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(entry, partial, target, progress)
        check_sums(partial, entry, progress)
        os.replace(partial, target)
    except WeightsMissingError:
        raise  # the connection was lost: what came stays and is continued
    except WeightsError as error:
        partial.unlink(missing_ok=True)
        hint = f"Try again; if it stays so, download {entry.url} by hand and put it at {target}."
        raise WeightsError(
            f"{entry.url} did not give the official file, it was removed: {error.message}", hint
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            partial.unlink(missing_ok=True)
            raise _disk_full(entry, target, entry.size) from error
        raise OutputError(
            f"{target.parent} cannot be written ({error.strerror or error}).",
            f"Check its permissions, or let {VARIABLE} name another folder.",
        ) from error
    return target


def _fetch(entry: CatalogueEntry, partial: Path, target: Path, progress: Progress) -> None:
    """Bring ``partial`` to its full length; one new start where what was there cannot be continued."""
    for _ in range(2):
        have = partial.stat().st_size if partial.is_file() else 0
        if entry.size and have == entry.size:
            return  # complete, the rename was missing
        if entry.size and have > entry.size:
            partial.unlink()
            have = 0
        request = urllib.request.Request(
            entry.url, headers={"User-Agent": "samprompttools", "Accept-Encoding": "identity"}
        )
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                _receive(answer, entry, partial, target, have, progress)
                return
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:  # nothing behind what we have: another file, or complete without known size
                _continue_or_restart(error, partial, have)
                if partial.is_file():
                    return
                continue
            raise _offline(entry, target, f"the server answered {error.code} {error.reason}") from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise _offline(entry, target, str(getattr(error, "reason", "") or error)) from error
    raise _offline(entry, target, "the server does not accept the request")


def _continue_or_restart(error: urllib.error.HTTPError, partial: Path, have: int) -> None:
    """Keep ``partial`` when the refusal says that its length is the whole file's; else remove it."""
    total = re.match(r"bytes \*/(\d+)$", error.headers.get("Content-Range", ""))
    if total is None or int(total[1]) != have:
        partial.unlink()


def _receive(
    answer: http.client.HTTPResponse, entry: CatalogueEntry, partial: Path, target: Path, have: int, progress: Progress
) -> None:
    """Write the body behind the first ``have`` bytes, or from the start where the server sends the whole file."""
    if answer.headers.get_content_type() == "text/html":
        raise WeightsError("the answer is a web page (a login of the network, perhaps).")
    begin = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if answer.status != 206 or begin is None or int(begin[1]) != have:
        have = 0  # the server knows no ranges and begins anew
    length = answer.headers.get("Content-Length")
    total = have + int(length) if length and length.isdigit() else entry.size
    if total and shutil.disk_usage(partial.parent).free < total - have:
        partial.unlink(missing_ok=True)
        raise _disk_full(entry, target, total)
    with partial.open("ab" if have else "wb") as file:
        done = _copy(answer, file, have, total, progress, entry.name)
    if total and done < total:
        raise _offline(entry, target, f"the connection ended after {done:,} of {total:,} bytes")


def _copy(
    answer: http.client.HTTPResponse, file: BinaryIO, done: int, total: int, progress: Progress, name: str
) -> int:
    stage = f"Downloading {name}"
    progress.step(stage, done, total)
    while block := answer.read(_BLOCK):
        progress.step(stage, done, total)  # a download that was given up must not write into the next one's file
        file.write(block)
        done += len(block)
        progress.step(stage, done, total)
    return done


def _offline(entry: CatalogueEntry, target: Path, reason: str) -> WeightsMissingError:
    return WeightsMissingError(
        f"The weights of {entry.name} are not on this machine and could not be fetched from {entry.url} ({reason}).",
        f"Try again (what came is kept), or download {entry.url} on another machine and put it at {target}.",
    )


def _disk_full(entry: CatalogueEntry, target: Path, size: int) -> OutputError:
    return OutputError(
        f"The disk is full: {entry.name} needs {size / 1e6:,.0f} MB in {target.parent}; the partial file was removed.",
        f"Make room, or let {VARIABLE} name a folder on another disk.",
    )
