"""How lists, tuples, dictionaries and unions lie in a parameter node, as in slicer.parameterNodeWrapper.

list x: "x.len", "x.0", "x.1", ... tuple: "x.0", "x.1", ... dict: a list of (key, value) tuples. Union: "x.<index of the
type>". A list or dict that was read writes itself back when it is changed.
"""

from __future__ import annotations

import typing
from typing import Any

import slicer

from standin.parameter_observed import ObservedDict, ObservedList
from standin.parameter_serializers import (
    NumberSerializer,
    Serializer,
    ValidatedSerializer,
    parameterNodeSerializer,
    serializer_for,
)
from standin.parameter_types import IsNone


@parameterNodeSerializer
class ListSerializer(Serializer):
    """list[T]. A refused element leaves the list as it was."""

    def __init__(self, elementTypeSerializer: Serializer) -> None:
        self._element = elementTypeSerializer
        self._length = NumberSerializer(int)

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return typing.get_origin(type_) is list or type_ is list

    @staticmethod
    def create(type_: Any) -> Any:
        arguments = typing.get_args(type_)
        if not arguments:
            raise NotImplementedError("list without an element type: the stand-in wants list[int], list[str], ...")
        return ListSerializer(serializer_for(arguments[0]))

    def default(self) -> Any:
        return []

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return self._length.isIn(parameterNode, f"{name}.len")

    def _count(self, node: Any, name: str) -> int:
        return self._length.read(node, f"{name}.len") if self.isIn(node, name) else 0

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(parameterNode):
            before = list(self.read(parameterNode, name)) if self.isIn(parameterNode, name) else None
            count = self._count(parameterNode, name)
            try:
                for index, one in enumerate(value):
                    self._element.write(parameterNode, f"{name}.{index}", one)
                self._length.write(parameterNode, f"{name}.len", len(value))
                for index in range(len(value), count):
                    self._element.remove(parameterNode, f"{name}.{index}")
            except Exception:
                if before is None:
                    self.remove(parameterNode, name)
                else:
                    self.write(parameterNode, name, before)
                raise

    def read(self, parameterNode: Any, name: str) -> ObservedList:
        count = self._count(parameterNode, name)
        values = [self._element.read(parameterNode, f"{name}.{index}") for index in range(count)]
        return ObservedList(parameterNode, self, name, values)

    def remove(self, parameterNode: Any, name: str) -> None:
        with slicer.util.NodeModify(parameterNode):
            for index in range(self._count(parameterNode, name)):
                self._element.remove(parameterNode, f"{name}.{index}")
            self._length.remove(parameterNode, f"{name}.len")

    def supportsCaching(self) -> bool:
        return self._element.supportsCaching()


@parameterNodeSerializer
class TupleSerializer(Serializer):
    """tuple[A, B, ...] of fixed length."""

    def __init__(self, serializers: list[Serializer]) -> None:
        self._serializers = serializers

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return typing.get_origin(type_) is tuple

    @staticmethod
    def create(type_: Any) -> Any:
        arguments = typing.get_args(type_)
        if not arguments:
            raise Exception("Unsure how to handle a typed tuple with no discernible type")
        return TupleSerializer([serializer_for(argument) for argument in arguments])

    def default(self) -> Any:
        # A generator, as in Slicer, where it can be written once only: give a tuple parameter a default of its own.
        return (one.default() for one in self._serializers)

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return self._serializers[0].isIn(parameterNode, f"{name}.0")

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        values = tuple(value)
        if len(values) != len(self._serializers):
            raise ValueError("Unexpected number of tuple values")
        with slicer.util.NodeModify(parameterNode):
            for index, (one, serializer) in enumerate(zip(values, self._serializers, strict=True)):
                serializer.write(parameterNode, f"{name}.{index}", one)

    def read(self, parameterNode: Any, name: str) -> tuple:
        return tuple(one.read(parameterNode, f"{name}.{index}") for index, one in enumerate(self._serializers))

    def remove(self, parameterNode: Any, name: str) -> None:
        with slicer.util.NodeModify(parameterNode):
            for index, serializer in enumerate(self._serializers):
                serializer.remove(parameterNode, f"{name}.{index}")

    def supportsCaching(self) -> bool:
        return all(one.supportsCaching() for one in self._serializers)


@parameterNodeSerializer
class DictSerializer(Serializer):
    """dict[K, V], in order, as a list of tuples."""

    def __init__(self, keySerializer: Serializer, valueSerializer: Serializer) -> None:
        self._pairs = ListSerializer(TupleSerializer([keySerializer, valueSerializer]))

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return typing.get_origin(type_) is dict or type_ is dict

    @staticmethod
    def create(type_: Any) -> Any:
        arguments = typing.get_args(type_)
        if len(arguments) != 2:
            raise NotImplementedError("dict without types: the stand-in wants dict[str, int] and the like")
        return DictSerializer(*(serializer_for(argument) for argument in arguments))

    def default(self) -> Any:
        return {}

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return self._pairs.isIn(parameterNode, name)

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        self._pairs.write(parameterNode, name, list(value.items()))

    def read(self, parameterNode: Any, name: str) -> ObservedDict:
        return ObservedDict(parameterNode, self, name, dict(self._pairs.read(parameterNode, name)))

    def remove(self, parameterNode: Any, name: str) -> None:
        self._pairs.remove(parameterNode, name)

    def supportsCaching(self) -> bool:
        return self._pairs.supportsCaching()


@parameterNodeSerializer
class NoneSerializer(Serializer):
    """Only None, for Optional."""

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return type_ is type(None)

    @staticmethod
    def create(type_: Any) -> Any:
        return ValidatedSerializer(NoneSerializer(), [IsNone()])

    def default(self) -> Any:
        return None

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        parameterNode.SetParameter(name, "True")

    def read(self, parameterNode: Any, name: str) -> None:
        return None


@parameterNodeSerializer
class UnionSerializer(Serializer):
    """typing.Union and typing.Optional; `int | None` is another type in Python 3.11 and is refused, as in Slicer."""

    def __init__(self, serializers: list[Serializer]) -> None:
        self._serializers = [ValidatedSerializer(one, []) for one in serializers]

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return typing.get_origin(type_) is typing.Union

    @staticmethod
    def create(type_: Any) -> Any:
        return UnionSerializer([serializer_for(argument) for argument in typing.get_args(type_)])

    def default(self) -> Any:
        optional = len(self._serializers) == 2 and isinstance(self._serializers[1].serializer, NoneSerializer)
        return None if optional else self._serializers[0].default()

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return any(one.isIn(parameterNode, f"{name}.{index}") for index, one in enumerate(self._serializers))

    def _best(self, value: Any) -> int:
        """Index of the first type that takes the value. Its validator's error, or TypeError, when none does."""
        refused: Exception | None = None
        for index, one in enumerate(self._serializers):
            if one.serializer.canSerialize(type(value)):
                try:
                    one.validate(value)
                except Exception as error:
                    refused = error
                else:
                    return index
        raise refused or TypeError(f"Unable to write value '{value}' of type '{type(value)}'")

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(parameterNode):
            index = self._best(value)
            before = self.read(parameterNode, name) if self.isIn(parameterNode, name) else _NOTHING
            try:
                self.remove(parameterNode, name)
                self._serializers[index].write(parameterNode, f"{name}.{index}", value)
            except Exception:
                self.remove(parameterNode, name)
                if before is not _NOTHING:
                    self.write(parameterNode, name, before)
                raise

    def read(self, parameterNode: Any, name: str) -> Any:
        for index, one in enumerate(self._serializers):
            if one.isIn(parameterNode, f"{name}.{index}"):
                return one.read(parameterNode, f"{name}.{index}")
        raise KeyError(f"Unable to find value for name: {name}")

    def remove(self, parameterNode: Any, name: str) -> None:
        with slicer.util.NodeModify(parameterNode):
            for index, one in enumerate(self._serializers):
                one.remove(parameterNode, f"{name}.{index}")

    def supportsCaching(self) -> bool:
        return all(one.supportsCaching() for one in self._serializers)


_NOTHING = object()
