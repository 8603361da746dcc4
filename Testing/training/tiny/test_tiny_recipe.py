"""What a recipe of the built-in model may not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from samprompt.contract.errors import ParameterError
from samprompt_training.core.recipe import load_recipe
from samprompt_training.tiny.recipe import TinyRecipe

NEEDED = {"seed": 1, "steps": 4, "batch": 2, "learning_rate": 1e-3, "weight_decay": 0.0}
NEEDED |= {"validate_every": 2, "checkpoint_every": 2}


def read(folder: Path, **changes: Any) -> TinyRecipe:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(NEEDED | changes), encoding="utf-8")
    return load_recipe(path, TinyRecipe)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prompts", {"bix": 1.0}),
        ("prompts", {}),
        ("prompts", {"box": 0.0}),
        ("prompts", {"box": -0.5, "click": 1.0}),
        ("prompts", {"box": float("inf")}),
        ("size", 66),
        ("size", 100),
        ("asked", {"lesions": -1.0}),
        ("asked", {"lesions": 0.6, "things": 0.5}),
        ("asked", {"lesions": 0.1, "centred": 0.2}),
        ("asked", {"organs": 0.1}),
        ("lesions", {"transparency": 0.1}),
    ],
)
def test_what_makes_no_sense_is_refused_and_its_key_is_named(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=key):
        read(tmp_path, **{key: value})


def test_what_makes_sense_is_read(tmp_path: Path) -> None:
    recipe = read(tmp_path, prompts={"box": 0.5, "prior+points": 0.5}, size=96, asked={"lesions": 0.6, "things": 0.4})
    assert recipe.prompts == {"box": 0.5, "prior+points": 0.5}
    assert recipe.asked.centred == 0.2


@pytest.mark.parametrize("name", ["tiny_first", "tiny_second", "tiny_third", "tiny"])
def test_the_stages_that_are_shipped_are_read_and_have_one_architecture(name: str) -> None:
    stage, last = load_recipe(name, TinyRecipe), load_recipe("tiny", TinyRecipe)
    assert (stage.widths, stage.blocks, stage.skips, stage.size) == (last.widths, last.blocks, last.skips, last.size)
