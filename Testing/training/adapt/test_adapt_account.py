"""The account of an adaptation: a call that is refused leaves it as it was, and its figures belong to its recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Command
from samprompt.contract.errors import ParameterError
from samprompt_training.adapt.run import for_model
from small_models import recipe, sam_family, tiny_family

DATA = {
    "layout": "nnunet", "shares": [0.5, 0.25, 0.25], "augmentation": None, "slices": {"size": 64, "empty_share": 0.5},
}  # fmt: skip
OF_A_RUN = ("manifest.json", "before.json", "adaptation.json", "recipe.yaml", "ours.md", "log.jsonl")


@pytest.fixture
def run(
    command: Command, lungs: Path, own_tiny: Path, recipe_file: Callable[..., Path], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """``run("--name", "mine", steps=6)`` in one folder: exit code and stderr."""

    def call(*words: object, **changes: Any) -> tuple[int, str]:
        given = ["train", "adapt", "--recipe", recipe_file(**changes), "--data", lungs, "--model", "tiny"]
        done = command(*given, "--out", tmp_path / "run", "--device", "cpu", *words)
        return done.code, done.err

    return call


def kept(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OF_A_RUN}


def other_data(**changes: Any) -> dict[str, Any]:
    return DATA | changes | {"slices": DATA["slices"] | changes.get("slices", {})}


@pytest.mark.parametrize("changes", [{"split_seed": 5}, {"slices": {"size": 96}}, {"slices": {"window": "bone"}}])
def test_a_refused_run_leaves_the_account_of_the_good_one(run, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert run("--name", "ours")[0] == 0
    before = kept(tmp_path / "run")
    code, err = run("--name", "ours", data=other_data(**changes))
    assert code == 2
    assert next(iter(changes.get("slices", changes))) in err
    assert kept(tmp_path / "run") == before


def test_other_masks_are_refused_before_the_account_is_touched(run, lungs: Path, tmp_path: Path) -> None:
    assert run("--name", "ours")[0] == 0
    before = kept(tmp_path / "run")
    label = lungs / "labelsTr" / "Case0.nii.gz"
    label.write_bytes((lungs / "labelsTr" / "Case1.nii.gz").read_bytes())
    code, err = run("--name", "ours")
    assert code == 2
    assert "data: was" in err
    assert kept(tmp_path / "run") == before


def test_a_folder_begun_by_an_earlier_version_goes_on(run, tmp_path: Path) -> None:
    """Its account knew no recipe, and its figures not what they belong to."""
    assert run("--minutes", "0.00001")[0] == 0
    account, figures = (tmp_path / "run" / name for name in ("adaptation.json", "before.json"))
    old = json.loads(account.read_text(encoding="utf-8"))
    account.write_text(json.dumps({key: old[key] for key in ("base", "sha256", "data")}), encoding="utf-8")
    known = json.loads(figures.read_text(encoding="utf-8"))["figures"]
    figures.write_text(json.dumps(known), encoding="utf-8")
    code, err = run("--minutes", "0.00001", learning_rate=0.005)
    assert code == 2
    assert "learning_rate" in err
    assert run("--name", "ours")[0] == 0
    assert json.loads(figures.read_text(encoding="utf-8"))["figures"] == pytest.approx(known)


def test_figures_from_before_are_measured_anew_for_another_recipe_and_kept_for_the_same(run, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def figures() -> dict[str, Any]:
        return json.loads((folder / "before.json").read_text(encoding="utf-8"))

    assert run("--minutes", "0.00001")[0] == 0
    first = figures()
    marked = first | {"figures": dict.fromkeys(first["figures"], 0.125)}
    (folder / "before.json").write_text(json.dumps(marked), encoding="utf-8")
    assert run("--minutes", "0.00001")[0] == 0
    assert figures() == marked  # nothing changed, so nothing was measured again
    (folder / "checkpoint.pt").unlink()  # as after a cancel before the first checkpoint
    code, err = run("--minutes", "0.00001", data=other_data(slices={"size": 128, "window": "bone"}))
    assert code == 0, err
    second = figures()
    assert second["of"] != first["of"]
    assert 0.125 not in second["figures"].values()


def test_three_sequences_are_refused_for_a_model_of_neighbours(run, tmp_path: Path) -> None:
    code, err = run(data=other_data(slices={"sequences": [3, 1, 2]}))
    assert code == 2
    assert "sequences" in err
    assert "3, 1, 2" in err
    assert not (tmp_path / "run" / "adaptation.json").exists()


def test_the_channels_are_those_of_the_model() -> None:
    coloured = recipe(data={"slices": {"sequences": (3, 1, 2)}})
    assert for_model(coloured, sam_family()).data.slices.sequences == (3, 1, 2)
    with pytest.raises(ParameterError, match="three sequences") as caught:
        for_model(coloured, tiny_family())
    assert caught.value.hint
    assert for_model(recipe(), tiny_family()).data.slices.channels == "neighbours"
    assert for_model(recipe(data={"slices": {"channels": "neighbours"}}), sam_family()).data.slices.channels == "same"
