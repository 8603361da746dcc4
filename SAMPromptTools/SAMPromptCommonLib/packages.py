"""Sees that the worker's Python has the packages it needs, asking before anything is installed.

    answer = ensurePackages()
    if not answer:
        show(answer.message, answer.hint)

torch is never imported here. Slicer's extension PyTorch installs it; what it installed, and what Slicer brings, is kept
at its version by a constraints file.
"""

from __future__ import annotations

from typing import Any

from samprompt.contract.errors import EnvironmentProblem

from SAMPromptCommonLib import answers, compat, installing, requirements
from SAMPromptCommonLib.answers import Answer
from SAMPromptCommonLib.client import WorkerClient
from SAMPromptCommonLib.python import choosePython

__all__ = ["Answer", "ensurePackages", "missingPackages"]


def missingPackages(group: str = "core") -> list[str]:
    """Names of what the worker's Python lacks for ``group`` ("core", "sam2" or "training"); empty: nothing.

    For a Python outside Slicer only its worker knows: what the running one said, and nothing while none runs.
    """
    try:
        choice = choosePython()
    except EnvironmentProblem:
        return []  # the worker's start says it, better than a list of packages would
    if not choice.isSlicers:
        hello = WorkerClient.shared().hello
        return list(hello.missing) if hello is not None else []
    return [one.name for one in requirements.wantedBy(group) if not one.isThere()]


def ensurePackages(parent: Any = None, group: str = "core") -> Answer:
    """See that the packages of ``group`` are there; asks and installs where they are not. Blocks while it installs.

    ``parent`` is the widget that questions belong to. In Slicer's testing mode, and without ``parent`` and
    main window, nothing is asked and nothing installed.
    Declined or failed: the answer is false and says what to do; what was there before is unchanged.
    """
    requirements.requirementsFile(group)  # a wrong name is a mistake of the caller, not of the user
    try:
        choice = choosePython()
    except EnvironmentProblem as error:
        return Answer(False, error.message, error.hint)
    missing = missingPackages(group)
    if not missing:
        return Answer(True)
    if not choice.isSlicers:
        return answers.outside(choice, missing)
    if compat.isTesting():
        return answers.testing(missing)
    if parent is None and not compat.hasMainWindow():
        return answers.nobodyToAsk(missing)
    try:
        installing.ensureTorch(parent)
        for name in requirements.listsOf(group):
            installing.ensureList(parent, name)
    except installing.Stopped as stopped:
        return stopped.answer
    finally:
        if not WorkerClient.shared().jobs:
            WorkerClient.shared().stop()  # the next one sees what was installed
    missing = missingPackages(group)
    return answers.failed(missing) if missing else Answer(True)
