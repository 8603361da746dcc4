"""Walks the panels' code and .ui files and says what a running Slicer does not have.

    python -m standin.api_walk [folder with the panels]        (in Testing/host)

A panel that passes here can still be wrong; one that fails here is wrong in Slicer 5.8.1, where a misspelt property,
a signal with another signature or a getter hidden by a property shows only when a person clicks. What is checked stands
in ``api_rules`` (imports, file scope, translations, isinstance), ``api_uses`` (names asked of values) and ``api_ui``.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from standin.api_classes import OurClasses, Source
from standin.api_infer import Inference
from standin.api_rules import fileScope, imports, isinstances, translations
from standin.api_scopes import collectAttributes
from standin.api_ui import Finding, checkUiFile, parameterNames, widgetClasses
from standin.api_uses import Uses


def panelFiles(folder: Path) -> tuple[list[Path], list[Path]]:
    """Python files (module files, Lib folders) and .ui files of the panels below that folder."""
    code = sorted([*folder.glob("SAM*.py"), *(one for lib in folder.glob("SAM*Lib") for one in lib.rglob("*.py"))])
    return code, sorted((folder / "Resources").rglob("*.ui"))


def walk(folder: Path) -> list[Finding]:
    """All findings in the panels below the folder, sorted by file and line; paths relative to it."""
    code, forms = panelFiles(folder)
    modules = tuple(path.stem for path in folder.glob("SAM*.py"))
    ours = frozenset(path.name for path in folder.glob("SAM*Lib")) | frozenset(modules)
    uis = {path.name: widgetClasses(path.read_bytes()) for path in forms}
    found: list[Finding] = []
    sources = []
    for path in code:
        try:
            sources.append(Source(path, ast.parse(path.read_text(encoding="utf-8"))))
        except SyntaxError as error:
            found.append(Finding(str(path), error.lineno or 1, f"not Python: {error.msg}"))
    for path, line, message in walkSources(sources, uis, ours):
        found.append(Finding(str(path), line, message))
    for path in forms:
        known = parameterNames([source.tree for source in sources if source.path.parent.name == f"{path.stem}Lib"])
        found += checkUiFile(path, modules, known)
    return sorted({Finding(_relative(one.file, folder), one.line, one.message, one.hard) for one in found})


def walkSources(
    sources: list[Source], uis: dict[str, dict[str, str]], ours: frozenset[str] = frozenset()
) -> list[tuple[Path, int, str]]:
    """Findings (file, line, message) in parsed Python files; ``uis``: .ui file name -> {object name: class}."""
    classes = OurClasses(sources)
    inference = Inference(classes, uis)
    collectAttributes(classes, inference)
    found = []
    for source in sources:
        problems = [
            *imports(source.tree, source.path, ours),
            *fileScope(source.tree),
            *translations(source.tree),
            *isinstances(source.tree),
            *Uses(source, classes, inference).run(),
        ]
        found += [(source.path, line, message) for line, message in problems]
    return found


def _relative(file: str, folder: Path) -> str:
    path = Path(file)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else file


def main(arguments: list[str]) -> int:
    """Print the findings; 1 when there are any."""
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[3] / "SAMPromptTools"
    found = walk(folder)
    for one in found:
        print(one)
    print(f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
