"""Recipes: what is wrong with one is said with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import BaseModel, Field
from samprompt.contract.errors import MissingFileError, ParameterError, UnreadableFileError
from samprompt_training.core.recipe import LoopRecipe, differences, load_recipe, shipped_recipes

GOOD = """\
# a comment
seed: 3
steps: 100
batch: 4
learning_rate: 1e-4
weight_decay: 0.01
betas: [0.9, 0.98]
validate_every: 10
checkpoint_every: 10
"""


class Window(BaseModel, extra="forbid"):
    """A part of a recipe."""

    lowest: float
    highest: float


class WithWindow(LoopRecipe):
    """A recipe with a part."""

    window: Window = Field(description="grey levels shown")


@pytest.fixture
def load(tmp_path: Path):
    """``load(text)``: the recipe of that text."""

    def read(text: str, cls: type[LoopRecipe] = LoopRecipe) -> LoopRecipe:
        (tmp_path / "recipe.yaml").write_text(text)
        return load_recipe(tmp_path / "recipe.yaml", cls)

    return read


def test_a_good_recipe_is_read_with_numbers_as_people_write_them(load) -> None:
    recipe = load(GOOD)
    assert (recipe.learning_rate, recipe.betas, recipe.clip) == (1e-4, (0.9, 0.98), 1.0)
    assert load(GOOD.replace("1e-4", "0.0001")) == recipe
    assert load(GOOD.replace("1e-4", "1.0e-4")) == recipe


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_one(load) -> None:
    with pytest.raises(ParameterError) as told:
        load(GOOD + "learning_rat: 0.1\n")
    assert 'recipe.yaml, line 10: "learning_rat" is not a key' in told.value.message
    assert told.value.hint == 'Did you mean "learning_rate"?'
    with pytest.raises(ParameterError) as told:
        load(GOOD + "xyz: 0.1\n")
    assert "Known keys: seed, steps, " in told.value.hint


@pytest.mark.parametrize(
    ("line", "key", "number"),
    [
        ("steps: many", "steps", 3),
        ("steps: 1.5", "steps", 3),
        ("steps: true", "steps", 3),
        ("steps: '100'", "steps", 3),
        ("steps: 0", "steps", 3),
        ("steps:", "steps", 3),
        ("batch: [4]", "batch", 4),
        ("learning_rate: .nan", "learning_rate", 5),
        ("learning_rate: .inf", "learning_rate", 5),
        ("learning_rate: 2020-01-01", "learning_rate", 5),
        ("betas: [0.9]", "betas", 7),
        ("betas: [0.9, 1.5]", "betas.1", 7),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_line(load, line: str, key: str, number: int) -> None:
    name = line.partition(":")[0]
    text = "\n".join(line if old.startswith(f"{name}:") else old for old in GOOD.splitlines())
    with pytest.raises(ParameterError) as told:
        load(text)
    assert f'recipe.yaml, line {number}: "{key}' in told.value.message
    assert told.value.hint.startswith(f"{name}: ")


def test_every_fault_is_said_at_once(load) -> None:
    with pytest.raises(ParameterError) as told:
        load(GOOD.replace("steps: 100", "steps: few").replace("seed: 3\n", "") + "precision: fp64\n")
    for part in ('the key "seed" is missing', "\"steps\" has the value 'few'", "\"precision\" has the value 'fp64'"):
        assert part in told.value.message
    assert "'fp32', 'bf16' or 'fp16'" in told.value.message


def test_faults_in_a_part_are_named_by_their_way(load) -> None:
    with pytest.raises(ParameterError) as told:
        load(GOOD + "window:\n  lowest: -910\n  highst: 590\n", WithWindow)
    assert 'line 12: "window.highst" is not a key' in told.value.message
    assert 'line 10: the key "window.highest" is missing' in told.value.message
    assert 'Did you mean "highest"?' in told.value.hint


def test_a_key_that_is_given_twice_is_said(load) -> None:
    with pytest.raises(ParameterError, match='line 10: "seed" is given twice'):
        load(GOOD + "seed: 4\n")


def test_a_file_that_is_no_recipe_is_said(load, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"recipe\.yaml, line 10: not YAML"):
        load(GOOD + "seed: [4\n")
    for text in ("", "- a\n- b\n", "just words"):
        with pytest.raises(ParameterError, match="`key: value`"):
            load(text)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableFileError, match="UTF-8"):
        load_recipe(tmp_path / "binary.yaml", LoopRecipe)


def test_a_recipe_that_is_nowhere_is_said_with_the_shipped_ones() -> None:
    with pytest.raises(MissingFileError) as told:
        load_recipe("nowhere", LoopRecipe)
    assert "nowhere" in told.value.message
    assert "tiny" in told.value.hint
    assert "tiny" in shipped_recipes()


def test_differences_name_every_key_that_changed_appeared_or_went() -> None:
    old, new = {"a": 1, "b": [1, 2], "c": "x"}, {"a": 1, "b": [1, 3], "d": None}
    assert differences(old, new) == ["b: was [1, 2], is [1, 3]", 'c: was "x", is absent', "d: was absent, is null"]
    assert differences(old, dict(old)) == []


def test_a_run_begun_before_a_key_was_added_goes_on_with_its_default_and_with_nothing_else(
    trained, same_end, tmp_path: Path
) -> None:
    trained("whole")
    trained("out", stop_at=4)
    path = tmp_path / "out" / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    del content["identity"]["patience"]  # 0 by default
    torch.save(content, path)
    with pytest.raises(ParameterError, match="patience: was 0, is 3"):
        trained("out", recipe={"patience": 3})
    assert trained("out").status == "finished"
    same_end(tmp_path / "whole", tmp_path / "out")
