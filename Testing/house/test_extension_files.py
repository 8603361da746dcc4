"""What Slicer's extension build reads agrees with itself and with the tree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

CATALOGUE_FIELDS = {  # of schema v1.0.1, which allows no others
    "$schema", "build_dependencies", "build_subdirectory", "category", "enabled", "scm_revision", "scm_type",
    "scm_url", "tier",
}  # fmt: skip

# A project as Slicer sets it up, without Slicer: the variables of UseSlicer.cmake that our list reads.
DRIVER = """
cmake_minimum_required(VERSION 3.20)
project(Driver LANGUAGES NONE)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/qt-scripted-modules)
add_subdirectory("{source}" SAMPromptTools)
"""


@pytest.fixture(scope="module")
def lists(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("tools/update_file_lists.py")


@pytest.fixture(scope="module")
def entry(repository: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((repository / "SAMPromptTools.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def description(repository: Path) -> dict[str, str]:
    lines = (repository / "SAMPromptTools.s4ext").read_text(encoding="utf-8").splitlines()
    fields = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in fields}


@pytest.fixture(scope="module")
def extension(repository: Path) -> dict[str, str]:
    """The EXTENSION_ variables of the top-level CMakeLists.txt."""
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]*)"\)', text))


def installed_files(known_files: list[str]) -> set[str]:
    """Where the files that an installed extension needs are installed."""
    places = {"SAMPromptTools/samprompt/": "samprompt/", "Resources/": "samprompt_resources/"}
    return {
        place + name.removeprefix(folder)
        for name in known_files
        for folder, place in places.items()
        if name.startswith(folder) and not name.startswith("Resources/Screenshots/") and Path(name).name[0] != "."
    }


def listed_files(repository: Path) -> list[str]:
    text = (repository / "SAMPromptTools" / "files.cmake").read_text(encoding="utf-8")
    backend, resources = (re.findall(r'^  "(.+)"$', part, re.M) for part in text.split("\nset(")[1:])
    return backend + [f"samprompt_resources/{name}" for name in resources]


def test_the_generated_lists_are_up_to_date(lists: ModuleType) -> None:
    assert lists.main(["--check"]) == 0, "run python3 tools/update_file_lists.py"


def test_the_lists_name_every_file_that_git_knows_once(repository: Path, known_files: list[str]) -> None:
    listed = listed_files(repository)
    assert len(listed) == len(set(listed))
    assert set(listed) == installed_files(known_files)


def test_left_overs_are_not_listed(lists: ModuleType, tmp_path: Path) -> None:
    for name in (
        "SAMPromptTools/samprompt/io/__pycache__/read.cpython-311.pyc",
        "SAMPromptTools/samprompt/.hidden",
        "SAMPromptTools/samprompt/models/weights.partial",
        "Resources/Screenshots/demo.png",
        "SAMPromptTools/samprompt/io/read.py",
        "Resources/models/catalogue.toml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert re.findall(r'"(.+)"', lists.file_lists(tmp_path)) == ["samprompt/io/read.py", "models/catalogue.toml"]


def test_cmake_installs_exactly_the_listed_files(repository: Path, tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake on this machine")
    source = (repository / "SAMPromptTools").as_posix()
    (tmp_path / "CMakeLists.txt").write_text(DRIVER.format(source=source), encoding="utf-8")
    configured = subprocess.run(
        [cmake, "-S", str(tmp_path), "-B", str(tmp_path / "build")], capture_output=True, text=True, check=False
    )
    if "CMAKE_MAKE_PROGRAM" in configured.stderr:
        pytest.skip("no make or ninja on this machine")
    assert configured.returncode == 0, configured.stderr
    subprocess.run(
        [cmake, "--install", str(tmp_path / "build"), "--prefix", str(tmp_path / "installed")],
        capture_output=True,
        check=True,
    )
    wanted = sorted(listed_files(repository))
    for tree in (tmp_path / "installed", tmp_path / "build"):
        root = tree / "lib" / "qt-scripted-modules"
        found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        assert found == wanted
        for name in wanted[:: max(1, len(wanted) // 10)]:
            original = name if name.startswith("samprompt/") else f"../Resources/{name.partition('/')[2]}"
            assert (root / name).read_bytes() == (repository / "SAMPromptTools" / original).read_bytes()


def test_the_catalogue_entry_holds_only_fields_of_its_schema(entry: dict[str, object]) -> None:
    assert set(entry) <= CATALOGUE_FIELDS
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert str(entry["$schema"]).endswith("slicer-extension-catalog-entry-schema-v1.0.1.json#")


def test_both_descriptions_and_cmake_agree(
    entry: dict[str, object], description: dict[str, str], extension: dict[str, str], repository: Path
) -> None:
    assert description["scmurl"] == entry["scm_url"] == extension["HOMEPAGE"] + ".git"
    assert description["homepage"] == extension["HOMEPAGE"]
    assert description["scm"] == entry["scm_type"]
    assert description["scmrevision"] == entry["scm_revision"]
    assert description["category"] == entry["category"] == extension["CATEGORY"]
    assert description["build_subdirectory"] == entry["build_subdirectory"]
    assert description["depends"].split() == entry["build_dependencies"] == extension["DEPENDS"].split()
    for name in ("description", "iconurl", "screenshoturls", "contributors"):
        assert description[name] == extension[name.upper()]
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.findall(r"project\((\w+)", text) == ["SAMPromptTools"] == re.findall(r"add_subdirectory\((\w+)", text)


def test_the_pictures_that_the_catalogue_shows_are_in_the_tree(extension: dict[str, str], repository: Path) -> None:
    for address in (extension["ICONURL"], extension["SCREENSHOTURLS"]):
        name = address.partition("/main/")[2]
        assert (repository / name).read_bytes().startswith(b"\x89PNG"), name
