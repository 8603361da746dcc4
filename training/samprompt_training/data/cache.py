"""Cut slices kept on the disk as ``.npy``, so that an epoch reads memory-mapped arrays and cuts nothing."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from samprompt.contract.errors import OutputError
from samprompt.io.atomic import replacing

from samprompt_training.data.cases import Case
from samprompt_training.data.content import read_case
from samprompt_training.data.cutting import CutCase, SliceItem, cut_case
from samprompt_training.data.parameters import SliceParameters

# Raised when slices are cut in another way, so that older ones are not used. 2: the window "auto" is the propagation's,
# crops show one part, structures lost in the square are left out, coloured pictures have neighbours of luminance.
VERSION = 2
# Memory-mapped files kept open by one process; each holds a file descriptor.
_MOST_OPEN = 64


@dataclass(frozen=True)
class Listed:
    """The items of a case, and how many were left out (``CutCase.lost``)."""

    items: tuple[SliceItem, ...]
    lost: int


class SliceCache:
    """The slices of cases under ``folder``: three files per case, named by what they were cut from.

    The key is made of the parameters, the structures' sources, and path, size and time of change of every file of the
    case: a file that was replaced is cut again. Whole or not there: the index is written last.
    """

    def __init__(self, folder: Path, parameters: SliceParameters) -> None:
        self._folder, self._parameters = folder, parameters
        self._open: OrderedDict[str, tuple[NDArray[Any], NDArray[np.uint8]]] = OrderedDict()

    def key(self, case: Case) -> str:
        """Name of the case's slices: 32 hexadecimal digits."""
        files = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in case.files]
        masks = [(name, str(s.path), s.labels, s.names) for name, s in case.masks.items()]
        text = json.dumps([VERSION, self._parameters.model_dump(), case.name, case.kind, masks, files])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def items(self, case: Case, key: str) -> Listed:
        """The slices of a case, which are cut now unless they were before.

        Raises:
            as ``read_case`` and ``cut_case``; OutputError: the cache cannot be written.
        """
        found = self._index(key)
        if found is None:
            cut = cut_case(read_case(case, self._parameters.structures), case.name, self._parameters)
            self._write(key, cut)
            found = Listed(cut.items, cut.lost)
        return found

    def arrays(self, key: str) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Images (views, channels, S, S) and masks (items, S, bytes of eight pixels), memory-mapped.

        Raises:
            OutputError: the files are gone or damaged.
        """
        if key not in self._open:
            try:
                self._open[key] = (
                    np.load(self._path(key, ".images.npy"), mmap_mode="r"),
                    np.load(self._path(key, ".masks.npy"), mmap_mode="r"),
                )
            except (OSError, ValueError, EOFError) as error:
                raise OutputError(
                    f"The cache {self._folder} lost slices while they were used ({error}).",
                    "Do not clean it during a training; start again, and they are cut again.",
                ) from error
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files: every process that loads opens its own."""
        return self.__dict__ | {"_open": OrderedDict()}

    def _path(self, key: str, ending: str) -> Path:
        return self._folder / key[:2] / f"{key}{ending}"

    def _index(self, key: str) -> Listed | None:
        """The items as written; None where nothing whole is there."""
        path = self._path(key, ".json")
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            items = tuple(SliceItem(**(item | {"extent": tuple(item["extent"])})) for item in listed["items"])
            lost = int(listed["lost"])
            views = 1 + max((item.view for item in items), default=-1)
            images = np.load(self._path(key, ".images.npy"), mmap_mode="r")
            masks = np.load(self._path(key, ".masks.npy"), mmap_mode="r")
        except (OSError, ValueError, EOFError, TypeError, KeyError):
            return None
        return Listed(items, lost) if len(images) == views and len(masks) == len(items) else None

    def _write(self, key: str, cut: CutCase) -> None:
        with replacing(self._path(key, ".images.npy")) as temporary:
            np.save(temporary, cut.images)
        with replacing(self._path(key, ".masks.npy")) as temporary:
            np.save(temporary, np.packbits(cut.masks, axis=-1))
        with replacing(self._path(key, ".json")) as temporary:
            listed = {"lost": cut.lost, "items": [asdict(item) for item in cut.items]}
            temporary.write_text(json.dumps(listed), encoding="utf-8")
