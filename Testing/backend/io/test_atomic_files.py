"""Results appear whole or not at all, whatever goes wrong while they are written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from samprompt.contract.errors import OutputError
from samprompt.io.atomic import replacing
from samprompt.io.images import read_volume, write_volume
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume


def _write_and_raise(target: Path, error: BaseException) -> None:
    with replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise error


def test_a_file_takes_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "scan.nii.gz"
    with replacing(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_the_old_file_stays_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises(ValueError, match="stop"):
        _write_and_raise(target, ValueError("stop"))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_ctrl_c_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _write_and_raise(tmp_path / "x.nrrd", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_output_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        _write_and_raise(tmp_path / "x.nrrd", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert caught.value.exit_code == 2
    assert "space" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.nrrd").mkdir()
    (tmp_path / "out.nrrd" / "precious").write_text("kept")
    with pytest.raises(OutputError), replacing(tmp_path / "out.nrrd") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "out.nrrd" / "precious").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["out.nrrd"]


def test_a_file_where_a_folder_is_needed_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(OutputError), replacing(tmp_path / "results" / "x.nrrd") as temporary:
        temporary.write_text("new")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    with replacing(tmp_path / "masks") as temporary:
        temporary.mkdir()
        (temporary / "a.txt").write_text("a")
    assert (tmp_path / "masks" / "a.txt").read_text() == "a"
    assert [p.name for p in tmp_path.iterdir()] == ["masks"]


_LIMITED = """
import resource, signal, sys
import numpy as np
from samprompt.contract.errors import OutputError
from samprompt.io.images import write_volume
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
noise = np.random.default_rng(0).normal(size=(10, 64, 64)).astype(np.float32)
try:
    write_volume(Volume(noise, Grid.from_spacing((10, 64, 64), (1, 1, 1))), sys.argv[1])
except OutputError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("name", ["x.nii.gz", "x.nii", "x.nrrd", "x.mha"])
def test_an_image_cut_short_by_a_full_disk_leaves_the_old_image(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    old = Volume(np.ones((2, 3, 4), dtype=np.float32), Grid.from_spacing((2, 3, 4), (1, 2, 3)))
    write_volume(old, target)
    # A limit on the size of a file fails in the middle of a write just as a full disk does.
    done = subprocess.run([sys.executable, "-c", _LIMITED, str(target)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused:")
    assert (read_volume(target).array == 1).all()
    assert [p.name for p in tmp_path.iterdir()] == [name]
