"""Runs that end early, in a process of their own: Ctrl-C, termination, a full disk."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import nrrd
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of Unix")

RUN = [sys.executable, "-m", "samprompt.cli", "propagate"]


def arguments(patient, out: Path, *followups: Path) -> list[str]:
    given = ["--baseline", patient.ct0, "--structures", patient.masks, "--out", out, "--method", "deformable"]
    for path in followups:
        given += ["--followup", path]
    return [str(a) for a in given]


def left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.name.startswith(".tmp-"))


def wait_for(condition, process: subprocess.Popen, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else "ended"
        assert time.monotonic() < end, "the run did not get there"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_keeps_its_finished_visits_and_ends_with_code_4(patient, tmp_path, number):
    out = tmp_path / "out"
    followups = [patient.ct1] + [patient.folder / f"again{n}.nii.gz" for n in range(30)]
    for path in followups[1:]:
        path.write_bytes(patient.ct2.read_bytes())
    process = subprocess.Popen(
        [*RUN, *arguments(patient, out, *followups)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        wait_for((out / "summary.json").exists, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 4, errors
    assert errors.strip().splitlines()[-2].startswith("error: Cancelled")
    assert errors.strip().splitlines()[-1].startswith("hint: Finished visits are in")
    assert "Traceback" not in errors
    assert (out / "ct1.seg.nrrd").exists()
    assert not (out / "again29.seg.nrrd").exists()
    assert '"complete": false' in (out / "summary.json").read_text(encoding="utf-8")
    assert "Incomplete" in (out / "report.html").read_text(encoding="utf-8")
    assert left_over(tmp_path) == []


def test_a_run_stopped_before_its_first_visit_leaves_nothing(patient, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*RUN, *arguments(patient, out, patient.ct1)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        wait_for(out.exists, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 4, errors
    assert "Nothing was written" in errors
    assert not out.exists()


@pytest.mark.parametrize(("limit", "kept"), [(400, []), (20_000, ["ct1.seg.nrrd"])])
def test_a_write_that_fails_in_the_middle_leaves_no_half_file(patient, tmp_path, limit, kept):
    import resource

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    out = tmp_path / "out"
    done = subprocess.run(
        [*RUN, *arguments(patient, out, patient.ct1)],
        capture_output=True, text=True, preexec_fn=small_files_only, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert left_over(tmp_path) == []
    assert sorted(p.name for p in out.glob("*")) == kept
    for name in kept:
        nrrd.read(str(out / name))


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 24 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no permission to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_and_leaves_no_half_file(patient, small_disk):
    out = small_disk / "out"
    done = subprocess.run(
        [*RUN, *arguments(patient, out, patient.ct1)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "No space left" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("hint: ")
    assert "Traceback" not in done.stderr
    assert left_over(small_disk) == []
    for file in small_disk.glob("out/*"):  # what is there is whole
        assert file.name in ("ct1.seg.nrrd",)
        nrrd.read(str(file))
