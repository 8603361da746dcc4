"""`@parameterPack`: a class of typed members that is itself a parameter; stored as "name.member".

A pack that was read from a parameter node writes itself back when a member is set. Not here: packs in lists of packs
with their own __init__ conventions beyond what the tests cover.
"""

from __future__ import annotations

import logging
import typing
from dataclasses import dataclass
from typing import Any

import slicer

from standin.parameter_serializers import (
    Serializer,
    ValidatedSerializer,
    createSerializer,
    parameterNodeSerializer,
)
from standin.parameter_types import (
    Default,
    NotNone,
    Validator,
    extract,
    split_dotted,
    splitAnnotations,
    unannotatedType,
)


@dataclass
class ParameterInfo:
    """One member of a wrapper or a pack."""

    basename: str
    serializer: ValidatedSerializer
    default: Default
    unalteredType: Any  # as written, with its annotations


def read_members(classtype: type) -> dict[str, ParameterInfo]:
    """The typed members of a class, with the default of `=`, of a Default annotation, or of the type."""
    members: dict[str, ParameterInfo] = {}
    for name, annotated in typing.get_type_hints(classtype, include_extras=True).items():
        try:
            serializer, rest = createSerializer(*splitAnnotations(annotated))
        except Exception as error:
            raise Exception(f"Unable to create serializer for {classtype} member {name}") from error
        if hasattr(classtype, name):
            default = Default(getattr(classtype, name))
        else:
            given, rest = extract(rest, Default)
            if len(given) > 1:
                raise Exception("Multiple defaults found")
            default = given[0] if given else Default(serializer.default())
        if rest:
            logging.warning("Unused annotations: %s", rest)
        members[name] = ParameterInfo(name, serializer, default, annotated)
    return members


def isParameterPack(obj: Any) -> bool:
    return getattr(obj, "_is_parameterPack", False)


def nestedParameterNames(pack: Any) -> list[str]:
    """Dotted names of all members, those of packs within included."""
    names: list[str] = []
    for name, info in unannotatedType(pack).allParameters.items():
        kind = unannotatedType(info.unalteredType)
        names += [f"{name}.{inner}" for inner in nestedParameterNames(kind)] if isParameterPack(kind) else [name]
    return names


def check_member(pack: Any, name: str) -> None:
    """ValueError when the pack has no member of that dotted name."""
    top, rest = split_dotted(name)
    if not hasattr(pack, top):
        raise ValueError(f"{pack} has no member '{top}'")
    if rest is not None:
        inner = unannotatedType(pack.allParameters[top].unalteredType)
        if not isParameterPack(inner):
            raise ValueError(f"{inner} is not a parameter pack but expects to have '{rest}'")
        check_member(inner, rest)


def parameterPack(classtype: Any = None) -> Any:
    """Class decorator. The class gets typed properties, __init__, ==, getValue, setValue and dataType."""
    return _make_pack if classtype is None else _make_pack(classtype)


def _make_pack(classtype: type) -> type:
    members = read_members(classtype)
    if not members:
        raise ValueError("Unable to find any members in parameterPack")
    for info in members.values():
        try:
            info.serializer.validate(info.default.value)
        except Exception as error:
            raise ValueError(
                f"The default parameter of '{info.default.value}' fails the validation checks: {error}"
            ) from error
        setattr(classtype, info.basename, _member(info))
    for reserved in ("allParameters", "getValue", "setValue", "dataType"):
        if hasattr(classtype, reserved):
            raise ValueError(f"Cannot use reserved name '{reserved}' in a parameterPack")
    classtype.allParameters = members
    classtype._is_parameterPack = True
    classtype.getValue, classtype.setValue = _get_value, _set_value
    classtype.dataType = staticmethod(lambda name: _data_type(classtype, name))
    own = classtype.__dict__
    written = own.get("__init__")

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        _fill(self, *(() if written else args), **({} if written else kwargs))
        if written:
            written(self, *args, **kwargs)

    classtype.__init__ = init
    if "__eq__" not in own or own["__eq__"] is object.__eq__:
        classtype.__eq__ = _equal
        classtype.__hash__ = None
    for method in ("__str__", "__repr__"):
        if method not in own:
            setattr(classtype, method, _text)
    return classtype


def _member(info: ParameterInfo) -> property:
    slot = f"_parameterPack_{info.basename}_impl"

    def write(self: Any, value: Any) -> None:
        info.serializer.validate(value)
        setattr(self, slot, value)
        save = getattr(self, "_parameterPack_save", None)
        if save is not None:
            save()

    return property(lambda self: getattr(self, slot), write)


def _fill(self: Any, *args: Any, **kwargs: Any) -> None:
    names = list(self.allParameters)
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            raise TypeError(f"__init__() got an unexpected keyword argument '{name}'")
        if name in given:
            raise TypeError(f"__init__() got multiple values for argument '{name}'")
        given[name] = value
    for name, info in self.allParameters.items():
        # Not get(): a default may be made by a function, which is called only where it is needed.
        setattr(self, name, given[name] if name in given else info.default.value)  # noqa: SIM401


def _equal(self: Any, other: Any) -> bool:
    return isParameterPack(other) and self.allParameters.keys() == other.allParameters.keys() and all(
        getattr(self, name) == getattr(other, name) for name in self.allParameters
    )  # fmt: skip


def _text(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.allParameters)})"


def _get_value(self: Any, membername: str) -> Any:
    top, rest = split_dotted(membername)
    check_member(self, top)
    value = getattr(self, top)
    return value if rest is None else value.getValue(rest)


def _set_value(self: Any, membername: str, value: Any) -> None:
    top, rest = split_dotted(membername)
    check_member(self, top)
    if rest is None:
        setattr(self, top, value)
    else:
        getattr(self, top).setValue(rest, value)


def _data_type(classtype: Any, membername: str) -> Any:
    top, rest = split_dotted(membername)
    check_member(classtype, top)
    kind = classtype.allParameters[top].unalteredType
    return kind if rest is None else unannotatedType(kind).dataType(rest)


class _IsPack(Validator):
    def __init__(self, type_: type) -> None:
        self.type = type_

    def validate(self, value: Any) -> None:
        if not isinstance(value, self.type):
            raise ValueError(f"Value must be of type '{self.type}', is type '{type(value)}'")


@parameterNodeSerializer
class ParameterPackSerializer(Serializer):
    """Member by member, as "name.member"."""

    def __init__(self, type_: type) -> None:
        self.type = type_

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return isParameterPack(type_)

    @staticmethod
    def create(type_: Any) -> Any:
        return ValidatedSerializer(ParameterPackSerializer(type_), [NotNone(), _IsPack(type_)])

    def default(self) -> Any:
        return self.type()

    def isIn(self, parameterNode: Any, name: str) -> bool:
        first = next(iter(self.type.allParameters.values()))
        return first.serializer.isIn(parameterNode, f"{name}.{first.basename}")

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(parameterNode):
            for member, info in self.type.allParameters.items():
                info.serializer.write(parameterNode, f"{name}.{member}", getattr(value, member))

    def read(self, parameterNode: Any, name: str) -> Any:
        """An observed pack: setting a member, or one of a pack within, writes it."""
        pack = object.__new__(self.type)
        _fill(
            pack,
            **{
                member: info.serializer.read(parameterNode, f"{name}.{member}")
                for member, info in self.type.allParameters.items()
            },
        )

        def save() -> None:
            self.write(parameterNode, name, pack)

        pack._parameterPack_save = save
        return pack

    def remove(self, parameterNode: Any, name: str) -> None:
        for member, info in self.type.allParameters.items():
            info.serializer.remove(parameterNode, f"{name}.{member}")

    def supportsCaching(self) -> bool:
        return all(info.serializer.supportsCaching() for info in self.type.allParameters.values())


@parameterPack
class FloatRange:
    """A range with minimum <= maximum, for ctkRangeWidget."""

    _minimum: float
    _maximum: float

    def __init__(self, minimum: float = 0, maximum: float = 0) -> None:
        self.setRange(minimum, maximum)

    @property
    def minimum(self) -> float:
        return self._minimum

    @minimum.setter
    def minimum(self, value: float) -> None:
        self.setRange(value, self._maximum)

    @property
    def maximum(self) -> float:
        return self._maximum

    @maximum.setter
    def maximum(self, value: float) -> None:
        self.setRange(self._minimum, value)

    def setRange(self, minimum: float, maximum: float) -> None:
        if not minimum <= maximum:
            raise ValueError(f"FloatRange must have minimum <= maximum: {minimum} <= {maximum}")
        self._minimum, self._maximum = minimum, maximum
