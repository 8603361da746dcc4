"""Slices whole and as crops: one set, as the order of a run takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from samprompt.contract.progress import Progress
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.adapt.zooms import training_slices
from samprompt_training.core.order import sample_batches
from samprompt_training.core.recipe import load_recipe
from samprompt_training.data.recipe import prepare


def test_every_structure_is_seen_whole_and_larger_in_each_crop(lungs: Path, recipe_file, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(crops_mm=[60.0, 40.0]), AdaptRecipe)
    parts = prepare(recipe.data, lungs, tmp_path / "slices", tmp_path / "manifest.json")
    joined = training_slices(parts, recipe, tmp_path / "slices", Progress())
    whole = len(parts.train)
    assert len(joined) == 3 * whole
    for place in range(whole):
        assert torch.equal(joined[place]["image"], parts.train[place]["image"])
    areas = np.array([float(joined[n]["mask"].sum()) for n in range(len(joined))]).reshape(3, whole)
    keys = [(item["case"], item["slice"]) for item in (joined[n] for n in range(len(joined))) if item["mask"].any()]
    assert set(keys[: len(keys) // 3]) == set(keys[-(len(keys) // 3) :])
    # 80 mm, 60 mm and 40 mm on the same 64 pixels
    totals = areas.sum(axis=1)
    assert totals[1] / totals[0] == pytest.approx((80 / 60) ** 2, rel=0.1)
    assert totals[2] / totals[0] == pytest.approx((80 / 40) ** 2, rel=0.1)
    batches = sample_batches(joined, 3, 1, workers=0)
    seen = [next(batches) for _ in range(len(joined) // 3)]
    found = sorted((case, int(n)) for b in seen for case, n in zip(b["case"], b["slice"], strict=True))
    expected = sorted((joined[n]["case"], joined[n]["slice"]) for n in range(len(joined)))
    assert found == expected


def test_without_crops_the_training_part_is_as_it_is(lungs: Path, recipe_file, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(), AdaptRecipe)
    parts = prepare(recipe.data, lungs, tmp_path / "slices", tmp_path / "manifest.json")
    assert training_slices(parts, recipe, tmp_path / "slices", Progress()) is parts.train
