"""What Slicer's extension build reads agrees with itself and with the tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SLICER = Path(__file__).parent / "slicer_cmake"  # a stand-in for the package that extensions are built against
MODULES = "lib/Slicer-5.12/qt-scripted-modules"
CATALOGUE_FIELDS = {  # of schema v1.0.1, which allows no others
    "$schema", "build_dependencies", "build_subdirectory", "category", "enabled", "scm_revision", "scm_type",
    "scm_url", "tier",
}  # fmt: skip


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


def installed_files(known_files: list[str]) -> dict[str, str]:
    """What an installed extension needs: place below Slicer's folder of scripted modules -> place in the tree."""
    places = {
        "SAMPromptTools/": "",
        "training/samprompt_training/": "samprompt_training/",
        "Resources/": "samprompt_resources/",
    }
    not_installed = ("Resources/Screenshots/", "SAMPromptTools/CMakeLists.txt", "SAMPromptTools/files.cmake")
    return {
        place + name.removeprefix(folder): name
        for name in known_files
        for folder, place in places.items()
        if name.startswith(folder) and not name.startswith(not_installed) and Path(name).name[0] != "."
    }


def listed_files(repository: Path) -> list[str]:
    """Every file of files.cmake as its place below Slicer's folder of scripted modules."""
    text = (repository / "SAMPromptTools" / "files.cmake").read_text(encoding="utf-8")
    lists = {part.split("\n")[0]: re.findall(r'^  "(.+)"$', part, re.M) for part in text.split("\nset(")[1:]}
    modules = [f"{name}.py" for name in lists.pop("SAMPROMPTTOOLS_MODULES")]
    resources = [f"samprompt_resources/{name}" for name in lists.pop("SAMPROMPTTOOLS_RESOURCE_FILES")]
    return modules + resources + [name for files in lists.values() for name in files]


def test_the_generated_lists_are_up_to_date(lists: ModuleType) -> None:
    assert lists.main(["--check"]) == 0, "run python3 tools/update_file_lists.py"


def test_the_lists_name_every_file_that_git_knows_once(repository: Path, known_files: list[str]) -> None:
    listed = listed_files(repository)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(installed_files(known_files))


def test_left_overs_are_not_listed(lists: ModuleType, tmp_path: Path) -> None:
    wanted = [
        "SAMPromptTools/SAMExample.py",
        "SAMPromptTools/Resources/UI/SAMExample.ui",
        "SAMPromptTools/SAMExampleLib/widget.py",
        "SAMPromptTools/Resources/Icons/shared.png",
        "SAMPromptTools/samprompt/io/read.py",
        "training/samprompt_training/recipes/tiny.yaml",
        "Resources/models/catalogue.toml",
    ]
    for name in (
        *wanted,
        "SAMPromptTools/samprompt/io/__pycache__/read.cpython-311.pyc",
        "SAMPromptTools/SAMExampleLib/__pycache__/widget.cpython-311.pyc",
        "SAMPromptTools/samprompt/.hidden",
        "SAMPromptTools/samprompt/models/weights.partial",
        "Resources/Screenshots/demo.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    named = re.findall(r'"(.+)"', lists.file_lists(tmp_path))
    assert named == [
        "SAMExample",
        "Resources/UI/SAMExample.ui",
        "SAMExampleLib/widget.py",
        "Resources/Icons/shared.png",
        "samprompt/io/read.py",
        "samprompt_training/recipes/tiny.yaml",
        "models/catalogue.toml",
    ]


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the extension's build tree and, installed from it, its installed tree."""
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    ninja = shutil.which("ninja", path=str(Path(sys.executable).parent)) or shutil.which("ninja")
    if cmake is None or ninja is None:
        pytest.skip("no cmake or no ninja on this machine")
    folder = tmp_path_factory.mktemp("extension")
    build = folder / "build"
    # The project has nothing to compile: with "forced" compilers CMake does not look for any.
    forced = [f"-DCMAKE_{part}_COMPILER{end}" for part in ("C", "CXX") for end in ("_FORCED=ON", f"={sys.executable}")]
    configure = [cmake, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}", *forced, f"-DSlicer_DIR={SLICER}"]
    for command in (
        [*configure, "-S", str(repository), "-B", str(build)],
        [cmake, "--build", str(build)],
        [cmake, "--install", str(build), "--prefix", str(folder / "installed")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("tree", ["build", "installed"])
def test_build_tree_and_installed_tree_hold_exactly_the_files_of_the_tree(
    tree: str, built: Path, repository: Path, known_files: list[str]
) -> None:
    root = built / tree / MODULES
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    wanted = installed_files(known_files)
    assert found == sorted(wanted)
    for place, name in wanted.items():
        assert (root / place).read_bytes() == (repository / name).read_bytes()


def test_ctest_runs_the_self_tests_with_and_without_a_main_window(built: Path, repository: Path) -> None:
    text = (built / "build" / "Testing" / "slicer" / "CTestTestfile.cmake").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("add_test(")]
    tests = {line.removeprefix("add_test(").split(" ")[0].strip('"[]='): line for line in lines}
    for module in (path.stem for path in (repository / "SAMPromptTools").glob("SAM*.py")):
        assert "--no-main-window" in tests[f"py_nomainwindow_{module}SelfTest"]
        assert "--no-main-window" not in tests[f"py_{module}SelfTest"]
        assert MODULES in tests[f"py_{module}SelfTest"]


@pytest.mark.parametrize("tree", ["clone", "build", "installed"])
def test_the_worker_finds_backend_and_resources_in_clone_build_tree_and_installed_tree(
    tree: str, built: Path, repository: Path
) -> None:
    modules = repository / "SAMPromptTools" if tree == "clone" else built / tree / MODULES
    code = (
        "import samprompt.worker, samprompt.resources as r, importlib.util as u;"
        "print(samprompt.worker.__file__); print(r.root()); print(u.find_spec('SAMPropagationLib').origin)"
    )
    environment = {**os.environ, "PYTHONPATH": str(modules)}
    environment.pop("SAMPROMPT_RESOURCES", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=built, capture_output=True, text=True, check=True
    )
    worker, resources, library = (Path(line) for line in done.stdout.splitlines())
    assert worker.is_relative_to(modules)
    assert library.is_relative_to(modules)
    expected = repository / "Resources" if tree == "clone" else modules / "samprompt_resources"
    assert resources == expected
    assert (resources / "models" / "tiny.safetensors").is_file()


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
    assert (
        re.findall(r"project\((\w+)", text) == ["SAMPromptTools"] == re.findall(r"^add_subdirectory\((\w+)", text, re.M)
    )


def test_the_pictures_that_the_catalogue_shows_are_in_the_tree(extension: dict[str, str], repository: Path) -> None:
    for address in (extension["ICONURL"], extension["SCREENSHOTURLS"]):
        name = address.partition("/main/")[2]
        assert (repository / name).read_bytes().startswith(b"\x89PNG"), name
