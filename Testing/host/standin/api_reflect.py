"""What can be known of Qt's classes beyond the two lists of names: PySide6's return types, and Qt's meta objects.

Which names a class has is asked of ``qt_names`` (slicer_api.json, else Qt 5.15's own names). Here is what those lists
do not say: what a method returns, and which names of an unlisted QObject class are properties or signals.
"""

from __future__ import annotations

import ast
import enum
import re
from functools import cache
from pathlib import Path

from standin.qt_raw_classes import MODULES, raw_class_named

RENAMED = {"exec_": "exec", "raise_": "raise"}


@cache
def enumValues(name: str) -> frozenset[str]:
    """Short names of all enumeration values of a class or namespace, its bases included."""
    owner = raw_class_named(name)
    found: set[str] = set()
    for attribute in dir(owner) if owner is not None else ():
        value = getattr(owner, attribute, None)
        if isinstance(value, type) and issubclass(value, enum.Enum):
            found |= set(value.__members__)
    return frozenset(found)


@cache
def enumTypes(name: str) -> frozenset[str]:
    """Names of the enumerations of a class: no value may be asked of them (``qt.Qt.CursorShape.WaitCursor``)."""
    owner = raw_class_named(name)
    values = {one: getattr(owner, one, None) for one in dir(owner or object)}
    return frozenset(name for name, one in values.items() if isinstance(one, type) and issubclass(one, enum.Enum))


@cache
def properties(name: str) -> dict[str, tuple[str, bool]]:
    """Q_PROPERTYs of a QObject class: name -> (type, read only)."""
    meta = getattr(raw_class_named(name), "staticMetaObject", None)
    if meta is None or not hasattr(meta, "propertyCount"):
        return {}
    found = [meta.property(index) for index in range(meta.propertyCount())]
    return {one.name(): (one.typeName(), not one.isWritable()) for one in found}


@cache
def signals(name: str) -> dict[str, list[str]]:
    """Signals of a QObject class: short name -> normalized signatures."""
    meta = getattr(raw_class_named(name), "staticMetaObject", None)
    found: dict[str, list[str]] = {}
    for index in range(meta.methodCount()) if hasattr(meta, "methodCount") else ():
        method = meta.method(index)
        if method.methodType().name == "Signal":
            signature = bytes(method.methodSignature().data()).decode()
            found.setdefault(signature.partition("(")[0], []).append(signature)
    return found


@cache
def returned(name: str, method: str) -> str | None:
    """The Qt class that a method returns by PySide6's annotations; None when it is none or differs among overloads."""
    owner = raw_class_named(name)
    for base in owner.__mro__ if owner is not None else ():
        found = _annotations().get((base.__name__, RENAMED.get(method, method)))
        if found is not None:
            return found or None
    return None


@cache
def _annotations() -> dict[tuple[str, str], str]:
    """(class, method) -> short name of the Qt class returned, "" when there is none."""
    import PySide6

    found: dict[tuple[str, str], str] = {}
    for module in MODULES:
        page = Path(PySide6.__file__).with_name(f"{module}.pyi")
        if not page.exists():
            continue
        for node in ast.parse(page.read_text(encoding="utf-8")).body:
            for member in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(member, ast.FunctionDef):
                    key = (node.name, member.name)
                    kind = _className(member.returns)
                    found[key] = kind if found.get(key, kind) == kind else ""
    return found


def _className(annotation: ast.expr | None) -> str:
    text = ast.unparse(annotation) if annotation is not None else ""
    text = re.sub(r" \| None$", "", re.sub(r"^(?:typing\.)?Optional\[(.*)\]$", r"\1", text))
    match = re.fullmatch(r"PySide6\.\w+\.(Q\w+)", text)
    return match[1] if match else ""
