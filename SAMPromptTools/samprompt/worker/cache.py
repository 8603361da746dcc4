"""What a warm worker keeps: models, images, embeddings; bounded in bytes, the least recently used goes first.

Bytes are counted where they are: embeddings on a GPU take its memory, images the CPU's.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import numpy as np
import torch

from samprompt.contract.places import catalogue, weights_path
from samprompt.contract.progress import Progress
from samprompt.models.backbone import Backbone
from samprompt.models.device import choose_device, free_memory, release_cached_memory
from samprompt.models.registry import load_backbone

LARGEST = 2 << 30  # bytes on one device, of everything that is kept apart from the model
CPU = torch.device("cpu")
_SHARE = 0.25  # of the free memory, at most


class Warm(MutableMapping[object, object]):
    """A dictionary of at most ``limit`` bytes on each device; what was used longest ago there makes room.

    Without a limit it is ``default_limit``, of another device than the CPU when something is first kept there. A value
    that is larger than a limit is not kept at all. Safe to use from several threads.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._limits = {CPU: default_limit() if limit is None else limit}
        self._kept: OrderedDict[object, tuple[object, Counter[torch.device]]] = OrderedDict()
        self._taken: Counter[torch.device] = Counter()
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Of everything, wherever it is."""
        return sum(self._taken.values())

    def __getitem__(self, key: object) -> object:
        with self._lock:
            value, _ = self._kept[key]
            self._kept.move_to_end(key)
            return value

    def __setitem__(self, key: object, value: object) -> None:
        sizes = sizes_of(value)
        with self._lock:
            self._forget(key)
            if any(size > self._limit_of(device) for device, size in sizes.items()):
                return
            self._kept[key] = (value, sizes)
            self._taken += sizes
            for device in sizes:
                while self._taken[device] > self._limit_of(device):
                    self._forget(next(other for other, (_, there) in self._kept.items() if there[device]))

    def __delitem__(self, key: object) -> None:
        with self._lock:
            if key not in self._kept:
                raise KeyError(key)
            self._forget(key)

    def __iter__(self) -> Iterator[object]:
        with self._lock:
            return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._taken.clear()

    def _forget(self, key: object) -> None:
        if key in self._kept:
            self._taken -= self._kept.pop(key)[1]

    def _limit_of(self, device: torch.device) -> int:
        if device not in self._limits:
            self._limits[device] = default_limit(device) if self._limit is None else self._limit
        return self._limits[device]


def default_limit(device: torch.device = CPU) -> int:
    """A quarter of the memory of ``device`` that is free now, at most ``LARGEST``."""
    free = free_memory(device)
    return LARGEST if free is None else min(LARGEST, int(_SHARE * free))


def size_of(value: object) -> int:
    """Bytes of all arrays and tensors in ``value``, wherever they are."""
    return sum(sizes_of(value).values())


def sizes_of(value: object, seen: set[tuple[str, int]] | None = None) -> Counter[torch.device]:
    """Bytes of all arrays and tensors in ``value`` (our own objects, containers) by device, each counted once."""
    seen = set() if seen is None else seen
    sizes: Counter[torch.device] = Counter()
    if ("object", id(value)) in seen:
        return sizes
    seen.add(("object", id(value)))
    if isinstance(value, np.ndarray):
        if isinstance(value.base, np.ndarray):
            return sizes_of(value.base, seen)
        sizes[CPU] = value.nbytes
    elif isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        place = (str(value.device), storage.data_ptr())
        if place not in seen:
            sizes[value.device] = storage.nbytes()
        seen.add(place)
    elif type(value).__module__.startswith("samprompt."):
        for item in vars(value).values():
            sizes += sizes_of(item, seen)
    elif isinstance(value, (dict, list, tuple, set)):
        for item in value.values() if isinstance(value, dict) else value:
            sizes += sizes_of(item, seen)
    return sizes


class Models:
    """Keeps the model that was used last; a changed file or another device loads it anew."""

    def __init__(self) -> None:
        self._kept: tuple[object, Backbone] | None = None

    def __call__(self, name_or_path: str, device: str, progress: Progress | None) -> Backbone:
        """As ``load_backbone``, at once where the same model is there."""
        where = choose_device(device)
        key = (name_or_path, str(where), _stamp(name_or_path))
        if self._kept is not None and self._kept[0] == key:
            return self._kept[1]
        self._kept = None  # two large models at once may not fit
        release_cached_memory()
        backbone = load_backbone(name_or_path, where, progress)
        self._kept = ((name_or_path, str(where), _stamp(name_or_path)), backbone)
        return backbone

    def clear(self) -> None:
        """Let go of the model."""
        self._kept = None


def _stamp(name_or_path: str) -> tuple[str, int, int]:
    """Path, size and time of change of the weights; zeros where they are not there (yet)."""
    entry = catalogue().get(name_or_path)
    path = weights_path(entry) if entry is not None else Path(name_or_path.partition(":")[2] or name_or_path)
    if entry is None and os.path.exists(name_or_path):
        path = Path(name_or_path)
    try:
        status = path.expanduser().stat()
    except OSError:
        return str(path), 0, 0
    return str(path), status.st_size, status.st_mtime_ns


class Kept:
    """All that a worker keeps between jobs."""

    def __init__(self) -> None:
        self.models = Models()
        self.cache = Warm()

    def forget(self) -> None:
        """Let go of all but the model."""
        self.cache.clear()
        gc.collect()
        release_cached_memory()

    def release(self) -> float:
        """Let go of everything; how many MiB of the GPU that freed."""
        before = _reserved()
        self.models.clear()
        self.forget()
        return max(0.0, (before - _reserved()) / (1 << 20))


def _reserved() -> int:
    """Bytes that torch holds on all GPUs."""
    if not torch.cuda.is_available():
        return 0
    return sum(torch.cuda.memory_reserved(n) for n in range(torch.cuda.device_count()))
