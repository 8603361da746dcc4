"""``samprompt train adapt`` and ``merge`` as a user types them, on six small patients."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from command_line import Command
from safetensors.torch import load_file
from samprompt.contract.places import catalogue
from samprompt.models.backbone import Prompts
from samprompt.models.registry import load_backbone
from small_models import discs


@pytest.fixture
def train(
    command: Command, lungs: Path, own_tiny: Path, recipe_file: Callable[..., Path], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """``train("--name", "mine", steps=6)``: exit code, stdout and stderr."""

    def run(*words: object, out: str = "run", model: str = "tiny", **recipe: Any) -> tuple[int, str, str]:
        path = recipe_file(**recipe)
        given = ["train", "adapt", "--recipe", path, "--data", lungs, "--model", model, "--out", tmp_path / out]
        done = command(*given, "--device", "cpu", *words)
        return done.code, done.out, done.err

    return run


def _answer(name: str) -> torch.Tensor:
    backbone = load_backbone(name, "cpu")
    return backbone.decode(backbone.encode(discs(1)["image"]), Prompts(count=1)).logits


def test_the_result_is_a_model_with_a_name_a_card_and_a_manifest(train, tmp_path: Path) -> None:
    code, out, err = train("--name", "our-lungs", "--json")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    steps = [event for event in events if event["event"] == "progress"]
    assert steps[-1]["step"] == steps[-1]["steps"] == 4
    last = events[-1]
    assert (last["event"], last["status"], last["name"]) == ("result", "finished", "our-lungs")
    assert set(last["before"]) == set(last["after"]) == {"dice_none", "dice_point", "dice_box"}
    entry = catalogue().find("our-lungs")
    assert (entry.base, entry.architecture, entry.licence) == ("tiny", "tiny", "Apache-2.0")
    assert "2 cases" in entry.trained_on
    assert entry.file == last["weights"]
    assert float((_answer("our-lungs") - _answer("tiny")).abs().max()) > 1e-3
    assert torch.equal(_answer("our-lungs"), _answer(str(tmp_path / "run" / "best.safetensors")))
    card = (tmp_path / "run" / "our-lungs.md").read_text(encoding="utf-8")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    for word in ("Research use only", "LoRA of rank 2", manifest["digest"], "learning_rate: 0.003", "| train | 2 |"):
        assert word in card
    assert f"{last['after']['dice_box']:.3f}" in card
    assert "Case" not in card  # names of patients stay with the run
    assert str(tmp_path) not in card


def test_a_paused_run_goes_on_to_the_same_weights_and_only_then_gets_its_name(train, tmp_path: Path) -> None:
    assert train("--name", "whole", out="whole")[0] == 0
    code, out, err = train("--name", "parts", "--minutes", "0.00001", out="parts")
    assert code == 0, err
    assert "Run the same command again" in out
    assert catalogue().get("parts") is None
    done, tries = "", 0
    while "weights:" not in done and tries < 6:
        code, done, err = train("--name", "parts", "--minutes", "0.00001", out="parts")
        assert code == 0, err
        tries += 1
    assert catalogue().get("parts") is not None
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    again = train("--name", "parts", out="parts")  # finished: it says so again, under the same name
    assert again[0] == 0
    assert "--model parts" in again[1]


def test_a_merged_adapter_is_an_ordinary_file_with_the_adapters_answers(
    train, command: Command, tmp_path: Path
) -> None:
    assert train("--name", "ours")[0] == 0
    merged = command("train", "merge", "--model", "ours", "--out", tmp_path / "merged", "--name", "ours-merged")
    assert merged.code == 0, merged.err
    path = tmp_path / "merged" / "ours-merged.safetensors"
    assert f"weights: {path}" in merged.out
    torch.testing.assert_close(_answer("ours-merged"), _answer("ours"), atol=1e-5, rtol=1e-5)
    assert "Merged into its base" in path.with_suffix(".md").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "run")  # it stands by itself
    assert catalogue().find("ours-merged").base == ""
    assert _answer("ours-merged").isfinite().all()
    again = command("train", "merge", "--model", "ours-merged", "--out", tmp_path)
    assert again.code == 2
    assert "no adapter" in again.err


def test_a_full_fine_tune_is_whole_weights_in_the_models_own_format(train, tmp_path: Path) -> None:
    parts = ["encoder", "patch_embedding", "neck", "prompt_encoder", "decoder"]
    code, _, err = train("--name", "fine", lora=None, parts=parts)
    assert code == 0, err
    assert catalogue().find("fine").base == ""
    assert float((_answer("fine") - _answer("tiny")).abs().max()) > 1e-3
    assert torch.equal(_answer("fine"), _answer(str(tmp_path / "run" / "best.safetensors")))


def test_the_adapted_model_carries_contours_to_a_later_visit(
    train, command: Command, lungs: Path, tmp_path: Path
) -> None:
    assert train("--name", "ours")[0] == 0
    shutil.copytree(Path(__file__).parents[3] / "Resources", tmp_path / "own resources", dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("models"))  # fmt: skip
    shutil.copy(
        Path(__file__).parents[3] / "Resources" / "models" / "refiner.safetensors",
        tmp_path / "own resources" / "models",
    )
    words = ["propagate", "--baseline", lungs / "imagesTr" / "Case0_0000.nii.gz", "--structures"]
    words += [lungs / "labelsTr" / "Case0.nii.gz", "--followup", lungs / "imagesTr" / "Case1_0000.nii.gz"]
    words += ["--out", tmp_path / "out", "--model", "ours", "--device", "cpu"]
    carried = command(*words)
    assert carried.code == 0, carried.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["provenance"]["model_name"] == "ours"
    assert len(summary["visits"]) == 1


def test_two_processes_learn_what_one_learns_from_the_double_batch(
    lungs: Path, own_tiny: Path, recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    curves = []
    for count in (1, 2):
        path = recipe_file(
            batch=4 // count, steps=2, validate_every=2, interaction={"iterations": 3, "stopped": "never"}
        )
        words = ["train", "adapt", "--recipe", path, "--data", lungs, "--model", "tiny", "--device", "cpu", "--json"]
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        launch += ["-m", "samprompt.cli", *map(str, words), "--out", str(tmp_path / f"run{count}")]
        done = subprocess.run(launch, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert [event["event"] for event in events].count("result") == 1
        log = (tmp_path / f"run{count}" / "log.jsonl").read_text(encoding="utf-8").splitlines()
        curves.append([json.loads(line)["loss"] for line in log if '"loss"' in line])
    assert len(curves[0]) == 2
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)


# --- bad input --------------------------------------------------------------------------------------------------------
def test_an_unknown_key_is_named_with_the_nearest_known_one(train) -> None:
    code, _, err = train(drop_paht=0.1)
    assert code == 2
    assert '"drop_paht"' in err
    assert "drop_path" in err
    code, _, err = train(lora={"rnak": 3})
    assert code == 2
    assert "lora.rnak" in err
    code, _, err = train(lora={"rank": "eight"})
    assert code == 2
    assert "lora.rank" in err


def test_a_changed_recipe_another_model_and_other_data_are_refused_with_the_difference(
    train, own_tiny: Path, lungs: Path, tmp_path: Path
) -> None:
    assert train("--minutes", "0.00001")[0] == 0
    code, _, err = train(learning_rate=0.005)
    assert code == 2
    assert "learning_rate" in err
    assert "0.005" in err
    other = tmp_path / "other.safetensors"
    shutil.copyfile(own_tiny, other)
    code, _, err = train(model=f"tiny:{other}")
    assert code == 2
    assert "tiny:other.safetensors" in err
    label = lungs / "labelsTr" / "Case0.nii.gz"
    image = nibabel.load(label)
    nibabel.save(nibabel.Nifti1Image(np.roll(np.asarray(image.dataobj), 1, 0), image.affine), label)
    code, _, err = train()
    assert code == 2
    assert "data: was" in err


def _no_mask(folder: Path) -> None:
    (folder / "labelsTr" / "Case3.nii.gz").unlink()


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _never_present(folder: Path) -> None:
    for path in (folder / "labelsTr").iterdir():
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path)


def _one_patient(folder: Path) -> None:
    for path in folder.rglob("Case[1-5]*"):
        path.unlink()
    described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    (folder / "dataset.json").write_text(json.dumps(described | {"numTraining": 1}), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "word"),
    [(_no_mask, "Case3"), (_empty, "is empty"), (_never_present, "GTV"), (_one_patient, "only one patient")],
)
def test_a_dataset_that_cannot_be_used_is_refused_before_anything_is_trained(
    train, lungs: Path, tmp_path: Path, damage: Callable[[Path], None], word: str
) -> None:
    damage(lungs)
    code, _, err = train("--name", "ours")
    assert code == 2
    assert word in err
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert catalogue().get("ours") is None


def test_names_models_and_folders_that_cannot_be_are_refused_first(train, own_tiny: Path, tmp_path: Path) -> None:
    for words, said in (
        (("--name", "tiny"), "taken"),
        (("--name", "a b"), "cannot be a name"),
        (("--minutes", "-1"), "leaves no time"),
        (("--layout", "nnunett"), "nnunett"),
        (("--data", tmp_path / "absent"), "does not exist"),
    ):
        code, _, err = train(*words)
        assert code == 2, err
        assert said in err
    assert train(model="tyni")[0] == 2
    code, _, err = train(data={"layout": "nnunet", "shares": [1.0, 0.0, 0.0], "slices": {"size": 64}})
    assert code == 2
    assert "validate" in err
    assert train("--name", "ours")[0] == 0
    code, _, err = train(model="ours", out="again")
    assert code == 2
    assert "merge" in err.lower()


def test_a_cancel_leaves_a_checkpoint_and_says_how_to_go_on(train, tmp_path: Path, monkeypatch) -> None:
    from samprompt_training.core import updates

    plain, calls = updates.Updates.step, []

    def step(self, *arguments):
        plain(self, *arguments)
        calls.append(1)
        if len(calls) == 2:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(updates.Updates, "step", step)
    code, _, err = train("--name", "ours")
    assert code == 4
    assert "after step 2 of 4" in err
    assert "again" in err
    assert (tmp_path / "run" / "checkpoint.pt").is_file()
    code, out, err = train("--name", "ours")
    assert code == 0, err
    assert "--model ours" in out
    assert len(calls) == 4
