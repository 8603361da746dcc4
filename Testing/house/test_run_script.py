"""run.py: the environment is made once, found again, repaired, and shared; its messages say what to do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def run(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("run.py")


@pytest.fixture
def checkout(tmp_path: Path, repository: Path) -> Path:
    """A folder with the two files that decide what an environment holds."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("constraints.txt", "pyproject.toml"):
        (folder / name).write_bytes((repository / name).read_bytes())
    return folder


class Installer:
    """Stands in for the programs of a set-up: makes the environment's Python, notes every command, fails on request."""

    def __init__(self, run: ModuleType, fail_at: str = "", seconds: float = 0.0) -> None:
        self.run, self.fail_at, self.seconds = run, fail_at, seconds
        self.commands: list[list[str]] = []
        self.variables: list[dict[str, str]] = []

    def __call__(self, command: list[str], log: Path, variables: dict[str, str]) -> int:
        self.commands.append(command)
        self.variables.append(variables)
        time.sleep(self.seconds)
        if "venv" in command:
            python = self.run.program(Path(command[-1]), "python")
            python.parent.mkdir(parents=True, exist_ok=True)
            python.write_bytes(b"")
        if self.fail_at and any(self.fail_at in word for word in command):
            log.write_text("ERROR: no matching distribution", encoding="utf-8")
            return 1
        return 0


# --- which environment ------------------------------------------------------------------------------------------------
def test_a_changed_pin_makes_another_environment(run: ModuleType, checkout: Path) -> None:
    before = run.environment_name(checkout)
    with (checkout / "constraints.txt").open("a") as file:
        file.write("example==1.0\n")
    assert run.environment_name(checkout) != before


def test_a_changed_dependency_makes_another_environment(run: ModuleType, checkout: Path) -> None:
    before = run.environment_name(checkout)
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace('"scipy>=1.11"', '"scipy>=1.12"'))
    assert run.environment_name(checkout) != before


def test_a_changed_setting_of_a_tool_keeps_the_environment(run: ModuleType, checkout: Path) -> None:
    before = run.environment_name(checkout)
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace("line-length = 120", "line-length = 100"))
    assert run.environment_name(checkout) == before


def test_two_checkouts_with_equal_dependencies_share_an_environment(run: ModuleType, checkout: Path) -> None:
    assert run.environment_name(checkout) == run.environment_name(run.ROOT)


@pytest.mark.parametrize(
    ("environ", "system", "expected"),
    [
        ({}, "linux", "home/.cache/samprompttools"),
        ({"XDG_CACHE_HOME": "cache"}, "linux", "cache/samprompttools"),
        ({}, "darwin", "home/Library/Caches/samprompttools"),
        ({}, "win32", "home/AppData/Local/samprompttools"),
        ({"LOCALAPPDATA": "local"}, "win32", "local/samprompttools"),
    ],
)
def test_the_environment_lies_in_the_cache_folder_of_the_platform(
    run: ModuleType, environ: dict[str, str], system: str, expected: str
) -> None:
    assert run.environment_home(environ, system, Path("home")) == Path(expected)


def test_one_variable_puts_the_environment_elsewhere(run: ModuleType, tmp_path: Path) -> None:
    environ = {"SAMPROMPT_VENV_HOME": str(tmp_path), "XDG_CACHE_HOME": "cache"}
    assert run.environment_home(environ, "linux", Path("home")) == tmp_path


# --- making it --------------------------------------------------------------------------------------------------------
def test_a_finished_environment_is_used_again(run: ModuleType, checkout: Path, tmp_path: Path) -> None:
    installer = Installer(run)
    environment = run.prepare(checkout, tmp_path / "home", installer)
    commands = len(installer.commands)
    assert run.is_ready(environment)
    assert run.prepare(checkout, tmp_path / "home", installer) == environment
    assert len(installer.commands) == commands


def test_torch_comes_first_then_the_rest_then_sam2_under_the_constraints(
    run: ModuleType, checkout: Path, tmp_path: Path
) -> None:
    installer = Installer(run)
    run.prepare(checkout, tmp_path / "home", installer)
    _, _, torch, rest, sam2 = installer.commands
    assert [word for word in torch if word.startswith("torch")] == ["torch>=2.6", "torchvision>=0.21"]
    assert torch[-1].startswith("torch")
    assert {"SimpleITK>=2.3", "pytest>=8.0", "pyyaml>=6.0"} <= set(rest)
    assert sam2[-2:] == ["--no-build-isolation", "sam2>=1.1.0"]
    assert installer.variables[-1] == {"SAM2_BUILD_CUDA": "0"}
    for command in (torch, rest, sam2):
        assert command[command.index("--constraint") + 1] == str(checkout / "constraints.txt")


def test_an_interrupted_setup_is_made_anew(
    run: ModuleType, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(command: list[str], log: Path, variables: dict[str, str]) -> int:
        Installer(run)(command, log, variables)
        if "setuptools" in command:
            raise KeyboardInterrupt
        return 0

    with pytest.raises(KeyboardInterrupt):
        run.prepare(checkout, tmp_path / "home", interrupted)
    environment = tmp_path / "home" / run.environment_name(checkout)
    assert run.program(environment, "python").exists()
    assert not run.is_ready(environment)
    capsys.readouterr()
    installer = Installer(run)
    assert run.prepare(checkout, tmp_path / "home", installer) == environment
    assert "interrupted" in capsys.readouterr().out
    assert "--clear" in installer.commands[0]
    assert run.is_ready(environment)


def test_an_environment_that_lost_its_python_is_made_anew(run: ModuleType, checkout: Path, tmp_path: Path) -> None:
    environment = run.prepare(checkout, tmp_path / "home", Installer(run))
    run.program(environment, "python").unlink()
    installer = Installer(run)
    run.prepare(checkout, tmp_path / "home", installer)
    assert installer.commands


def test_a_failed_step_says_what_failed_and_is_tried_again(run: ModuleType, checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(run.SetupProblem, match="no matching distribution") as problem:
        run.prepare(checkout, tmp_path / "home", Installer(run, fail_at="torchvision"))
    assert "PyTorch" in str(problem.value)
    assert run.is_ready(run.prepare(checkout, tmp_path / "home", Installer(run)))


def test_without_sam2_everything_else_works(
    run: ModuleType, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = run.prepare(checkout, tmp_path / "home", Installer(run, fail_at="sam2>="))
    assert run.is_ready(environment)
    assert "SAM 2 (optional) could not be installed" in capsys.readouterr().out


def test_two_setups_at_once_install_once(run: ModuleType, checkout: Path, tmp_path: Path) -> None:
    installer = Installer(run, seconds=0.1)
    threads = [
        threading.Thread(target=run.prepare, args=(checkout, tmp_path / "home", installer), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert len(installer.commands) == len(run.setup_steps(checkout, tmp_path))


def test_a_python_without_pip_is_told_what_to_install(
    run: ModuleType, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else real(name))
    with pytest.raises(run.SetupProblem, match="python3-venv"):
        run.prepare(checkout, tmp_path / "home", Installer(run))


def test_a_folder_that_cannot_be_made_names_the_way_out(run: ModuleType, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file is in the way")
    with pytest.raises(run.SetupProblem, match="SAMPROMPT_VENV_HOME"):
        run.prepare(checkout, tmp_path / "home", Installer(run))


# --- messages and checks ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13)])
def test_an_old_python_is_told_which_one_is_needed(run: ModuleType, version: tuple[int, int, int]) -> None:
    problem = run.python_problem(version)
    assert "3.11 or newer" in problem
    assert f"{version[0]}.{version[1]}" in problem


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 13, 1), (4, 0, 0)])
def test_a_new_python_is_taken(run: ModuleType, version: tuple[int, int, int]) -> None:
    assert run.python_problem(version) == ""


def test_a_library_that_does_not_load_is_named_by_its_package(run: ModuleType) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("system libraries are checked on Linux alone")
    names = {"libc.so.6": "libc6", "libdoesnotexist.so.0": "libdoesnotexist0"}
    assert run.missing_libraries(names) == ["libdoesnotexist0"]


@pytest.mark.skipif(sys.platform != "linux", reason="fonts come with the system elsewhere")
def test_a_machine_without_any_font_is_told_so(run: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "truetype").mkdir()
    (tmp_path / "truetype" / "readme.txt").touch()
    assert run.missing_fonts((tmp_path, tmp_path / "absent")) == ["fonts-dejavu-core"]
    (tmp_path / "truetype" / "some.TTF").touch()
    assert run.missing_fonts((tmp_path, tmp_path / "absent")) == []


def test_every_check_runs_and_one_failure_fails_all(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [(name, [sys.executable, "-c", f"print('{name} ran'); raise SystemExit({code})"])
                for name, code in (("first", 0), ("second", 1), ("third", 0))]  # fmt: skip
    monkeypatch.setattr(run, "test_checks", lambda environment, arguments: commands)
    monkeypatch.setattr(run, "check_libraries", lambda: True)
    assert run.test(tmp_path, []) == 1
    lines = capsys.readouterr().out.splitlines()
    summary = lines[lines.index("=== summary") + 1 :]
    assert [line.split()[0] for line in summary] == ["ok", "ok", "FAILED", "ok"]
    commands.pop(1)
    assert run.test(tmp_path, []) == 0


def test_the_checks_are_the_five_that_are_promised(run: ModuleType, tmp_path: Path) -> None:
    checks = run.test_checks(tmp_path, ["-k", "grid"])
    assert [name for name, _ in checks] == ["ruff check", "ruff format", "mypy", "lint-imports", "pytest"]
    assert checks[-1][1][-2:] == ["-k", "grid"]


@pytest.mark.parametrize(
    ("given", "handed_on"),
    [
        ([], ["demo", "--out", "demo-report", "--overwrite"]),
        (["--overwrite"], ["demo", "--out", "demo-report", "--overwrite"]),
        (["--out", "mine"], ["demo", "--out", "mine"]),
        (["--seed", "2", "--out", "mine"], ["demo", "--out", "mine", "--seed", "2"]),
    ],
)
def test_the_demo_replaces_its_own_folder_and_no_other(
    run: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    handed_on: list[str],
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(run, "samprompt", lambda environment, arguments: calls.append(arguments) or 0)
    monkeypatch.chdir(tmp_path)
    assert run.demo(tmp_path, given) == 0
    handed_on[2] = str(tmp_path / handed_on[2])
    assert calls == [handed_on]
    assert capsys.readouterr().out.splitlines()[-1].endswith(str(Path(handed_on[2]) / "report.html"))


def test_a_child_finds_the_project_without_its_being_installed(run: ModuleType, tmp_path: Path) -> None:
    code = "import samprompt.contract, samprompt_training; print(samprompt.contract.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=run.project_variables(run.ROOT),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(run.ROOT)


def test_ctrl_c_ends_with_the_exit_code_of_a_cancel(run: ModuleType) -> None:
    if os.name == "nt":
        pytest.skip("there are no signals between processes on Windows")
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT); signal.pause()"]
    assert run.run_inside(command, dict(os.environ)) == run.CANCELLED


def test_an_unknown_command_is_refused_before_anything_is_installed(run: ModuleType, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(run.ROOT / "run.py"), "tets"],
        env={**os.environ, "SAMPROMPT_VENV_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "demo" in done.stderr
    assert not list(tmp_path.iterdir())
