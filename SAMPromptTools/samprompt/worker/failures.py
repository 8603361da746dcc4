"""What a user is told when something goes wrong: one place that knows every library's way to say so."""

from __future__ import annotations

import errno
import re
import traceback

from samprompt.contract.errors import EnvironmentProblem, OutOfMemory, OutputError, SamPromptError
from samprompt.contract.memory import is_out_of_memory
from samprompt.contract.worker import Failure

_OPTIONS = "device|model|method|threads|window|structure|reference|out"  # of the command line; pip's stay as they are
_FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


def known_problem(error: BaseException) -> SamPromptError | None:
    """``error`` as an error that a user can do something about; None where it is a fault of the program."""
    if isinstance(error, SamPromptError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(
            "Memory ran out.",
            "Close other programs, carry fewer structures or visits at a time, use the device cpu or a smaller model.",
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return OutputError(
            f"{error.filename or 'The result'} cannot be written: {error.strerror}.",
            "Make room on the disk, or choose another folder.",
        )
    return None


def failure_of(job: str, error: BaseException) -> Failure:
    """The message that tells a panel of ``error``; a fault of the program carries its traceback as ``detail``."""
    problem = known_problem(error)
    if isinstance(error, ImportError):
        problem = EnvironmentProblem(f"A Python package is missing or broken: {error}.", "Install the packages again.")
        problem.__cause__ = error
    if problem is not None:
        detail = "" if problem.__cause__ is None else f"{type(problem.__cause__).__name__}: {problem.__cause__}"
        return Failure(job, problem.code, _line(problem.message), in_a_panel(problem.hint), detail)
    text = (str(error).strip().splitlines() or ["no message"])[0]
    return Failure(
        job,
        "error",
        f"Unexpected {type(error).__name__}: {text}",
        "This is a fault of the program; please report it with the details.",
        "".join(traceback.format_exception(error)),
    )


def in_a_panel(hint: str) -> str:
    """A hint that names options of the command line, for somebody who sees a panel."""
    hint = re.sub(r",? or see: samprompt [a-z ]+", "", hint)
    hint = hint.replace("--model tiny", "the built-in model").replace("with --model", "as the model")
    return _line(re.sub(rf"--({_OPTIONS})\b", r"the \1", hint))


def _line(text: str) -> str:
    return " ".join(text.split())
