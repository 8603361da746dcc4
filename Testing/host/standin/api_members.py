"""What a Qt object, an MRML object, a module of Slicer or its application has: why a name may not be used so."""

from __future__ import annotations

import inspect
from functools import cache

from standin import api_reflect
from standin.api import loadApi, normalized, words
from standin.api_kinds import QtObject, VtkObject, hasMember, isQtClass, qtKind, qtSignals, vtkClass, vtkProblem
from standin.api_rules import MAY_ASK_FOR_NEWER
from standin.qt_names import names_of

# What the application's slicer package has besides MRML's classes, its own modules and its qMRML and qSlicer widgets.
SLICER_NAMES = words(
    """
    app mrmlScene modules util i18n logic cli testing moduleNames dicomDatabase parameterNodeWrapper
    ScriptedLoadableModule vtkSlicerUtils slicerqt selfTests userInfo organization
    """
)
NEWER_SLICER_NAMES = frozenset({"packaging"})


def ofQtObject(kind: QtObject, member: str, called: bool, written: bool) -> str | None:
    """Why the member may not be used so on the object; None when it may."""
    if not isQtClass(kind.name):
        return None
    if not hasMember(kind, member):
        return f"{kind.name} has no {member}"
    what = qtKind(kind.name, member)
    if what is None:  # a derived class has it
        return None
    if written:
        if what == "property":
            return None
        return f"{kind.name}.{member} is {'a ' if what != 'read only' else ''}{what} and cannot be assigned"
    if called and what in ("property", "read only"):
        return f"{kind.name}.{member} is a property: without ()"
    return None


def ofQtClass(name: str, member: str) -> str | None:
    """A value of an enumeration, a static method or an unbound one."""
    if name == "Qt":
        if member in api_reflect.enumTypes("Qt"):
            return None  # asking a value of it is refused by the attribute after it
        return None if member in _qtNamespace() else f"qt.Qt has no {member}"
    if member in api_reflect.enumTypes(name) or qtKind(name, member) is not None:
        return None
    return f"{name} has no {member}"


@cache
def _qtNamespace() -> frozenset[str]:
    from standin.qt_classes import qt_namespace

    return frozenset(dir(qt_namespace()))


def ofVtkObject(kind: VtkObject, member: str) -> str | None:
    if kind.exact:
        return vtkProblem(kind.name, member)
    owner = vtkClass(kind.name)
    if owner is None or hasattr(owner, member):
        return vtkProblem(kind.name, member)
    return None if any(hasattr(one, member) for one in _descendants(owner)) else f"{kind.name} has no {member}"


@cache
def _descendants(owner: type) -> tuple[type, ...]:
    found: list[type] = []
    for one in owner.__subclasses__():
        found += [one, *_descendants(one)]
    return tuple(found)


def ofModule(module: str, member: str, file: str) -> str | None:
    """Whether Slicer's module has that name."""
    if member.startswith("_"):
        return None
    if module in ("qt", "ctk"):
        return _ofQtModule(module, member)
    if module == "slicer":
        return _ofSlicer(member, file)
    if module == "slicer.util":
        import slicer.util

        return None if hasattr(slicer.util, member) else f"slicer.util has no {member}"
    if module == "vtk":
        import vtk

        known = hasattr(vtk, member) or member in ("util", "numpy_interface")
        return None if known else f"vtk has no {member}"
    return None


def _ofQtModule(module: str, member: str) -> str | None:
    from standin.qt_module import FURTHER

    api = loadApi()
    if member in api and api.classes[member].namespace == module:
        return None
    if module == "qt" and (member in FURTHER or member in ("Qt", "qApp")):
        return None
    if member == "Signal":
        return "qt.Signal crashes Slicer when it is derived from or made: use SAMPromptCommonLib's Signal"
    return f"{module} has no {member}"


def _ofSlicer(member: str, file: str) -> str | None:
    import slicer

    if member in NEWER_SLICER_NAMES:
        return None if file in MAY_ASK_FOR_NEWER else f"slicer.{member} is not in Slicer 5.8.1: reach it through compat"
    api = loadApi()
    if member in SLICER_NAMES or (member in api and api.classes[member].namespace == "slicer"):
        return None
    found = getattr(slicer, member, None)
    if inspect.isclass(found) and member.startswith("vtk"):
        return None
    return f"slicer has no {member}"


@cache
def _applicationClass() -> type:
    """The class of the stand-in's slicer.app: its names were read in Slicer's headers."""
    import standin

    standin.install()
    import slicer

    return type(slicer.app)


@cache
def applicationNames() -> frozenset[str]:
    """What slicer.app has: as its stand-in lists it, and QApplication's own."""
    own = {name for one in _applicationClass().__mro__ for name in vars(one) if not name.startswith("_")}
    listed = {name for kind in ("_in_members", "_in_writable") for name in getattr(_applicationClass(), kind, ())}
    names = names_of("QApplication")
    inherited = set(names.properties) | set(names.slots) | set(names.signals) | names.natives
    return frozenset(own | listed | inherited | {one.partition("(")[0] for one in applicationSignals()})


@cache
def applicationSignals() -> frozenset[str]:
    """Normalized signatures of slicer.app's signals."""
    signatures = _applicationClass()._in_signals
    own = signatures() if callable(signatures) else signatures
    return frozenset(normalized(one) for one in own) | qtSignals("QApplication")
