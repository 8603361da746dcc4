"""What kind of value an expression of panel code is, as far as it can be told without running it.

Constructors (``qt.QLabel()``), the widgets of the .ui file behind ``self.ui``, annotations, attributes of self, local
names, results of known calls. Where a name is given values of several kinds it is one of them; where one of them cannot
be told, nothing is said about the name: the walker rather misses an error than accuses right code.
"""

from __future__ import annotations

import ast

from standin import api_reflect
from standin.api_classes import SCRIPTED_WIDGET, OurClass, OurClasses
from standin.api_kinds import (
    Application,
    EnumType,
    Module,
    OneOf,
    Ours,
    OursClass,
    QtClass,
    QtObject,
    Ui,
    UiTop,
    VtkClass,
    VtkObject,
    isQtClass,
    join,
    qtKind,
    vtkClass,
    vtkReturned,
)

MODULES = frozenset({"qt", "ctk", "slicer", "vtk", "numpy", "SimpleITK"})
# Methods of the scene that make or find a node of the class named by their first argument.
NODE_MAKERS = frozenset(
    {"AddNewNodeByClass", "CreateNodeByClass", "AddNewNodeByClassWithID", "GetFirstNodeByClass", "GetNthNodeByClass"}
)
# Properties whose values have methods of their own.
NO_CLASS = frozenset({"QString", "QStringList", "QVariant", "QByteArray"})


class Names:
    """Local names of a function: each with the kinds of everything assigned to it."""

    def __init__(self, known: dict | None = None) -> None:
        self.kinds: dict[str, list] = {name: [kind] for name, kind in (known or {}).items()}

    def add(self, name: str, kind) -> None:
        self.kinds.setdefault(name, []).append(kind)

    def get(self, name: str):
        return join(self.kinds[name]) if name in self.kinds else None

    def __contains__(self, name: str) -> bool:
        return name in self.kinds


class Inference:
    """Kinds of expressions; ``uis`` maps the name of a .ui file to its widgets' classes."""

    def __init__(self, classes: OurClasses, uis: dict[str, dict[str, str]]) -> None:
        self.classes = classes
        self.uis = uis

    # --- expressions --------------------------------------------------------------------------------------------------
    def kind(self, node: ast.expr, names: Names, owner: OurClass | None):
        """The kind of an expression, None when it cannot be told."""
        if isinstance(node, ast.Name):
            found = self.name(node.id, names, owner)
            return self.panelsUi(owner) if found is None and node.id == "ui" else found
        if isinstance(node, ast.Attribute):
            found = self.attribute(self.kind(node.value, names, owner), node.attr)
            return self.panelsUi(owner) if found is None and node.attr == "ui" else found
        if isinstance(node, ast.Call):
            return self.call(node, names, owner)
        if isinstance(node, ast.IfExp):
            return join([self.kind(one, names, owner) for one in (node.body, node.orelse) if not _isNone(one)])
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            return join([self.kind(one, names, owner) for one in node.values if not _isNone(one)])
        if isinstance(node, ast.NamedExpr):
            return self.kind(node.value, names, owner)
        return None

    def panelsUi(self, owner: OurClass | None) -> Ui | None:
        """What `ui` means in a class of a panel's Lib folder where nothing better is known: the panel's .ui file."""
        file = owner.file.parent.name.removesuffix("Lib") + ".ui" if owner is not None else ""
        return Ui(file) if file in self.uis else None

    def name(self, name: str, names: Names, owner: OurClass | None):
        if name in names:
            return names.get(name)
        if name == "self" and owner is not None:
            return Ours(owner.name) if self.classes.get(owner.name) is owner else None
        if name in MODULES:
            return Module(name)
        return OursClass(name) if self.classes.get(name) is not None else None

    def attribute(self, kind, member: str):
        """The kind of ``<value of that kind>.member``."""
        if isinstance(kind, OneOf):
            return join([self.attribute(one, member) for one in kind.kinds], kind.each)
        if isinstance(kind, Module):
            return self.ofModule(kind.name, member)
        if isinstance(kind, QtObject):
            return _propertyKind(kind.name, member)
        if isinstance(kind, QtClass) and member in api_reflect.enumTypes(kind.name):
            return EnumType(kind.name)
        if isinstance(kind, Ui):
            found = self.uis.get(kind.file, {}).get(member)
            return QtObject(found) if found and isQtClass(found) else None
        if isinstance(kind, Ours):
            return self.ofOurs(self.classes.get(kind.name), member)
        return None

    def ofModule(self, module: str, member: str):
        if module in ("qt", "ctk"):
            return QtClass(member) if isQtClass(member) else None
        if module == "slicer":
            if member in ("util", "modules", "i18n", "packaging"):
                return Module(f"slicer.{member}")
            if member == "app":
                return Application()
            if member == "mrmlScene":
                return VtkObject("vtkMRMLScene")
            if member.startswith("q") and isQtClass(member):
                return QtClass(member)
        if module in ("slicer", "vtk") and vtkClass(member) is not None:
            return VtkClass(member)
        return None

    def ofOurs(self, one: OurClass | None, member: str):
        if one is None:
            return None
        for our in self.classes.lineage(one):
            if member in our.attributes:
                return join(our.attributes[member])
            method = our.method(member)
            if method is not None:
                isProperty = any(ast.unparse(mark) == "property" for mark in method.decorator_list)
                return self.annotation(method.returns) if isProperty else None
            for node in our.node.body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == member:
                    return self.annotation(node.annotation)
        if self.classes.isModuleWidget(one) and member in SCRIPTED_WIDGET:
            return QtObject(SCRIPTED_WIDGET[member])
        base = self.classes.qtBase(one)
        return _propertyKind(base, member) if base is not None else None

    # --- calls --------------------------------------------------------------------------------------------------------
    def call(self, node: ast.Call, names: Names, owner: OurClass | None):
        """What a call returns."""
        called = self.kind(node.func, names, owner)
        if isinstance(called, QtClass):
            return QtObject(called.name)
        if isinstance(called, VtkClass):
            return VtkObject(called.name)
        if isinstance(called, OursClass):
            return Ours(called.name)
        if not isinstance(node.func, ast.Attribute):
            return None
        receiver, member = self.kind(node.func.value, names, owner), node.func.attr
        if receiver == Module("slicer.util"):
            return self.ofUtil(member, node, names, owner)
        if isinstance(receiver, QtObject):
            found = api_reflect.returned(receiver.name, member)
            return QtObject(found, exact=False) if found and isQtClass(found) else None
        if isinstance(receiver, VtkObject) and member in NODE_MAKERS and node.args:
            return _nodeOf(node.args[0], exact=not member.startswith("Get"))
        if isinstance(receiver, VtkObject):
            found = vtkReturned(receiver.name, member)
            return VtkObject(found, exact=False) if found else None
        if isinstance(receiver, Ours):
            one = self.classes.get(receiver.name)
            for our in self.classes.lineage(one) if one is not None else ():
                method = our.method(member)
                if method is not None:
                    return self.annotation(method.returns)
        return None

    def ofUtil(self, member: str, node: ast.Call, names: Names, owner: OurClass | None):
        if member == "loadUI":
            files = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and _isUiName(one.value)]
            return UiTop(files[0].replace("\\", "/").rpartition("/")[2]) if len(files) == 1 else None
        if member == "childWidgetVariables" and node.args:
            top = self.kind(node.args[0], names, owner)
            return Ui(top.file) if isinstance(top, UiTop) else None
        if member in ("getFirstNodeByClassByName",) and node.args:
            return _nodeOf(node.args[0], exact=False)
        return None

    # --- annotations --------------------------------------------------------------------------------------------------
    def annotation(self, node: ast.expr | None):
        """The kind that an annotation names; optional ones count as if they were there."""
        if node is None:
            return None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                return self.annotation(ast.parse(node.value, mode="eval").body)
            except SyntaxError:
                return None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = [one for one in (node.left, node.right) if not _isNone(one)]
            return join([self.annotation(one) for one in sides])
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] == "Optional":
            return self.annotation(node.slice)
        called = self.kind(node, Names(), None) if isinstance(node, ast.Attribute | ast.Name) else None
        if called is None and isinstance(node, ast.Name) and vtkClass(node.id) is not None:
            called = VtkClass(node.id)
        if isinstance(called, QtClass):
            return QtObject(called.name, exact=False)
        if isinstance(called, VtkClass):
            return VtkObject(called.name, exact=False)
        return Ours(called.name) if isinstance(called, OursClass) else None


def _propertyKind(name: str, member: str):
    """The kind of a property's value, where it is an object of Qt with methods of its own (QSize, QFont...)."""
    from standin.qt_names import names_of

    names = names_of(name)
    if names is None or qtKind(name, member) not in ("property", "read only"):
        return None
    type_ = names.properties.get(member, ("", False))[0].rstrip("*")
    return (
        QtObject(type_, exact=False) if type_.startswith("Q") and "::" not in type_ and type_ not in NO_CLASS else None
    )


def _nodeOf(argument: ast.expr, exact: bool):
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and vtkClass(argument.value):
        return VtkObject(argument.value, exact)
    return None


def _isNone(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _isUiName(value: object) -> bool:
    return isinstance(value, str) and value.endswith(".ui")
