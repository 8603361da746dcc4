"""Slices of many cases as a torch dataset, read from the cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from samprompt.contract.errors import SamPromptError, StructureError
from samprompt.contract.progress import Progress
from samprompt.io.notes import note
from torch.utils.data import DataLoader, Dataset

from samprompt_training.data.augment import AugmentationParameters, augment, load_transforms
from samprompt_training.data.cache import Listed, SliceCache
from samprompt_training.data.cases import Case
from samprompt_training.data.cutter import LEAST_CUT
from samprompt_training.data.cutting import SliceItem
from samprompt_training.data.parameters import SliceParameters

Item = dict[str, Any]


class SliceSet(Dataset[Item]):
    """Every structure in every slice of ``cases``, cut as ``parameters`` say and kept in the folder ``cache``.

    An item has "image" float32 (3, S, S) in [0, 1], "mask" float32 (1, S, S) of 0 and 1, "extent" (rows, columns)
    of the square that hold image, and the texts "patient", "case", "structure" and the number "slice". Cases are cut at
    construction, those that the cache has not yet, in ``workers`` processes (0: this one). With ``augmentation``,
    ``sample`` changes items at random.

    Raises:
        StructureError: a structure that was asked for is nowhere in these cases. With ``absent`` "note" that is only
            said, and the set may be empty.
        MissingFileError, UnreadableFileError, GridError and others of ``read_case``: the first case that fails.
        Cancelled: ``progress`` was told to stop.

    Example::

        dataset = open_dataset("folders", Path("scans"))
        split = split_patients(dataset.patients, seed=1)
        training = SliceSet(dataset.part(split, "train"), SliceParameters(size=256), Path("cache"))
    """

    def __init__(
        self,
        cases: Sequence[Case],
        parameters: SliceParameters,
        cache: Path,
        *,
        augmentation: AugmentationParameters | None = None,
        progress: Progress | None = None,
        workers: int = 0,
        absent: Literal["refuse", "note"] = "refuse",
    ) -> None:
        self.cases, self.parameters, self.augmentation = tuple(cases), parameters, augmentation
        self._cache = SliceCache(cache, parameters)
        self._keys = [self._cache.key(case) for case in self.cases]
        self._places: list[tuple[int, int]] = []
        self._items: list[SliceItem] = []
        lost = 0
        for number, listed in enumerate(self._cut(progress or Progress(), workers)):
            self._places += [(number, row) for row in range(len(listed.items))]
            self._items += listed.items
            lost += listed.lost
        if lost:
            note(
                f"{lost} slices were left out: cut to {parameters.size} x {parameters.size} pixels, they hold fewer "
                f"than {LEAST_CUT} pixels of the structure (size and crop_mm decide)."
            )
        self._check(absent)
        if augmentation is not None:
            load_transforms(augmentation, parameters.size)  # once, before the processes that load samples part

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        """The item as it is, without augmentation."""
        return _three_channels(self._item(index))

    def sample(self, index: int, rng: np.random.Generator) -> Item:
        """The item as training sees it: changed at random by ``rng`` where there is an augmentation."""
        item = self._item(index)
        if self.augmentation is not None:
            item = augment(item, rng, self.augmentation)
        return _three_channels(item)

    def case_of(self, index: int) -> Case:
        """The case that an item comes from."""
        return self.cases[self._places[index][0]]

    def slices_used(self, empty: bool = False) -> dict[str, dict[str, list[int]]]:
        """Case -> structure -> numbers of the slices used that show it, or that do not (``empty``)."""
        used: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, item in enumerate(self._items):
            if (item.pixels == 0) == empty:
                used[self.case_of(index).name][item.structure].append(item.index)
        return {case: {name: sorted(numbers) for name, numbers in found.items()} for case, found in used.items()}

    def _item(self, index: int) -> Item:
        """As ``__getitem__``, but with one channel where the image is grey."""
        number, row = self._places[index]
        item, case = self._items[index], self.cases[number]
        images, masks = self._cache.arrays(self._keys[number])
        stored = images[item.view]
        image = torch.from_numpy(stored.astype(np.float32) / np.float32(np.iinfo(stored.dtype).max))
        mask = np.unpackbits(masks[row], axis=-1, count=self.parameters.size)
        return {
            "image": image,
            "mask": torch.from_numpy(mask[None].astype(np.float32)),
            "extent": torch.tensor(item.extent),
            "patient": case.patient,
            "case": case.name,
            "slice": item.index,
            "structure": item.structure,
        }

    def _cut(self, progress: Progress, workers: int) -> list[Listed]:
        """The items of every case, in order."""
        jobs = _Cutting(self._cache, self.cases, self._keys)
        loader = DataLoader(jobs, batch_size=None, num_workers=workers if len(self.cases) > 1 else 0)
        found: list[Listed] = []
        progress.step("cutting slices", 0, len(self.cases))
        for result in loader:
            if isinstance(result, SamPromptError):
                raise result
            found.append(result)
            progress.step("cutting slices", len(found), len(self.cases))
        return found

    def _check(self, absent: str) -> None:
        wanted = self.parameters.structures or tuple(dict.fromkeys(n for case in self.cases for n in case.masks))
        present = {item.structure for item in self._items if item.pixels > 0}
        nowhere = [name for name in wanted if name not in present]
        if absent == "refuse" and (nowhere or not present):
            names = ", ".join(f"'{name}'" for name in nowhere) or "A structure"
            raise StructureError(
                f"{names} is in no slice of these {len(self.cases)} cases.",
                "Check the name of the structure and the masks; leave out structures that nobody contoured.",
            )
        if nowhere:
            note(f"In none of {len(self.cases)} cases: {', '.join(nowhere)}.")


class _Cutting(Dataset[Any]):
    """One case per index: cut, or found in the cache. Errors are handed back, since a loader would reword them."""

    def __init__(self, cache: SliceCache, cases: Sequence[Case], keys: Sequence[str]) -> None:
        self._cache, self._cases, self._keys = cache, cases, keys

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> Listed | SamPromptError:
        try:
            return self._cache.items(self._cases[index], self._keys[index])
        except SamPromptError as error:
            return error


def _three_channels(item: Item) -> Item:
    image = item["image"]
    return item if image.shape[0] == 3 else item | {"image": image.expand(3, -1, -1).contiguous()}
