"""Where weights lie on this machine: one answer for the panels, the worker and the command line. Standard library."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from samprompt import resources
from samprompt.contract.catalogue import Catalogue, CatalogueEntry, read_catalogue

VARIABLE = "SAMPROMPT_MODELS"
_NAME = "samprompttools"


def models_folder() -> Path:
    """Folder of downloaded weights: ``SAMPROMPT_MODELS``, or "models" in the user's cache folder of samprompttools."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else _cache_folder() / "models"


def user_catalogue_path() -> Path:
    """The file of the models that the user added."""
    return models_folder() / "catalogue.toml"


def catalogue() -> Catalogue:
    """All models that have a name: SAMPromptTools' own and those the user added."""
    return read_catalogue(user=user_catalogue_path())


def weights_path(entry: CatalogueEntry) -> Path:
    """Where the weights of ``entry`` are, or would be after downloading."""
    if entry.builtin:
        return resources.root() / "models" / entry.file
    return Path(entry.file) if entry.user else models_folder() / entry.file


def partial_path(target: Path) -> Path:
    """What an interrupted download of ``target`` left behind, and continues."""
    return target.with_name(target.name + ".partial")


def _cache_folder() -> Path:
    """The user's cache folder of samprompttools, by each system's custom (as the package platformdirs has it)."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(local) / _NAME / _NAME / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / _NAME
    named = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(named) if named else Path.home() / ".cache") / _NAME
