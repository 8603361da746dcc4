"""The part of a training recipe that says which data, and the parts of that data ready to be trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from samprompt.contract.errors import StructureError
from samprompt.contract.progress import Progress
from samprompt.io.notes import note

from samprompt_training.data.augment import AugmentationParameters
from samprompt_training.data.cases import Dataset, open_dataset
from samprompt_training.data.manifest import make_manifest, write_manifest
from samprompt_training.data.parameters import SliceParameters
from samprompt_training.data.slices import SliceSet
from samprompt_training.data.split import TEST, TRAIN, VALIDATION, split_dataset


class DataRecipe(BaseModel):
    """Which dataset, and how it is split, cut and changed at random.

    ``layout`` and ``options`` as ``open_dataset`` takes them. ``shares`` of patients for training, validation and test;
    ``delivered``: the test part is the one that the dataset's authors put aside. ``split_seed`` is of its own, so that
    runs with other seeds validate on the same patients.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: str = "folders"
    options: dict[str, Any] = Field(default_factory=dict)
    duplicates: Literal["refuse", "join"] | None = None
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    split_seed: int = 0
    delivered: bool = False
    slices: SliceParameters = SliceParameters()
    augmentation: AugmentationParameters | None = AugmentationParameters()
    hashes: bool = True


@dataclass(frozen=True, eq=False)
class Parts:
    """A dataset's parts; ``validation`` and ``test`` are never augmented.

    They are None where their share is 0, ``test`` also where no structure is in it.
    """

    dataset: Dataset
    split: dict[str, str]
    train: SliceSet
    validation: SliceSet | None
    test: SliceSet | None
    manifest: dict[str, Any]


def prepare(
    recipe: DataRecipe,
    folder: Path,
    cache: Path,
    manifest: Path | None,
    *,
    progress: Progress | None = None,
    workers: int = 0,
) -> Parts:
    """Open ``folder``, split it by patient, cut its slices into ``cache`` and write the ``manifest`` (None: do not).

    A structure may be absent from validation or test (said in a note), not from training. A test part that shows none
    at all is left out (noted too).

    Raises:
        as ``open_dataset``, ``split_dataset``, ``SliceSet`` and ``write_manifest``.
        StructureError: the validation part shows no structure.
    """
    dataset = open_dataset(recipe.layout, folder, duplicates=recipe.duplicates, **recipe.options)
    split = split_dataset(dataset, recipe.split_seed, recipe.shares, recipe.delivered)
    sets: dict[str, SliceSet] = {}
    for part in (TRAIN, VALIDATION, TEST):
        cases = dataset.part(split, part)
        if cases:
            items = SliceSet(
                cases,
                recipe.slices,
                cache,
                augmentation=recipe.augmentation if part == TRAIN else None,
                progress=progress,
                workers=workers,
                absent="refuse" if part == TRAIN else "note",
            )
            if _shows_something(items, part):
                sets[part] = items
    used, empty = (
        {case: slices for items in sets.values() for case, slices in items.slices_used(without).items()}
        for without in (False, True)
    )
    made = make_manifest(
        dataset,
        split,
        seed=recipe.split_seed,
        shares=recipe.shares,
        slices=used,
        empty=empty,
        hashes=recipe.hashes,
    )
    if manifest is not None:
        write_manifest(manifest, made)
    return Parts(dataset, split, sets[TRAIN], sets.get(VALIDATION), sets.get(TEST), made)


def _shows_something(items: SliceSet, part: str) -> bool:
    """Whether a structure is in some slice of a part; a note where the test part has none.

    Raises:
        StructureError: the validation part has none.
    """
    if items.slices_used():
        return True
    wanted = items.parameters.structures or dict.fromkeys(name for case in items.cases for name in case.masks)
    names = ", ".join(f"'{name}'" for name in wanted)
    if part == VALIDATION:
        raise StructureError(
            f"{names}: in no slice of the {part} part ({len(items.cases)} cases), which chooses the best weights.",
            "Draw the parts with another split_seed, or give validation a larger share.",
        )
    note(f"{names}: in no slice of the {part} part ({len(items.cases)} cases), so there is none.")
    return False
