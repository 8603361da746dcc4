"""Annotations of a parameter: its default and what it may be. Names and messages follow slicer.parameterNodeWrapper."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import slicer


class Default:
    """The default value, or a function that makes one each time it is asked for."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Default) and (self._value, self._generator) == (other._value, other._generator)

    __hash__ = None

    def __repr__(self) -> str:
        return f"Default(value={self._value}, generator={self._generator})"


class Validator:
    """Says what a value may be: `validate(value)` raises when it may not. To be derived from."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError("validate is not implemented")


class IsNone(Validator):
    def validate(self, value: Any) -> None:
        if value is not None:
            raise ValueError("Value must be None")


class NotNone(Validator):
    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    """None passes: whether it may be None is NotNone's business."""

    def __init__(self, classtype: Any) -> None:
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type '{self.classtype}', is type '{type(value)}' value '{value}'")


class WithinRange(Validator):
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Minimum(Validator):
    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be greater than {self.minimum}, is {value}")


class Maximum(Validator):
    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be greater than {self.maximum}, is {value}")


class Choice(Validator):
    def __init__(self, choices: Sequence) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues: Sequence) -> None:
        self.excludedValues = excludedValues

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value is {value}, but must not be an excluded value: {self.excludedValues}")


class RangeBounds(Validator):
    """For FloatRange: both ends lie within."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not (self.minimum <= value.minimum and value.maximum <= self.maximum):
            bounds, given = f"[{self.minimum}, {self.maximum}]", f"[{value.minimum}, {value.maximum}]"
            raise ValueError(f"Range must be within the bound of {bounds}, is {given}")


class Decimals:
    """Decimals that a spin box or slider shows."""

    def __init__(self, value: int) -> None:
        self.value = value


class SingleStep:
    """Step of a spin box or slider."""

    def __init__(self, value: float) -> None:
        self.value = value


def splitAnnotations(possiblyAnnotatedType: Any) -> tuple[Any, tuple]:
    """`Annotated[int, a, b]` -> (int, (a, b)); `int` -> (int, ())."""
    arguments = typing.get_args(Annotated[possiblyAnnotatedType, None])
    return arguments[0], arguments[1:-1]


def unannotatedType(possiblyAnnotatedType: Any) -> Any:
    return splitAnnotations(possiblyAnnotatedType)[0]


def findFirstAnnotation(annotationsList: Sequence, annotationType: type) -> Any:
    return next((one for one in annotationsList if isinstance(one, annotationType)), None)


def split_dotted(name: str) -> tuple[str, str | None]:
    """ "a.b.c" -> ("a", "b.c"); "a" -> ("a", None)."""
    top, _, rest = name.partition(".")
    return top, rest or None


def extract(annotations: Sequence, kind: type) -> tuple[list, list]:
    """Annotations of that kind (instances or subclasses), and the others."""

    def belongs(one: Any) -> bool:
        return isinstance(one, kind) or (isinstance(one, type) and issubclass(one, kind))

    return [one for one in annotations if belongs(one)], [one for one in annotations if not belongs(one)]


def _node_classes(datatype: Any) -> list[type] | None:
    """The node classes of a node type or of a union of node types (and None); None for another type."""
    plain = unannotatedType(datatype)
    members = typing.get_args(plain) if typing.get_origin(plain) is typing.Union else (plain,)
    members = [unannotatedType(member) for member in members]
    classes = [member for member in members if member is not type(None)]
    if classes and all(isinstance(one, type) and issubclass(one, slicer.vtkMRMLNode) for one in classes):
        return classes
    return None


def isNodeOrUnionOfNodes(datatype: Any) -> bool:
    return _node_classes(datatype) is not None


def getNodeTypes(datatype: Any) -> tuple[str, ...]:
    """Class names for the nodeTypes of a selector. TypeError for another type."""
    classes = _node_classes(datatype)
    if classes is None:
        raise TypeError(f"Cannot handle type {datatype}")
    return tuple(one().GetClassName() for one in classes)
