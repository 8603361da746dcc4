"""Installs packages into Slicer's Python, asking first; torch by Slicer's extension for it, the rest beside it."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SAMPromptCommonLib import answers, compat, requirements
from SAMPromptCommonLib.answers import Answer
from SAMPromptCommonLib.requirements import Wanted

REQUESTER = "SAMPromptTools"
TORCH_EXTENSION = "PyTorch"
_BUILT_WITH_TORCH = "sam2"


class Stopped(Exception):
    """It goes no further, for the reason in ``answer``: declined, failed, or not possible here."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


def ensureTorch(parent: Any) -> None:
    """torch and torchvision, where one of them is missing or too old.

    Raises:
        Stopped: they are not there, or only after a restart of Slicer.
    """
    if all(one.isThere() for one in requirements.TORCH):
        return
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except ImportError:
        _askForExtension(parent)
        return
    names = [one.name for one in requirements.TORCH]
    try:
        # Asks by itself. It imports torch into Slicer, the one exception: that is how this extension works.
        installed = PyTorchUtilsLogic().installTorch(
            askConfirmation=True, torchVersionRequirement=f">={requirements.TORCH[0].least}"
        )
    except Exception as error:  # what a broken download, pip or torch raises is not ours to list
        logging.exception("PyTorch could not be installed")
        raise Stopped(answers.failed(names, str(error))) from error
    if installed is None:
        raise Stopped(answers.declined(names))


def ensureList(parent: Any, group: str) -> None:
    """The packages of one list that are missing; what is installed keeps its version.

    Raises:
        Stopped: the user declined, or pip failed.
    """
    path = requirements.requirementsFile(group)
    missing = [one for one in requirements.readRequirements(path) if not one.isThere()]
    if not missing:
        return
    names = [one.name for one in missing]
    try:
        with _constraintsFile() as constraints:
            _install(parent, path, missing, constraints)
    except subprocess.CalledProcessError as error:
        logging.error("Installing %s failed: %s", ", ".join(names), error)
        raise Stopped(answers.failed(names)) from error


def _install(parent: Any, path: Path, missing: list[Wanted], constraints: Path) -> None:
    """Ask for and install what is missing of one list."""
    names = [one.name for one in missing]
    apart = [str(one) for one in missing if one.name == _BUILT_WITH_TORCH]
    plain = [str(one) for one in missing if one.name != _BUILT_WITH_TORCH]
    packaging = compat.packaging()
    if packaging is not None and not apart:
        try:
            packaging.pip_ensure(packaging.load_requirements(path), constraints=constraints, requester=REQUESTER)
        except RuntimeError as error:  # how it says that the user declined
            raise Stopped(answers.declined(names)) from error
        return
    if not slicer.util.confirmOkCancelDisplay(answers.question(names), REQUESTER, parent=parent):
        raise Stopped(answers.declined(names))
    keep = f"--constraint={constraints}"
    if apart:
        # Built in an environment of its own it would fetch a torch of its own, with its dependencies replace ours.
        with _environment(SAM2_BUILD_CUDA="0"):
            slicer.util.pip_install(["--no-build-isolation", "--no-deps", keep, *apart])
    if plain:
        slicer.util.pip_install([keep, *plain])


def _askForExtension(parent: Any) -> None:
    """Offer to install the extension; in any case it goes on only after a restart of Slicer."""
    missing = answers.extensionMissing(TORCH_EXTENSION)
    manager = compat.extensionsManager()
    if manager is None:
        raise Stopped(missing)
    question = missing.message + "\n\n"
    question += _("Install it now? Slicer has to be restarted afterwards: save your work first.")
    if not slicer.util.confirmOkCancelDisplay(question, REQUESTER, parent=parent):
        raise Stopped(answers.extensionMissing(TORCH_EXTENSION, _("It was not installed.")))
    restart = False  # by default Slicer would restart at once, with all that was not saved
    if not manager.installExtensionFromServer(TORCH_EXTENSION, restart):
        raise Stopped(answers.extensionMissing(TORCH_EXTENSION, _("It could not be installed.")))
    raise Stopped(answers.extensionInstalled(TORCH_EXTENSION))


@contextlib.contextmanager
def _constraintsFile() -> Iterator[Path]:
    """A file that keeps torch and what Slicer brings at their versions; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="samprompttools-") as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text(requirements.constraints(), encoding="utf-8")
        yield path


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
