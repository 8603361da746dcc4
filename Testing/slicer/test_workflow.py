"""The workflow that tests the panels in Slicer: its shell steps run here, with the stand-in as the application."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("slicer_core", reason="the stand-in for Slicer needs slicer-core")


@pytest.fixture(scope="module")
def steps(repository: Path) -> dict[str, str]:
    """The shell steps of slicer.yml by their names."""
    text = (repository / ".github" / "workflows" / "slicer.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    return {step["name"]: step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}


@pytest.fixture
def machine(repository: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder to run steps in and the environment of a runner that has "Slicer" and xvfb-run."""
    if shutil.which("bash") is None or os.name == "nt":
        pytest.skip("the workflow's steps are shell scripts for Linux")
    command = repository / "Testing" / "host" / "slicer_command.py"
    programs = {
        "slicer-application/Slicer": f'exec "{sys.executable}" "{command}" "$@"',
        "bin/xvfb-run": 'test "$1" = --auto-servernum; shift; exec "$@"',
    }
    for name, text in programs.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\nset -e\n{text}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ,
        "SLICER": str(tmp_path / "slicer-application"),
        "GITHUB_WORKSPACE": str(repository),
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "QT_QPA_PLATFORM": "offscreen",
    }
    return tmp_path, environment


def run(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does."""
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_self_tests_pass_without_the_backend_and_say_what_they_skip(
    steps: dict[str, str], machine: tuple[Path, dict[str, str]]
) -> None:
    folder, environment = machine
    absent = folder / "absent"
    absent.mkdir()
    (absent / "torch.py").write_text("raise ImportError('not installed')", encoding="utf-8")
    environment["PYTHONPATH"] = f"{absent}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    done = run(steps["Self-tests without the backend's packages"], folder, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SELF-TESTS PASSED") == 2, "once without and once with a main window"
    assert done.stdout.count("SKIPPED") == 2
    assert "torch" in done.stdout
    # The same tests, told that the backend must be there, fail.
    needed = run(steps["Self-tests with a real propagation"], folder, environment)
    assert needed.returncode != 0
    assert "SELF-TESTS FAILED" in needed.stdout


def test_a_self_test_that_fails_fails_the_step(steps: dict[str, str], machine: tuple[Path, dict[str, str]]) -> None:
    folder, environment = machine
    script = steps["Self-tests without the backend's packages"].replace("run_self_tests.py", "no_such_file.py")
    assert run(script, folder, environment).returncode != 0


def test_every_shell_step_is_clean_bash(steps: dict[str, str], tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    for name, script in steps.items():
        path = tmp_path / "step.sh"
        path.write_text(f"#!/bin/bash -e\n{script}", encoding="utf-8")
        assert subprocess.run([bash, "-n", str(path)], check=False).returncode == 0, name
        if shutil.which("shellcheck"):
            found = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, check=False)
            assert found.returncode == 0, found.stdout
