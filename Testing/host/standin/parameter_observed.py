"""A list and a dict that write themselves into the parameter node when they are changed."""

from __future__ import annotations

import collections.abc
from typing import Any

from standin.parameter_serializers import Serializer


class ObservedList(collections.abc.MutableSequence):
    """A list that writes itself into the parameter node when it is changed. `+` and `*` are refused, `+=` works."""

    def __init__(self, parameter_node: Any, serializer: Serializer, name: str, values: list) -> None:
        self._parameter_node, self._serializer, self._name = parameter_node, serializer, name
        self._list = values

    def _save(self) -> None:
        try:
            self._serializer.write(self._parameter_node, self._name, self._list)
        finally:
            # What was refused is gone again, and nested lists become observed ones.
            self._list = self._serializer.read(self._parameter_node, self._name)._list

    def __len__(self) -> int:
        return len(self._list)

    def __getitem__(self, index: Any) -> Any:
        return self._list[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._list[index] = value
        self._save()

    def __delitem__(self, index: Any) -> None:
        del self._list[index]
        self._save()

    def insert(self, index: int, value: Any) -> None:
        self._list.insert(index, value)
        self._save()

    def extend(self, values: Any) -> None:
        self._list.extend(values)
        self._save()

    def __iadd__(self, values: Any) -> ObservedList:
        self.extend(values)
        return self

    def clear(self) -> None:
        self._list.clear()
        self._save()

    def sort(self, **keywords: Any) -> None:
        self._list.sort(**keywords)
        self._save()

    def reverse(self) -> None:
        self._list.reverse()
        self._save()

    def __add__(self, _other: Any) -> Any:
        raise NotImplementedError("Adding an ObservedList is not supported. However, += is supported.")

    __radd__ = __add__

    def __mul__(self, _other: Any) -> Any:
        raise NotImplementedError("Multiplying an ObservedList is not supported. However, *= is supported.")

    __rmul__ = __mul__

    def __imul__(self, count: int) -> ObservedList:
        self._list *= count
        self._save()
        return self

    def __eq__(self, other: object) -> bool:
        return self._list == (other._list if isinstance(other, ObservedList) else other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"ObservedList({self._list})"


class ObservedDict(collections.abc.MutableMapping):
    """A dict that writes itself into the parameter node when it is changed."""

    def __init__(self, parameter_node: Any, serializer: Serializer, name: str, values: dict) -> None:
        self._parameter_node, self._serializer, self._name = parameter_node, serializer, name
        self._dict = values

    def _save(self) -> None:
        try:
            self._serializer.write(self._parameter_node, self._name, self._dict)
        finally:
            self._dict = self._serializer.read(self._parameter_node, self._name)._dict

    def __len__(self) -> int:
        return len(self._dict)

    def __iter__(self) -> Any:
        return iter(self._dict)

    def __getitem__(self, key: Any) -> Any:
        return self._dict[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._dict[key] = value
        self._save()

    def __delitem__(self, key: Any) -> None:
        del self._dict[key]
        self._save()

    def clear(self) -> None:
        self._dict.clear()
        self._save()

    def __eq__(self, other: object) -> bool:
        return self._dict == (other._dict if isinstance(other, ObservedDict) else other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"ObservedDict({self._dict})"
