"""Loading by name, by path, and what is said when it cannot be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from samprompt.contract.errors import (
    EnvironmentProblem,
    OutputError,
    ParameterError,
    WeightsError,
    WeightsMissingError,
)
from samprompt.contract.places import catalogue, user_catalogue_path, weights_path
from samprompt.models import registry, sam
from samprompt.models.added import add_model, remove_model
from samprompt.models.registry import load_backbone
from samprompt.models.tiny import TinyModel, save_tiny
from segment_anything.modeling import Sam

SMALL = {"widths": (8, 8, 16, 16), "blocks": (1, 1, 1, 1), "dim": 64, "matching_dim": 16, "input_size": 64}


@pytest.fixture
def own_resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> Path:
    """Resources with the real catalogue and a built-in model of the same kind with random weights."""
    folder = tmp_path / "own resources" / "models"
    folder.mkdir(parents=True)
    shipped = repository / "Resources" / "models" / "catalogue.toml"
    (folder / "catalogue.toml").write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    save_tiny(TinyModel(SMALL), folder / "tiny.safetensors")
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(folder.parent))
    return folder


@pytest.fixture(autouse=True)
def _own_models_folder(models_here: Path) -> None:
    pass


@pytest.fixture
def small_vit_b(monkeypatch: pytest.MonkeyPatch, small_sam: Sam, tmp_path: Path) -> Path:
    """A file of the small SAM's weights, which stand for ViT-B's so that loading takes milliseconds."""
    monkeypatch.setitem(sam.sam_model_registry, "vit_b", lambda: small_sam)
    path = tmp_path / "mine.pth"
    torch.save(small_sam.state_dict(), path)
    return path


def test_the_built_in_model_loads_by_name_with_its_fingerprint(own_resources: Path) -> None:
    backbone = load_backbone("tiny", "cpu")
    assert backbone.name == "tiny"
    assert backbone.fingerprint == hashlib.sha256((own_resources / "tiny.safetensors").read_bytes()).hexdigest()[:16]
    assert len(backbone.encode(torch.rand(2, 3, 50, 60))) == 2


def test_an_older_built_in_model_that_lies_about_is_not_used(own_resources: Path, models_here: Path) -> None:
    shipped = load_backbone("tiny", "cpu").fingerprint
    models_here.mkdir()
    save_tiny(TinyModel(SMALL), models_here / "tiny.safetensors")  # other random weights
    older = models_here / "tiny.safetensors"
    user_catalogue_path().write_text(
        f'[[model]]\nname = "Tiny"\narchitecture = "tiny"\nfile = "{older.as_posix()}"\n', encoding="utf-8"
    )
    assert load_backbone("tiny", "cpu").fingerprint == shipped
    assert load_backbone("Tiny", "cpu").fingerprint == shipped
    assert load_backbone(f"tiny:{older}", "cpu").fingerprint != shipped  # by its path it can be had


def test_a_built_in_model_that_is_absent_is_missing_weights(own_resources: Path) -> None:
    (own_resources / "tiny.safetensors").unlink()
    with pytest.raises(WeightsMissingError, match="built-in"):
        load_backbone("tiny", "cpu")


def test_an_architecture_and_a_path_load_any_file_of_that_format(small_vit_b: Path) -> None:
    backbone = load_backbone(f"vit_b:{small_vit_b}", torch.device("cpu"))
    assert backbone.fingerprint == hashlib.sha256(small_vit_b.read_bytes()).hexdigest()[:16]
    assert backbone.name == "vit_b:mine.pth"  # the folder may hold a patient's name and stays out of reports
    assert not backbone.uses_neighbours


def test_a_medsam_file_is_a_vit_b_with_values_between_zero_and_one(small_vit_b: Path) -> None:
    backbone = load_backbone(f"medsam:{small_vit_b}", "cpu")
    assert isinstance(backbone, sam.SamBackbone)
    assert backbone.unit_range


def test_safetensors_that_say_their_architecture_need_no_word_before_them(
    own_resources: Path, small_vit_b: Path, small_sam: Sam, tmp_path: Path
) -> None:
    assert load_backbone(str(own_resources / "tiny.safetensors"), "cpu").name == "tiny:tiny.safetensors"
    adapted = tmp_path / "adapted.safetensors"
    save_file({k: v.contiguous() for k, v in small_sam.state_dict().items()}, str(adapted), {"architecture": "vit_b"})
    assert load_backbone(str(adapted), "cpu").name == "vit_b:adapted.safetensors"


def test_a_path_alone_is_asked_for_its_architecture(small_vit_b: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        load_backbone(str(small_vit_b), "cpu")
    assert f"vit_b:{small_vit_b}" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("vit_x:/a/b.pth", ParameterError),
        ("vit_b:/no/such/file.pth", WeightsMissingError),
        ("/no/such/file.pth", WeightsMissingError),
        ("absent.pth", WeightsMissingError),
        ("C:\\models\\absent.pth", WeightsMissingError),
        ("sam_vit", ParameterError),
        ("", ParameterError),
    ],
)
def test_what_cannot_be_loaded_is_said(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load_backbone(name, "cpu")


def test_a_file_put_in_the_models_folder_by_hand_is_checked_against_the_official_sum(
    models_here: Path, small_vit_b: Path
) -> None:
    models_here.mkdir()
    (models_here / "sam_vit_b_01ec64.pth").write_bytes(small_vit_b.read_bytes())
    with pytest.raises(WeightsError, match="official"):
        load_backbone("vit_b", "cpu")


def test_medsam_is_fetched_by_hand_and_the_message_says_how(models_here: Path) -> None:
    with pytest.raises(WeightsMissingError) as caught:
        load_backbone("medsam", "cpu")
    assert "MedSAM" in caught.value.hint
    assert str(models_here / "medsam_vit_b.pth") in caught.value.hint


def test_a_device_that_is_absent_is_noticed_before_any_download() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(EnvironmentProblem):
        load_backbone("vit_b", "cuda")


def test_every_architecture_of_the_catalogue_can_be_loaded() -> None:
    assert {entry.architecture for entry in catalogue()} <= set(registry.LOADERS)


def test_an_added_model_is_found_by_its_name_and_its_odd_words_survive(small_vit_b: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'Ünï "quoted" \\ 肺.pth'
    odd.write_bytes(small_vit_b.read_bytes())
    add_model("our-lungs.v2", odd, "vit_b", licence='"ours"\n', trained_on="4D lung 🫁")
    entry = catalogue().find("our-lungs.v2")
    assert weights_path(entry) == odd
    assert (entry.licence, entry.trained_on) == ('"ours"\n', "4D lung 🫁")
    assert entry.input_size == 256
    assert load_backbone("our-lungs.v2", "cpu").name == "our-lungs.v2"
    assert remove_model("our-lungs.v2").endswith("pth.")
    assert odd.is_file()
    with pytest.raises(ParameterError):
        catalogue().find("our-lungs.v2")


def test_an_added_model_whose_file_went_away_says_where_it_was(small_vit_b: Path) -> None:
    add_model("gone", small_vit_b, "vit_b")
    small_vit_b.unlink()
    with pytest.raises(WeightsMissingError, match="no longer"):
        load_backbone("gone", "cpu")


@pytest.mark.parametrize("name", ["tiny", "VIT_B", "medsam", "with space", "", "../up", "vit_h"])
def test_a_name_that_is_taken_or_none_is_refused(small_vit_b: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="name"):
        add_model(name, small_vit_b, "vit_b")


def test_adding_weights_that_do_not_fit_changes_nothing(small_vit_b: Path, tmp_path: Path) -> None:
    add_model("first", small_vit_b, "vit_b")
    before = user_catalogue_path().read_bytes()
    wrong = tmp_path / "wrong.pth"
    torch.save({"a": torch.ones(1)}, wrong)
    for path in (wrong, tmp_path / "absent.pth"):
        with pytest.raises(WeightsError):
            add_model("second", path, "vit_b")
    with pytest.raises(ParameterError, match="architecture"):
        add_model("third", small_vit_b, "vit_x")
    assert user_catalogue_path().read_bytes() == before


def test_removing_deletes_downloads_and_leaves_the_built_in_model(models_here: Path, own_resources: Path) -> None:
    models_here.mkdir()
    partial = models_here / "sam_vit_b_01ec64.pth.partial"
    partial.write_bytes(b"x")
    assert str(partial) in remove_model("vit_b")
    assert not partial.exists()
    with pytest.raises(ParameterError, match="not on this machine"):
        remove_model("vit_b")
    with pytest.raises(ParameterError, match="built-in"):
        remove_model("tiny")
    assert (own_resources / "tiny.safetensors").is_file()


def test_a_models_folder_that_cannot_be_written_is_an_output_error(
    small_vit_b: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in the way").write_text("", encoding="utf-8")
    monkeypatch.setenv("SAMPROMPT_MODELS", str(tmp_path / "in the way"))
    with pytest.raises(OutputError):
        add_model("mine", small_vit_b, "vit_b")
