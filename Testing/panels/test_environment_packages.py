"""Installing Python packages: asked first, torch by its extension, nothing of Slicer's replaced, can be declined."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
from packaging.requirements import Requirement
from samprompt.worker import packages as worker_packages
from SAMPromptCommonLib import installing, packages, python, requirements
from SAMPromptCommonLib.client import WorkerClient

NEVER = {"vtk", "simpleitk", "numpy", "scipy", "torch", "torchvision", "slicer"}
TORCH = {"torch": "2.6.0", "torchvision": "0.21.0"}
CORE = [one.name for one in requirements.readRequirements(requirements.requirementsFile("core"))]
SAM2 = [one.name for one in requirements.readRequirements(requirements.requirementsFile("sam2"))]


@pytest.fixture(autouse=True)
def _no_worker_left(host: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Slicer's own Python, whatever the machine says, and no shared client before or after."""
    monkeypatch.delenv(python.VARIABLE, raising=False)
    yield
    WorkerClient.shared().dispose()


@pytest.fixture(params=["5.8", "5.12"])
def version(request: pytest.FixtureRequest, host: Any) -> Iterator[str]:
    """Both Slicers: without and with slicer.packaging."""
    host.restart(version=request.param)
    yield request.param
    host.restart()


@pytest.fixture
def installed(host: Any, version: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that just these are installed, of all that our lists name."""
    monkeypatch.setattr(requirements, "installedVersion", lambda name: host.packages.version(name))

    def pretend(**present: str) -> None:
        absent = dict.fromkeys([*CORE, *SAM2, "torch", "torchvision", "pyyaml"])
        host.packages.pretend = {**absent, **{name.replace("_", "-"): value for name, value in present.items()}}

    pretend()
    return pretend


def everything_of(group: str) -> dict[str, str]:
    return {one.name.replace("-", "_"): "99" for one in requirements.wantedBy(group)}


def names_of(install: dict[str, Any]) -> list[str]:
    return [Requirement(one).name for one in install["requirements"] if not one.startswith("-")]


# --- the lists --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    with (repository / "pyproject.toml").open("rb") as file:
        loaded: dict[str, Any] = tomllib.load(file)["project"]
    return loaded


def as_set(lines: list[str]) -> set[tuple[str, str]]:
    return {
        (re.sub(r"[-_.]+", "-", Requirement(line).name).lower(), str(Requirement(line).specifier)) for line in lines
    }


def listed(group: str) -> list[str]:
    return [str(one) for one in requirements.readRequirements(requirements.requirementsFile(group))]


def test_the_lists_ask_for_what_the_project_asks_for(project: dict[str, Any]) -> None:
    assert as_set(listed("core")) <= as_set(project["dependencies"])
    assert as_set(["sam2>=1.1.0"]) == as_set(project["optional-dependencies"]["sam2"]) <= as_set(listed("sam2"))
    assert as_set(listed("training")) == as_set(project["optional-dependencies"]["training"])
    assert as_set([str(one) for one in requirements.TORCH]) <= as_set(project["dependencies"])


def test_the_core_is_what_the_worker_misses_without_it() -> None:
    brought = {"numpy", "scipy", "torch", "torchvision"}  # by Slicer and by its extension PyTorch
    wanted = {name for name, _ in as_set([*worker_packages.MODULES])} - brought
    assert {name for name, _ in as_set(listed("core"))} == wanted


def test_no_list_would_replace_what_slicer_brings_and_no_name_stands_twice() -> None:
    names = [name for group in requirements.GROUPS for name, _ in as_set(listed(group))]
    assert len(names) == len(set(names))
    assert not set(names) & NEVER


def test_slicers_own_reader_reads_the_same_from_the_lists(host: Any) -> None:
    host.restart(version="5.12")
    for group in requirements.GROUPS:
        theirs = slicer.packaging.load_requirements(requirements.requirementsFile(group))
        assert [str(one) for one in theirs] == listed(group)
    host.restart()


def test_list_names_are_unique_among_all_extensions() -> None:
    for path in requirements.requirementsFile("core").parent.iterdir():
        assert path.name.startswith("SAMPromptTools_")


@pytest.mark.parametrize("line", ["torch", "numpy==1.26", "-r other.txt", "a>=1,<2", "a >= x", "git+https://x/y"])
def test_a_list_that_says_more_than_name_and_version_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"# comment\n\nfine>=1.2  # why\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(line)):
        requirements.readRequirements(path)


@pytest.mark.parametrize(
    ("found", "least", "there"),
    [
        ("2.6.0+cu124", "2.6", True), ("2.6", "2.6.0", True), ("2.10", "2.6", True), ("2.5.1", "2.6", False),
        ("1!3.0", "2.0", False), ("0.9.5.post1", "0.9.5", True), ("3.0.0rc1", "3.0", True), ("odd", "0.1", False),
        (None, "0", False),
    ],
)  # fmt: skip
def test_versions_are_compared_by_their_numbers(
    monkeypatch: pytest.MonkeyPatch, found: str | None, least: str, there: bool
) -> None:
    monkeypatch.setattr(requirements, "installedVersion", lambda name: found)
    assert requirements.Wanted("torch", least).isThere() is there


def test_what_is_missing_is_found_without_importing_anything() -> None:
    code = (
        "import sys, SAMPromptCommonLib.requirements as r; [w.isThere() for w in r.wantedBy('training')]; "
        "print(*(name in sys.modules for name in ('torch', 'pydantic', 'sklearn')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False"] * 3
    assert requirements.installedVersion("scikit-learn") == importlib.metadata.version("scikit-learn")
    assert requirements.installedVersion("no-such-package-anywhere") is None


def test_the_constraints_keep_torch_and_slicers_own_at_their_versions() -> None:
    lines = requirements.constraints().splitlines()
    for name in ("torch", "numpy", "scipy", "SimpleITK"):
        assert f"{name}=={importlib.metadata.version(name)}" in lines
    assert "no-such" not in requirements.constraints(["no-such-package-anywhere"])


# --- asking and installing --------------------------------------------------------------------------------------------
def test_nothing_is_asked_when_all_is_there(host: Any, installed: Any) -> None:
    installed(**everything_of("core"))
    assert packages.missingPackages() == []
    answer = packages.ensurePackages()
    assert answer
    assert answer.ok is True
    assert not host.packages.installs
    assert not host.packages.torch_requests
    assert not host.messages


def test_everything_is_installed_after_asking_torch_first(host: Any, installed: Any, version: str) -> None:
    host.install_extension("PyTorch")
    host.answers.extend([qt.QMessageBox.Ok, qt.QMessageBox.Ok])
    assert packages.missingPackages() == ["torch", "torchvision", *CORE]
    assert packages.ensurePackages()
    assert packages.missingPackages() == []
    assert host.packages.torch_requests == [{"askConfirmation": True, "torchVersionRequirement": ">=2.6"}]
    assert len(host.packages.installs) == 1
    assert sorted(names_of(host.packages.installs[0])) == sorted(CORE)
    assert len(host.messages) == 2
    if version == "5.8":
        assert all(name in host.messages[1] for name in CORE), "the user reads what will be installed"


def test_pip_is_given_a_file_that_freezes_torch_and_slicers_packages(
    host: Any, installed: Any, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(**TORCH)
    seen: list[str] = []
    original = host.packages.install

    def install(wanted: Any, constraints: Any = None) -> None:
        path = constraints or next(one.partition("=")[2] for one in wanted if one.startswith("--constraint="))
        seen.append(Path(path).read_text(encoding="utf-8"))
        original(wanted, constraints)

    monkeypatch.setattr(host.packages, "install", install)
    host.answers.append(qt.QMessageBox.Ok)
    assert packages.ensurePackages()
    (text,) = seen
    assert "torch==2.6.0\n" in text
    assert "torchvision==0.21.0\n" in text
    assert f"numpy=={importlib.metadata.version('numpy')}\n" in text
    assert f"SimpleITK=={importlib.metadata.version('SimpleITK')}\n" in text


def test_only_what_is_missing_is_installed(host: Any, installed: Any, version: str) -> None:
    installed(**{**everything_of("core"), "POT": None, "pydantic": "1.10"})
    assert packages.missingPackages() == ["pydantic", "POT"]
    host.answers.append(qt.QMessageBox.Ok)
    assert packages.ensurePackages()
    assert names_of(host.packages.installs[0]) == ["pydantic", "POT"]


def test_declining_changes_nothing_and_says_what_is_missing(host: Any, installed: Any) -> None:
    installed(**TORCH)
    before = dict(host.packages.pretend)
    host.answers.append(qt.QMessageBox.Cancel)
    answer = packages.ensurePackages()
    assert not answer
    assert "Nothing was installed" in answer.message
    assert all(name in answer.message for name in CORE)
    assert answer.hint
    assert host.packages.installs == []
    assert host.packages.pretend == before


def test_declining_torch_changes_nothing_either(host: Any, installed: Any) -> None:
    host.install_extension("PyTorch")
    host.answers.append(qt.QMessageBox.Cancel)
    answer = packages.ensurePackages()
    assert not answer
    assert "torch" in answer.message
    assert host.packages.installs == []
    assert len(host.messages) == 1, "no second question after a no"


def test_an_old_torch_is_renewed_by_its_extension_only(host: Any, installed: Any) -> None:
    installed(**{**everything_of("core"), "torch": "2.1.0+cu118"})
    host.install_extension("PyTorch")
    host.answers.append(qt.QMessageBox.Ok)
    assert packages.ensurePackages()
    assert host.packages.torch_requests == [{"askConfirmation": True, "torchVersionRequirement": ">=2.6"}]
    assert host.packages.installs == []


def test_a_failing_installation_is_said_with_a_hint(host: Any, installed: Any, version: str) -> None:
    installed(**TORCH)
    host.packages.fails = "POT"
    host.answers.append(qt.QMessageBox.Ok)
    answer = packages.ensurePackages()
    assert not answer
    assert "POT" in answer.message
    assert "internet" in answer.hint


def test_a_failing_torch_is_said_with_its_reason(host: Any, installed: Any) -> None:
    host.install_extension("PyTorch")
    host.packages.fails = "torch"
    host.answers.append(qt.QMessageBox.Ok)
    answer = packages.ensurePackages()
    assert not answer
    assert "PyTorch installation failed." in answer.message
    assert host.packages.installs == []


def test_without_a_main_window_no_question_is_shown_that_nobody_sees(
    host: Any, installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    # Slicer's message boxes are modal also when there is nothing to see them in: a script would wait for ever.
    answer = packages.ensurePackages()
    assert not answer
    assert "torch" in answer.message
    assert "SAMPROMPT_PYTHON" in answer.hint
    assert host.messages == []


def test_in_testing_mode_nothing_is_asked_or_installed(host: Any, installed: Any) -> None:
    host.testing = True
    host.install_extension("PyTorch")
    answer = packages.ensurePackages()
    assert not answer
    assert "torch" in answer.message
    assert host.packages.installs == host.packages.torch_requests == host.messages == []
    installed(**everything_of("core"))
    assert packages.ensurePackages(), "what is there may be used in tests"


# --- the extension PyTorch --------------------------------------------------------------------------------------------
class Manager:
    """An Extensions Manager that can install, or fails to."""

    def __init__(self, works: bool) -> None:
        self.works = works
        self.asked: list[str] = []

    def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = False) -> bool:
        assert not restart, "as in Slicer, it would restart at once: what the user did not save would be lost"
        self.asked.append(name)
        return self.works


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    def use(made: Any) -> Any:
        monkeypatch.setattr(installing.compat, "extensionsManager", lambda: made)
        return made

    return use


def test_without_the_extension_the_user_is_asked_to_install_it_and_to_restart(
    host: Any, installed: Any, manager: Any
) -> None:
    made = manager(Manager(works=True))
    host.answers.append(qt.QMessageBox.Ok)
    answer = packages.ensurePackages()
    assert not answer
    assert "Restart Slicer" in answer.hint
    assert made.asked == ["PyTorch"]
    assert host.packages.installs == []


def test_the_extension_can_be_declined(host: Any, installed: Any, manager: Any) -> None:
    made = manager(Manager(works=True))
    host.answers.append(qt.QMessageBox.Cancel)
    answer = packages.ensurePackages()
    assert not answer
    assert "not installed" in answer.message
    assert "Extensions Manager" in answer.hint
    assert made.asked == []


def test_an_extension_that_cannot_be_installed_is_left_to_the_user(host: Any, installed: Any, manager: Any) -> None:
    manager(Manager(works=False))
    host.answers.append(qt.QMessageBox.Ok)
    answer = packages.ensurePackages()
    assert "could not be installed" in answer.message
    assert "Extensions Manager" in answer.hint


def test_a_build_without_extensions_manager_says_what_to_do(host: Any, installed: Any, manager: Any) -> None:
    manager(None)
    answer = packages.ensurePackages()
    assert not answer
    assert "PyTorch" in answer.hint
    assert not host.messages


# --- SAM 2, training, other Pythons -----------------------------------------------------------------------------------
def test_sam2_is_built_against_the_torch_that_is_there_and_without_its_dependencies(
    host: Any, installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(**everything_of("core"))
    monkeypatch.delenv("SAM2_BUILD_CUDA", raising=False)
    environments: list[str | None] = []
    original = host.packages.install
    monkeypatch.setattr(
        host.packages,
        "install",
        lambda *given: (environments.append(os.environ.get("SAM2_BUILD_CUDA")), original(*given)),
    )
    host.answers.append(qt.QMessageBox.Ok)
    assert packages.missingPackages("sam2") == ["sam2", "hydra-core", "iopath"]
    assert packages.ensurePackages(group="sam2")
    first, second = host.packages.installs
    assert names_of(first) == ["sam2"]
    assert {"--no-build-isolation", "--no-deps"} <= set(first["requirements"])
    assert names_of(second) == ["hydra-core", "iopath"]
    assert "--no-deps" not in second["requirements"]
    assert environments == ["0", None]
    assert "SAM2_BUILD_CUDA" not in os.environ
    assert len(host.messages) == 1
    assert packages.ensurePackages(group="sam2")


def test_training_asks_for_its_own_list_only(host: Any, installed: Any) -> None:
    installed(**everything_of("core"))
    host.answers.append(qt.QMessageBox.Ok)
    assert packages.ensurePackages(group="training")
    assert names_of(host.packages.installs[0]) == ["pyyaml"]


def test_a_group_that_does_not_exist_is_a_mistake_of_the_caller(host: Any) -> None:
    with pytest.raises(ValueError, match="weights"):
        packages.ensurePackages(group="weights")


def test_a_python_outside_slicer_is_never_installed_into(
    host: Any, installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(python.VARIABLE, sys.executable)
    assert packages.ensurePackages(), "not known yet: its worker will say"
    monkeypatch.setattr(WorkerClient, "hello", type("Hello", (), {"missing": ("torch", "POT")}), raising=True)
    answer = packages.ensurePackages()
    assert not answer
    assert packages.missingPackages() == ["torch", "POT"]
    assert "POT" in answer.message
    assert python.VARIABLE in answer.message
    assert f"{sys.executable} -m pip install" in answer.hint
    assert host.packages.installs == host.messages == []


def test_a_python_that_is_not_there_is_said_instead_of_missing_packages(
    host: Any, installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(python.VARIABLE, "/no/such/python")
    answer = packages.ensurePackages()
    assert not answer
    assert "/no/such/python" in answer.message
    assert host.packages.installs == host.messages == []
