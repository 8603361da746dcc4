"""What a warm worker keeps: models, images, embeddings; bounded in bytes, the least recently used goes first."""

from __future__ import annotations

import gc
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import numpy as np
import torch

from samprompt.contract.places import catalogue, weights_path
from samprompt.contract.progress import Progress
from samprompt.models.backbone import Backbone
from samprompt.models.device import choose_device, free_memory, release_cached_memory
from samprompt.models.registry import load_backbone

LARGEST = 2 << 30  # bytes, of everything that is kept apart from the model
_SHARE = 0.25  # of the free memory, at most


class Warm(MutableMapping[object, object]):
    """A dictionary of at most ``limit`` bytes; what was used longest ago makes room. Safe to use from several threads.

    A value that is larger than the limit is not kept at all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = default_limit() if limit is None else limit
        self._kept: OrderedDict[object, tuple[object, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0

    def __getitem__(self, key: object) -> object:
        with self._lock:
            value, _ = self._kept[key]
            self._kept.move_to_end(key)
            return value

    def __setitem__(self, key: object, value: object) -> None:
        size = size_of(value)
        with self._lock:
            self._forget(key)
            if size > self.limit:
                return
            self._kept[key] = (value, size)
            self.bytes += size
            while self.bytes > self.limit:
                self._forget(next(iter(self._kept)))

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
            self.bytes = 0

    def _forget(self, key: object) -> None:
        if key in self._kept:
            self.bytes -= self._kept.pop(key)[1]


def default_limit() -> int:
    """A quarter of the memory that is free now, at most ``LARGEST``."""
    free = free_memory(torch.device("cpu"))
    return LARGEST if free is None else min(LARGEST, int(_SHARE * free))


def size_of(value: object, seen: set[int] | None = None) -> int:
    """Bytes of all arrays and tensors in ``value`` (our own objects, containers), each counted once."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return size_of(value.base, seen) if isinstance(value.base, np.ndarray) else value.nbytes
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        address = -storage.data_ptr() - 1  # negative: never the id of an object
        known = address in seen
        seen.add(address)
        return 0 if known else storage.nbytes()
    if type(value).__module__.startswith("samprompt."):
        return sum(size_of(item, seen) for item in vars(value).values())
    if isinstance(value, dict):
        return sum(size_of(item, seen) for item in value.values())
    if isinstance(value, (list, tuple, set)):
        return sum(size_of(item, seen) for item in value)
    return 0


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
