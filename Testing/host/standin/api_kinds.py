"""What the walker knows a value to be: a Qt object, a VTK object, a module, the widgets of a .ui file, one of ours."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import cache

from standin import api_reflect
from standin.api import loadApi, normalized
from standin.qt_names import names_of
from standin.qt_raw_classes import raw_class_named


@dataclass(frozen=True)
class Module:
    """A module: ``qt``, ``ctk``, ``slicer``, ``slicer.util``, ``vtk``..."""

    name: str


@dataclass(frozen=True)
class QtClass:
    """A class of Qt, ctk or qMRML itself."""

    name: str


@dataclass(frozen=True)
class QtObject:
    """An instance; ``exact`` False where it may be of a class derived from this one (what a method returned)."""

    name: str
    exact: bool = True


@dataclass(frozen=True)
class EnumType:
    """The type of an enumeration of a Qt class: it has no values of its own in PythonQt."""

    owner: str


@dataclass(frozen=True)
class VtkClass:
    """A class of VTK or MRML itself, by its name in ``slicer`` or ``vtk``."""

    name: str


@dataclass(frozen=True)
class VtkObject:
    """An instance of a VTK or MRML class; ``exact`` as in QtObject."""

    name: str
    exact: bool = True


@dataclass(frozen=True)
class Application:
    """``slicer.app``."""


@dataclass(frozen=True)
class UiTop:
    """The top widget that ``slicer.util.loadUI`` returned for that file."""

    file: str


@dataclass(frozen=True)
class Ui:
    """What ``childWidgetVariables`` returned for that file."""

    file: str


@dataclass(frozen=True)
class Ours:
    """An instance of a class of the panels' own code."""

    name: str


@dataclass(frozen=True)
class OursClass:
    """A class of the panels' own code itself."""

    name: str


@dataclass(frozen=True)
class OneOf:
    """One of several kinds; ``each`` where the code runs for every one of them (a loop over a tuple of widgets)."""

    kinds: tuple
    each: bool = False


def join(kinds: list, each: bool = False):
    """The kind of a value that is one of these; None when one of them is unknown."""
    different = list(dict.fromkeys(kinds))
    if not different or None in different:
        return None
    return different[0] if len(different) == 1 else OneOf(tuple(different), each)


# --- Qt ---------------------------------------------------------------------------------------------------------------
@cache
def isQtClass(name: str) -> bool:
    """Whether PythonQt shows a class of that name, under whichever module."""
    return name == "Qt" or names_of(name) is not None


@cache
def qtKind(name: str, member: str) -> str | None:
    """ "property", "read only", "slot", "signal", "native" or None for a member of a Qt, ctk or qMRML class."""
    names = names_of(name)
    if names is None:
        return None
    if member == "name" and names.kind(member) is None and "objectName" in names.properties:
        return "property"  # PythonQt's alias
    if names.open_properties:
        found = api_reflect.properties(name).get(member)
        if found is not None:
            return "read only" if found[1] else "property"
        if member in api_reflect.signals(name):
            return "signal"
    kind = names.kind(member)
    if kind == "property" and names.properties[member][1]:
        return "read only"
    return kind


@cache
def derived(name: str) -> tuple[str, ...]:
    """Classes of the facts that derive from that one."""
    api, qtBase = loadApi(), raw_class_named(name)
    found = {one for one in api.classes if one != name and name in api and api.inherits(one, name)}
    for one in (
        api.classes if qtBase is not None else ()
    ):  # the file skips abstract bases: QFormLayout is a QObject there
        other = raw_class_named(one)
        if other is not None and other is not qtBase and issubclass(other, qtBase):
            found.add(one)
    return tuple(sorted(found))


def hasMember(kind: QtObject, member: str) -> bool:
    """Whether the object, or where it is not exact one of a derived class, has the member."""
    if qtKind(kind.name, member) is not None:
        return True
    return not kind.exact and any(qtKind(one, member) is not None for one in derived(kind.name))


@cache
def qtSignals(name: str) -> frozenset[str]:
    """Normalized signatures of a class's signals."""
    names = names_of(name)
    if names is None:
        return frozenset()
    found = names.all_signals()
    if names.open_properties:
        found |= {one for several in api_reflect.signals(name).values() for one in several}
    return frozenset(found)


@cache
def allSignals() -> frozenset[str]:
    """The signatures that some class of the facts has."""
    return frozenset(normalized(one) for facts in loadApi().classes.values() for one in facts.signals)


# --- VTK --------------------------------------------------------------------------------------------------------------
@cache
def vtkClass(name: str) -> type | None:
    """The class of ``slicer`` (MRML and logics) or ``vtk`` of that name."""
    import slicer
    import vtk

    found = getattr(slicer, name, None) or getattr(vtk, name, None)
    return found if isinstance(found, type) else None


@cache
def vtkReturned(name: str, member: str) -> str | None:
    """The VTK or MRML class that a method returns, by its own documentation; None when overloads differ."""
    text = getattr(getattr(vtkClass(name), member, None), "__doc__", None) or ""
    found = set(re.findall(rf"^{re.escape(member)}\(.*\) -> (\w+)", text, re.MULTILINE))
    only = next(iter(found)) if len(found) == 1 else ""
    return only if only.startswith("vtk") and vtkClass(only) is not None else None


@cache
def vtkProblem(name: str, member: str) -> str | None:
    """Why that member may not be used on an instance of the class; None when it may."""
    owner = vtkClass(name)
    if owner is None or member.startswith("_"):
        return None
    if not hasattr(owner, member):
        return f"{name} has no {member}"
    if inspect.isgetsetdescriptor(inspect.getattr_static(owner, member)):
        return f"{name}.{member} is a Python property that VTK has since 9.4; Slicer 5.8.1 has VTK 9.2"
    return None


VTK_STYLE = re.compile(r"(Get|Set|Add|Remove|Is|Has|Create|Copy|Start|End|Update|Observe|Invoke|Generate)[A-Z]\w+")


@cache
def vtkStyleNames() -> frozenset[str]:
    """Names in VTK's style that some class of MRML, its logics, VTK's data and SimpleITK has."""
    import SimpleITK
    import slicer
    import vtk

    owners = [one for name, one in vars(slicer).items() if name.startswith("vtk") and isinstance(one, type)]
    owners += [
        getattr(vtk, name) for name in dir(vtk) if name.startswith("vtk") and isinstance(getattr(vtk, name), type)
    ]
    owners += [SimpleITK, *(one for one in vars(SimpleITK).values() if isinstance(one, type))]
    return frozenset(name for one in owners for name in dir(one) if VTK_STYLE.fullmatch(name))
