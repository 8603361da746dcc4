"""``samprompt evaluate-prompts`` as a user runs it, with the built-in model on two small data sets."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_line import Command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two patients with a bright ball in fat each."""
    place = np.indices((40, 36, 8)).astype(float)
    for n, radius in ((2, 9.0), (3, 7.0)):
        ball = ((place - np.array([18.0 + n, 17.0, 4.0])[:, None, None, None]) ** 2).sum(0) <= radius**2
        image = np.where(ball, 60.0, -90.0) + np.random.default_rng(n).normal(0, 6, ball.shape)
        folder = tmp_path / "data" / "ct_sarcoma" / f"STS_{n}"
        folder.mkdir(parents=True)
        affine = np.diag([1.0, 1.0, 3.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), affine), folder / "ct.nii.gz")
        nibabel.save(nibabel.Nifti1Image(ball.astype(np.uint8), affine), folder / "gtv.nii.gz")
    return tmp_path / "data"


def test_two_models_in_one_run_give_tables_that_can_be_repeated(
    command: Command, data: Path, tmp_path: Path, repository: Path
):
    first = tmp_path / "first.safetensors"
    shutil.copy(repository / "Resources" / "models" / "tiny.safetensors", first)
    options = ("--data", data, "--slices", 2, "--model", "tiny", "--model", f"tiny:{first}")
    done = command("evaluate-prompts", *options, "--out", tmp_path / "one")
    assert done.code == 0, done.err
    with (tmp_path / "one" / "pieces.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # two patients, two slices; three baselines and five prompts for each of two models
    assert len(rows) == 2 * 2 * (3 + 2 * 5)
    box = {row["who"]: float(row["dice"]) for row in rows if row["prompt"] == "box" and row["patient"] == "STS_2"}
    assert box["tiny"] == box["tiny:first.safetensors"] > 0.5  # the same weights; a ball that anybody sees
    assert box["Otsu's threshold"] > 0.9
    text = (tmp_path / "one" / "table.md").read_text(encoding="utf-8")
    assert "| box: filled ellipse |" in text
    assert "tiny:first.safetensors, three clicks: over tiny" in text
    assert "ct_organs: all of it: The folder is absent." in text
    assert str(tmp_path) not in text
    assert "filled ellipse" in done.out
    settings = json.loads((tmp_path / "one" / "settings.json").read_text(encoding="utf-8"))
    assert settings["parameters"]["slices"] == 2
    assert len(set(settings["models"].values())) == 1
    again = command("evaluate-prompts", *options, "--out", tmp_path / "two")
    assert again.code == 0, again.err
    for name in ("table.md", "pieces.csv", "structures.csv", "settings.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    other = command("evaluate-prompts", *options, "--seed", 2, "--out", tmp_path / "three")
    assert other.code == 0, other.err
    assert (tmp_path / "one" / "pieces.csv").read_bytes() != (tmp_path / "three" / "pieces.csv").read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--set", "ct_organs"), 2, "ct_organs does not exist"),
        (("--set", "liver"), 2, "There is no data set 'liver'"),
        (("--slices", "-1"), 2, "--slices is negative"),
        (("--threads", "-2"), 2, "--threads is negative"),
        (("--seed", "-3"), 2, "--seed is negative"),
        (("--model", "nosuchmodel"), 2, "nosuchmodel"),
        (("--model", "tiny:nowhere.safetensors"), 3, "There are no weights at nowhere.safetensors"),
        (("--model", "tiny", "--model", "tiny"), 2, "Two models are called tiny"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_hint_and_writes_nothing(
    command: Command, data: Path, tmp_path: Path, options: tuple[str, ...], code: int, said: str
):
    found = command("evaluate-prompts", "--data", data, "--out", tmp_path / "out", *options)
    assert found.code == code
    assert said in found.err
    assert "hint: " in found.err
    assert not (tmp_path / "out").exists()


def test_a_missing_folder_and_an_output_that_is_a_file_are_refused(command: Command, data: Path, tmp_path: Path):
    absent = command("evaluate-prompts", "--data", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert absent.code == 2
    assert "nowhere does not exist" in absent.err
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")
    found = command("evaluate-prompts", "--data", data, "--out", taken)
    assert found.code == 2
    assert "is a file" in found.err
    assert taken.read_text(encoding="utf-8") == "mine"


def test_a_damaged_image_is_named_beside_the_others_results(command: Command, data: Path, tmp_path: Path):
    path = data / "ct_sarcoma" / "STS_3" / "ct.nii.gz"
    path.write_bytes(path.read_bytes()[:300])
    found = command("evaluate-prompts", "--data", data, "--slices", 1, "--out", tmp_path / "out")
    assert found.code == 0, found.err
    assert "left out: ct_sarcoma: STS_3" in found.out
    assert "STS_3" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8").partition("## Left out")[2]
    shutil.rmtree(data / "ct_sarcoma" / "STS_2")
    alone = command("evaluate-prompts", "--data", data, "--slices", 1, "--out", tmp_path / "none")
    assert alone.code == 2
    assert "STS_3" in alone.err
