"""Where Resources is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from samprompt import resources
from samprompt.contract.errors import EnvironmentProblem


def _resources(folder: Path) -> Path:
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "catalogue.toml").write_text("", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMPROMPT_RESOURCES", raising=False)


def test_a_checkout_finds_its_own_resources(repository: Path) -> None:
    assert resources.root().resolve() == (repository / "Resources").resolve()


def test_the_environment_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _resources(tmp_path / "elsewhere")
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(folder))
    assert resources.root() == folder


def test_a_variable_that_names_a_wrong_folder_is_an_error_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="SAMPROMPT_RESOURCES"):
        resources.root()


def test_an_installed_extension_has_them_beside_the_package_and_prefers_them_to_a_checkout(tmp_path: Path) -> None:
    _resources(tmp_path / "Resources")
    beside = _resources(tmp_path / "qt-scripted-modules" / "samprompt_resources")
    assert resources.root(tmp_path / "qt-scripted-modules" / "samprompt") == beside


def test_a_package_without_resources_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        resources.root(tmp_path / "site-packages" / "samprompt")
    assert "SAMPROMPT_RESOURCES" in caught.value.hint
