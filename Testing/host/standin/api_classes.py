"""The panels' own classes as the walker sees them: methods, what their attributes are, which Qt class they derive."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

# Base classes that Slicer supplies, with the attributes their instances have.
SCRIPTED_WIDGET = {"layout": "QVBoxLayout", "parent": "qMRMLWidget"}


@dataclass
class OurClass:
    """One class of the panels' code: ``attributes`` is filled by the walker's first pass (name -> kinds assigned)."""

    name: str
    file: Path
    node: ast.ClassDef
    bases: tuple[str, ...]
    attributes: dict[str, list] = field(default_factory=dict)

    def method(self, name: str) -> ast.FunctionDef | None:
        """The method of that name, None when the class itself has none."""
        return next((one for one in self.functions() if one.name == name), None)

    def functions(self) -> list[ast.FunctionDef]:
        """Methods in the order of the file."""
        return [one for one in self.node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]


@dataclass
class Source:
    """One file of Python code."""

    path: Path
    tree: ast.Module


class OurClasses:
    """All classes of the panels' code by name; a name that two files use is unknown rather than guessed."""

    def __init__(self, sources: list[Source]) -> None:
        found: dict[str, list[OurClass]] = {}
        for source in sources:
            for node in ast.walk(source.tree):
                if isinstance(node, ast.ClassDef):
                    bases = tuple(ast.unparse(base) for base in node.bases)
                    found.setdefault(node.name, []).append(OurClass(node.name, source.path, node, bases))
        self.byName = {name: several[0] for name, several in found.items() if len(several) == 1}
        self.all = [one for several in found.values() for one in several]

    def get(self, name: str) -> OurClass | None:
        """The class of that name, None when there is none or more than one."""
        return self.byName.get(name)

    def lineage(self, one: OurClass) -> list[OurClass]:
        """The class and those of its bases that are ours."""
        found = [one]
        for base in one.bases:
            known = self.get(base.rpartition(".")[2])
            if known is not None and known not in found:
                found += [other for other in self.lineage(known) if other not in found]
        return found

    def outsideBases(self, one: OurClass) -> list[str]:
        """Base expressions of the lineage that are not ours: ``qt.QWidget``, ``ScriptedLoadableModuleWidget``."""
        own = self.byName
        return [base for our in self.lineage(one) for base in our.bases if base.rpartition(".")[2] not in own]

    def qtBase(self, one: OurClass) -> str | None:
        """The Qt, ctk or qMRML class that the class derives from."""
        for base in self.outsideBases(one):
            root, _, name = base.rpartition(".")
            if root in ("qt", "ctk") or (root == "slicer" and name.startswith("q")):
                return name
        return None

    def isModuleWidget(self, one: OurClass) -> bool:
        """Whether it is the widget of a scripted module."""
        return any(base.endswith("ScriptedLoadableModuleWidget") for base in self.outsideBases(one))

    def defines(self, one: OurClass, member: str) -> bool:
        """Whether the class or one of its own bases has a method, class attribute or instance attribute so named."""
        for our in self.lineage(one):
            if member in our.attributes or our.method(member) is not None:
                return True
            for node in our.node.body:
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                if any(isinstance(target, ast.Name) and target.id == member for target in targets):
                    return True
        return False
