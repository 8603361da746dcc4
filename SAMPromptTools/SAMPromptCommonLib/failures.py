"""What a panel says when the worker is at fault: one function per cause, each with a hint what to do."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable

from samprompt.contract.errors import SamPromptError
from samprompt.contract.worker import PROTOCOL_VERSION, Failure
from slicer.i18n import tr as _

_LAST = 40  # lines of the worker's log that go into the details of an error


def ofError(error: SamPromptError) -> Failure:
    """An error of the contract."""
    return Failure("", error.code, error.message, error.hint)


def cancelled() -> Failure:
    """The user, or the end of Slicer, stopped it."""
    return Failure("", "cancelled", _("Cancelled."), "")


def didNotStart(reason: str, program: str, hint: str) -> Failure:
    """The operating system could not start it."""
    text = _("The computing process could not be started: {program} ({reason}).")
    return Failure("", "environment", text.format(program=program, reason=reason), hint)


def endedAtStart(exitCode: int, crashed: bool, hint: str, log: Iterable[str]) -> Failure:
    """It ended before it said who it is."""
    text = _("The computing process ended while it was starting ({how}).").format(how=_how(exitCode, crashed))
    return Failure("", "environment", text, hint, detail(log))


def startTookTooLong(seconds: float, hint: str, log: Iterable[str]) -> Failure:
    """It runs, but never said who it is."""
    text = _("The computing process did not get ready within {seconds} seconds.").format(seconds=f"{seconds:g}")
    return Failure("", "environment", text, hint, detail(log))


def otherProtocol(version: object, hint: str) -> Failure:
    """It belongs to another version of SAMPromptTools."""
    text = _("The computing process belongs to another version of SAMPromptTools (it speaks {theirs}, not {ours}).")
    return Failure("", "environment", text.format(theirs=version, ours=PROTOCOL_VERSION), hint)


def rubbish(hint: str, log: Iterable[str]) -> Failure:
    """What it prints cannot be understood."""
    text = _("The computing process answers what cannot be understood; it was ended.")
    return Failure("", "environment", text, hint, detail(log))


def choked(reason: str, log: Iterable[str]) -> Failure:
    """Its pipes broke while it was alive."""
    text = _("The connection to the computing process broke ({reason}); it was ended.").format(reason=reason)
    return Failure("", "error", text, _("Try again: it is started anew."), detail(log))


def crashed(exitCode: int, crash: bool, log: Iterable[str]) -> Failure:
    """It ended in the middle of a job."""
    text = _("The computing process ended unexpectedly ({how}).").format(how=_how(exitCode, crash))
    hint = _(
        "Try again: it is started anew. If it stays so, memory may be short or the device at fault: choose the CPU, "
        "fewer visits or a smaller model."
    )
    if _signalOf(exitCode, crash) == getattr(signal, "SIGKILL", 9):
        hint = _(
            "Somebody ended it, or the computer's memory ran out: close other programs, choose fewer visits or a "
            "smaller model, then try again."
        )
    return Failure("", "error", text, hint, detail(log))


def detail(log: Iterable[str]) -> str:
    """The last lines of the log, for who wants to see them."""
    return "\n".join(list(log)[-_LAST:])


def _how(exitCode: int, crash: bool) -> str:
    number = _signalOf(exitCode, crash)
    if number:
        try:
            return _("signal {name}").format(name=signal.Signals(number).name)
        except ValueError:
            return _("crash, code {code}").format(code=exitCode)
    return _("exit code {code}").format(code=exitCode)


def _signalOf(exitCode: int, crash: bool) -> int:
    """Number of the signal that ended it, 0 for none; a launcher in between says 128 + that number."""
    if crash:
        return exitCode
    return exitCode - 128 if sys.platform != "win32" and 128 < exitCode < 160 else 0
