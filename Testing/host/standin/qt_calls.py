"""Calling a method of Qt as PythonQt does: positional arguments only, ints for enums, ValueError when nothing fits."""

from __future__ import annotations

import enum
import functools
import inspect
import math
import typing
from collections.abc import Callable, Iterator
from typing import Any

import shiboken6
from PySide6 import QtCore
from shibokensupport.signature import get_signature

from standin.qt_convert import alive, for_variant, manner, unmanner
from standin.qt_names import ALWAYS


class Slot:
    """A method of Qt bound to an object, `<qt slot setText of QPushButton instance at 0x...>`.

    It is no Python function: a signal connected to it passes all of its arguments, as in PythonQt.
    """

    __slots__ = ("__name__", "__self__", "_function")

    def __init__(self, name: str, owner: Any, function: Callable[..., Any]) -> None:
        self.__name__ = name
        self.__self__ = owner
        self._function = function

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        refuse_keywords(self.__name__, keywords)
        owner = self.__self__
        # PySide6 does not look by itself, because the type of these classes is not its own.
        if isinstance(owner, shiboken6.Object) and not alive(owner) and self.__name__ not in ALWAYS:
            raise ValueError(f"Trying to call '{self.__name__}' on a destroyed {type(owner).__name__} object")
        return self._function(*arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slot) and self.__self__ is other.__self__ and self.__name__ == other.__name__

    def __hash__(self) -> int:
        return hash((id(self.__self__), self.__name__))

    def __repr__(self) -> str:
        owner = self.__self__
        if isinstance(owner, type):
            return f"<unbound qt slot {self.__name__} of {owner.__name__} type>"
        return f"<qt slot {self.__name__} of {type(owner).__name__} instance at {hex(id(owner))}>"


def refuse_keywords(name: str, keywords: dict[str, Any]) -> None:
    """PythonQt's slots take positional arguments only."""
    if keywords:
        raise ValueError(f"Called {name} with keyword arguments, but called slot does not support kwargs.")


def call(name: str, function: Callable[..., Any], signed: Any, *arguments: Any) -> Any:
    """Call PySide6's `function` (bound); `signed` is what `get_signature` knows. The result has PythonQt's manners."""
    return manner(call_raw(name, function, signed, *arguments))


def call_raw(name: str, function: Callable[..., Any], signed: Any, *arguments: Any) -> Any:
    """As `call`, the result as PySide6 gave it. ValueError when no overload takes the arguments."""
    for one in arguments:
        if isinstance(one, shiboken6.Object) and not alive(one):
            raise ValueError(f"Called {name} with a destroyed {type(one).__name__} object")
    variants = takes_variants(signed) if arguments else ()
    arguments = tuple(for_variant(one) if place in variants else one for place, one in enumerate(arguments))
    for converted in _attempts(signed, arguments):
        try:
            return function(*converted)
        except (TypeError, ValueError, OverflowError) as error:
            if not _raised_by_the_call_itself(error):
                raise
    shown = "\n".join(str(one) for one in signatures(signed))
    raise ValueError(
        f"Could not find matching overload for given arguments:\n{arguments!r}\n"
        f" The following slots are available:\n{name}: {shown}"
    )


def _raised_by_the_call_itself(error: BaseException) -> bool:
    """Whether PySide6 refused the arguments; an error from Python code that the call ran has further frames."""
    trace = error.__traceback__
    return trace is not None and trace.tb_next is None


def signatures(signed: Any) -> list[inspect.Signature]:
    """The overloads that PySide6 knows for a method or class."""
    try:
        found = get_signature(signed)
    except Exception:  # PySide6 parses its signatures lazily and some of them not at all
        return []
    if found is None:
        return []
    return list(found) if isinstance(found, list) else [found]


@functools.cache
def takes_variants(signed: Any) -> frozenset[int]:
    """At which places a method takes a QVariant (anything, in PySide6's signatures)."""
    found = set()
    for signature in signatures(signed):
        for place, one in enumerate(_positional(signature)):
            if one.annotation in (typing.Any, object):
                found.add(place)
    return frozenset(found)


def _positional(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [
        one
        for one in signature.parameters.values()
        if one.name != "self" and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]


@functools.cache
def takes_only_enums(signed: Any) -> frozenset[int]:
    """At which places some overload takes an enum and none a number: there PySide6 must not see a plain int.

    It would take `QMessageBox.Ok | QMessageBox.Cancel` for whatever enum the first overload has at that place.
    """
    enums, numbers = set(), set()
    for signature in signatures(signed):
        for place, one in enumerate(_positional(signature)):
            for kind in typing.get_args(one.annotation) or (one.annotation,):
                if isinstance(kind, type) and issubclass(kind, enum.Enum):
                    enums.add(place)
                elif kind in (int, float):
                    numbers.add(place)
    return frozenset(enums - numbers)


def _attempts(signed: Any, arguments: tuple[Any, ...]) -> Iterator[list[Any]]:
    """The arguments in the forms in which PySide6 may take them, the likeliest first."""
    plain = [unmanner(one) for one in arguments]
    as_they_are = not any(type(plain[place]) is int for place in takes_only_enums(signed) if place < len(plain))
    if as_they_are:
        yield plain
    yield from _conversions(signed, arguments)
    if not as_they_are:
        yield plain


def _conversions(signed: Any, arguments: tuple[Any, ...]) -> Iterator[list[Any]]:
    for signature in signatures(signed):
        parameters = _positional(signature)
        required = [one for one in parameters if one.default is one.empty]
        if not len(required) <= len(arguments) <= len(parameters):
            continue
        try:
            yield [_converted(one.annotation, value) for one, value in zip(parameters, arguments, strict=False)]
        except ValueError:
            continue


def _member(kind: type[enum.Enum], value: int) -> enum.Enum:
    """The enum's member or combination of flags. ValueError when it has no such value."""
    if issubclass(kind, enum.Flag) and value > 0:
        known = functools.reduce(lambda bits, one: bits | one.value, kind, 0)
        if value & ~known:
            raise ValueError(f"{value} is no {kind.__name__}")
    return kind(value)


def _converted(annotation: Any, value: Any) -> Any:
    """The value as that parameter takes it. ValueError where an enum has no such value."""
    wanted = typing.get_args(annotation) or (annotation,)
    if isinstance(value, int) and not isinstance(value, bool):
        for one in wanted:
            if isinstance(one, type) and issubclass(one, enum.Enum):
                return _member(one, int(value))
        return int(value) if int in wanted or float in wanted else unmanner(value)
    if isinstance(value, float) and int in wanted and float not in wanted and math.isfinite(value):
        return math.floor(value)
    if isinstance(value, str) and str not in wanted and QtCore.QByteArray in wanted:
        return QtCore.QByteArray(value.encode())
    return unmanner(value)
