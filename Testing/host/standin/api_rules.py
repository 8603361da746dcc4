"""Rules that need no knowledge of what a value is: imports, code at file scope, translations, isinstance."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from standin.api import words

Problem = tuple[int, str]

# What Slicer's own Python always has; the panels' folders are added by the walker.
AT_FILE_SCOPE = words(
    """
    slicer vtk qt ctk numpy SimpleITK scipy vtkITK vtkSegmentationCorePython
    """
)
NEVER = words(
    """
    torch torchvision pydantic psutil PySide6 PySide2 PyQt5 PyQt6 shiboken6 pytest typer rich sam2
    segment_anything samprompt_training
    """
)
# slicer.packaging came with 5.12: only these files ask for it, and say what to do where it is missing.
MAY_ASK_FOR_NEWER = frozenset({"compat.py", "packages.py"})
NEWER_MODULES = frozenset({"slicer.packaging"})
# Calls that only make a value; anything else at file scope is code.
HARMLESS_CALLS = words(
    """
    date timedelta np.array np.eye np.zeros np.ones np.diag fields frozenset tuple set dict list range len sorted max
    min str int float bool namedtuple re.compile Path logging.getLogger TypeVar Literal field math.radians math.sqrt
    MappingProxyType property
    """
)
HARMLESS_STATEMENTS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Pass)


def imports(tree: ast.Module, path: Path, ours: frozenset[str]) -> Iterator[Problem]:
    """Modules that a panel may not import, at file scope or anywhere."""
    for node in ast.walk(tree):
        for name in _imported(node):
            root = name.partition(".")[0]
            if root in NEVER:
                yield node.lineno, f"{root} is never imported in Slicer's process"
            elif root == "samprompt" and name != root and not (name + ".").startswith("samprompt.contract."):
                yield node.lineno, f"{name}: only samprompt.contract may be imported by a panel"
            elif name in NEWER_MODULES and path.name not in MAY_ASK_FOR_NEWER:
                yield (
                    node.lineno,
                    f"{name} is not in Slicer 5.8.1: reach it through SAMPromptCommonLib.compat",
                )
    allowed = AT_FILE_SCOPE | ours | sys.stdlib_module_names | {"samprompt"}
    for node in _scope(tree):
        for name in _imported(node):
            if name.partition(".")[0] not in allowed | NEVER:
                yield node.lineno, f"{name} is imported at file scope: import it where it is used"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        module = node.module or ""
        # "from slicer import packaging", "from samprompt import contract" name modules as well
        return [f"{module}.{one.name}" for one in node.names] if module in ("slicer", "samprompt") else [module]
    return []


def _scope(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the file is imported, those under if and try included."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.If | ast.Try):
            for part in ("body", "orelse", "finalbody"):
                waiting += getattr(node, part, [])
            for handler in getattr(node, "handlers", []):
                waiting += handler.body


def fileScope(tree: ast.Module) -> Iterator[Problem]:
    """Code that runs on import: only definitions, constants and imports may stand there."""
    for node in _scope(tree):
        if isinstance(node, HARMLESS_STATEMENTS) or _isText(node):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for call in _calls(node.value):
                name = ast.unparse(call.func)
                if not _isHarmless(name):
                    yield call.lineno, f"{name}() is called at file scope"
        elif not isinstance(node, ast.Try | ast.If):
            yield node.lineno, f"code at file scope: {ast.unparse(node).splitlines()[0][:60]}"
        elif isinstance(node, ast.If):
            yield node.lineno, f"a decision at file scope: if {ast.unparse(node.test)[:60]}"


def _calls(value: ast.expr | None) -> list[ast.Call]:
    return [one for one in ast.walk(value) if isinstance(one, ast.Call)] if value is not None else []


def _isHarmless(name: str) -> bool:
    """Known harmless, or a class of ours (one that makes a constant), but nothing of Qt, ctk, Slicer or VTK."""
    if name.partition(".")[0] in ("qt", "ctk", "slicer", "vtk"):
        return False
    last = name.rpartition(".")[2]
    return name in HARMLESS_CALLS or last in HARMLESS_CALLS or last.lstrip("_")[:1].isupper()


def _isText(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def translations(tree: ast.Module) -> Iterator[Problem]:
    """``_()`` takes one literal: the translators' tool reads the source, it does not run it."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "tr")):
            continue
        for argument in node.args[:1]:
            if any(isinstance(one, ast.JoinedStr) for one in ast.walk(argument)):
                yield node.lineno, "an f-string inside _(): write _('... {name} ...').format(name=...)"
            elif not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                yield node.lineno, f"_() takes a literal text, not {ast.unparse(argument)[:50]}"


def isinstances(tree: ast.Module) -> Iterator[Problem]:
    """isinstance holds for the exact class only in PythonQt."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            for named in ast.walk(node.args[1]) if len(node.args) > 1 else ():
                if isinstance(named, ast.Attribute) and isinstance(named.value, ast.Name):
                    root = named.value.id
                    if root in ("qt", "ctk") or (root == "slicer" and named.attr.startswith("q")):
                        text = f'use value.inherits("{named.attr}")'
                        yield (
                            node.lineno,
                            f"{node.func.id} with {root}.{named.attr} is true of the exact class only: {text}",
                        )
