"""The models that a panel offers: their licence, whether they are here, and that what was downloaded can go again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import qt
from samprompt.contract import places
from samprompt.contract.errors import OutputError, ParameterError
from samprompt.models import registry
from SAMPromptCommonLib import catalogue


@pytest.fixture(autouse=True)
def models_here(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights, and no licence accepted."""
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "models"))
    qt.QSettings().remove(catalogue.ACCEPTED)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def by_name(name: str) -> catalogue.ModelChoice:
    found = catalogue.model(name)
    assert found is not None
    return found


def test_the_built_in_model_comes_first_and_needs_nothing() -> None:
    choices = catalogue.models()
    first = choices[0]
    assert (first.name, first.builtin, first.available, first.downloadable) == (catalogue.BUILT_IN, True, True, False)
    assert first.path.is_file()
    assert first.sizeText.endswith(" MB")
    assert not catalogue.needsLicence(first)
    assert [choice.name for choice in choices] == list(registry.catalogue().names())


def test_every_model_is_described_with_licence_and_size() -> None:
    for choice in catalogue.models():
        assert choice.title
        assert choice.description
        assert choice.licence
        assert "Research use only" in choice.licenceText
        assert choice.available is choice.builtin
        if choice.downloadable:
            assert choice.licence in choice.licenceText
            assert choice.sizeText in choice.licenceText
            assert str(choice.path.parent) in choice.licenceText, "the user reads where it goes"
        if choice.manual:
            assert choice.instructions in choice.licenceText
            assert not choice.downloadable


@pytest.mark.parametrize(
    ("size", "text"), [(0, "size not known"), (1, "0.1 MB"), (2_340_000, "2.3 MB"), (375_042_383, "375 MB"),
                       (2_564_550_879, "2.6 GB")]
)  # fmt: skip
def test_sizes_are_written_as_people_read_them(size: int, text: str) -> None:
    assert catalogue._sizeText(size) == text


def test_aliases_and_any_case_of_letters_find_a_model_and_a_path_finds_none() -> None:
    assert by_name("VIT_B").name == "sam_vit_b"
    assert catalogue.model("/data/mine.pth") is None
    assert catalogue.model("") is None


def test_a_licence_is_accepted_once_for_each_model() -> None:
    base, large = by_name("sam_vit_b"), by_name("sam_vit_l")
    assert catalogue.needsLicence(base)
    catalogue.acceptLicence(base)
    assert not catalogue.needsLicence(base)
    assert not catalogue.needsLicence(by_name("vit_b")), "remembered in Slicer's settings"
    assert catalogue.needsLicence(large)


def test_a_licence_that_changed_is_asked_for_again() -> None:
    import dataclasses

    base = by_name("sam_vit_b")
    catalogue.acceptLicence(base)
    assert catalogue.needsLicence(dataclasses.replace(base, licence="Another-1.0"))


def test_a_file_that_the_user_added_is_offered_last_and_never_deleted(models_here: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"weights")
    places.user_catalogue_path().write_text(
        f'[[model]]\nname = "mine"\narchitecture = "vit_b"\nfile = "{mine.as_posix()}"\n', encoding="utf-8"
    )
    choice = catalogue.models()[-1]
    assert (choice.name, choice.user, choice.available, choice.path) == ("mine", True, True, mine)
    assert not catalogue.needsLicence(choice)
    assert not catalogue.removable(choice)
    with pytest.raises(ParameterError, match="not deleted"):
        catalogue.removeWeights(choice)
    assert mine.is_file()


def test_the_built_in_model_cannot_be_deleted() -> None:
    tiny = by_name("tiny")
    assert not catalogue.removable(tiny)
    with pytest.raises(ParameterError):
        catalogue.removeWeights(tiny)
    assert tiny.path.is_file()


def test_downloaded_weights_and_interrupted_downloads_can_be_removed(models_here: Path) -> None:
    assert not catalogue.removable(by_name("sam_vit_b"))
    weights = models_here / "sam_vit_b_01ec64.pth"
    weights.write_bytes(b"x" * 1000)
    Path(f"{weights}.partial").write_bytes(b"y" * 10)
    other = models_here / "sam_vit_l_0b3195.pth"
    other.write_bytes(b"z")
    choice = by_name("sam_vit_b")
    assert choice.available
    assert catalogue.removable(choice)
    assert catalogue.removeWeights(choice) == 1010
    assert [path.name for path in models_here.iterdir()] == [other.name]
    assert catalogue.removeWeights(choice) == 0, "a second time is no error"
    assert by_name("sam_vit_b").downloadable


def test_weights_that_cannot_be_deleted_are_said_with_a_hint(
    models_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (models_here / "sam_vit_b_01ec64.pth").write_bytes(b"x")

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "The file is being used by another process", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError) as caught:
        catalogue.removeWeights(by_name("sam_vit_b"))
    assert "being used by another process" in caught.value.message
    assert "Release GPU" in caught.value.hint


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="platformdirs looks at the running system")
@pytest.mark.parametrize("xdg", [None, "", "/elsewhere/cache"])
def test_weights_lie_where_they_lay_when_platformdirs_said_where(
    monkeypatch: pytest.MonkeyPatch, xdg: str | None
) -> None:
    monkeypatch.delenv(places.VARIABLE)
    if xdg is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert places.models_folder() == platformdirs.user_cache_path("samprompttools") / "models"


@pytest.mark.parametrize(
    ("system", "tail"),
    [("win32", ("samprompttools", "samprompttools", "Cache", "models")),
     ("darwin", ("Library", "Caches", "samprompttools", "models"))],
)  # fmt: skip
def test_other_systems_keep_their_custom(monkeypatch: pytest.MonkeyPatch, system: str, tail: tuple[str, ...]) -> None:
    monkeypatch.delenv(places.VARIABLE)
    monkeypatch.setenv("LOCALAPPDATA", os.path.join("C:", "Users", "me", "AppData", "Local"))
    monkeypatch.setattr(sys, "platform", system)
    assert places.models_folder().parts[-len(tail) :] == tail
