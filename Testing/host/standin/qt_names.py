"""Which names a class of Qt has in the Slicer that was read: from slicer_api.json, else from Qt 5.15's names."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from standin.api import bareName, loadApi

NAMES = Path(__file__).resolve().parents[1] / "facts" / "qt515_names.json"
# PythonQt appends an underscore to the names that Python 2 reserved.
RENAMED = {"exec": "exec_", "raise": "raise_", "print": "print_"}
PYSIDE_NAMES = {"exec_": "exec"}
# What PythonQt gives every wrapped object, value types included.
ALWAYS = frozenset({"className", "inherits", "help", "delete"})


@dataclass
class Names:
    """The members of one class as Python may ask for them.

    properties: name -> (C++ type, read only). signals: name -> signatures in the order of Qt's meta object.
    slots: name -> signatures ("" where they are unknown). natives: further methods and enum names.
    enum_values: name -> value, where Qt 5.15's interface files gave one (for enums that Qt 6 dropped).
    open_properties: properties and signals are to be asked of Qt's meta object. lineage: names of the C++ bases.
    """

    name: str
    properties: dict[str, tuple[str, bool]] = field(default_factory=dict)
    signals: dict[str, list[str]] = field(default_factory=dict)
    slots: dict[str, list[str]] = field(default_factory=dict)
    natives: set[str] = field(default_factory=set)
    enum_values: dict[str, int] = field(default_factory=dict)
    open_properties: bool = False
    lineage: tuple[str, ...] = ()

    def kind(self, member: str) -> str | None:
        """ "property", "slot", "signal", "native" or None; a property shadows a getter, a slot a signal."""
        if member in self.properties:
            return "property"
        if member in self.slots:
            return "slot"
        if member in self.signals:
            return "signal"
        return "native" if member in self.natives or member in ALWAYS else None

    def all_signals(self) -> set[str]:
        """Every signature."""
        return {one for signatures in self.signals.values() for one in signatures}


@cache
def qt515() -> dict[str, dict[str, Any]]:
    """The classes of qt515_names.json."""
    return json.loads(NAMES.read_text(encoding="utf-8"))["classes"]


@cache
def names_of(name: str) -> Names | None:
    """The members of a class, inherited ones included; None for a class that neither source knows."""
    if name in loadApi():
        return _from_slicer(name)
    if name in qt515():
        return _from_qt515(name)
    return None


def _from_slicer(name: str) -> Names:
    names = Names(name)
    for facts in reversed(loadApi().lineage(name)):
        for key, property_ in facts.properties.items():
            names.properties[key] = (property_.type, property_.readOnly)
        for signature in facts.signals:
            names.signals.setdefault(bareName(signature), []).append(signature)
        for signature in facts.slots:
            bare = bareName(signature)
            names.slots.setdefault(RENAMED.get(bare, bare), []).append(signature)
        names.natives |= {RENAMED.get(one, one) for one in facts.python}
        _add_enum_values(names, facts.name)
    names.lineage = tuple(facts.name for facts in loadApi().lineage(name))
    return names


def _from_qt515(name: str) -> Names:
    """A class that slicer_api.json does not list: its own names from Qt 5.15, those of a listed base from there."""
    entry = qt515()[name]
    names = Names(name)
    for base in entry["bases"]:
        inherited = names_of(base)
        if inherited is not None:
            names.properties.update(inherited.properties)
            names.signals.update({key: list(value) for key, value in inherited.signals.items()})
            names.slots.update(inherited.slots)
            names.natives |= inherited.natives
            names.enum_values.update(inherited.enum_values)
    names.natives |= {RENAMED.get(one, one) for one in entry["methods"]}
    # The interface files do not say which getters are properties nor which methods are signals: Qt's own meta
    # object does (see qt_classes), as far as this class is one of objects.
    names.open_properties = True
    _add_enum_values(names, name)
    return names


def _add_enum_values(names: Names, name: str) -> None:
    for enum_name, values in qt515().get(name, {}).get("enums", {}).items():
        if name not in loadApi():
            names.natives |= {enum_name, *values}
        names.enum_values.update({key: value for key, value in values.items() if value is not None})
