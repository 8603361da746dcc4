"""Installing packages: asked for, recorded, never done; 5.8 and 5.12; the PyTorch extension there or not."""

import subprocess
import sys

import pytest
import qt
import slicer
from packaging.requirements import Requirement


@pytest.fixture
def newer(host):
    """Slicer 5.12, in which torch and one other package are missing."""
    host.restart(version="5.12")
    host.packages.pretend = {"torch": None, "pydantic": None, "scipy": "1.15.0"}
    return host


def test_requirements_are_read_and_comments_and_options_passed_over(newer, tmp_path):
    file = tmp_path / "core.txt"
    file.write_text("# a comment\n\npydantic>=2.6\n-c constraints.txt\nscipy>=1.14 ; python_version > '3.8'\n")
    assert [str(one) for one in slicer.packaging.load_requirements(file)] == [
        "pydantic>=2.6", 'scipy>=1.14; python_version > "3.8"',
    ]  # fmt: skip


def test_what_is_there_in_the_right_version_is_not_asked_for(newer):
    assert slicer.packaging.pip_check(Requirement("scipy>=1.14"))
    assert not slicer.packaging.pip_check(Requirement("scipy>=2"))
    assert not slicer.packaging.pip_check(Requirement("pydantic"))
    assert slicer.packaging.pip_check(Requirement("pydantic; sys_platform == 'nowhere'"))
    assert slicer.packaging.pip_ensure([Requirement("scipy>=1.14")], requester="SAMPromptTools") is None
    assert newer.packages.installs == []
    assert newer.messages == []


def test_missing_packages_are_asked_for_once_and_recorded_with_their_constraints(newer, tmp_path):
    newer.answers.append(qt.QMessageBox.Ok)
    wanted = [Requirement("pydantic>=2.6"), Requirement("scipy>=1.14")]
    slicer.packaging.pip_ensure(wanted, constraints=tmp_path / "c.txt", requester="SAMPromptTools")
    assert newer.packages.installs == [{"requirements": ["pydantic>=2.6"], "constraints": str(tmp_path / "c.txt")}]
    assert len(newer.messages) == 1
    slicer.packaging.pip_ensure(wanted)
    assert len(newer.packages.installs) == 1


def test_declining_raises_and_installs_nothing(newer):
    newer.answers.append(qt.QMessageBox.Cancel)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure([Requirement("pydantic")])
    assert newer.packages.installs == []
    assert newer.packages.version("pydantic") is None


def test_a_failing_installation_raises_and_shows_an_error(newer):
    newer.packages.fails = "pydantic"
    newer.answers.append(qt.QMessageBox.Ok)
    with pytest.raises(subprocess.CalledProcessError):
        slicer.packaging.pip_ensure([Requirement("pydantic")])
    assert newer.messages[-1] == "Package installation failed."
    assert newer.packages.version("pydantic") is None


def test_in_testing_mode_nothing_is_installed(newer):
    newer.testing = True
    slicer.packaging.pip_ensure([Requirement("pydantic")])
    assert newer.packages.installs == []


def test_5_8_installs_without_asking_and_takes_no_other_argument(host):
    slicer.util.pip_install("pydantic>=2.6 typer")
    slicer.util.pip_install(["rich"])
    assert [one["requirements"] for one in host.packages.installs] == [["pydantic>=2.6", "typer"], ["rich"]]
    assert host.messages == []
    with pytest.raises(TypeError):
        slicer.util.pip_install("rich", constraints="c.txt")


def test_the_record_is_empty_in_the_next_test(host):
    assert host.packages.installs == []
    assert host.packages.pretend == {}


def test_the_pytorch_extension_is_absent_until_it_is_installed(host):
    with pytest.raises(ModuleNotFoundError):
        __import__("PyTorchUtils")
    assert not slicer.app.extensionsManagerModel().isExtensionInstalled("PyTorch")
    host.install_extension("PyTorch")
    import PyTorchUtils

    assert slicer.app.extensionsManagerModel().isExtensionInstalled("PyTorch")
    host.packages.pretend["torch"] = None
    logic = PyTorchUtils.PyTorchUtilsLogic()
    assert not logic.torchInstalled()
    host.answers.append(qt.QMessageBox.Ok)
    assert logic.installTorch(askConfirmation=True, torchVersionRequirement=">=2.6").__name__ == "torch"
    assert logic.torchInstalled()
    assert host.packages.torch_requests == [{"askConfirmation": True, "torchVersionRequirement": ">=2.6"}]


def test_declining_torch_answers_none(host):
    host.install_extension("PyTorch")
    host.packages.pretend["torch"] = None
    host.answers.append(qt.QMessageBox.Cancel)
    assert sys.modules["PyTorchUtils"].PyTorchUtilsLogic().installTorch(askConfirmation=True) is None
    assert host.packages.version("torch") is None


def test_installing_torch_never_imports_it(host):
    host.install_extension("PyTorch")
    before = "torch" in sys.modules
    sys.modules["PyTorchUtils"].PyTorchUtilsLogic().installTorch()
    assert ("torch" in sys.modules) == before


def test_the_extension_is_gone_in_the_next_test(host):
    assert "PyTorchUtils" not in sys.modules
    with pytest.raises(KeyError):
        host.install_extension("NoSuchExtension")
