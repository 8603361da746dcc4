"""Folders with a patient's voxels: closed to others, gone at the end, swept after a crash."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import time

import pytest
from samprompt.contract.errors import OutputError
from SAMPromptCommonLib import folders


def test_nobody_else_can_enter_and_the_owner_is_named(tmp_path):
    folder = folders.privateFolder("run", root=tmp_path)
    assert folder.parent == tmp_path
    assert "run" in folder.name
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert json.loads((folder / folders.OWNER_FILE).read_text())["pid"] == os.getpid()
    assert folders.privateFolder("run", root=tmp_path) != folder


def test_the_folder_of_a_living_process_stays_and_that_of_a_dead_one_goes(tmp_path):
    code = (
        "import sys; from pathlib import Path; from SAMPromptCommonLib import folders\n"
        "folder = folders.privateFolder('child', root=sys.argv[1]); (folder / 'voxels.npy').write_bytes(b'1')\n"
        "print(folder, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        theirs = child.stdout.readline().strip()
        mine = folders.privateFolder(root=tmp_path)
        assert folders.sweep(tmp_path) == []
        child.kill()
        child.wait(10)
        assert [str(path) for path in folders.sweep(tmp_path)] == [theirs]
    finally:
        child.kill()
        child.communicate()
    assert not os.path.exists(theirs)
    assert mine.is_dir()


def test_the_first_folder_a_process_makes_sweeps_what_a_crash_has_left(tmp_path):
    code = (
        "import os, sys; from SAMPromptCommonLib import folders; folders.privateFolder(root=sys.argv[1]); os._exit(9)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
        assert len(list(tmp_path.iterdir())) == 1  # the second process has removed the first one's
    mine = folders.privateFolder(root=tmp_path)
    assert list(tmp_path.iterdir()) == [mine]


def test_a_process_that_got_the_number_of_a_dead_one_does_not_protect_its_folder(tmp_path):
    folder = folders.privateFolder(root=tmp_path)
    owner = json.loads((folder / folders.OWNER_FILE).read_text())
    if owner["started"] is None:
        pytest.skip("start times of processes cannot be told on this system")
    (folder / folders.OWNER_FILE).write_text(json.dumps({**owner, "started": "1"}))
    assert folders.sweep(tmp_path) == [folder]


def test_folders_of_other_machines_and_other_names_stay(tmp_path):
    foreign = folders.privateFolder(root=tmp_path)
    owner = json.loads((foreign / folders.OWNER_FILE).read_text())
    (foreign / folders.OWNER_FILE).write_text(json.dumps({**owner, "host": "elsewhere", "pid": 999999999}))
    (tmp_path / "patient").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep")
    (tmp_path / (foreign.name.split("-")[0] + "-link")).symlink_to(outside)
    assert folders.sweep(tmp_path) == []
    folders.removeFolder(tmp_path / "patient")
    folders.removeFolder(tmp_path / (foreign.name.split("-")[0] + "-link"))
    assert (tmp_path / "patient").is_dir()
    assert (outside / "precious").read_text() == "keep"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"pid": "x"}', "\x00\xff"])
def test_a_folder_without_a_readable_owner_goes_only_when_it_is_old(tmp_path, content):
    folder = folders.privateFolder(root=tmp_path)
    owner = folder / folders.OWNER_FILE
    owner.unlink()
    if content is not None:
        owner.write_bytes(content.encode("latin-1"))
    assert folders.sweep(tmp_path) == []
    then = time.time() - 25 * 3600
    os.utime(folder, (then, then))
    assert folders.sweep(tmp_path) == [folder]


def test_a_folder_that_cannot_be_made_is_told_with_a_hint(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        folders.privateFolder(root=tmp_path / "file")
    assert caught.value.hint


def test_the_folder_is_gone_when_its_owner_file_cannot_be_written(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folders.Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        folders.privateFolder(root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.bin"
    with folders.wholeFile(path) as stream:
        folders.writeAll(stream, b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"

    def fails_half_way() -> None:
        with folders.wholeFile(path) as stream:
            folders.writeAll(stream, b"second")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_half_way()
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_disk_that_takes_only_a_part_at_a_time_gets_all_of_it():
    class Slow:
        def __init__(self) -> None:
            self.taken = b""

        def write(self, data) -> int:
            self.taken += bytes(data[:3])
            return min(3, len(data))

    stream = Slow()
    folders.writeAll(stream, b"0123456789")
    folders.writeAll(stream, b"")
    assert stream.taken == b"0123456789"
