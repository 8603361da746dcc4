"""The models as a panel shows them: what each is, its licence, whether it is on this machine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import qt
from samprompt.contract import places
from samprompt.contract.catalogue import CatalogueEntry
from samprompt.contract.errors import OutputError, ParameterError
from slicer.i18n import tr as _

ACCEPTED = "SAMPromptTools/LicenceAccepted"
BUILT_IN = "tiny"  # the catalogue's name of the built-in model


@dataclass(frozen=True)
class ModelChoice:
    """One model. ``path`` is where its weights are or would be; ``available`` says that they are there.

    ``name`` is what a job is given, ``packages`` the group of packages that it needs ("core" or "sam2"). ``manual``:
    the user has to fetch the file, as ``instructions`` say.
    """

    name: str
    title: str
    description: str
    licence: str
    licenceText: str
    sizeText: str
    page: str
    path: Path
    builtin: bool
    user: bool
    manual: bool
    available: bool
    instructions: str
    packages: str = "core"

    @property
    def downloadable(self) -> bool:
        """Whether a download job would bring it here."""
        return not (self.available or self.manual or self.builtin or self.user)


def models() -> list[ModelChoice]:
    """All models, the built-in one first, the user's own last, between them the catalogue's order.

    Raises:
        EnvironmentProblem: the catalogue is missing or damaged.
    """
    entries = sorted(places.catalogue(), key=lambda entry: (not entry.builtin, entry.user))
    return [_choice(entry) for entry in entries]


def model(name: str) -> ModelChoice | None:
    """The model called ``name`` (or an alias), in any case of letters; None: none is, it may be the path of a file."""
    entry = places.catalogue().get(name)
    return None if entry is None else _choice(entry)


def needsLicence(choice: ModelChoice) -> bool:
    """Whether the licence has to be shown and accepted before this model is used.

    Never for the built-in model, which is part of SAMPromptTools, nor for a file that the user added.
    """
    if choice.builtin or choice.user:
        return False
    settings = qt.QSettings()
    return str(settings.value(_key(choice), "") or "") != choice.licence


def acceptLicence(choice: ModelChoice) -> None:
    """Remember that the user accepted this licence for this model; another licence would be asked for again."""
    settings = qt.QSettings()
    settings.setValue(_key(choice), choice.licence)


def removable(choice: ModelChoice) -> bool:
    """Whether there are downloaded weights of it, whole or in part, that ``removeWeights`` would delete."""
    return not (choice.builtin or choice.user) and any(path.is_file() for path in _files(choice))


def removeWeights(choice: ModelChoice) -> int:
    """Delete its downloaded weights and what an interrupted download left; how many bytes that freed.

    Let the worker release the model first: an open file cannot be deleted on Windows.

    Raises:
        ParameterError: it was not downloaded: the built-in model, or a file of the user's.
        OutputError: the file cannot be deleted.
    """
    if choice.builtin or choice.user:
        raise ParameterError(
            _("{title} was not downloaded and is not deleted.").format(title=choice.title),
            _("A file that you added yourself can be deleted where it lies: {path}.").format(path=choice.path),
        )
    freed = 0
    for path in _files(choice):
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputError(
                _("{path} cannot be deleted ({reason}).").format(path=path, reason=error.strerror or error),
                _("Press Release GPU, wait for running computations, and try again."),
            ) from error
        freed += size
    return freed


def _choice(entry: CatalogueEntry) -> ModelChoice:
    path = places.weights_path(entry)
    size = entry.size
    if not size:
        with contextlib.suppress(OSError):
            size = path.stat().st_size
    return ModelChoice(
        name=entry.name,
        title=entry.title or entry.name,
        description=_description(entry),
        licence=entry.licence,
        licenceText=_licenceText(entry, path, size),
        sizeText=_sizeText(size),
        page=entry.page,
        path=path,
        builtin=entry.builtin,
        user=entry.user,
        packages="sam2" if entry.architecture.startswith("sam2") else "core",
        manual=entry.manual,
        available=path.is_file(),
        instructions=entry.instructions,
    )


def _description(entry: CatalogueEntry) -> str:
    parts = []
    if entry.builtin:
        parts.append(_("Part of SAMPromptTools, runs without a download and on any computer."))
    if entry.user:
        parts.append(_("Added by you."))
    if entry.trained_on:
        parts.append(_("Trained on {data}.").format(data=entry.trained_on.rstrip(".")))
    return " ".join(parts)


def _licenceText(entry: CatalogueEntry, path: Path, size: int) -> str:
    """What is shown before a model is used the first time: whose it is, under which terms, what comes onto the disk."""
    lines = [
        _("{title} is not part of SAMPromptTools. Its authors publish it under this licence: {licence}.").format(
            title=entry.title or entry.name, licence=entry.licence or _("not stated")
        )
    ]
    if entry.page:
        lines.append(_("Their page: {page}").format(page=entry.page))
    if entry.trained_on:
        lines.append(_("It was trained on {data}.").format(data=entry.trained_on.rstrip(".")))
    if entry.manual:
        lines.append(entry.instructions)
    elif entry.url:
        lines.append(
            _("{size} will be downloaded from {url} into {folder}, where you can delete it at any time.").format(
                size=_sizeText(size), url=entry.url, folder=path.parent
            )
        )
    lines.append(_("Research use only: not cleared for the diagnosis or treatment of patients."))
    return "\n\n".join(line for line in lines if line)


def _sizeText(size: int) -> str:
    """A size as people read it; decimal megabytes, as browsers and disks count."""
    if size <= 0:
        return _("size not known")
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.{0 if size >= 1e7 else 1}f} MB"


def _files(choice: ModelChoice) -> tuple[Path, Path]:
    return choice.path, places.partial_path(choice.path)


def _key(choice: ModelChoice) -> str:
    return f"{ACCEPTED}/{choice.name}"
