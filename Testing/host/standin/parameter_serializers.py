"""How single values lie in a vtkMRMLScriptedModuleNode: the names and formats of slicer.parameterNodeWrapper.

int, float, str, path: text of the value. bool: "True" or "False". Enum: the member's name. Node: an empty parameter
and a node reference, both of the parameter's name.
"""

from __future__ import annotations

import enum
import logging
import pathlib
from typing import Any

import slicer

from standin.parameter_types import IsInstance, NotNone, Validator, extract, splitAnnotations

PATHS = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.WindowsPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)


class Serializer:
    """Reads and writes values of one type. `canSerialize(type)` and `create(type)` are static; see the subclasses."""

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        raise NotImplementedError("canSerialize is not implemented")

    @staticmethod
    def create(type_: Any) -> Any:
        raise NotImplementedError("create is not implemented")

    def default(self) -> Any:
        """The value of a parameter that names none."""
        raise NotImplementedError("default is not implemented")

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return parameterNode.HasParameter(name)

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        raise NotImplementedError("write is not implemented")

    def read(self, parameterNode: Any, name: str) -> Any:
        raise NotImplementedError("read is not implemented")

    def remove(self, parameterNode: Any, name: str) -> None:
        parameterNode.UnsetParameter(name)

    def supportsCaching(self) -> bool:
        """Whether a value may be kept between readings."""
        return True


class ValidatedSerializer(Serializer):
    """A serializer that looks at values before it writes them; validators of a nested one come first."""

    def __init__(self, serializer: Serializer, validators: list[Validator] | None) -> None:
        nested = isinstance(serializer, ValidatedSerializer)
        self.serializer = serializer.serializer if nested else serializer
        self.validators = (list(serializer.validators) if nested else []) + list(validators or [])

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return False

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def default(self) -> Any:
        return self.serializer.default()

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return self.serializer.isIn(parameterNode, name)

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        self.validate(value)
        self.serializer.write(parameterNode, name, value)

    def read(self, parameterNode: Any, name: str) -> Any:
        return self.serializer.read(parameterNode, name)

    def remove(self, parameterNode: Any, name: str) -> None:
        self.serializer.remove(parameterNode, name)

    def supportsCaching(self) -> bool:
        return self.serializer.supportsCaching()


registered: list[type[Serializer]] = []


def parameterNodeSerializer(classtype: Any = None) -> Any:
    """Class decorator: register a serializer; earlier ones are asked first."""

    def wrap(cls: Any) -> Any:
        if not issubclass(cls, Serializer):
            raise Exception("Must be a serializer type.")
        registered.append(cls)
        return cls

    return wrap if classtype is None else wrap(classtype)


def createSerializer(type_: Any, annotations: Any) -> tuple[ValidatedSerializer, list]:
    """A serializer for the type with the annotated validators, and the annotations left over."""
    validators, rest = extract(annotations, Validator)
    given, rest = extract(rest, Serializer)
    if len(given) > 1:
        raise Exception("Multiple serializers found")
    serializer = given[0] if given else None
    if serializer is None:
        factory = next((one for one in registered if one.canSerialize(type_)), None)
        if factory is None:
            raise Exception(f"Unable to create serializer for type: {type_!s}")
        serializer = factory.create(type_)
    return ValidatedSerializer(serializer, validators), rest


def serializer_for(annotated: Any) -> ValidatedSerializer:
    """The serializer of an element type."""
    serializer, rest = createSerializer(*splitAnnotations(annotated))
    if rest:
        logging.warning("Unused annotations: %s", rest)
    return serializer


@parameterNodeSerializer
class NumberSerializer(Serializer):
    """int and float. A bool passes as an int and then cannot be read back, as in Slicer."""

    def __init__(self, type: type) -> None:
        self.type = type

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return type_ in (int, float)

    @staticmethod
    def create(type_: Any) -> Any:
        allowed = (int, float) if type_ is float else int
        return ValidatedSerializer(NumberSerializer(type_), [NotNone(), IsInstance(allowed)])

    def default(self) -> Any:
        return 0

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        parameterNode.SetParameter(name, str(value))

    def read(self, parameterNode: Any, name: str) -> Any:
        return self.type(parameterNode.GetParameter(name))


@parameterNodeSerializer
class StringSerializer(Serializer):
    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return type_ is str

    @staticmethod
    def create(type_: Any) -> Any:
        return ValidatedSerializer(StringSerializer(), [NotNone(), IsInstance(str)])

    def default(self) -> Any:
        return ""

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        parameterNode.SetParameter(name, str(value))

    def read(self, parameterNode: Any, name: str) -> Any:
        return parameterNode.GetParameter(name)


@parameterNodeSerializer
class PathSerializer(Serializer):
    def __init__(self, pathtype: type) -> None:
        self.type = pathtype

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return type_ in PATHS

    @staticmethod
    def create(type_: Any) -> Any:
        return ValidatedSerializer(PathSerializer(type_), [NotNone(), IsInstance(type_)])

    def default(self) -> Any:
        return self.type()

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        parameterNode.SetParameter(name, str(value))

    def read(self, parameterNode: Any, name: str) -> Any:
        return self.type(parameterNode.GetParameter(name))


@parameterNodeSerializer
class BoolSerializer(Serializer):
    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return type_ is bool

    @staticmethod
    def create(type_: Any) -> Any:
        return ValidatedSerializer(BoolSerializer(), [NotNone(), IsInstance(bool)])

    def default(self) -> Any:
        return False

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        parameterNode.SetParameter(name, "True" if value else "False")

    def read(self, parameterNode: Any, name: str) -> Any:
        return parameterNode.GetParameter(name) == "True"


@parameterNodeSerializer
class NodeSerializer(Serializer):
    """MRML nodes. The empty parameter tells "no node was chosen" from "never written"."""

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode)

    @staticmethod
    def create(type_: Any) -> Any:
        return ValidatedSerializer(NodeSerializer(), [IsInstance(type_)])

    def default(self) -> Any:
        return None

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        parameterNode.SetParameter(name, "")
        parameterNode.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, parameterNode: Any, name: str) -> Any:
        return parameterNode.GetNodeReference(name)

    def remove(self, parameterNode: Any, name: str) -> None:
        parameterNode.UnsetParameter(name)
        parameterNode.RemoveNodeReferenceIDs(name)


@parameterNodeSerializer
class EnumSerializer(Serializer):
    def __init__(self, enum_: type[enum.Enum]) -> None:
        if len(enum_) == 0:
            raise ValueError("Cannot serialize empty Enum.")
        self.enum = enum_

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return isinstance(type_, type) and issubclass(type_, enum.Enum)

    @staticmethod
    def create(type_: Any) -> Any:
        return ValidatedSerializer(EnumSerializer(type_), [IsInstance(type_)])

    def default(self) -> Any:
        return next(iter(self.enum))

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        parameterNode.SetParameter(name, value.name)

    def read(self, parameterNode: Any, name: str) -> Any:
        key = parameterNode.GetParameter(name)
        try:
            return self.enum[key]
        except KeyError as error:
            raise ValueError(f"Found {key!r} in parameter node but it is not a name in {self.enum!r}") from error
