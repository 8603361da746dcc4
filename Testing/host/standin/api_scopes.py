"""Names of a function and attributes of a class, with the kinds of everything that is assigned to them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from standin.api_classes import OurClass, OurClasses
from standin.api_infer import MODULES, Inference, Names
from standin.api_kinds import join


def namesOf(
    function: ast.FunctionDef | ast.Lambda, infer: Inference, owner: OurClass | None, outer: Names | None
) -> Names:
    """Local names with everything that is assigned to them anywhere in the function."""
    names = Names()
    if outer is not None:
        names.kinds.update({name: list(kinds) for name, kinds in outer.kinds.items()})
    arguments = function.args
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if one is not None and one.arg != "self":
            names.kinds[one.arg] = [infer.annotation(one.annotation)]
    statements = function.body if isinstance(function.body, list) else []
    assigned = set(names.kinds)
    for node in (inner for statement in statements for inner in _sameFunction(statement)):
        for target, kind in _assignments(node, names, infer, owner):
            if outer is not None and target in outer and target not in assigned:
                names.kinds[target] = []
            assigned.add(target)
            names.add(target, kind)
    return names


def _sameFunction(top: ast.AST) -> Iterator[ast.AST]:
    """Nodes in the order of the file, without those of functions and classes defined inside."""
    yield top
    if isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    for child in ast.iter_child_nodes(top):
        yield from _sameFunction(child)


def _assignments(node: ast.AST, names: Names, infer: Inference, owner: OurClass | None) -> Iterator[tuple[str, object]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                    yield target.id, infer.kind(node.value, names, owner)
            else:
                yield from ((one, None) for one in _targets(target))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, infer.annotation(node.annotation)
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, None
    elif isinstance(node, ast.NamedExpr):
        yield node.target.id, infer.kind(node.value, names, owner)
    elif isinstance(node, ast.For | ast.comprehension):
        each = None
        if isinstance(node.iter, ast.Tuple | ast.List) and isinstance(node.target, ast.Name):
            each = join([infer.kind(one, names, owner) for one in node.iter.elts], each=True)
        yield from ((one, each) for one in _targets(node.target))
    elif isinstance(node, ast.With):
        for item in node.items:
            if item.optional_vars is not None:
                yield from ((one, None) for one in _targets(item.optional_vars))
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for one in node.names:
            name = (one.asname or one.name).partition(".")[0]
            if name not in MODULES and infer.classes.get(name) is None:
                yield name, None
    elif (isinstance(node, ast.ExceptHandler) and node.name) or isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name, None


def _targets(node: ast.AST) -> list[str]:
    return [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]


def collectAttributes(classes: OurClasses, infer: Inference) -> None:
    """Fill ``attributes`` of every class: what its methods assign to ``self.x``. Run twice: attributes use others."""
    for _pass in range(2):
        fresh: dict[int, dict[str, list]] = {}
        for one in classes.all:
            found = fresh.setdefault(id(one), {})
            for function in one.functions():
                names = namesOf(function, infer, one, None)
                for node in ast.walk(function):
                    for target, kind in _selfAssignments(node, names, infer, one):
                        found.setdefault(target, []).append(kind)
        for one in classes.all:
            one.attributes = fresh[id(one)]


def _selfAssignments(node: ast.AST, names: Names, infer: Inference, owner: OurClass) -> Iterator[tuple[str, object]]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        for inner in ast.walk(target) if target is not None and not isinstance(node, ast.comprehension) else ():
            if not (isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)):
                continue
            if isinstance(inner.value, ast.Name) and inner.value.id == "self":
                if inner is not target:
                    yield inner.attr, None
                elif isinstance(node, ast.AnnAssign):
                    yield inner.attr, infer.annotation(node.annotation)
                elif isinstance(node, ast.Assign):
                    if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                        yield inner.attr, infer.kind(node.value, names, owner)
                else:
                    yield inner.attr, None
