"""Training slices as a reader sees them and as the propagation shows them: whole, and cropped round the structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from samprompt.contract.progress import Progress

from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.data.parameters import SliceParameters
from samprompt_training.data.recipe import Parts
from samprompt_training.data.slices import Item, SliceSet
from samprompt_training.data.split import TRAIN


class Joined:
    """Several sets of slices as one, in order; they have one size and one augmentation."""

    def __init__(self, sets: Sequence[SliceSet]) -> None:
        self._sets = tuple(sets)
        self.parameters, self.augmentation = sets[0].parameters, sets[0].augmentation
        self._ends = np.cumsum([len(one) for one in sets])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def sample(self, index: int, rng: np.random.Generator) -> Item:
        """As ``SliceSet.sample``."""
        number, place = self._place(index)
        return self._sets[number].sample(place, rng)

    def __getitem__(self, index: int) -> Item:
        number, place = self._place(index)
        return self._sets[number][place]

    def _place(self, index: int) -> tuple[int, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        return number, index - (int(self._ends[number - 1]) if number else 0)


def training_slices(parts: Parts, recipe: AdaptRecipe, cache: Path, progress: Progress) -> Any:
    """The training part as the recipe's data has it and, for each of ``crops_mm``, once more as crops of that side.

    Raises:
        ParameterError: crops of pictures whose pixel size is unknown.
    """
    sets = [parts.train]
    for side in recipe.crops_mm:
        sets.append(
            SliceSet(
                parts.dataset.part(parts.split, TRAIN),
                SliceParameters.model_validate(parts.train.parameters.model_dump() | {"crop_mm": side}),
                cache,
                augmentation=recipe.data.augmentation,
                progress=progress,
            )
        )
    return parts.train if len(sets) == 1 else Joined(sets)
