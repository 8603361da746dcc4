"""What the classes of a running Slicer have: a reader of ``facts/slicer_api.json``.

That file was read from Slicer 5.8.1 (Qt 5.15): properties with their types, signals and slots in normalized spelling,
and further names that its embedded Python sees. An entry inherits everything of its base entry. Standard library only,
so that the stand-in, the walker and a test can all import it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FACTS = Path(__file__).resolve().parents[1] / "facts" / "slicer_api.json"
READ_ONLY = " (read only)"


@dataclass(frozen=True)
class Property:
    """A Q_PROPERTY: its C++ type as moc spells it, and whether assigning to it is refused."""

    name: str
    type: str
    readOnly: bool = False


@dataclass(frozen=True)
class ClassFacts:
    """One class of the file: own members only; ``Api`` adds what the base classes have."""

    name: str
    namespace: str
    base: str | None
    properties: dict[str, Property]
    signals: tuple[str, ...]
    slots: tuple[str, ...]
    python: frozenset[str]


class Api:
    """The classes of the file by their short name (``QPushButton``, ``ctkSliderWidget``, ``qMRMLNodeComboBox``)."""

    def __init__(self, classes: dict[str, ClassFacts]) -> None:
        self.classes = classes

    def __contains__(self, name: str) -> bool:
        return name in self.classes

    def lineage(self, name: str) -> list[ClassFacts]:
        """The class and its bases, nearest first. KeyError when the class is not in the file."""
        found = [self.classes[name]]
        while found[-1].base is not None:
            found.append(self.classes[found[-1].base])
        return found

    def inherits(self, name: str, ancestor: str) -> bool:
        """Whether ``ancestor`` is the class or one of its bases that the file knows."""
        return any(facts.name == ancestor for facts in self.lineage(name))

    def properties(self, name: str) -> dict[str, Property]:
        """All properties, inherited ones included."""
        merged: dict[str, Property] = {}
        for facts in reversed(self.lineage(name)):
            merged.update(facts.properties)
        return merged

    def signals(self, name: str) -> frozenset[str]:
        """Normalized signatures of all signals, inherited ones included."""
        return frozenset(signal for facts in self.lineage(name) for signal in facts.signals)

    def slots(self, name: str) -> frozenset[str]:
        """Normalized signatures of all slots and invokable methods, inherited ones included."""
        return frozenset(slot for facts in self.lineage(name) for slot in facts.slots)

    def natives(self, name: str) -> frozenset[str]:
        """Further names: methods that PythonQt wraps natively, enums and their values."""
        return frozenset().union(*(facts.python for facts in self.lineage(name)))

    def kind(self, name: str, member: str) -> str | None:
        """What Python meets under ``member``: "property", "signal", "slot", "native" or None.

        A property shadows a slot or native getter of the same name (``b.text`` is a string, ``b.text()`` raises); a
        slot shadows a signal of the same name.
        """
        if member in self.properties(name):
            return "property"
        if any(bareName(slot) == member for slot in self.slots(name)):
            return "slot"
        if any(bareName(signal) == member for signal in self.signals(name)):
            return "signal"
        return "native" if member in self.natives(name) else None

    def members(self, name: str) -> frozenset[str]:
        """Every name that Python may ask of an object of the class."""
        signatures = self.signals(name) | self.slots(name)
        return frozenset(self.properties(name)) | self.natives(name) | {bareName(one) for one in signatures}


def words(text: str) -> frozenset[str]:
    """The words of a text: how long lists of names are written in the checkers."""
    return frozenset(text.split())


def bareName(signature: str) -> str:
    """``"clicked(bool)"`` -> ``"clicked"``."""
    return signature.partition("(")[0]


def argumentTypes(signature: str) -> list[str]:
    """``"setItem(int,QMap<int,int>)"`` -> ``["int", "QMap<int,int>"]``; commas inside templates do not separate."""
    inside = signature.partition("(")[2].rpartition(")")[0]
    found, depth = [""], 0
    for letter in inside:
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [one for one in found if one]


def normalized(signature: str) -> str:
    """A signature as Qt 5's moc spells it: no spaces that do not separate words, no ``const T&``, no ``const`` value.

    >>> normalized("currentNodeChanged( const QString & , vtkMRMLNode * )")
    'currentNodeChanged(QString,vtkMRMLNode*)'
    """
    arguments = []
    for argument in argumentTypes(signature):
        plain = re.sub(r"\s+", " ", argument).strip()
        constReference = re.fullmatch(r"const (.+?) ?&", plain) or re.fullmatch(r"(.+?) const ?&", plain)
        if constReference:
            plain = constReference[1]
        elif plain.startswith("const ") and not plain.endswith(("*", "&")):
            plain = plain[len("const ") :]
        plain = re.sub(r" ?([*&<>,]) ?", r"\1", plain)
        arguments.append(re.sub(r"\bunsigned (int|char|short|long)\b", r"u\1", plain))
    return f"{bareName(signature).strip()}({','.join(arguments)})"


@cache
def loadApi(path: Path = FACTS) -> Api:
    """Read the facts once. FileNotFoundError when the copy in ``Testing/host/facts`` is missing."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: copy slicer_api.json there (see Testing/host/README.md)")
    found: dict[str, ClassFacts] = {}
    for fullName, entry in json.loads(path.read_text(encoding="utf-8"))["classes"].items():
        namespace, _, name = fullName.partition(".")
        properties = {
            own: Property(own, spelled.removesuffix(READ_ONLY), spelled.endswith(READ_ONLY))
            for own, spelled in entry["properties"].items()
        }
        found[name] = ClassFacts(
            name=name,
            namespace=namespace,
            base=entry["base"],
            properties=properties,
            signals=tuple(entry["signals"]),
            slots=tuple(entry["slots"]),
            python=frozenset(entry.get("python", ())),
        )
    return Api(found)
