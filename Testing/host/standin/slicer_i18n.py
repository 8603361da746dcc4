"""`slicer.i18n` of an application in English: texts come back as they are, through `slicer.app.translate`.

As in Slicer, a translation whose {placeholders} differ from the text's is refused with a warning.
"""

from __future__ import annotations

import inspect
import logging
import re
from pathlib import Path

_PLACEHOLDER = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})")


def translate(context: str, text: str) -> str:
    """The text in the application's language."""
    from slicer import app

    return app.translate(context, text)


def getContext(sourceFile: str) -> str:
    """Name under which a file's texts are translated: `Package.File`, or `File` outside a package."""
    path = Path(sourceFile)
    if path.is_file() and (path.parent / "__init__.py").is_file():
        return f"{path.parent.name}.{path.stem}"
    return path.stem if path.is_file() else path.name


def tr(text: str) -> str:
    """Translate a text of the calling file; the panels import it as `_`."""
    frame = inspect.currentframe().f_back
    context = getContext(inspect.getsourcefile(frame) or inspect.getfile(frame))
    translated = translate(context, text)
    if set(_PLACEHOLDER.findall(text)) != set(_PLACEHOLDER.findall(translated)):
        logging.warning("%s: the translation of %r has other placeholders: %r", context, text, translated)
        return text
    return translated
