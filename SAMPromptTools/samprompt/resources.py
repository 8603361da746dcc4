"""Where the files are that are not code: the built-in model, the catalogue, report templates, pictures."""

from __future__ import annotations

import os
from pathlib import Path

from samprompt.contract.errors import EnvironmentProblem

VARIABLE = "SAMPROMPT_RESOURCES"
MARKER = Path("models") / "catalogue.toml"  # every copy of Resources has it
_PACKAGE = Path(__file__).resolve().parent


def root(package: Path | None = None) -> Path:
    """Folder of the resources, found in this order: environment variable, installed extension, checkout.

    ``SAMPROMPT_RESOURCES`` names the folder itself; an installed extension has ``samprompt_resources`` beside the
    package; a checkout has ``Resources`` in a folder above it. ``package`` is the folder of samprompt, another one
    than its own in tests.

    Raises:
        EnvironmentProblem: the variable names a folder without resources, or none of the three places has them.
    """
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named).expanduser()
        if not (folder / MARKER).is_file():
            raise EnvironmentProblem(
                f"{VARIABLE} is {named}, and there is no {MARKER.as_posix()} in it.",
                f"Let {VARIABLE} name SAMPromptTools' folder Resources, or unset it.",
            )
        return folder
    package = _PACKAGE if package is None else package
    candidates = [package.parent / "samprompt_resources", *(above / "Resources" for above in package.parents)]
    for folder in candidates:
        if (folder / MARKER).is_file():
            return folder
    raise EnvironmentProblem(
        f"SAMPromptTools' resources (built-in model, catalogue) were not found from {package}.",
        f"Install from a checkout (pip install -e .), or let {VARIABLE} name its folder Resources.",
    )
