"""An adapter's base: found again from every folder, and named with the adapter where it is missing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from samprompt.cli.main import main
from samprompt.contract.errors import WeightsError, WeightsMissingError
from samprompt.models.adapter import Adapter, adapter_bytes
from samprompt.models.added import add_model
from samprompt.models.registry import load_backbone
from samprompt.models.tiny import TinyModel, save_tiny

SMALL = {"widths": (8, 8, 16, 16), "blocks": (1, 1, 1, 1), "dim": 64, "matching_dim": 16, "input_size": 64}


@pytest.fixture(autouse=True)
def _own_models_folder(models_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "own" / "models"
    folder.mkdir(parents=True)
    (folder / "catalogue.toml").write_text(
        '[[model]]\nname = "by-hand"\narchitecture = "tiny"\nfile = "by-hand.safetensors"\nmanual = true\n'
        'instructions = "Ask the hospital."\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(tmp_path / "own"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Whole weights that have no name."""
    path = tmp_path / "hospital.safetensors"
    save_tiny(TinyModel(SMALL), path)
    return path


@pytest.fixture
def adapter(base: Path) -> Adapter:
    """An adapter of them, which notes no folder, as the adaptation writes it."""
    lora = {"encoder.stem": (torch.randn(2, 3, 5, 5) * 0.1, torch.randn(8, 2, 1, 1) * 0.1)}
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    return Adapter("tiny:hospital.safetensors", digest, "tiny", 2, 2.0, (), lora, {})


def _written(adapter: Adapter, path: Path) -> Path:
    path.write_bytes(adapter_bytes(adapter))
    return path


@pytest.mark.parametrize("given", ["", "tiny:./hospital.safetensors", "hospital.safetensors", "~/hospital.safetensors"])
def test_an_added_adapter_is_found_from_every_folder(
    adapter: Adapter, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    _written(adapter, tmp_path / "lungs.safetensors")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert add_model("lungs", Path("lungs.safetensors"), base=given).base == f"tiny:{base.resolve()}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load_backbone("lungs", "cpu").name == "lungs"


def test_a_base_with_a_name_stays_a_name(adapter: Adapter, base: Path, tmp_path: Path) -> None:
    add_model("hospital", base, "tiny")
    path = _written(adapter, tmp_path / "lungs.safetensors")
    assert add_model("lungs", path, base="hospital").base == "hospital"
    assert add_model("others", _written(replace(adapter, base="hospital"), path)).base == "hospital"


def test_a_base_that_is_gone_is_told_with_the_adapter_and_what_to_do(
    adapter: Adapter, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _written(adapter, tmp_path / "lungs.safetensors")
    add_model("hospital", base, "tiny")
    add_model("by-path", path, base=f"tiny:{base}")
    add_model("by-name", path, base="hospital")
    base.unlink()
    for name, shown, told, hint in (
        ("by-path", "by-path", f"tiny:{base.resolve()}", "--base"),
        ("by-name", "by-name", "hospital", "Put them back"),
        (str(path), "tiny:lungs.safetensors", "tiny:hospital.safetensors", "--base"),
    ):
        with pytest.raises(WeightsMissingError) as caught:
            load_backbone(name, "cpu")
        assert f'The base of the adapter "{shown}", {told}, is missing' in str(caught.value)
        assert hint in caught.value.hint
        assert "Check the path" not in caught.value.hint


def test_a_base_that_has_to_be_fetched_by_hand_keeps_its_instructions(adapter: Adapter, tmp_path: Path) -> None:
    path = _written(replace(adapter, base="by-hand"), tmp_path / "lungs.safetensors")
    with pytest.raises(WeightsMissingError, match=r"base of the adapter .*, by-hand, is missing") as caught:
        load_backbone(str(path), "cpu")
    assert "Ask the hospital." in caught.value.hint


def test_adding_from_another_folder_says_how_to_name_the_base(
    adapter: Adapter, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(adapter, tmp_path / "lungs.safetensors")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["models", "add", "lungs", str(path)]) == WeightsError.exit_code
    err = capsys.readouterr().err
    assert "tiny:hospital.safetensors" in err
    assert "--base" in err
    assert main(["models", "add", "lungs", str(path), "--base", "tiny:../hospital.safetensors"]) == 0
