"""The fixture itself: it fails a test for what it leaves behind. The cases are run by a pytest of their own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOST = Path(__file__).resolve().parents[1]

CASES = {
    "window QLabel": """
        def test_it(host):
            host.kept = qt.QLabel("left")
            host.kept.show()
    """,
    "running timer": """
        def test_it(host):
            host.kept = qt.QTimer()
            host.kept.start(1000)
    """,
    "running process": """
        def test_it(host):
            host.kept = qt.QProcess()
            host.kept.start("sleep", ["30"])
            assert host.kept.waitForStarted(5000)
    """,
    "child process": """
        def test_it(host):
            host.kept = subprocess.Popen(["sleep", "30"])
    """,
    "exception in a slot or observer: ZeroDivisionError": """
        def test_it(host):
            slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, lambda *_: 1 / 0)
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
            slicer.mrmlScene.RemoveAllObservers()
    """,
    "answer that no dialog asked for": """
        def test_it(host):
            host.answers.append(qt.QMessageBox.Yes)
    """,
    "nobody queued": """
        def test_it(host):
            try:
                slicer.util.confirmYesNoDisplay("Really?")
            except RuntimeError:
                pass
    """,
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What a pytest run says about each case, by the name of its test."""
    folder = tmp_path_factory.mktemp("cases")
    conftest = (HOST / "conftest.py").read_text().replace("str(Path(__file__).resolve().parents[0])", repr(str(HOST)))
    (folder / "conftest.py").write_text(conftest)
    body = "import subprocess\nimport qt\nimport slicer\n\ndef test_tidy(host):\n    qt.QLabel('gone')\n"
    for number, case in enumerate(CASES.values()):
        lines = [line[8:] for line in case.splitlines()]
        body += "\n".join(lines).replace("test_it", f"test_case_{number}") + "\n"
    (folder / "test_cases.py").write_text(body)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        str(folder),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, check=False)
    return run.stdout


def test_a_tidy_test_passes(verdicts):
    assert re.search(r"^PASSED .*::test_tidy$", verdicts, re.MULTILINE), verdicts
    assert not re.search(r"^ERROR .*::test_tidy", verdicts, re.MULTILINE)


@pytest.mark.parametrize("sentence", CASES)
def test_what_is_left_behind_fails_the_test(verdicts, sentence):
    number = list(CASES).index(sentence)
    assert re.search(rf"^ERROR .*::test_case_{number}\b", verdicts, re.MULTILINE), verdicts
    block = verdicts.split(f"ERROR at teardown of test_case_{number} ")[1].split("ERROR at teardown")[0]
    assert sentence in block


def test_without_the_packages_the_files_are_skipped_with_the_reason(tmp_path):
    conftest = (HOST / "conftest.py").read_text().replace("str(Path(__file__).resolve().parents[0])", repr(str(HOST)))
    (tmp_path / "conftest.py").write_text(
        conftest
        + "\nfrom standin import slicer_fixtures\n\nslicer_fixtures.NEEDED['no_such_package'] = 'no-such-wheel'\n"
    )
    (tmp_path / "test_any.py").write_text("import qt\n\ndef test_it(host):\n    pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert "the stand-in for Slicer needs no-such-wheel" in run.stdout
    assert "1 skipped" in run.stdout
