"""The repository as a whole: documents, versions, dependencies and what must not be in it."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from samprompt.contract import version
from samprompt.contract.version import VERSION

# Packages that come with another one which is a dependency.
COMES_WITH = {
    "hydra-core": "sam2",
    "omegaconf": "sam2",
    "markupsafe": "jinja2",
    "click": "typer",
    "packaging": "pytest",
    "vtk": "slicer-core",
    "shiboken6": "pyside6-essentials",
    "shibokensupport": "pyside6-essentials",
}


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return loaded


@pytest.fixture(scope="module")
def owners() -> Mapping[str, list[str]]:
    """Which distributions a top-level module comes from, in this environment."""
    return importlib.metadata.packages_distributions()


@pytest.fixture(scope="module")
def pins(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.fixture(scope="module")
def text_files(repository: Path, known_files: list[str]) -> dict[str, str]:
    """Every text file, by its path."""
    contents = {name: (repository / name).read_bytes() for name in known_files}
    return {
        name: content.decode("utf-8", "replace") for name, content in contents.items() if b"\0" not in content[:4096]
    }


# What Slicer brings along and Testing/host stands in for.
SLICERS_OWN = {"qt", "ctk", "slicer", "standin", "SampleData", "PyTorchUtils"}


def distributions(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def imported_modules(folder: Path) -> dict[str, str]:
    """Top-level modules that the Python files below a folder import, each with one file that does."""
    modules: dict[str, str] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            modules.update({name.partition(".")[0]: str(path.relative_to(folder)) for name in names})
    return modules


@pytest.mark.parametrize(
    ("folder", "groups"),
    [
        ("SAMPromptTools/samprompt", ["sam2"]),
        ("training/samprompt_training", ["sam2", "training"]),
        ("Testing", ["sam2", "training", "test", "host"]),
    ],
)
def test_every_imported_package_is_a_dependency(
    repository: Path, project: dict[str, Any], owners: Mapping[str, list[str]], folder: str, groups: list[str]
) -> None:
    declared = distributions(project["dependencies"])
    for group in groups:
        declared |= distributions(project["optional-dependencies"][group])
    local = {path.stem for path in (repository / "Testing").rglob("*.py")} | {"samprompt", "samprompt_training"}
    local |= {path.stem for path in (repository / "SAMPromptTools").glob("SAM*")}
    if folder == "Testing":
        local |= SLICERS_OWN
    unknown = {}
    for module, file in imported_modules(repository / folder).items():
        if module in sys.stdlib_module_names or module in local:
            continue
        names = {canonicalize_name(name) for name in owners.get(module, [module])}
        if not {COMES_WITH.get(name, name) for name in names} & declared:
            unknown[module] = file
    assert not unknown


def test_every_dependency_is_pinned_to_a_version_it_allows(project: dict[str, Any], pins: dict[str, str]) -> None:
    installed = [*project["dependencies"]]
    for group in ("test", "training", "sam2", "host"):
        installed += project["optional-dependencies"][group]
    for line in installed:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


def test_the_newest_entry_of_the_changelog_is_the_version(repository: Path) -> None:
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(.+?)\]", changelog, re.M)[0] == VERSION


def test_the_packages_version_is_read_from_the_source(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": f"{version.__name__}.VERSION"}


def test_the_readme_begins_with_the_two_commands(repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    first = readme.partition("```bash\n")[2].partition("```")[0].split("\n")
    assert first[:2] == ["python3 run.py demo", "python3 run.py test"]
    assert "Research use only" in readme


def test_continuous_integration_runs_the_readmes_test_command(repository: Path) -> None:
    command = "python3 run.py test"
    script = repository / ".ci" / "run"
    assert script.read_text(encoding="utf-8").splitlines()[-1] == f"exec {command}"
    if sys.platform != "win32":
        assert script.stat().st_mode & 0o111
    assert f"run: {command}\n" in (repository / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


def test_the_licence_is_the_whole_apache_licence(repository: Path, project: dict[str, Any]) -> None:
    licence = (repository / "LICENSE").read_text(encoding="utf-8")
    assert project["license"] == "Apache-2.0"
    for part in ("Version 2.0, January 2004", "3. Grant of Patent License.", "END OF TERMS AND CONDITIONS"):
        assert part in licence


def test_every_link_of_the_documents_leads_somewhere(text_files: dict[str, str], repository: Path) -> None:
    broken = []
    for name, text in text_files.items():
        if name.endswith(".md"):
            links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
            broken += [(name, link) for link in links if not (repository / name).parent.joinpath(link).exists()]
    assert not broken


def test_no_file_holds_a_path_of_one_machine(text_files: dict[str, str]) -> None:
    pattern = re.compile(r"(?<![\w./])/(?:home|Users)/(?!runner)\w+/|(?<![\w./])/(?:root|work)/|[A-Z]:\\Users\\")
    # This file holds the pattern itself.
    found = {name: match[0] for name, text in text_files.items() if (match := pattern.search(text))}
    found.pop("Testing/house/test_tree.py", None)
    assert not found


def test_no_file_holds_the_address_of_a_package_registry(text_files: dict[str, str]) -> None:
    pattern = re.compile(r"https?://[^ \"]*/simple/?|--(extra-)?index[-]url")
    found = {name: match[0] for name, text in text_files.items() if (match := pattern.search(text))}
    found.pop("Testing/house/test_tree.py", None)
    assert not found


def test_no_file_is_too_large_for_a_source_repository(repository: Path, known_files: list[str]) -> None:
    sizes = {name: (repository / name).stat().st_size for name in known_files}
    assert not {name: size for name, size in sizes.items() if size > 20e6}
    assert sum(sizes.values()) < 100e6
