"""``samprompt models`` and ``samprompt doctor`` as a user types them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from samprompt.cli.doctor import doctor
from samprompt.cli.models import models_app
from samprompt.contract.errors import ParameterError, WeightsMissingError
from samprompt.models.refiner import RefinerNetwork, save_refiner
from samprompt.models.tiny import TinyModel, save_tiny
from typer.testing import CliRunner

SMALL = {"widths": (8, 8, 16, 16), "blocks": (1, 1, 1, 1), "dim": 64, "matching_dim": 16, "input_size": 64}
CONTENT = b"weights" * 1000


@pytest.fixture(autouse=True)
def _place(models_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(tmp_path / "own"))


@pytest.fixture(autouse=True)
def _catalogue(tmp_path: Path, site: Any) -> None:
    """A built-in model and one that the server on this machine offers."""
    folder = tmp_path / "own" / "models"
    folder.mkdir(parents=True)
    save_tiny(TinyModel(SMALL), folder / "tiny.safetensors")
    save_refiner(RefinerNetwork(), folder / "refiner.safetensors")
    site.content = CONTENT
    (folder / "catalogue.toml").write_text(
        '[[model]]\nname = "tiny"\narchitecture = "tiny"\nfile = "tiny.safetensors"\nbuiltin = true\n'
        'licence = "Apache-2.0"\ninput_size = 64\n'
        f'[[model]]\nname = "probe"\narchitecture = "vit_b"\nfile = "probe.pth"\nurl = "{site.address}"\n'
        f'sha256 = "{hashlib.sha256(CONTENT).hexdigest()}"\nsize = {len(CONTENT)}\nlicence = "MIT"\n',
        encoding="utf-8",
    )


def _run(*words: str) -> Any:
    return CliRunner().invoke(models_app, list(words))


def test_the_list_shows_every_model_with_size_licence_and_place() -> None:
    output = _run("list").output
    for word in ("tiny", "built in", "probe", "no", "MIT", "Apache-2.0", "127.0.0.1", "tiny.safetensors"):
        assert word in output
    assert "probe.pth" in _run("list", "--details").output


def test_download_list_path_and_remove_belong_together(models_here: Path) -> None:
    target = models_here / "probe.pth"
    assert _run("path", "probe").output.strip() == str(target)
    assert _run("download", "probe").exit_code == 0
    assert target.read_bytes() == CONTENT
    assert str(target) in _run("list").output
    assert "already" in _run("download", "probe", "tiny").output
    assert _run("remove", "probe").exit_code == 0
    assert not target.exists()


def test_errors_reach_the_main_command_as_ours(site: Any) -> None:
    site.status = 503
    assert isinstance(_run("download", "probe").exception, WeightsMissingError)
    assert isinstance(_run("path", "prob").exception, ParameterError)
    assert isinstance(
        _run("add", "mine", "/no/such/file.pth", "--architecture", "vit_b").exception, WeightsMissingError
    )


def test_a_model_added_on_the_command_line_is_listed(tmp_path: Path) -> None:
    weights = tmp_path / "other.safetensors"
    save_tiny(TinyModel(SMALL), weights)
    answer = _run("add", "other", str(weights), "--architecture", "tiny", "--licence", "CC0")
    assert answer.exit_code == 0, answer.output
    assert "CC0" in _run("list").output
    assert _run("path", "other").output.strip() == str(weights.resolve())


def _doctor(*words: str) -> Any:
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, list(words))


def test_the_doctor_finds_everything_in_a_sound_installation() -> None:
    answer = _doctor("--device", "cpu")
    assert answer.exit_code == 0, answer.output
    for word in (
        torch.__version__.split("+")[0],
        "SimpleITK",
        "POT",
        "segment-anything",
        "right",
        "GiB",
        "tiny,",
        "Prior refiner",
    ):
        assert word in answer.output


def test_the_doctor_ends_with_3_and_says_so_when_the_built_in_model_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "own" / "models" / "tiny.safetensors").write_bytes(b"no weights")
    answer = _doctor()
    assert answer.exit_code == 3
    assert "Missing or broken" in answer.output
    assert "tiny.safetensors" in answer.output


def test_the_doctor_ends_with_3_and_says_so_when_the_prior_refiner_is_missing(tmp_path: Path) -> None:
    (tmp_path / "own" / "models" / "refiner.safetensors").unlink()
    answer = _doctor("--device", "cpu")
    assert answer.exit_code == 3
    assert "The prior refiner is not at" in answer.output
    assert "tiny," in answer.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_the_doctor_ends_with_3_for_a_device_that_is_absent() -> None:
    answer = _doctor("--device", "cuda")
    assert answer.exit_code == 3
    assert "cuda is not available" in answer.output
