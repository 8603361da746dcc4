"""Write qt515_names.json: which names the classes of Qt 5.15 have that slicer_api.json does not list.

slicer_api.json lists objects that could be constructed in a running Slicer; value types (QColor, QModelIndex, ...),
abstract classes (QHeaderView) and the namespace `Qt` are missing there. Their names are read from the interface files
of the package PySide2-stubs 5.15.2.1.2 (facts of Qt's interface; no line of it is copied):

    pip download --no-deps PySide2-stubs==5.15.2.1.2 && unzip PySide2_stubs*.whl -d stubs
    python make_qt515_names.py stubs/PySide2-stubs
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

MODULES = ("QtCore", "QtGui", "QtWidgets", "QtNetwork", "QtPrintSupport", "QtUiTools", "QtSvg")
VALUE = re.compile(r"^\s*(\w+)\s*:.*#\s*(-?0x[0-9a-f]+|-?\d+)\s*$")


def names_of(node: ast.ClassDef, lines: list[str]) -> dict:
    """Methods, enums (with values) and types of flags of one class."""
    methods, enums, nested = set(), {}, {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            methods.add(item.name)
        elif isinstance(item, ast.ClassDef):
            values = {}
            for member in item.body:
                if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                    found = VALUE.match(lines[member.lineno - 1])
                    values[member.target.id] = int(found.group(2), 0) if found else None
            functions = {member.name for member in item.body if isinstance(member, ast.FunctionDef)}
            if values or functions <= {name for name in functions if name.startswith("__")}:
                enums[item.name] = values
            else:
                nested[item.name] = names_of(item, lines)
    methods = {name for name in methods if not name.startswith("_")}
    bases = [ast.unparse(base).split(".")[-1] for base in node.bases]
    found = {"bases": [base for base in bases if base not in ("Object", "object")], "methods": sorted(methods)}
    if enums:
        found["enums"] = enums
    return found


def main(folder: Path) -> None:
    classes = {}
    for module in MODULES:
        text = (folder / f"{module}.pyi").read_text()
        lines = text.splitlines()
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Q"):
                classes.setdefault(node.name, {"module": module, **names_of(node, lines)})
    what = "Names of Qt 5.15's classes, read from PySide2-stubs 5.15.2.1.2 by make_qt515_names.py."
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(classes.items()))
    Path(__file__).with_name("qt515_names.json").write_text(
        f'{{\n"what": {json.dumps(what)},\n"classes": {{\n{rows}\n}}\n}}\n'
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
