"""The walker's rules about values: every name asked of a Qt, MRML or Slicer object exists and is used as what it is."""

from __future__ import annotations

import ast
import re

from standin.api import argumentTypes, normalized
from standin.api_classes import OurClass, OurClasses, Source
from standin.api_infer import Inference, Names
from standin.api_kinds import (
    VTK_STYLE,
    Application,
    EnumType,
    Module,
    OneOf,
    Ours,
    QtClass,
    QtObject,
    Ui,
    UiTop,
    VtkClass,
    VtkObject,
    allSignals,
    hasMember,
    isQtClass,
    qtKind,
    qtSignals,
    vtkClass,
    vtkStyleNames,
)
from standin.api_members import applicationNames, applicationSignals, ofModule, ofQtClass, ofQtObject, ofVtkObject
from standin.api_rules import Problem
from standin.api_scopes import namesOf

WINDOWS = re.compile("kernel|windll|ctypes")  # the system's functions are spelt like VTK's methods


class Uses:
    """Walks one file; ``run`` yields (line, message)."""

    def __init__(self, source: Source, classes: OurClasses, inference: Inference) -> None:
        self.source, self.classes, self.infer = source, classes, inference
        self.found: list[Problem] = []

    def run(self) -> list[Problem]:
        """All problems of the file."""
        self.block(self.source.tree.body, Names(), None)
        for one in self.classes.all:
            if one.file == self.source.path:
                for function in one.functions():
                    self.function(function, one)
        return self.found

    def say(self, node: ast.AST, message: str) -> None:
        self.found.append((node.lineno, message))

    # --- functions ----------------------------------------------------------------------------------------------------
    def function(self, function: ast.FunctionDef, owner: OurClass | None, outer: Names | None = None) -> None:
        names = namesOf(function, self.infer, owner, outer)
        self.block(function.body, names, owner)
        for mark in function.decorator_list:
            self.expression(mark, names, owner)

    def block(self, body: list[ast.stmt], names: Names, owner: OurClass | None) -> None:
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self.function(statement, owner, names)
            else:
                self.expression(statement, names, owner)

    def expression(self, top: ast.AST, names: Names, owner: OurClass | None) -> None:
        """Check everything below a node, functions defined inside with their own names."""
        calledNodes = {id(one.func) for one in ast.walk(top) if isinstance(one, ast.Call)}
        waiting = [top]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.function(node, owner, names)
                continue
            if isinstance(node, ast.ClassDef):  # its methods are walked with the class as their owner
                waiting += [*node.bases, *node.decorator_list]
                waiting += [one for one in node.body if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
                continue
            if isinstance(node, ast.Lambda):
                inner = namesOf(node, self.infer, owner, names)
                self.expression(node.body, inner, owner)
                continue
            if isinstance(node, ast.Attribute):
                self.attribute(node, names, owner, id(node) in calledNodes)
            elif isinstance(node, ast.Call):
                self.call(node, names, owner)
            waiting += ast.iter_child_nodes(node)

    # --- attributes ---------------------------------------------------------------------------------------------------
    def attribute(self, node: ast.Attribute, names: Names, owner: OurClass | None, called: bool) -> None:
        kind = self.infer.kind(node.value, names, owner)
        unknown = kind is None and called and VTK_STYLE.fullmatch(node.attr) and node.attr not in vtkStyleNames()
        if unknown and not WINDOWS.search(ast.unparse(node.value)):
            self.say(node, f"no class of MRML, VTK or SimpleITK has {node.attr}")
        kinds = kind.kinds if isinstance(kind, OneOf) else (kind,)
        problems = [self.problem(one, node, called) for one in kinds]
        # Of a value that is one of several kinds the first that has the name will do; a loop runs for each of them.
        each = isinstance(kind, OneOf) and kind.each
        if all(problems) or (each and any(problems)):
            self.say(node, next(one for one in problems if one))

    def problem(self, kind, node: ast.Attribute, called: bool) -> str | None:
        member, written = node.attr, isinstance(node.ctx, ast.Store)
        if member.startswith("__"):
            return None
        if isinstance(kind, QtObject):
            return ofQtObject(kind, member, called, written)
        if isinstance(kind, QtClass):
            return ofQtClass(kind.name, member)
        if isinstance(kind, EnumType):
            return f"enumeration values are short: qt.{kind.owner}.{member}"
        if isinstance(kind, VtkObject):
            return None if written and member.startswith("_") else ofVtkObject(kind, member)
        if isinstance(kind, VtkClass):
            return None if hasattr(vtkClass(kind.name), member) else f"{kind.name} has no {member}"
        if isinstance(kind, Module):
            return ofModule(kind.name, member, self.source.path.name)
        if isinstance(kind, Application):
            return None if member in applicationNames() else f"slicer.app has no {member}"
        if isinstance(kind, UiTop):
            return ofQtObject(QtObject("qMRMLWidget"), member, called, written)
        if isinstance(kind, Ui):
            return self.ofUi(kind, member)
        if isinstance(kind, Ours):
            return self.ofOurs(kind, member, called, written)
        return None

    def ofUi(self, kind: Ui, member: str) -> str | None:
        if kind.file not in self.infer.uis:
            return f"there is no {kind.file}"
        return None if member in self.infer.uis[kind.file] else f"{kind.file} has no widget {member}"

    def ofOurs(self, kind: Ours, member: str, called: bool, written: bool) -> str | None:
        """A class of ours that derives from one of Qt's: what it does not define itself Qt has to have."""
        one = self.classes.get(kind.name)
        base = self.classes.qtBase(one) if one is not None else None
        if base is None or self.classes.defines(one, member) or written:
            return None
        return ofQtObject(QtObject(base), member, called, written)

    # --- calls --------------------------------------------------------------------------------------------------------
    def call(self, node: ast.Call, names: Names, owner: OurClass | None) -> None:
        kind = self.infer.kind(node.func, names, owner)
        if isinstance(kind, QtClass) and node.keywords:
            self.say(node, f"{kind.name}() with keyword arguments: PythonQt takes positional ones only")
        if not isinstance(node.func, ast.Attribute):
            return
        receiver = self.infer.kind(node.func.value, names, owner)
        if isinstance(receiver, QtObject | QtClass) and node.keywords and isQtClass(receiver.name):
            self.say(
                node, f"{receiver.name}.{node.func.attr}() with keyword arguments: PythonQt takes positional ones only"
            )
        if node.func.attr in ("connect", "disconnect") and node.args:
            self.connection(node, receiver, names, owner)

    def connection(self, node: ast.Call, receiver, names: Names, owner: OurClass | None) -> None:
        """``w.connect("clicked(bool)", f)`` and ``w.clicked.connect(f)``."""
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            signature = normalized(first.value)
            self.signature(node, signature, first.value, receiver)
            if len(node.args) > 1:
                self.slot(node.args[1], argumentTypes(signature))
            return
        sender = node.func.value
        if not isinstance(sender, ast.Attribute):
            return
        kind = self.infer.kind(sender.value, names, owner)
        if isinstance(kind, UiTop):
            kind = QtObject("qMRMLWidget")
        if isinstance(kind, QtObject) and hasMember(kind, sender.attr):
            what = qtKind(kind.name, sender.attr)
            if what not in ("signal", None):
                self.say(node, f"{kind.name}.{sender.attr} is a {what}, not a signal")
            several = [one for one in qtSignals(kind.name) if one.partition("(")[0] == sender.attr]
            if several:
                self.slot(first, max((argumentTypes(one) for one in several), key=len))

    def signature(self, node: ast.Call, signature: str, written: str, receiver) -> None:
        if isinstance(receiver, UiTop):
            receiver = QtObject("qMRMLWidget")
        if isinstance(receiver, Application):
            if signature not in applicationSignals():
                self.say(node, f"slicer.app has no signal {written}")
            return
        kinds = receiver.kinds if isinstance(receiver, OneOf) else (receiver,)
        names = [one.name for one in kinds if isinstance(one, QtObject) and one.exact]
        if names and len(names) == len(kinds):
            lacking = [name for name in names if signature not in qtSignals(name)]
            if lacking and (len(lacking) == len(names) or receiver.each):
                self.say(node, f"{lacking[0]} has no signal {written}: connect would return False and raise nothing")
        elif signature not in allSignals() and not any(signature in qtSignals(name) for name in ("QHeaderView",)):
            self.say(node, f"no class has a signal {written}")

    def slot(self, node: ast.expr, types: list[str]) -> None:
        """A default argument that the signal's argument would replace."""
        if not isinstance(node, ast.Lambda) or not types:
            return
        arguments = node.args.posonlyargs + node.args.args
        defaulted = len(arguments) - len(node.args.defaults)
        for index, argument in enumerate(arguments[: len(types)]):
            if index >= defaulted and isinstance(node.args.defaults[index - defaulted], ast.Name):
                self.say(
                    node,
                    f"the signal's {types[index]} replaces the default of {argument.arg}: put an argument before it",
                )
