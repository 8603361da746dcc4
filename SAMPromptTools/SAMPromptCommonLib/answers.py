"""What a panel says when packages are missing: one function per cause, each with a hint what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slicer.i18n import tr as _

from SAMPromptCommonLib.python import VARIABLE, PythonChoice


@dataclass(frozen=True)
class Answer:
    """Whether the packages are there now, and if not what to tell the user; true or false as itself."""

    ok: bool
    message: str = ""
    hint: str = ""

    def __bool__(self) -> bool:
        return self.ok


def declined(names: Iterable[str]) -> Answer:
    """The user does not want them."""
    text = _("Nothing was installed. Without these Python packages nothing can be computed: {names}.")
    return Answer(False, text.format(names=", ".join(names)), _("Start again and agree to the installation."))


def failed(names: Iterable[str], reason: str = "") -> Answer:
    """pip, or the network behind it, did not manage."""
    text = _("These Python packages could not be installed: {names}.").format(names=", ".join(names))
    hint = _("Check the internet connection and the free space of the disk (Slicer's log says more), then try again.")
    return Answer(False, f"{text} {reason}".strip(), hint)


def testing(names: Iterable[str]) -> Answer:
    """Slicer runs its tests."""
    text = _("Python packages are missing: {names}.").format(names=", ".join(names))
    return Answer(False, text, _("Nothing is installed while Slicer runs its tests."))


def nobodyToAsk(names: Iterable[str]) -> Answer:
    """Slicer runs without its main window: a question would wait for an answer that nobody can give."""
    text = _("Python packages are missing: {names}.").format(names=", ".join(names))
    hint = _(
        "Start Slicer with its main window and agree to the installation, or let the environment variable {name} name "
        "a Python that has them."
    )
    return Answer(False, text, hint.format(name=VARIABLE))


def outside(choice: PythonChoice, names: Iterable[str]) -> Answer:
    """The Python is not Slicer's: whoever set it up installs into it."""
    text = _("The Python that {source} names ({path}) lacks packages: {names}.")
    hint = _("Install them there: {path} -m pip install samprompttools").format(path=choice.path)
    return Answer(False, text.format(source=choice.source, path=choice.path, names=", ".join(names)), hint)


def question(names: Iterable[str]) -> str:
    """What is asked before something is installed."""
    return _(
        "These Python packages are needed and will be downloaded and installed into Slicer's Python: {names}.\n\n"
        "What Slicer brings stays as it is. Install them now?"
    ).format(names=", ".join(names))


def extensionMissing(name: str, because: str = "") -> Answer:
    """Slicer's extension for torch is not there."""
    needed = _("The extension {name} is needed, which brings the library that the models run on.").format(name=name)
    hint = _("Install {name} in the Extensions Manager (menu View), restart Slicer, and try again.").format(name=name)
    return Answer(False, f"{needed} {because}".strip(), hint)


def extensionInstalled(name: str) -> Answer:
    """It is there now, but Slicer sees it only after a restart."""
    return Answer(False, _("The extension {name} is installed.").format(name=name), _("Restart Slicer, and try again."))
